"""An experiment with a frontier: what it leaves, what its choice may look at, and what cannot be chosen."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fairlearn.metrics as fl
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
import torch

from counterpoise import schemas
from counterpoise.errors import InputError
from counterpoise.methods import GridTraining, fold_numbers, frontier_grid, train_replicate
from counterpoise.nn import Optimizer
from counterpoise.nn.random import generator
from counterpoise.params import Claim, Compute, Dataset, Evidence, Frontier, Report, Seeds, Selection
from counterpoise.pipelines.arrays import examples, rows
from counterpoise.pipelines.fairness_report.nodes import draw_frontier, measure, summarize
from counterpoise.pipelines.frontier.nodes import train_frontier
from counterpoise.pipelines.heads import read_heads
from counterpoise.pipelines.select.candidates import neighbours
from counterpoise.pipelines.select.compare import compare
from counterpoise.pipelines.select.export import best
from counterpoise.pipelines.select.nodes import TOLERANCES, collect, judge
from counterpoise.reporting.tables_frontier import selection_table
from counterpoise.serving import read_servable
from counterpoise.storage import Checkpoint, CSVDataset, read_checkpoint

EXPERIMENT = "frontier_adult"
SEEDS = Seeds((0, 1, 2))
OWN = {"chosen", "chosen_tl", "chosen_svd", "chosen_win", "tl"}
PEERS = {"logistic", "threshold_optimizer"}
TEXT, WHOLE, REAL = "str", "int64", "float64"
SETTINGS = dict.fromkeys(("alpha", "rank", "constraint", "strength", "weight_decay", "threshold"), REAL)
SETTINGS |= {"rank": "Int64", "constraint": TEXT}
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


@pytest.fixture(scope="module")
def project(run_once: Callable[..., Any]) -> Any:
    return run_once("frontier", EXPERIMENT, peers={"methods": sorted(PEERS)})


@pytest.fixture(scope="module")
def left(project: Any) -> dict[str, Any]:
    """The run's artifacts by name."""
    found: dict[str, Any] = {
        path.stem: read_checkpoint(path) for path in project.data.glob(f"*/{EXPERIMENT}/*.safetensors")
    }
    found |= {path.stem: pd.read_parquet(path) for path in project.data.glob(f"*/{EXPERIMENT}/*.parquet")}
    return found | {name: pd.read_csv(project.file(f"08_reporting/*/{name}.csv")) for name in TABLES}


@pytest.fixture(scope="module")
def blocks(project: Any) -> dict[str, Any]:
    return json.loads(project.file("08_reporting/*/report.json").read_text())["settings"]


@pytest.fixture(scope="module")
def inputs(left: dict[str, Any], blocks: dict[str, Any]) -> dict[str, Any]:
    """What `judge` reads."""
    names = ("frontier_outcomes", "peer_outcomes", "samples", "splits")
    return {name: left[name] for name in names} | {
        "dataset": Dataset.model_validate(blocks["dataset"]),
        "selection": Selection.model_validate(blocks["selection"]),
        "seeds": SEEDS,
    }


