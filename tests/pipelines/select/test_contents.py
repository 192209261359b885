"""What the selection leaves: columns, types, and what is the same in all files."""

from __future__ import annotations

from typing import Any

import fairlearn.metrics as fl
import pandas as pd
import pytest
import sklearn.metrics as sk

from counterpoise.artifacts import schemas
from counterpoise.pipelines.select.nodes import TOLERANCES
from counterpoise.pipelines.shared.arrays import rows

COLLECTED = ("frontier_models", "samples", "splits")
"""What `collect` reads beside what `judge` returns."""

KINDS = ("boosted", "perceptron", "linear")
METHODS = {"leaves", "heads", "bias_scores"}
OWN = {"chosen", "unrepaired"} | {f"chosen_{method}" for method in METHODS}
PEERS = {"plain", "threshold_optimizer"}
FAMILIES = OWN | PEERS | {"constant"}


TEXT, WHOLE, REAL = "str", "int64", "float64"
SETTINGS = {
    "alpha": REAL,
    "rank": "Int64",
    "constraint": TEXT,
    "base": TEXT,
    **dict.fromkeys(("strength", "weight_decay", "threshold"), REAL),
}
GRID = {"method": TEXT, "variant": TEXT, "seed": WHOLE, "split": TEXT, "metric": TEXT, "value": REAL} | SETTINGS
COMPARED = ("difference", "ci_low", "ci_high", "p", "p_holm", "verdict")
TABLES = {
    "selection": (
        *(
            "family",
            "seed",
            "variant",
            "method",
            "base",
            "constraint",
            "strength",
            "weight_decay",
            "model",
            "threshold",
        ),
        *("own", "needs_group", "criterion", "tolerance", "bound", "validation_err", "validation_bias", "meets"),
        *("test_err", "test_bias", "holds", "certified"),
    ),
    "tolerances": ("family", "criterion", "tolerance", "seed", "meets", "test_err", "test_bias"),
    "judged_counts": ("family", "seed", "s", "y", "prediction", "rows"),
    "hypervolumes": ("method", "seed", "bias", "hypervolume"),
    "hypervolume_differences": ("bias", "left", "right", *COMPARED),
}


