"""An experiment with a frontier: how its models are trained on the bases that the stage before left."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
import torch

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Block, Compute, Seeds
from counterpoise.errors import InputError
from counterpoise.methods.frontier import Frontier
from counterpoise.methods.heads.newton import Newton
from counterpoise.pipelines.frontier.nodes import train_frontier
from counterpoise.pipelines.shared.arrays import rows

SEEDS = Seeds((0, 1, 2))


def changed(arguments: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Return the arguments with other settings of the frontier."""
    return arguments | {"frontier": Block[Frontier](replace(arguments["frontier"].root, **settings))}


@pytest.fixture
def arguments(artifacts: dict[str, Any], choice_inputs: dict[str, Any], blocks: dict[str, Any]) -> dict[str, Any]:
    """What the stage reads, with a single strength to keep it short."""
    return {
        **{name: artifacts[name] for name in ("samples", "splits", "bases")},
        "dataset": choice_inputs["dataset"],
        "frontier": Block[Frontier].model_validate(blocks["frontier"] | {"strengths": (0.0, 0.1)}),
        "compute": Compute(backend="serial"),
        "seeds": SEEDS,
    }


class TestTraining:
    def test_fewer_strengths_give_the_same_models(self, arguments: dict[str, Any], artifacts: dict[str, Any]) -> None:
        models, outcomes = train_frontier(**arguments)
        stored = artifacts["frontier_models"].tensors
        assert 0 < len(models.tensors) < len(stored)
        for name, tensor in models.tensors.items():
            assert torch.equal(tensor, stored[name]), name
        assert models.header["diverged"] == outcomes.header["diverged"] == []
        every = list(artifacts["frontier_outcomes"].header["variants"])
        places = [every.index(name) for name in outcomes.header["variants"]]
        for part, scores in outcomes.tensors.items():
            # A product with more heads at once may round differently.
            expected = artifacts["frontier_outcomes"].tensors[part][:, places]
            torch.testing.assert_close(scores, expected, atol=1e-6, rtol=0, msg=part)

    def test_names_are_in_the_order_of_axis_v_and_say_the_settings(self, artifacts: dict[str, Any]) -> None:
        variants = artifacts["frontier_outcomes"].header["variants"]
        assert list(variants) == sorted(variants)
        assert {model["base"] for model in variants.values()} == {"boosted", "perceptron", "linear"}
        assert {model["method"] for model in variants.values()} == {"unrepaired", "leaves", "heads", "bias_scores"}
        assert not any(model["needs_group"] for model in variants.values())
        stored = artifacts["frontier_models"].tensors
        for name, model in variants.items():
            kind = "rule" if model["method"] == "bias_scores" else "head"
            assert stored[f"{name}.{kind}"].shape[0] == 3, name
        assert len(stored) == len(variants)

    def test_without_folds_training_rows_are_not_scored_and_heads_are_the_same(self, arguments: dict[str, Any]) -> None:
        models, outcomes = train_frontier(**changed(arguments, folds=0, kinds=arguments["frontier"].root.kinds))
        assert set(outcomes.tensors) == {"validation.score", "test.score"}
        cross_fitted, with_folds = train_frontier(**arguments)
        assert set(with_folds.tensors) == {"validation.score", "test.score", "train.score"}
        for name, tensor in models.tensors.items():
            assert name.endswith(".rule") or torch.equal(tensor, cross_fitted.tensors[name]), name

    def test_every_row_that_was_learnt_from_is_scored(self, artifacts: dict[str, Any]) -> None:
        outcomes = artifacts["frontier_outcomes"].tensors
        learnt = rows(artifacts["splits"], "pretrain", "train")
        assert outcomes["train.score"].shape[-1] == learnt.shape[1]
        for scores in outcomes.values():
            assert ((scores >= 0) & (scores <= 1)).all()

    def test_balanced_classes_predict_more_positives(
        self, arguments: dict[str, Any], artifacts: dict[str, Any]
    ) -> None:
        _, outcomes = train_frontier(**changed(arguments, class_weights="balanced"))
        variants = artifacts["frontier_outcomes"].header["variants"]
        plain = dict(zip(variants, artifacts["frontier_outcomes"].tensors["test.score"].mean(dim=(0, 2)), strict=True))
        balanced = dict(zip(outcomes.header["variants"], outcomes.tensors["test.score"].mean(dim=(0, 2)), strict=True))
        for name in ("linear_heads_wd1", "perceptron_heads_wd1"):
            assert balanced[name] > plain[name] + 0.05
        assert balanced["linear_unrepaired"] == plain["linear_unrepaired"]

    def test_a_model_that_diverges_is_named(self, arguments: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
        bases = arguments["bases"]
        broken = {name: tensor.clone() for name, tensor in bases.tensors.items()}
        broken["1.linear.base.scale"] *= torch.nan
        single = changed(arguments, folds=0, bias_scores=arguments["frontier"].root.bias_scores, solver=Newton(steps=2))
        with caplog.at_level(logging.WARNING, logger="counterpoise.pipelines.frontier.nodes"):
            models, outcomes = train_frontier(**single | {"bases": Checkpoint(broken, bases.header)})
        diverged = [name for name in outcomes.header["variants"] if name.startswith("linear")]
        assert models.header["diverged"] == outcomes.header["diverged"] == [[1, name] for name in diverged]
        lost = outcomes.tensors["test.score"].isnan().any(dim=-1)
        assert lost.sum() == len(diverged)
        (message,) = caplog.messages
        assert f"{len(diverged)} of {3 * len(outcomes.header['variants'])} models diverged" in message
        assert f"{diverged[0]} of seed 1" in message


class TestRefusals:
    @pytest.mark.parametrize("part", ["train", "validation", "test"])
    def test_a_cell_without_rows(self, arguments: dict[str, Any], part: str) -> None:
        samples = arguments["samples"].copy()
        learnt = ("pretrain", "train") if part == "train" else (part,)
        members = rows(arguments["splits"], *learnt)[1].numpy()
        samples.loc[samples.index.isin(members) & (samples["s"] == 0).to_numpy(), "y"] = 0
        with pytest.raises(InputError) as caught:
            train_frontier(**arguments | {"samples": samples})
        assert str(caught.value).startswith(
            f"generated data in Adult's layout: a replicate's {part} part has no row of"
        )
        assert "'>50K' among 'women', expected at least one" in str(caught.value)

    def test_checkpoints_of_other_seeds(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(InputError, match=r"bases\.safetensors has the seeds \[0, 1, 2\], expected \[0, 1\]"):
            train_frontier(**arguments | {"seeds": Seeds((0, 1))})

    def test_bases_of_other_kinds(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(InputError, match="bases of the kinds"):
            train_frontier(**changed(arguments, kinds=("linear",)))