class TestContract:
    def test_the_grid_is_every_model_on_validation_and_test(self, left: dict[str, Any]) -> None:
        grid = left["frontier"]
        assert grid.dtypes.astype(str).to_dict() == GRID
        assert set(grid["method"]) == {"tl", "svd", "win"} | PEERS
        assert set(grid["split"]) == {"validation", "test", "judged"}
        assert set(grid["metric"]) == {"err", "delta_eo", "delta_dp"}
        models = len(left["frontier_heads"].header["variants"]) * 3 + len(left["peer_outcomes"].header["variants"])
        assert len(grid) == models * 3 * 3 * 3  # models, seeds, splits, metrics
        assert grid["variant"].nunique() == models
        settings = grid.drop_duplicates("variant").set_index("variant")
        assert settings.loc["win_r2_a0.5_eo_0.8_t-0.4", list(SETTINGS)].tolist() == [0.5, 2, "eo", 0.8, 0.0, -0.4]
        assert settings.loc["tl", ["alpha", "rank", "constraint", "strength"]].isna().all()
        assert settings.loc["logistic", list(SETTINGS)].isna().all()

    @pytest.mark.parametrize("table", TABLES)
    def test_tables_have_their_columns_and_fit_their_schemas(self, left: dict[str, Any], table: str) -> None:
        assert tuple(left[table]) == TABLES[table]
        getattr(schemas, "".join(word.title() for word in table.split("_"))).validate(left[table])

    def test_each_family_chooses_once_in_each_replicate(self, left: dict[str, Any]) -> None:
        chosen = left["selection"]
        assert set(chosen["family"]) == OWN | PEERS
        assert (chosen.groupby("family")["seed"].apply(list).map(sorted) == [[0, 1, 2]] * 7).all()
        assert set(chosen.loc[chosen["own"], "family"]) == OWN
        assert set(chosen.loc[chosen["needs_group"], "family"]) == {"threshold_optimizer"}
        assert (chosen.loc[chosen["family"] == "tl", "variant"] == "tl").all()
        for family in ("tl", "svd", "win"):
            assert set(chosen.loc[chosen["family"] == f"chosen_{family}", "method"]) == {family}
        sweep = left["tolerances"]
        assert set(sweep["tolerance"]) == set(TOLERANCES)
        assert len(sweep) == 7 * 3 * len(TOLERANCES) * 2
        at = sweep[(sweep["tolerance"] == 0.05) & (sweep["criterion"] == "delta_eo")].set_index(["family", "seed"])
        expected = chosen.set_index(["family", "seed"])
        pd.testing.assert_frame_equal(
            at[["meets", "test_err", "test_bias"]], expected[["meets", "test_err", "test_bias"]]
        )

    def test_what_is_measured_on_test_is_what_other_libraries_compute(self, left: dict[str, Any]) -> None:
        predictions = left["predictions"].set_index(["variant", "seed"])
        for row in left["selection"].itertuples():
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

    def test_predictions_have_what_the_report_compares(self, left: dict[str, Any]) -> None:
        assert list(dict.fromkeys(left["predictions"]["variant"])) == [
            "pretrained",
            *dict.fromkeys(left["selection"]["family"]),
        ]
        assert (left["predictions"]["method"] == left["predictions"]["variant"]).all()


class TestModels:
    def test_heads_are_found_under_their_names_and_give_the_scores(self, left: dict[str, Any]) -> None:
        heads, outcomes, x = left["frontier_heads"], left["frontier_outcomes"], left["features"].tensors["features"]
        assert list(heads.header["variants"]) == list(outcomes.header["variants"]) == sorted(heads.header["variants"])
        for part in ("validation", "test"):
            members = rows(left["splits"], part)
            for r in range(3):
                logits = torch.einsum("nd,vdk->vnk", x[r][members[r]], heads.tensors["weight"][r])
                score = (logits + heads.tensors["bias"][r].unsqueeze(1)).softmax(dim=-1)[..., 1]
                torch.testing.assert_close(outcomes.tensors[f"{part}.score"][r], score)

    def test_chosen_models_have_the_threshold_in_their_bias(self, left: dict[str, Any]) -> None:
        chosen = left["selection"].query("own").set_index(["family", "seed"])
        assert (chosen["threshold"] != 0).any(), "the test needs a threshold"
        heads, members = read_heads(left["chosen_models"]), rows(left["splits"], "test")
        assert set(heads) == OWN
        predictions = left["predictions"].set_index(["variant", "seed"])
        for (family, seed), row in chosen.iterrows():
            own = predictions.loc[family, seed]
            assert own["row"].tolist() == members[seed].tolist()
            x = left["features"].tensors["features"][seed][members[seed]]
            logits = x @ heads[family].first[seed] + heads[family].bias[seed]
            assert logits.argmax(dim=-1).tolist() == own["prediction"].tolist()
            margin = logits[:, 1] - logits[:, 0] + row["threshold"]
            assert margin.sigmoid().numpy() == pytest.approx(own["score"].to_numpy(), abs=1e-5)

    def test_the_exported_model_is_one_of_them(self, project: Any, left: dict[str, Any]) -> None:
        served, row = read_servable(project.file(f"06_models/{EXPERIMENT}/model")), best(left["selection"])
        head = read_heads(left["chosen_models"])["chosen"]
        assert torch.equal(served.layers[-1][0], head.first[row["seed"]])
        assert torch.equal(served.layers[-1][1], head.bias[row["seed"]])
        assert {name: served.metadata[name] for name in ("variant", "seed", "meets")} == {
            name: row[name] for name in ("variant", "seed", "meets")
        }


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
        metrics = measure(
            predictions, left["samples"], left["splits"], left["features"], heads, inputs["dataset"], report
        )
        schemas.Metrics.validate(metrics)
        values = metrics[metrics["variant"] == "tl"].set_index("seed")["value"]
        assert values.loc[1].isna().all()
        assert values.loc[[0, 2]].notna().all()
        claim = Claim(claim="c", metric="err", left={"method": "chosen"}, right={"method": "tl"}, claimed="lower")
        summary, claims = summarize(metrics, Evidence(claims=(claim,)), report)
        assert summary.set_index(["variant", "metric"]).loc[("tl", "err"), "n"] == 2
        assert claims["difference"].notna().all()
        floors_ = {"chosen": {"delta_eo": 0.03, "delta_dp": 0.01}}
        assert len(draw_frontier(grid, chosen, left["hypervolumes"], floors_, Selection())) == 3
        assert selection_table(chosen).rows

    def test_nothing_of_ours_is_left_in_a_seed(self, inputs: dict[str, Any]) -> None:
        every = list(inputs["frontier_outcomes"].header["variants"])
        with pytest.raises(InputError, match=r"all heads diverged .* for the seeds \[1\], expected one head"):
            judge(**diverging(inputs, every, 1) | {"selection": Selection(validation="own")})


