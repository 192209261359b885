"""An experiment with a frontier: what its choice may look at, and what cannot be chosen."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import fairlearn.metrics as fl
import numpy as np
import pytest
import sklearn.metrics as sk
import torch

from counterpoise.artifacts import schemas
from counterpoise.artifacts.datasets import Checkpoint, CSVDataset
from counterpoise.config.evidence import Claim
from counterpoise.config.parameters import Evidence, Report, Selection
from counterpoise.errors import InputError
from counterpoise.pipelines.fairness_report.nodes import measure, summarize
from counterpoise.pipelines.select.candidates import neighbours
from counterpoise.pipelines.select.nodes import collect, judge
from counterpoise.pipelines.shared.arrays import rows
from counterpoise.reporting import ReportContext
from counterpoise.reporting.sections.choice import frontier_dp, frontier_eo
from counterpoise.reporting.tables_frontier import selection_table


def flipped(inputs: dict[str, Any], *parts: str, seed: int, others: bool = False) -> dict[str, Any]:
    """Return the inputs with the labels of a replicate's parts turned round, or with those of all other rows."""
    samples = inputs["samples"].copy()
    own = np.zeros(len(samples), dtype=bool)
    for part in parts:
        own[rows(inputs["splits"], part)[seed].numpy()] = True
    samples.loc[own ^ others, "y"] = 1 - samples.loc[own ^ others, "y"]
    return inputs | {"samples": samples}


def choices(inputs: dict[str, Any], seed: int) -> dict[str, str]:
    """Return family → what it chooses in one replicate."""
    selection = judge(**inputs)[1]
    return dict(selection.loc[selection["seed"] == seed, ["family", "variant"]].to_numpy())


class TestWhatTheChoiceLooksAt:
    @pytest.mark.parametrize("validation", ["pooled", "own"])
    @pytest.mark.parametrize("seed", [0, 2])
    def test_never_at_labels_that_the_replicate_is_tested_on(
        self, inputs: dict[str, Any], validation: str, seed: int
    ) -> None:
        inputs = inputs | {"selection": Selection(validation=validation)}
        before = choices(inputs, seed)
        assert choices(flipped(inputs, "test", seed=seed), seed) == before
        assert choices(flipped(inputs, "validation", seed=seed), seed) != before
        assert choices(flipped(inputs, "train", seed=seed), seed) != before, "ours are cross-fitted"

    def test_at_no_other_replicates_rows_if_asked_so(self, inputs: dict[str, Any]) -> None:
        pooled, own = (inputs | {"selection": Selection(validation=kind)} for kind in ("pooled", "own"))
        parts = ("train", "validation")
        assert choices(flipped(own, *parts, seed=1, others=True), 1) == choices(own, 1)
        assert choices(flipped(pooled, *parts, seed=1, others=True), 1) != choices(pooled, 1)

    def test_at_no_training_rows_without_cross_fitting(self, inputs: dict[str, Any]) -> None:
        alone = not_cross_fitted(inputs) | {"selection": Selection(validation="own")}
        before = choices(alone, 1)
        assert choices(flipped(alone, "train", seed=1), 1) == before
        assert choices(flipped(alone, "validation", seed=1), 1) != before

    def test_the_own_part_is_judged_by_what_is_measured_there(self, inputs: dict[str, Any]) -> None:
        selection = Selection(validation="own", criterion="spd", smoothing=0)
        grid, selection, _, _ = judge(**not_cross_fitted(inputs) | {"selection": selection})
        values = grid[grid["split"] == "validation"].set_index(["seed", "variant", "metric"])["value"]
        for row in selection.itertuples():
            assert row.validation_err == pytest.approx(values[row.seed, row.variant, "err"])
            assert row.validation_bias <= abs(values[row.seed, row.variant, "spd"])
            assert row.test_bias >= 0
        assert set(grid["metric"]) == {"err", "delta_eo", "delta_dp", "spd"}