class TestContract:
    def test_the_grid_is_every_model_on_validation_and_test(self, artifacts: dict[str, Any]) -> None:
        grid = artifacts["frontier"]
        assert grid.dtypes.astype(str).to_dict() == GRID
        assert set(grid["method"]) == METHODS | {"unrepaired", "constant"} | PEERS
        assert set(grid["split"]) == {"validation", "test", "judged"}
        assert set(grid["metric"]) == {"err", "delta_eo", "delta_dp"}
        ours, peers = (artifacts[name].header["variants"].values() for name in ("frontier_outcomes", "peer_outcomes"))
        models = 2  # constants
        models += sum(3 if model["method"] in ("leaves", "heads") else 1 for model in ours)  # thresholds
        models += sum(3 if model["scores"] else 1 for model in peers)
        assert len(grid) == models * 3 * 3 * 3  # models, seeds, splits, metrics
        assert grid["variant"].nunique() == models
        settings = grid.drop_duplicates("variant").set_index("variant")
        head = settings.loc["perceptron_heads_eo_0.1_wd1_t-0.5"]
        assert head[["constraint", "base", "strength", "weight_decay", "threshold"]].tolist() == [
            *("eo", "perceptron"),
            *(0.1, 1.0, -0.5),
        ]
        assert settings.loc["linear_unrepaired", ["alpha", "rank", "constraint", "strength"]].isna().all()
        assert settings.loc["plain_features_logistic", list(SETTINGS)].isna().all()

    @pytest.mark.parametrize("table", TABLES)
    def test_tables_have_their_columns_and_fit_their_schemas(self, artifacts: dict[str, Any], table: str) -> None:
        assert tuple(artifacts[table]) == TABLES[table]
        getattr(schemas, "".join(word.title() for word in table.split("_"))).validate(artifacts[table])

    def test_each_family_chooses_once_in_each_replicate(self, artifacts: dict[str, Any]) -> None:
        chosen = artifacts["selection"]
        assert set(chosen["family"]) == FAMILIES
        assert (chosen.groupby("family")["seed"].apply(list).map(sorted) == pd.Series([[0, 1, 2]] * 8).values).all()
        assert set(chosen.loc[chosen["own"], "family"]) == OWN
        assert set(chosen.loc[chosen["needs_group"], "family"]) == {"threshold_optimizer"}
        assert (chosen.loc[chosen["family"] == "unrepaired", "method"] == "unrepaired").all()
        for method in METHODS:
            assert set(chosen.loc[chosen["family"] == f"chosen_{method}", "method"]) == {method}
        sweep = artifacts["tolerances"]
        assert set(sweep["tolerance"]) == set(TOLERANCES)
        assert len(sweep) == len(FAMILIES) * 3 * len(TOLERANCES) * 2
        at = sweep[(sweep["tolerance"] == 0.05) & (sweep["criterion"] == "delta_eo")].set_index(["family", "seed"])
        expected = chosen.set_index(["family", "seed"])
        pd.testing.assert_frame_equal(
            at[["meets", "test_err", "test_bias"]], expected[["meets", "test_err", "test_bias"]]
        )

    def test_what_is_measured_on_test_is_what_other_libraries_compute(self, artifacts: dict[str, Any]) -> None:
        predictions = artifacts["predictions"].set_index(["variant", "seed"])
        for row in artifacts["selection"].query("family != 'constant'").itertuples():
            rows_of = predictions.loc[row.family, row.seed]
            y, z, s = rows_of["y"], rows_of["prediction"], rows_of["s"]
            gaps = fl.MetricFrame(
                metrics={"tpr": fl.true_positive_rate, "fpr": fl.false_positive_rate},
                y_true=y,
                y_pred=z,
                sensitive_features=s,
            ).difference()
            assert row.test_err == pytest.approx(100 - 100 * sk.f1_score(y, z, average="weighted"))
            assert row.test_bias == pytest.approx(gaps.sum())
            assert row.holds == (row.test_bias <= 0.05)

    def test_counts_are_of_all_rows_that_judge(self, artifacts: dict[str, Any]) -> None:
        """Ours by all rows but those of the test part, peers by validation rows; each once, in its class and group."""
        counts, samples = artifacts["judged_counts"], artifacts["samples"]
        for (family, seed), table in counts.groupby(["family", "seed"]):
            parts = ("validation",) if family in PEERS else ("pretrain", "train", "validation")
            members = samples.loc[rows(artifacts["splits"], *parts)[seed].numpy()]
            expected = members.groupby(["s", "y"]).size().to_dict()
            assert table.groupby(["s", "y"])["rows"].sum().to_dict() == expected, family

    def test_predictions_have_what_the_report_compares(self, artifacts: dict[str, Any]) -> None:
        predictions = artifacts["predictions"]
        families = dict.fromkeys(artifacts["selection"]["family"])
        assert list(dict.fromkeys(predictions["variant"])) == [name for name in families if name != "constant"]
        assert (predictions["method"] == predictions["variant"]).all()

    def test_the_chosen_models_are_those_of_the_frontier(self, artifacts: dict[str, Any]) -> None:
        models, stored = artifacts["chosen_models"], artifacts["frontier_models"].tensors
        assert set(models.header["models"]) == OWN
        for row in artifacts["selection"].query("own").itertuples():
            kind = "rule" if row.method == "bias_scores" else "head"
            (name,) = (name for name in models.tensors if name.startswith(f"{row.family}.{row.seed}."))
            assert name.endswith(kind)
            assert models.tensors[name].equal(stored[f"{row.model}.{kind}"][row.seed])
            assert models.header["models"][row.family][str(row.seed)]["base"] == row.base