@pytest.mark.parametrize(("methods", "comparisons"), [(["tl"], 0), (["svd", "win"], 2 * 3), (["win"], 0)])
def test_methods_that_are_not_run_are_left_out_of_comparisons(
    left: dict[str, Any], methods: list[str], comparisons: int, tmp_path: Any
) -> None:
    grid = left["frontier"]
    grid = grid[grid["method"].isin([*methods, *PEERS])]
    areas, differences, effect = compare(grid, Report())
    assert set(areas["method"]) == {"chosen", *methods, *PEERS}
    assert set(differences["right"]) == {*methods, *PEERS}
    assert (areas["hypervolume"] >= 0).all()
    assert len(effect) == comparisons
    file = CSVDataset(filepath=str(tmp_path / "effect.csv"))
    file.save(schemas.ImportanceEffect.validate(effect))
    assert tuple(file.load()) == TABLES["importance_effect"]


def test_hypervolumes_are_areas_that_predictions_on_test_dominate(left: dict[str, Any]) -> None:
    """Of one model the area is a rectangle; more models, chosen on validation, are counted once."""
    grid = left["frontier"]
    test = grid[grid["split"] == "test"].set_index(["variant", "seed", "metric"])["value"]
    corner = {metric: 1.5 * np.mean([test["tl", seed, metric] for seed in range(3)]) for metric in ("err", "delta_dp")}
    areas = left["hypervolumes"].set_index(["method", "seed", "bias"])["hypervolume"]
    for seed in range(3):
        sides = [max(0.0, corner[metric] - test["logistic", seed, metric]) for metric in corner]
        assert areas["logistic", seed, "delta_dp"] == pytest.approx(np.prod(sides))
        box = corner["err"] * corner["delta_dp"]
        assert 0 <= areas["win", seed, "delta_dp"] <= box
    differences = left["hypervolume_differences"].set_index(["bias", "right"])["difference"]
    mean = areas.groupby(["bias", "method"]).mean()
    for bias, right in differences.index:
        assert differences[bias, right] == pytest.approx(mean[bias, "chosen"] - mean[bias, right])


def test_importance_is_compared_at_equal_rank_and_penalty(left: dict[str, Any]) -> None:
    grid = left["frontier"]
    test = grid[(grid["split"] == "test") & (grid["threshold"] == 0) & (grid["metric"] == "delta_eo")]
    mean = {
        (method, rank): own["value"].mean() for (method, rank), own in test.groupby(["method", "rank"], dropna=False)
    }
    plain = next(value for (method, _), value in mean.items() if method == "tl")
    effect = left["importance_effect"].query("metric == 'delta_eo'").set_index(["right", "rank"])["difference"]
    for rank in (1, 2):
        assert effect["svd", rank] == pytest.approx(mean["win", rank] - mean["svd", rank])
        assert effect["tl", rank] == pytest.approx(mean["win", rank] - plain)


