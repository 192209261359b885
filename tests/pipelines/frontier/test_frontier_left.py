"""An experiment with a frontier: what it leaves."""

from __future__ import annotations

from typing import Any

import fairlearn.metrics as fl
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
import torch

from counterpoise.artifacts import schemas
from counterpoise.artifacts.datasets import CSVDataset
from counterpoise.artifacts.serving import read_servable
from counterpoise.config.parameters import Report
from counterpoise.pipelines.select.compare import compare
from counterpoise.pipelines.select.export import best
from counterpoise.pipelines.select.nodes import TOLERANCES
from counterpoise.pipelines.shared.arrays import rows
from counterpoise.pipelines.shared.heads import read_heads

EXPERIMENT = "frontier_adult"
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
