"""An experiment with a frontier: what its choice may look at, and what cannot be chosen."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import fairlearn.metrics as fl
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
import torch

from counterpoise.artifacts import schemas
from counterpoise.artifacts.datasets import Checkpoint, CSVDataset
from counterpoise.config.evidence import Claim
from counterpoise.config.parameters import Evidence, Report, Selection
from counterpoise.data import SPLITS
from counterpoise.errors import InputError
from counterpoise.pipelines.fairness_report.nodes import measure, summarize
from counterpoise.pipelines.select.nodes import collect, judge
from counterpoise.pipelines.shared.arrays import rows
from counterpoise.pipelines.shared.compared import compared_groups, predicted_groups
from counterpoise.reporting import ReportContext
from counterpoise.reporting.sections.choice import frontier_dp, frontier_eo
from counterpoise.reporting.tables_frontier import selection_table

COLLECTED = ("frontier_models", "samples", "splits")
"""What `collect` reads beside what `judge` returns."""

KINDS = ("boosted", "perceptron", "linear")
METHODS = {"leaves", "heads", "bias_scores"}
OWN = {"chosen", "unrepaired"} | {f"chosen_{method}" for method in METHODS}
PEERS = {"plain", "threshold_optimizer"}
FAMILIES = OWN | PEERS | {"constant"}


def flipped(choice_inputs: dict[str, Any], *parts: str, seed: int, others: bool = False) -> dict[str, Any]:
    """Return the inputs with the labels of a replicate's parts turned round, or with those of all other rows."""
    samples = choice_inputs["samples"].copy()
    own = np.zeros(len(samples), dtype=bool)
    for part in parts:
        own[rows(choice_inputs["splits"], part)[seed].numpy()] = True
    samples.loc[own ^ others, "y"] = 1 - samples.loc[own ^ others, "y"]
    return choice_inputs | {"samples": samples}


def choices(choice_inputs: dict[str, Any], seed: int) -> dict[str, tuple[str, float, float]]:
    """Return family → what it chooses in one replicate, and as what that is judged."""
    selection = judge(**choice_inputs)[1]
    of_seed = selection[selection["seed"] == seed].set_index("family")
    return {row.Index: (row.variant, row.validation_err, row.validation_bias) for row in of_seed.itertuples()}


class TestWhatTheChoiceLooksAt:
    @pytest.mark.parametrize(("validation", "seed"), [("pooled", 0), ("own", 2)])
    def test_never_at_labels_that_the_replicate_is_tested_on(
        self, choice_inputs: dict[str, Any], validation: str, seed: int
    ) -> None:
        choice_inputs = choice_inputs | {"selection": Selection(validation=validation)}
        before = choices(choice_inputs, seed)
        assert choices(flipped(choice_inputs, "test", seed=seed), seed) == before
        assert choices(flipped(choice_inputs, "validation", seed=seed), seed) != before
        assert choices(flipped(choice_inputs, "train", seed=seed), seed) != before, "ours are cross-fitted"

    def test_at_no_other_replicates_rows_if_asked_so(self, choice_inputs: dict[str, Any]) -> None:
        own = choice_inputs | {"selection": Selection(validation="own")}
        parts = ("pretrain", "train", "validation")
        assert choices(flipped(own, *parts, seed=1, others=True), 1) == choices(own, 1)

    def test_by_default_ours_are_judged_by_own_rows_and_peers_by_pooled_ones(
        self, choice_inputs: dict[str, Any]
    ) -> None:
        auto, own, pooled = (
            judge(**choice_inputs | {"selection": Selection(validation=kind)})[1] for kind in ("auto", "own", "pooled")
        )
        peers = auto["family"].isin(PEERS)
        pd.testing.assert_frame_equal(auto[~peers], own[~peers])
        pd.testing.assert_frame_equal(auto[peers], pooled[peers])
        assert not own[peers].equals(pooled[peers])

    def test_at_no_training_rows_without_cross_fitting(self, choice_inputs: dict[str, Any]) -> None:
        alone = not_cross_fitted(choice_inputs) | {"selection": Selection(validation="own")}
        before = choices(alone, 1)
        assert choices(flipped(alone, "train", seed=1), 1) == before
        assert choices(flipped(alone, "validation", seed=1), 1) != before

    def test_the_own_part_is_judged_by_what_is_measured_there(self, choice_inputs: dict[str, Any]) -> None:
        selection = Selection(validation="own", criterion="spd", smoothing=0)
        grid, selection, *_ = judge(**not_cross_fitted(choice_inputs) | {"selection": selection})
        values = grid[grid["split"] == "validation"].set_index(["seed", "variant", "metric"])["value"]
        for row in selection.itertuples():
            assert row.validation_err == pytest.approx(values[row.seed, row.variant, "err"])
            assert row.validation_bias <= abs(values[row.seed, row.variant, "spd"])
            assert row.test_bias >= 0
        assert set(grid["metric"]) == {"err", "delta_eo", "delta_dp", "spd"}