class TestTraining:
    @pytest.fixture
    def arguments(self, left: dict[str, Any], inputs: dict[str, Any], blocks: dict[str, Any]) -> dict[str, Any]:
        return {
            **{name: left[name] for name in ("samples", "splits", "features", "head_bank")},
            "dataset": inputs["dataset"],
            "frontier": Frontier.model_validate(blocks["frontier"]).model_copy(update={"strengths": (0.0, 0.2)}),
            "epochs": None,
            "compute": Compute(backend="serial"),
            "seeds": SEEDS,
        }

    def test_fewer_strengths_give_the_same_heads(self, arguments: dict[str, Any], left: dict[str, Any]) -> None:
        heads, _ = train_frontier(**arguments)
        known = list(left["frontier_heads"].header["variants"])
        for v, name in enumerate(heads.header["variants"]):
            assert torch.equal(
                heads.tensors["weight"][:, v], left["frontier_heads"].tensors["weight"][:, known.index(name)]
            )
        assert heads.header["diverged"] == []

    def test_a_row_is_scored_by_heads_that_have_not_seen_its_label(
        self, arguments: dict[str, Any], left: dict[str, Any]
    ) -> None:
        """The scores of a fold are those of heads that were trained with the labels of its rows turned round."""
        _, outcomes = train_frontier(**arguments)
        settings, bank = arguments["frontier"], arguments["head_bank"]
        points = frontier_grid(list(bank.header["variants"]), settings.constraints, settings.strengths, (0.0,))
        points.sort(key=lambda point: point.name)
        data = examples(left["samples"], left["features"].tensors["features"])
        members = {part: rows(left["splits"], part) for part in ("train", "validation")}
        own, seed = members["train"][1], SEEDS.root[1]
        fold = fold_numbers(data.y[own], data.s[own], folds=2, generator=generator(seed, "frontier folds"))
        training = GridTraining(Optimizer(**settings.training.optimizer.model_dump()), settings.training.epochs, 2.0, 2)
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
                training,
                SEEDS.root,
            )
            scores = outcomes.tensors["train.score"][1]
            assert torch.equal(trained.scores["held_out"][0], scores[:, fold == held_out])

    def test_without_folds_training_rows_are_not_scored(self, arguments: dict[str, Any]) -> None:
        alone = arguments["frontier"].model_copy(update={"folds": 0})
        heads, outcomes = train_frontier(**arguments | {"frontier": alone})
        assert set(outcomes.tensors) == {"validation.score", "test.score"}
        cross_fitted, _ = train_frontier(**arguments)
        assert torch.equal(heads.tensors["weight"], cross_fitted.tensors["weight"])

    def test_balanced_classes_predict_more_positives(self, arguments: dict[str, Any], left: dict[str, Any]) -> None:
        balanced = arguments["frontier"].model_copy(update={"class_weights": "balanced", "strengths": (0.0,)})
        heads, outcomes = train_frontier(**arguments | {"frontier": balanced})
        known = list(left["frontier_outcomes"].header["variants"])
        plain = left["frontier_outcomes"].tensors["test.score"][:, [known.index(n) for n in heads.header["variants"]]]
        assert (outcomes.tensors["test.score"].mean(dim=-1) > plain.mean(dim=-1) + 0.05).all()

    @pytest.mark.filterwarnings("error")
    def test_a_head_that_diverges_is_named(self, arguments: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
        bank = arguments["head_bank"]
        tensors = {name: tensor.clone() for name, tensor in bank.tensors.items()}
        tensors["svd_r1.A"][1] = torch.inf
        with caplog.at_level(logging.WARNING, logger="counterpoise.pipelines.frontier.nodes"):
            heads, outcomes = train_frontier(**arguments | {"head_bank": replace(bank, tensors=tensors)})
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
            train_frontier(**arguments | {"samples": samples})
        assert str(caught.value).startswith(
            f"generated data in Adult's layout: a replicate's {part} part has no row of"
        )
        assert "'>50K' among 'women', expected at least one" in str(caught.value)

    def test_checkpoints_of_other_seeds(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(InputError, match=r"splits\.safetensors has the seeds \[0, 1, 2\], expected \[0, 1\]"):
            train_frontier(**arguments | {"seeds": Seeds((0, 1))})
