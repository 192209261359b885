"""An experiment with a frontier: how its heads are trained."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
import torch

from counterpoise.config.parameters import Block, Compute, Seeds
from counterpoise.errors import InputError
from counterpoise.methods.cells import fold_numbers
from counterpoise.methods.heads.penalized_bank import PenalizedBank, penalty_grid, train_replicate
from counterpoise.nn.random import generator
from counterpoise.pipelines.frontier.nodes import train_bank
from counterpoise.pipelines.shared.arrays import examples, rows
from counterpoise.pipelines.shared.heads import read_heads

SEEDS = Seeds((0, 1, 2))


def changed(arguments: dict[str, Any], **settings: Any) -> Block[PenalizedBank]:
    """Return the bank of the arguments with other settings."""
    return Block[PenalizedBank](replace(arguments["frontier"].root, **settings))


class TestTraining:
    @pytest.fixture
    def arguments(
        self, artifacts: dict[str, Any], choice_inputs: dict[str, Any], blocks: dict[str, Any]
    ) -> dict[str, Any]:
        return {
            **{name: artifacts[name] for name in ("samples", "splits", "features", "head_bank")},
            "dataset": choice_inputs["dataset"],
            "frontier": Block[PenalizedBank].model_validate(blocks["frontier"] | {"strengths": (0.0, 0.2)}),
            "epochs": None,
            "compute": Compute(backend="serial"),
            "seeds": SEEDS,
        }

    def test_fewer_strengths_give_the_same_heads(self, arguments: dict[str, Any], artifacts: dict[str, Any]) -> None:
        heads, _ = train_bank(**arguments)
        known = list(artifacts["frontier_heads"].header["variants"])
        for v, name in enumerate(heads.header["variants"]):
            assert torch.equal(
                heads.tensors["weight"][:, v], artifacts["frontier_heads"].tensors["weight"][:, known.index(name)]
            )
        assert heads.header["diverged"] == []

    def test_a_row_is_scored_by_heads_that_have_not_seen_its_label(
        self, arguments: dict[str, Any], artifacts: dict[str, Any]
    ) -> None:
        """The scores of a fold are those of heads that were trained with the labels of its rows turned round."""
        _, outcomes = train_bank(**arguments)
        settings, bank = arguments["frontier"].root, arguments["head_bank"]
        points = penalty_grid(list(bank.header["variants"]), settings.constraints, settings.strengths, (0.0,))
        points.sort(key=lambda point: point.name)
        data = examples(artifacts["samples"], artifacts["features"].tensors["features"])
        members = {part: rows(artifacts["splits"], part) for part in ("train", "validation")}
        own, seed = members["train"][1], SEEDS.root[1]
        fold = fold_numbers(data.y[own], data.s[own], folds=2, generator=generator(seed, "frontier folds"))
        for held_out in (0, 1):
            y = data.y.clone()
            y[own[fold == held_out]] = 1 - y[own[fold == held_out]]
            trained = train_replicate(
                (1, held_out),
                points,
                read_heads(bank),
                replace(data, y=y),
                members,
                fold.expand(3, -1),
                settings,
                2,
                SEEDS.root,
            )
            scores = outcomes.tensors["train.score"][1]
            assert torch.equal(trained.scores["held_out"][0], scores[:, fold == held_out])

    def test_without_folds_training_rows_are_not_scored(self, arguments: dict[str, Any]) -> None:
        heads, outcomes = train_bank(**arguments | {"frontier": changed(arguments, folds=0)})
        assert set(outcomes.tensors) == {"validation.score", "test.score"}
        cross_fitted, _ = train_bank(**arguments)
        assert torch.equal(heads.tensors["weight"], cross_fitted.tensors["weight"])

    def test_balanced_classes_predict_more_positives(
        self, arguments: dict[str, Any], artifacts: dict[str, Any]
    ) -> None:
        balanced = changed(arguments, class_weights="balanced", strengths=(0.0,))
        heads, outcomes = train_bank(**arguments | {"frontier": balanced})
        known = list(artifacts["frontier_outcomes"].header["variants"])
        plain = artifacts["frontier_outcomes"].tensors["test.score"][
            :, [known.index(n) for n in heads.header["variants"]]
        ]
        assert (outcomes.tensors["test.score"].mean(dim=-1) > plain.mean(dim=-1) + 0.05).all()

    @pytest.mark.filterwarnings("error")
    def test_a_head_that_diverges_is_named(self, arguments: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
        bank = arguments["head_bank"]
        tensors = {name: tensor.clone() for name, tensor in bank.tensors.items()}
        tensors["svd_r1.A"][1] = torch.inf
        with caplog.at_level(logging.WARNING, logger="counterpoise.pipelines.frontier.nodes"):
            heads, outcomes = train_bank(**arguments | {"head_bank": replace(bank, tensors=tensors)})
        names = ["svd_r1", "svd_r1_dp_0.2", "svd_r1_eo_0.2"]
        assert heads.header["diverged"] == outcomes.header["diverged"] == [[1, name] for name in names]
        (message,) = caplog.messages
        assert "3 of 45 heads diverged" in message
        assert "svd_r1_eo_0.2 of seed 1" in message

    @pytest.mark.parametrize("part", ["train", "validation", "test"])
    def test_a_cell_without_rows(self, arguments: dict[str, Any], part: str) -> None:
        samples = arguments["samples"].copy()
        members = rows(arguments["splits"], part)[1].numpy()
        own = samples.index.isin(members) & (samples["s"] == 0).to_numpy()
        samples.loc[own, "y"] = 0
        with pytest.raises(InputError) as caught:
            train_bank(**arguments | {"samples": samples})
        assert str(caught.value).startswith(
            f"generated data in Adult's layout: a replicate's {part} part has no row of"
        )
        assert "'>50K' among 'women', expected at least one" in str(caught.value)

    def test_checkpoints_of_other_seeds(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(InputError, match=r"splits\.safetensors has the seeds \[0, 1, 2\], expected \[0, 1\]"):
            train_bank(**arguments | {"seeds": Seeds((0, 1))})
