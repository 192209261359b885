"""An experiment with a frontier: what its choice may look at, and what cannot be chosen."""

from __future__ import annotations

import logging
from dataclasses import replace
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
from counterpoise.errors import InputError
from counterpoise.pipelines.fairness_report.nodes import measure, summarize
from counterpoise.pipelines.select.nodes import TOLERANCES, collect, judge
from counterpoise.pipelines.shared.arrays import rows
from counterpoise.reporting import ReportContext
from counterpoise.reporting.sections.choice import frontier_dp, frontier_eo
from counterpoise.reporting.tables_frontier import selection_table


def flipped(choice_inputs: dict[str, Any], *parts: str, seed: int, others: bool = False) -> dict[str, Any]:
    """Return the inputs with the labels of a replicate's parts turned round, or with those of all other rows."""
    samples = choice_inputs["samples"].copy()
    own = np.zeros(len(samples), dtype=bool)
    for part in parts:
        own[rows(choice_inputs["splits"], part)[seed].numpy()] = True
    samples.loc[own ^ others, "y"] = 1 - samples.loc[own ^ others, "y"]
    return choice_inputs | {"samples": samples}


def choices(choice_inputs: dict[str, Any], seed: int) -> dict[str, str]:
    """Return family → what it chooses in one replicate."""
    selection = judge(**choice_inputs)[1]
    return dict(selection.loc[selection["seed"] == seed, ["family", "variant"]].to_numpy())