def not_cross_fitted(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs without what cross-fitting says of training rows."""
    outcomes = inputs["frontier_outcomes"]
    tensors = {name: tensor for name, tensor in outcomes.tensors.items() if name != "train.score"}
    return inputs | {"frontier_outcomes": replace(outcomes, tensors=tensors)}


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

    @pytest.mark.parametrize("criterion", BY_SKLEARN)
    @pytest.mark.parametrize("validation", ["pooled", "own"])
    def test_qualities_count_by_what_they_lack(
        self, inputs: dict[str, Any], left: dict[str, Any], criterion: str, validation: str
    ) -> None:
        settings = Selection(criterion=criterion, tolerance=0.15, validation=validation)
        _, chosen, _, outcomes = judge(**inputs | {"selection": settings})
        schemas.Selection.validate(chosen)
        assert (chosen["validation_bias"] > 0).all()
        names = ("chosen_models", "frontier_heads", "pretrained", "samples", "splits", "features")
        given = {name: left[name] for name in names if name != "chosen_models"}
        _, predictions = collect(chosen, outcomes, **given, dataset=inputs["dataset"])
        said = predictions.set_index(["variant", "seed"])
        for row in chosen.itertuples():
            expected = self.BY_SKLEARN[criterion](said.loc[row.family, row.seed])
            assert row.test_bias == pytest.approx(expected, abs=1e-6), row.family

    def test_a_threshold_does_not_change_how_a_head_ranks(self, inputs: dict[str, Any]) -> None:
        grid, *_ = judge(**inputs | {"selection": Selection(criterion="auc")})
        ranks = grid[(grid["metric"] == "auc") & (grid["method"] == "tl")].fillna({"constraint": "none", "strength": 0})
        assert (ranks.groupby(["seed", "split", "constraint", "strength"])["value"].nunique() == 1).all()
        assert ranks["value"].nunique() > 10

    def test_one_whose_cells_are_absent_is_refused(self, inputs: dict[str, Any]) -> None:
        samples = inputs["samples"].copy()
        tested = rows(inputs["splits"], "test")[0].numpy()
        samples.loc[(samples["s"] == 0) & ~samples.index.isin(tested), "y"] = 0
        with pytest.raises(InputError) as caught:
            judge(**inputs | {"samples": samples, "selection": Selection(criterion="eod", validation="own")})
        assert "criterion is 'eod', but there is no row of '>50K' among 'women' on the validation rows" in str(
            caught.value
        )


class TestNeighbours:
    def settings(self, *strengths: float | None, **other: Any) -> dict[str, dict[str, Any]]:
        line = {"method": "tl", "constraint": "eo", "threshold": 0.0, "own": True} | other
        return {f"{other}{s}": line | {"strength": s, "head": f"{other}{s}"} for s in strengths}

    def test_they_differ_in_the_strength_alone(self) -> None:
        width = 0.3
        known = self.settings(None, 0.1, 0.14, 0.2, 5.0) | self.settings(0.1, 0.14, threshold=0.4)
        found = neighbours(known, width)
        assert found is not None
        weight = torch.zeros(7, 7, dtype=torch.float64)
        for place in range(7):
            weight[place].index_add_(0, found.index[place], found.weight[place])
        near = [
            float(np.exp(-(np.log(a / b) ** 2) / (2 * width**2))) for a, b in ((0.1, 0.14), (0.14, 0.2), (0.1, 0.2))
        ]
        expected = torch.eye(7, dtype=torch.float64)
        for (i, j), value in zip([(1, 2), (2, 3), (1, 3), (5, 6)], [*near, near[0]], strict=True):
            expected[i, j] = expected[j, i] = value
        torch.testing.assert_close(weight, expected)

    def test_none_are_asked(self) -> None:
        assert neighbours(self.settings(0.1, 0.14), 0.0) is None

    def test_a_choice_by_smoothed_biases_is_another(self, inputs: dict[str, Any]) -> None:
        wide, none = (
            judge(**inputs | {"selection": Selection(smoothing=width)})[1].set_index(["family", "seed"])
            for width in (1.0, 0.0)
        )
        assert (wide["validation_bias"] != none["validation_bias"]).any()
        same = wide["variant"] == none["variant"]
        assert (wide.loc[same, "test_bias"] == none.loc[same, "test_bias"]).all()


def by_group(inputs: dict[str, Any], scores: dict[str, tuple[float, float]], **settings: Any) -> dict[str, Any]:
    """Return the inputs with models that score every row of a group alike; {name: (s = 0, s = 1)}."""
    s = torch.tensor(inputs["samples"]["s"].to_numpy())
    tensors = {}
    for part in ("validation", "test"):
        group = s[rows(inputs["splits"], part)]
        tensors[f"{part}.score"] = torch.stack([torch.tensor(own)[group] for own in scores.values()], dim=1)
    known = inputs["frontier_outcomes"].header
    variants = {name: known["variants"][name] for name in scores}
    outcomes = Checkpoint(tensors, known | {"variants": variants, "thresholds": [0.0]})
    return inputs | {"frontier_outcomes": outcomes, "selection": Selection(**settings)}


class TestTolerances:
    UNFAIR = {"tl": (0.1, 0.9), "svd_r1": (0.9, 0.1)}  # noqa: RUF012

    def test_one_that_no_model_meets_is_said_and_the_run_goes_on(
        self, inputs: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, logger="counterpoise.pipelines.select.nodes"):
            _, selection, _, _ = judge(**by_group(inputs, self.UNFAIR, tolerance=0.5))
        (message,) = caplog.messages
        assert "no model has ΔEO ≤ 0.5 on validation in 3 of 3 replicates; the closest is svd_r1" in message
        own = selection[selection["family"] == "chosen"]
        assert not own["meets"].any()
        assert (own["variant"] == "svd_r1").all(), "equally biased: the lower error"
        assert (own["test_bias"] == 2.0).all()

    def test_strict_ends_the_run_with_the_nearest_and_its_distance(self, inputs: dict[str, Any]) -> None:
        with pytest.raises(InputError) as caught:
            judge(**by_group(inputs, self.UNFAIR, tolerance=0.5, strict=True))
        assert "in 3 of 3 replicates; the closest is svd_r1 with 2.000, +1.500 from" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_strict_is_content_with_one_model_of_ours(self, inputs: dict[str, Any]) -> None:
        scores = self.UNFAIR | {"win_r1_a0.5": (0.1, 0.1)}
        _, selection, _, _ = judge(**by_group(inputs, scores, tolerance=0.05, strict=True))
        own = selection.set_index("family").loc["chosen"]
        assert own["variant"].tolist() == ["win_r1_a0.5"] * 3
        assert own["validation_bias"].tolist() == own["test_bias"].tolist() == [0.0] * 3
        plain = selection.set_index("family").loc["tl"]
        assert not plain["meets"].any(), "tl is chosen whatever its bias"


def diverging(inputs: dict[str, Any], heads: list[str], seed: int) -> dict[str, Any]:
    """Return the inputs with some heads of a replicate gone."""
    outcomes = inputs["frontier_outcomes"]
    known = list(outcomes.header["variants"])
    tensors = {name: tensor.clone() for name, tensor in outcomes.tensors.items()}
    for tensor in tensors.values():
        tensor[seed, [known.index(head) for head in heads]] = torch.nan
    return inputs | {"frontier_outcomes": replace(outcomes, tensors=tensors)}


class TestDivergence:
    @pytest.mark.parametrize("validation", ["pooled", "own"])
    @pytest.mark.parametrize("criterion", ["delta_eo", "auc"])
    def test_a_head_that_diverged_is_never_chosen_and_has_no_value(
        self, inputs: dict[str, Any], validation: str, criterion: str
    ) -> None:
        inputs = inputs | {"selection": Selection(validation=validation, criterion=criterion)}
        lost = judge(**inputs)[1].set_index(["family", "seed"]).loc[("chosen", 1), "head"]
        grid, selection, _, _ = judge(**diverging(inputs, [lost], 1))
        assert lost not in set(selection.loc[selection["seed"] == 1, "head"])
        variants = [name for name in grid["variant"].unique() if name == lost or name.startswith(f"{lost}_t")]
        of_lost = grid[grid["variant"].isin(variants)]
        unjudged = (of_lost["split"] == "judged") & (validation == "pooled")  # by nobody, if by all together
        assert (of_lost["value"].isna() == ((of_lost["seed"] == 1) | unjudged)).all()
        assert grid.loc[~grid["variant"].isin(variants), "value"].notna().all()
        schemas.Frontier.validate(grid)
        schemas.Selection.validate(selection)

    def test_one_that_diverged_in_a_fold_alone_cannot_be_judged(self, inputs: dict[str, Any]) -> None:
        before = judge(**inputs)[1].set_index(["family", "seed"])
        lost = before.loc[("chosen", 1), "head"]
        outcomes = inputs["frontier_outcomes"]
        scores = outcomes.tensors["train.score"].clone()
        scores[1, list(outcomes.header["variants"]).index(lost), :7] = torch.nan
        changed = replace(outcomes, tensors=outcomes.tensors | {"train.score": scores})
        grid, selection, _, _ = judge(**inputs | {"frontier_outcomes": changed})
        assert lost not in set(selection["head"])
        assert grid.loc[grid["split"] != "judged", "value"].notna().all(), "its own model is there"

    def test_a_family_of_one_has_no_choice_in_that_seed_and_the_run_goes_on(
        self, inputs: dict[str, Any], left: dict[str, Any], caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        with caplog.at_level(logging.WARNING, logger="counterpoise.pipelines.select.nodes"):
            grid, chosen, sweep, outcomes = judge(**diverging(inputs, ["tl"], 1))
        assert caplog.messages == ["tl: all of its models diverged, so there is no choice for the seeds [1]"]
        chosen = schemas.Selection.validate(chosen)
        plain = chosen[chosen["family"] == "tl"].set_index("seed")
        assert plain["variant"].isna().tolist() == [False, True, False]
        assert not plain.loc[1, ["meets", "holds"]].any()
        assert chosen.loc[chosen["family"] != "tl", "variant"].notna().all()
        file = CSVDataset(filepath=str(tmp_path / "selection.csv"))
        file.save(chosen)
        assert file.load()["variant"].isna().sum() == 1
        schemas.Tolerances.validate(sweep)
        assert sweep.loc[sweep["family"] == "tl", "test_err"].isna().groupby(sweep["seed"]).all().to_dict() == {
            0: False,
            1: True,
            2: False,
        }

        given = {name: left[name] for name in ("frontier_heads", "pretrained", "samples", "splits", "features")}
        heads, predictions = collect(chosen, outcomes, **given, dataset=inputs["dataset"])
        assert heads.tensors["tl.W"].isnan().flatten(1).all(dim=1).tolist() == [False, True, False]
        assert not any(heads.tensors["chosen.W"].isnan().flatten())
        schemas.Predictions.validate(predictions)
        assert set(predictions.loc[predictions["variant"] == "tl", "seed"]) == {0, 2}
        report = Report(leakage=False)
        data = {name: left[name] for name in ("samples", "splits", "features")}
        metrics = measure(predictions, inputs["dataset"], report, **data, heads=heads)
        schemas.Metrics.validate(metrics)
        values = metrics[metrics["variant"] == "tl"].set_index("seed")["value"]
        assert values.loc[1].isna().all()
        assert values.loc[[0, 2]].notna().all()
        claim = Claim(claim="c", metric="err", left={"method": "chosen"}, right={"method": "tl"}, claimed="lower")
        summary, claims = summarize(metrics, Evidence(claims=(claim,)), report)
        assert summary.set_index(["variant", "metric"]).loc[("tl", "err"), "n"] == 2
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

    def test_nothing_of_ours_is_left_in_a_seed(self, inputs: dict[str, Any]) -> None:
        every = list(inputs["frontier_outcomes"].header["variants"])
        with pytest.raises(InputError, match=r"all heads diverged .* for the seeds \[1\], expected one head"):
            judge(**diverging(inputs, every, 1) | {"selection": Selection(validation="own")})