class TestGroupsThatAreNotCompared:
    """A third group with fewer than 30 test rows in a replicate at least."""

    @pytest.fixture
    def three(self, choice_inputs: dict[str, Any]) -> dict[str, Any]:
        samples, splits = choice_inputs["samples"].copy(), choice_inputs["splits"].tensors["splits"].numpy()
        test = SPLITS.index("test")
        samples["s"] = np.where(np.arange(len(samples)) % 29 == 0, 2, samples["s"])
        assert min((samples["s"][codes == test] == 2).sum() for codes in splits) < 30
        block = choice_inputs["dataset"].model_copy(
            update={"groups": ("a", "b", "c"), "group_names": ("a", "b", "c"), "min_test_rows": 30}
        )
        return choice_inputs | {"samples": samples, "dataset": block}

    def test_no_bias_of_any_model_looks_at_them(self, three: dict[str, Any]) -> None:
        grid, *_, counts = judge(**three)
        samples = three["samples"].copy()
        samples.loc[samples["s"] == 2, "y"] = 1 - samples.loc[samples["s"] == 2, "y"]
        changed, *_ = judge(**three | {"samples": samples})
        keys = ["variant", "seed", "split", "metric"]
        values, others = (frame.set_index(keys)["value"] for frame in (grid, changed))
        for metric in ("delta_eo", "delta_dp"):
            pd.testing.assert_series_equal(values.xs(metric, level="metric"), others.xs(metric, level="metric"))
        assert not values.xs("err", level="metric").equals(others.xs("err", level="metric"))
        assert set(counts["s"]) == {0, 1, 2}, "their rates are reported"

    def test_stages_with_splits_and_stages_with_predictions_agree(
        self, three: dict[str, Any], artifacts: dict[str, Any]
    ) -> None:
        samples, splits, dataset = (three[name] for name in ("samples", "splits", "dataset"))
        predictions = artifacts["predictions"].assign(s=lambda frame: samples["s"].to_numpy()[frame["row"]])
        assert compared_groups(samples, splits, dataset) == predicted_groups(predictions, dataset) == (0, 1)
        every = dataset.model_copy(update={"min_test_rows": 0})
        assert compared_groups(samples, splits, every) is predicted_groups(predictions, every) is None