class TestWhatTheChoiceLooksAt:
    @pytest.mark.parametrize("validation", ["pooled", "own"])
    @pytest.mark.parametrize("seed", [0, 2])
    def test_never_at_labels_that_the_replicate_is_tested_on(
        self, choice_inputs: dict[str, Any], validation: str, seed: int
    ) -> None:
        choice_inputs = choice_inputs | {"selection": Selection(validation=validation)}
        before = choices(choice_inputs, seed)
        assert choices(flipped(choice_inputs, "test", seed=seed), seed) == before
        assert choices(flipped(choice_inputs, "validation", seed=seed), seed) != before
        assert choices(flipped(choice_inputs, "train", seed=seed), seed) != before, "ours are cross-fitted"

    def test_at_no_other_replicates_rows_if_asked_so(self, choice_inputs: dict[str, Any]) -> None:
        pooled, own = (choice_inputs | {"selection": Selection(validation=kind)} for kind in ("pooled", "own"))
        parts = ("train", "validation")
        assert choices(flipped(own, *parts, seed=1, others=True), 1) == choices(own, 1)
        assert choices(flipped(pooled, *parts, seed=1, others=True), 1) != choices(pooled, 1)

    def test_at_no_training_rows_without_cross_fitting(self, choice_inputs: dict[str, Any]) -> None:
        alone = not_cross_fitted(choice_inputs) | {"selection": Selection(validation="own")}
        before = choices(alone, 1)
        assert choices(flipped(alone, "train", seed=1), 1) == before
        assert choices(flipped(alone, "validation", seed=1), 1) != before

    def test_the_own_part_is_judged_by_what_is_measured_there(self, choice_inputs: dict[str, Any]) -> None:
        selection = Selection(validation="own", criterion="spd", smoothing=0)
        grid, selection, _, _ = judge(**not_cross_fitted(choice_inputs) | {"selection": selection})
        values = grid[grid["split"] == "validation"].set_index(["seed", "variant", "metric"])["value"]
        for row in selection.itertuples():
            assert row.validation_err == pytest.approx(values[row.seed, row.variant, "err"])
            assert row.validation_bias <= abs(values[row.seed, row.variant, "spd"])
            assert row.test_bias >= 0
        assert set(grid["metric"]) == {"err", "delta_eo", "delta_dp", "spd"}


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

    @pytest.mark.parametrize("criterion", BY_SKLEARN)
    @pytest.mark.parametrize("validation", ["pooled", "own"])
    def test_qualities_count_by_what_they_lack(
        self, choice_inputs: dict[str, Any], artifacts: dict[str, Any], criterion: str, validation: str
    ) -> None:
        settings = Selection(criterion=criterion, tolerance=0.15, validation=validation)
        _, chosen, _, outcomes = judge(**choice_inputs | {"selection": settings})
        schemas.Selection.validate(chosen)
        assert (chosen["validation_bias"] > 0).all()
        names = ("chosen_models", "frontier_heads", "pretrained", "samples", "splits", "features")
        given = {name: artifacts[name] for name in names if name != "chosen_models"}
        _, predictions = collect(chosen, outcomes, **given, dataset=choice_inputs["dataset"])
        said = predictions.set_index(["variant", "seed"])
        for row in chosen.itertuples():
            expected = self.BY_SKLEARN[criterion](said.loc[row.family, row.seed])
            assert row.test_bias == pytest.approx(expected, abs=1e-6), row.family

    def test_a_threshold_does_not_change_how_a_head_ranks(self, choice_inputs: dict[str, Any]) -> None:
        grid, *_ = judge(**choice_inputs | {"selection": Selection(criterion="auc")})
        ranks = grid[(grid["metric"] == "auc") & (grid["method"] == "tl")].fillna({"constraint": "none", "strength": 0})
        assert (ranks.groupby(["seed", "split", "constraint", "strength"])["value"].nunique() == 1).all()
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
    UNFAIR = {"tl": (0.1, 0.9), "svd_r1": (0.9, 0.1)}  # noqa: RUF012

    def test_one_that_no_model_meets_is_said_and_the_run_goes_on(
        self, choice_inputs: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, logger="counterpoise.pipelines.select.nodes"):
            _, selection, _, _ = judge(**by_group(choice_inputs, self.UNFAIR, tolerance=0.5))
        (message,) = caplog.messages
        assert "no model has ΔEO ≤ 0.5 on validation in 3 of 3 replicates; the closest is svd_r1" in message
        own = selection[selection["family"] == "chosen"]
        assert not own["meets"].any()
        assert (own["variant"] == "svd_r1").all(), "equally biased: the lower error"
        assert (own["test_bias"] == 2.0).all()

    def test_strict_ends_the_run_with_the_nearest_and_its_distance(self, choice_inputs: dict[str, Any]) -> None:
        with pytest.raises(InputError) as caught:
            judge(**by_group(choice_inputs, self.UNFAIR, tolerance=0.5, strict=True))
        assert "in 3 of 3 replicates; the closest is svd_r1 with 2.000, +1.500 from" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_strict_is_content_with_one_model_of_ours(self, choice_inputs: dict[str, Any]) -> None:
        scores = self.UNFAIR | {"win_r1_a0.5": (0.1, 0.1)}
        _, selection, _, _ = judge(**by_group(choice_inputs, scores, tolerance=0.05, strict=True))
        own = selection.set_index("family").loc["chosen"]
        assert own["variant"].tolist() == ["win_r1_a0.5"] * 3
        assert own["validation_bias"].tolist() == own["test_bias"].tolist() == [0.0] * 3
        plain = selection.set_index("family").loc["tl"]
        assert not plain["meets"].any(), "tl is chosen whatever its bias"


def diverging(choice_inputs: dict[str, Any], heads: list[str], seed: int) -> dict[str, Any]:
    """Return the inputs with some heads of a replicate gone."""
    outcomes = choice_inputs["frontier_outcomes"]
    known = list(outcomes.header["variants"])
    tensors = {name: tensor.clone() for name, tensor in outcomes.tensors.items()}
    for tensor in tensors.values():
        tensor[seed, [known.index(head) for head in heads]] = torch.nan
    return choice_inputs | {"frontier_outcomes": replace(outcomes, tensors=tensors)}


class TestDivergence:
    @pytest.mark.parametrize("validation", ["pooled", "own"])
    @pytest.mark.parametrize("criterion", ["delta_eo", "auc"])
    def test_a_head_that_diverged_is_never_chosen_and_has_no_value(
        self, choice_inputs: dict[str, Any], validation: str, criterion: str
    ) -> None:
        choice_inputs = choice_inputs | {"selection": Selection(validation=validation, criterion=criterion)}
        lost = judge(**choice_inputs)[1].set_index(["family", "seed"]).loc[("chosen", 1), "head"]
        grid, selection, _, _ = judge(**diverging(choice_inputs, [lost], 1))
        assert lost not in set(selection.loc[selection["seed"] == 1, "head"])
        variants = [name for name in grid["variant"].unique() if name == lost or name.startswith(f"{lost}_t")]
        of_lost = grid[grid["variant"].isin(variants)]
        unjudged = (of_lost["split"] == "judged") & (validation == "pooled")  # by nobody, if by all together
        assert (of_lost["value"].isna() == ((of_lost["seed"] == 1) | unjudged)).all()
        assert grid.loc[~grid["variant"].isin(variants), "value"].notna().all()
        schemas.Frontier.validate(grid)
        schemas.Selection.validate(selection)

    def test_one_that_diverged_in_a_fold_alone_cannot_be_judged(self, choice_inputs: dict[str, Any]) -> None:
        before = judge(**choice_inputs)[1].set_index(["family", "seed"])
        lost = before.loc[("chosen", 1), "head"]
        outcomes = choice_inputs["frontier_outcomes"]
        scores = outcomes.tensors["train.score"].clone()
        scores[1, list(outcomes.header["variants"]).index(lost), :7] = torch.nan
        changed = replace(outcomes, tensors=outcomes.tensors | {"train.score": scores})
        grid, selection, _, _ = judge(**choice_inputs | {"frontier_outcomes": changed})
        assert lost not in set(selection["head"])
        assert grid.loc[grid["split"] != "judged", "value"].notna().all(), "its own model is there"

    def test_a_family_of_one_has_no_choice_in_that_seed_and_the_run_goes_on(
        self, choice_inputs: dict[str, Any], artifacts: dict[str, Any], caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        with caplog.at_level(logging.WARNING, logger="counterpoise.pipelines.select.nodes"):
            grid, chosen, sweep, outcomes = judge(**diverging(choice_inputs, ["tl"], 1))
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

        given = {name: artifacts[name] for name in ("frontier_heads", "pretrained", "samples", "splits", "features")}
        heads, predictions = collect(chosen, outcomes, **given, dataset=choice_inputs["dataset"])
        assert heads.tensors["tl.W"].isnan().flatten(1).all(dim=1).tolist() == [False, True, False]
        assert not any(heads.tensors["chosen.W"].isnan().flatten())
        schemas.Predictions.validate(predictions)
        assert set(predictions.loc[predictions["variant"] == "tl", "seed"]) == {0, 2}
        report = Report(leakage=False)
        data = {name: artifacts[name] for name in ("samples", "splits", "features")}
        metrics = measure(predictions, choice_inputs["dataset"], report, **data, heads=heads)
        schemas.Metrics.validate(metrics)
        values = metrics[metrics["variant"] == "tl"].set_index("seed")["value"]
        assert values.loc[1].isna().all()
        assert values.loc[[0, 2]].notna().all()
        claim = Claim(claim="c", metric="err", left={"method": "chosen"}, right={"method": "tl"}, claimed="lower")
        summary, claims = summarize(metrics, report, Evidence(claims=(claim,)))
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

    def test_nothing_of_ours_is_left_in_a_seed(self, choice_inputs: dict[str, Any]) -> None:
        every = list(choice_inputs["frontier_outcomes"].header["variants"])
        with pytest.raises(InputError, match=r"all heads diverged .* for the seeds \[1\], expected one head"):
            judge(**diverging(choice_inputs, every, 1) | {"selection": Selection(validation="own")})


OWN = {"chosen", "chosen_tl", "chosen_svd", "chosen_win", "tl"}
PEERS = {"plain", "threshold_optimizer"}
TEXT, WHOLE, REAL = "str", "int64", "float64"
SETTINGS = {
    "alpha": REAL,
    "rank": "Int64",
    "constraint": TEXT,
    **dict.fromkeys(("strength", "weight_decay", "threshold"), REAL),
}
GRID = {"method": TEXT, "variant": TEXT, "seed": WHOLE, "split": TEXT, "metric": TEXT, "value": REAL} | SETTINGS
TABLES = {
    "selection": (
        *("family", "seed", "variant", "method", "rank", "constraint", "strength", "weight_decay", "head", "threshold"),
        *("own", "needs_group", "criterion", "tolerance", "validation_err", "validation_bias", "meets"),
        *("test_err", "test_bias", "holds"),
    ),
    "tolerances": ("family", "criterion", "tolerance", "seed", "meets", "test_err", "test_bias"),
    "hypervolumes": ("method", "seed", "bias", "hypervolume"),
    "hypervolume_differences": ("bias", "left", "right", "difference", "ci_low", "ci_high", "p", "p_holm", "verdict"),
    "importance_effect": (
        "left",
        "right",
        "rank",
        "metric",
        "difference",
        "ci_low",
        "ci_high",
        "p",
        "p_holm",
        "verdict",
    ),
}


class TestContract:
    def test_the_grid_is_every_model_on_validation_and_test(self, artifacts: dict[str, Any]) -> None:
        grid = artifacts["frontier"]
        assert grid.dtypes.astype(str).to_dict() == GRID
        assert set(grid["method"]) == {"tl", "svd", "win"} | PEERS
        assert set(grid["split"]) == {"validation", "test", "judged"}
        assert set(grid["metric"]) == {"err", "delta_eo", "delta_dp"}
        models = len(artifacts["frontier_heads"].header["variants"]) * 3 + len(
            artifacts["peer_outcomes"].header["variants"]
        )
        assert len(grid) == models * 3 * 3 * 3  # models, seeds, splits, metrics
        assert grid["variant"].nunique() == models
        settings = grid.drop_duplicates("variant").set_index("variant")
        assert settings.loc["win_r2_a0.5_eo_0.8_t-0.4", list(SETTINGS)].tolist() == [0.5, 2, "eo", 0.8, 0.0, -0.4]
        assert settings.loc["tl", ["alpha", "rank", "constraint", "strength"]].isna().all()
        assert settings.loc["plain_features_logistic", list(SETTINGS)].isna().all()

    @pytest.mark.parametrize("table", TABLES)
    def test_tables_have_their_columns_and_fit_their_schemas(self, artifacts: dict[str, Any], table: str) -> None:
        assert tuple(artifacts[table]) == TABLES[table]
        getattr(schemas, "".join(word.title() for word in table.split("_"))).validate(artifacts[table])

    def test_each_family_chooses_once_in_each_replicate(self, artifacts: dict[str, Any]) -> None:
        chosen = artifacts["selection"]
        assert set(chosen["family"]) == OWN | PEERS
        assert (chosen.groupby("family")["seed"].apply(list).map(sorted) == [[0, 1, 2]] * 7).all()
        assert set(chosen.loc[chosen["own"], "family"]) == OWN
        assert set(chosen.loc[chosen["needs_group"], "family"]) == {"threshold_optimizer"}
        assert (chosen.loc[chosen["family"] == "tl", "variant"] == "tl").all()
        for family in ("tl", "svd", "win"):
            assert set(chosen.loc[chosen["family"] == f"chosen_{family}", "method"]) == {family}
        sweep = artifacts["tolerances"]
        assert set(sweep["tolerance"]) == set(TOLERANCES)
        assert len(sweep) == 7 * 3 * len(TOLERANCES) * 2
        at = sweep[(sweep["tolerance"] == 0.05) & (sweep["criterion"] == "delta_eo")].set_index(["family", "seed"])
        expected = chosen.set_index(["family", "seed"])
        pd.testing.assert_frame_equal(
            at[["meets", "test_err", "test_bias"]], expected[["meets", "test_err", "test_bias"]]
        )

    def test_what_is_measured_on_test_is_what_other_libraries_compute(self, artifacts: dict[str, Any]) -> None:
        predictions = artifacts["predictions"].set_index(["variant", "seed"])
        for row in artifacts["selection"].itertuples():
            own = predictions.loc[row.family, row.seed]
            y, z, s = own["y"], own["prediction"], own["s"]
            gaps = fl.MetricFrame(
                metrics={"tpr": fl.true_positive_rate, "fpr": fl.false_positive_rate},
                y_true=y,
                y_pred=z,
                sensitive_features=s,
            ).difference()
            assert row.test_err == pytest.approx(100 - 100 * sk.f1_score(y, z, average="weighted"))
            assert row.test_bias == pytest.approx(gaps.sum())
            assert row.holds == (row.test_bias <= 0.05)

    def test_predictions_have_what_the_report_compares(self, artifacts: dict[str, Any]) -> None:
        assert list(dict.fromkeys(artifacts["predictions"]["variant"])) == [
            "pretrained",
            *dict.fromkeys(artifacts["selection"]["family"]),
        ]
        assert (artifacts["predictions"]["method"] == artifacts["predictions"]["variant"]).all()