def not_cross_fitted(choice_inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs without what cross-fitting says of training rows."""
    outcomes = choice_inputs["frontier_outcomes"]
    tensors = {name: tensor for name, tensor in outcomes.tensors.items() if name != "train.score"}
    return choice_inputs | {"frontier_outcomes": replace(outcomes, tensors=tensors)}


class TestCriteria:
    """Any metric but leakage; for each, how far from its ideal the chosen models are."""

    BY_SKLEARN = {  # noqa: RUF012
        "auc": lambda own: 1 - sk.roc_auc_score(own["y"], own["score"]),
        "accuracy": lambda own: 1 - sk.accuracy_score(own["y"], own["prediction"]),
        "balanced_accuracy": lambda own: 1 - sk.balanced_accuracy_score(own["y"], own["prediction"]),
        "f1": lambda own: 1 - sk.f1_score(own["y"], own["prediction"]),
        "err": lambda own: 1 - sk.f1_score(own["y"], own["prediction"], average="weighted"),
        "worst_group_accuracy": lambda own: (
            1 - min(sk.accuracy_score(part["y"], part["prediction"]) for _, part in own.groupby("s"))
        ),
        "disparate_impact": lambda own: (
            1 - fl.demographic_parity_ratio(own["y"], own["prediction"], sensitive_features=own["s"])
        ),
    }

    @pytest.mark.parametrize(("criterion", "validation"), [*zip(BY_SKLEARN, cycle(["pooled", "own"]), strict=False)])
    def test_qualities_count_by_what_they_lack(
        self, choice_inputs: dict[str, Any], artifacts: dict[str, Any], criterion: str, validation: str
    ) -> None:
        settings = Selection(criterion=criterion, tolerance=0.15, validation=validation)
        _, chosen, _, outcomes, _ = judge(**choice_inputs | {"selection": settings})
        schemas.Selection.validate(chosen)
        chosen = chosen[chosen["family"] != "constant"]  # for it some metrics are undefined
        assert (chosen["validation_bias"] > 0).all()
        _, predictions = collect(chosen, outcomes, *(artifacts[name] for name in COLLECTED))
        by_model = predictions.set_index(["variant", "seed"])
        for row in chosen.itertuples():
            expected = self.BY_SKLEARN[criterion](by_model.loc[row.family, row.seed])
            assert row.test_bias == pytest.approx(expected, abs=1e-6), row.family

    def test_a_threshold_does_not_change_how_a_head_ranks(self, choice_inputs: dict[str, Any]) -> None:
        grid, *_ = judge(**choice_inputs | {"selection": Selection(criterion="auc")})
        ranks = grid[(grid["metric"] == "auc") & grid["method"].isin(["leaves", "heads"])]
        heads = ["seed", "split", "base", "constraint", "strength", "weight_decay"]
        by_head = ranks.groupby(heads, dropna=False)
        assert (by_head["threshold"].nunique() == 3).all()
        assert (by_head["value"].nunique() == 1).all()
        assert ranks["value"].nunique() > 10

    def test_one_whose_cells_are_absent_is_refused(self, choice_inputs: dict[str, Any]) -> None:
        samples = choice_inputs["samples"].copy()
        tested = rows(choice_inputs["splits"], "test")[0].numpy()
        samples.loc[(samples["s"] == 0) & ~samples.index.isin(tested), "y"] = 0
        with pytest.raises(InputError) as caught:
            judge(**choice_inputs | {"samples": samples, "selection": Selection(criterion="eod", validation="own")})
        assert "criterion is 'eod', but there is no row of '>50K' among 'women' on the validation rows" in str(
            caught.value
        )


def by_group(choice_inputs: dict[str, Any], scores: dict[str, tuple[float, float]], **settings: Any) -> dict[str, Any]:
    """Return the inputs with models that score every row of a group alike; {name: (s = 0, s = 1)}."""
    s = torch.tensor(choice_inputs["samples"]["s"].to_numpy())
    tensors = {}
    for part in ("validation", "test"):
        group = s[rows(choice_inputs["splits"], part)]
        tensors[f"{part}.score"] = torch.stack([torch.tensor(own)[group] for own in scores.values()], dim=1)
    known = choice_inputs["frontier_outcomes"].header
    variants = {name: known["variants"][name] for name in scores}
    outcomes = Checkpoint(tensors, known | {"variants": variants, "thresholds": [0.0]})
    return choice_inputs | {"frontier_outcomes": outcomes, "selection": Selection(**settings)}


class TestTolerances:
    UNFAIR = {"linear_unrepaired": (0.1, 0.9), "linear_heads_wd1": (0.9, 0.1)}  # noqa: RUF012

    def test_one_that_no_model_meets_is_said_and_the_run_goes_on(
        self, choice_inputs: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, logger="counterpoise.pipelines.select.nodes"):
            _, selection, *_ = judge(**by_group(choice_inputs, self.UNFAIR, tolerance=0.5))
        (message,) = caplog.messages
        assert "no model has ΔEO ≤ 0.5 on validation in 3 of 3 replicates; the closest is linear_heads_wd1" in message
        own = selection[selection["family"] == "chosen"]
        assert not own["meets"].any()
        assert (own["variant"] == "linear_heads_wd1").all(), "equally biased: the lower error"
        assert (own["test_bias"] == 2.0).all()

    def test_strict_ends_the_run_with_the_nearest_and_its_distance(self, choice_inputs: dict[str, Any]) -> None:
        with pytest.raises(InputError) as caught:
            judge(**by_group(choice_inputs, self.UNFAIR, tolerance=0.5, strict=True))
        assert "in 3 of 3 replicates; the closest is linear_heads_wd1 with 2.000, +1.500 from" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_strict_is_content_with_one_model_of_ours(self, choice_inputs: dict[str, Any]) -> None:
        scores = self.UNFAIR | {"linear_bias_scores_eo_0.05": (0.1, 0.1)}
        _, selection, *_ = judge(**by_group(choice_inputs, scores, tolerance=0.05, strict=True))
        own = selection.set_index("family").loc["chosen"]
        assert own["variant"].tolist() == ["linear_bias_scores_eo_0.05"] * 3
        assert own["validation_bias"].tolist() == own["test_bias"].tolist() == [0.0] * 3
        unrepaired = selection.set_index("family").loc["unrepaired"]
        assert not unrepaired["meets"].any(), "it is chosen whatever its bias"


def diverging(choice_inputs: dict[str, Any], models: list[str], seed: int) -> dict[str, Any]:
    """Return the inputs with some models of a replicate gone."""
    outcomes = choice_inputs["frontier_outcomes"]
    every = list(outcomes.header["variants"])
    tensors = {name: tensor.clone() for name, tensor in outcomes.tensors.items()}
    for tensor in tensors.values():
        tensor[seed, [every.index(model) for model in models]] = torch.nan
    return choice_inputs | {"frontier_outcomes": replace(outcomes, tensors=tensors)}


class TestDivergence:
    @pytest.mark.parametrize(("validation", "criterion"), [("pooled", "delta_eo"), ("own", "auc")])
    def test_a_model_that_diverged_is_never_chosen_and_has_no_value(
        self, choice_inputs: dict[str, Any], validation: str, criterion: str
    ) -> None:
        choice_inputs = choice_inputs | {"selection": Selection(validation=validation, criterion=criterion)}
        lost = judge(**choice_inputs)[1].set_index(["family", "seed"]).loc[("chosen", 1), "model"]
        grid, selection, *_ = judge(**diverging(choice_inputs, [lost], 1))
        assert lost not in set(selection.loc[selection["seed"] == 1, "model"])
        variants = [name for name in grid["variant"].unique() if name == lost or name.startswith(f"{lost}_t")]
        of_lost = grid[grid["variant"].isin(variants)]
        unjudged = (of_lost["split"] == "judged") & (validation == "pooled")  # by nobody, if by all together
        assert (of_lost["value"].isna() == ((of_lost["seed"] == 1) | unjudged)).all()
        assert grid.loc[~grid["variant"].isin(variants), "value"].notna().all()
        schemas.Frontier.validate(grid)
        schemas.Selection.validate(selection)

    @pytest.mark.parametrize(("validation", "without"), [("own", {1}), ("pooled", {0, 1, 2})])
    def test_one_that_diverged_in_a_fold_alone_cannot_be_judged(
        self, choice_inputs: dict[str, Any], validation: str, without: set[int]
    ) -> None:
        choice_inputs = choice_inputs | {"selection": Selection(validation=validation)}
        before = judge(**choice_inputs)[1].set_index(["family", "seed"])
        lost = before.loc[("chosen", 1), "model"]
        outcomes = choice_inputs["frontier_outcomes"]
        scores = outcomes.tensors["train.score"].clone()
        scores[1, list(outcomes.header["variants"]).index(lost), :7] = torch.nan
        changed = replace(outcomes, tensors=outcomes.tensors | {"train.score": scores})
        grid, selection, *_ = judge(**choice_inputs | {"frontier_outcomes": changed})
        assert lost not in set(selection.loc[selection["seed"].isin(without), "model"])
        undefined = grid[grid["value"].isna()]
        assert set(undefined["split"]) == {"judged"}, "its own model is there"
        assert set(undefined["seed"]) == without

    def test_a_family_without_a_model_in_one_seed_has_no_choice_there_and_the_run_goes_on(
        self, choice_inputs: dict[str, Any], artifacts: dict[str, Any], caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        lost = [f"{kind}_unrepaired" for kind in KINDS]
        with caplog.at_level(logging.WARNING, logger="counterpoise.pipelines.select.nodes"):
            grid, chosen, sweep, outcomes, counts = judge(**diverging(choice_inputs, lost, 1))
        assert "unrepaired: all of its models diverged, so there is no choice for the seeds [1]" in caplog.messages
        chosen = schemas.Selection.validate(chosen)
        unrepaired = chosen[chosen["family"] == "unrepaired"].set_index("seed")
        assert unrepaired["variant"].isna().tolist() == [False, True, False]
        assert not unrepaired.loc[1, ["meets", "holds"]].any()
        assert chosen.loc[chosen["family"] != "unrepaired", "variant"].notna().all()
        assert set(counts.loc[counts["family"] == "unrepaired", "seed"]) == {0, 2}
        file = CSVDataset(filepath=str(tmp_path / "selection.csv"))
        file.save(chosen)
        assert file.load()["variant"].isna().sum() == 1
        schemas.Tolerances.validate(sweep)
        of_family = sweep[sweep["family"] == "unrepaired"]
        assert of_family["test_err"].isna().groupby(of_family["seed"]).all().to_dict() == {0: False, 1: True, 2: False}

        models, predictions = collect(chosen, outcomes, *(artifacts[name] for name in COLLECTED))
        assert set(models.header["models"]["unrepaired"]) == {"0", "2"}
        assert not any(name.startswith("unrepaired.1.") for name in models.tensors)
        assert set(models.header["models"]["chosen"]) == {"0", "1", "2"}
        schemas.Predictions.validate(predictions)
        assert set(predictions.loc[predictions["variant"] == "unrepaired", "seed"]) == {0, 2}
        report = Report(leakage=False)
        data = {name: artifacts[name] for name in ("samples", "splits")}
        metrics = measure(predictions, choice_inputs["dataset"], report, **data, heads=models)
        schemas.Metrics.validate(metrics)
        values = metrics[metrics["variant"] == "unrepaired"].set_index("seed")["value"]
        assert values.loc[1].isna().all()
        assert values.loc[[0, 2]].notna().all()
        sides = {"left": {"method": "chosen"}, "right": {"method": "unrepaired"}}
        claim = Claim(claim="c", metric="err", **sides, claimed="lower")
        summary, claims = summarize(metrics, report, Evidence(claims=(claim,)))
        assert summary.set_index(["variant", "metric"]).loc[("unrepaired", "err"), "n"] == 2
        assert claims["difference"].notna().all()
        context = ReportContext(
            **dict.fromkeys(("experiment", "title", "dataset", "sensitive", "target"), ""),
            **dict.fromkeys(("claim_specs", "group_names", "class_names"), ()),
            summary=summary,
            claims=claims,
            splits=summary.head(0),
            settings={},
            noise_floor={"chosen": {"delta_eo": 0.03, "delta_dp": 0.01}},
            lineage={},
        )
        for draw, bias in ((frontier_eo, "ΔEO"), (frontier_dp, "ΔDP")):
            figure = draw(context, grid, chosen)
            assert figure.layout.xaxis.title.text == bias
            assert any("tolerance" in note.text for note in figure.layout.annotations) == (bias == "ΔEO")
        assert selection_table(chosen).rows

    def test_nothing_of_ours_is_left_in_a_seed(self, choice_inputs: dict[str, Any]) -> None:
        every = list(choice_inputs["frontier_outcomes"].header["variants"])
        with pytest.raises(InputError, match=r"nothing left to choose for the seeds \[1\], expected one at least"):
            judge(**diverging(choice_inputs, every, 1) | {"selection": Selection(validation="own")})


class TestCertificates:
    def test_none_where_validation_rows_have_chosen_settings(self, choice_inputs: dict[str, Any]) -> None:
        with pytest.raises(InputError, match=r"expected frontiers\.<name>\.hold_out above 0") as caught:
            judge(**choice_inputs | {"selection": Selection(certify=0.9)})
        assert "\n" not in str(caught.value)


def test_a_choice_by_biases_smoothed_over_strengths_is_another(choice_inputs: dict[str, Any]) -> None:
    wide, none = (
        judge(**choice_inputs | {"selection": Selection(smoothing=width)})[1].set_index(["family", "seed"])
        for width in (1.0, 0.0)
    )
    assert (wide["validation_bias"] != none["validation_bias"]).any()
    same = wide["variant"] == none["variant"]
    assert (wide.loc[same, "test_bias"] == none.loc[same, "test_bias"]).all()
