"""Frontiers compared: against rectangles by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.artifacts import schemas
from counterpoise.config.parameters import Report
from counterpoise.pipelines.select.compare import compare

PEERS = {"plain", "threshold_optimizer"}
BIASES = ("delta_eo", "delta_dp")
OTHERS = {"heads": {"heads"}, "leaves": {"leaves"}, "both": {"heads", "bias_scores"}}


def reference(grid: pd.DataFrame) -> pd.Series[float]:
    """Return the metrics on test of the base that errs least as it is, by what it is judged by."""
    means = grid[grid["method"] == "unrepaired"].groupby(["variant", "split", "metric"])["value"].mean()
    best = means.xs(("judged", "err"), level=("split", "metric")).idxmin()
    return means[best]["test"]


@pytest.mark.parametrize("methods", OTHERS.values(), ids=list(OTHERS))
def test_methods_that_are_not_run_are_left_out_of_comparisons(artifacts: dict[str, Any], methods: set[str]) -> None:
    grid = artifacts["frontier"]
    grid = grid[grid["method"].isin({*methods, *PEERS, "unrepaired", "constant"})]
    areas, differences = compare(grid, Report())
    assert set(areas["method"]) == {"chosen", "unrepaired", *methods, *PEERS}
    assert set(differences["right"]) == {"unrepaired", *methods, *PEERS}
    assert set(differences["left"]) == {"chosen"}
    schemas.Hypervolumes.validate(areas)
    schemas.HypervolumeDifferences.validate(differences)


@pytest.mark.parametrize("bias", BIASES)
def test_the_hypervolume_of_one_model_is_a_rectangle(artifacts: dict[str, Any], bias: str) -> None:
    """A method that has a single model dominates what lies between it and the corner."""
    grid = artifacts["frontier"]
    single = "linear_heads_wd1"
    grid = grid[(grid["method"] != "heads") | (grid["variant"] == single)]
    corner = 1.5 * reference(grid)
    test = grid[grid["split"] == "test"].set_index(["variant", "seed", "metric"])["value"]
    areas = compare(grid, Report())[0].set_index(["method", "seed", "bias"])["hypervolume"]
    for seed in range(3):
        sides = [max(0.0, corner[metric] - test[single, seed, metric]) for metric in ("err", bias)]
        assert areas["heads", seed, bias] == pytest.approx(np.prod(sides))
    assert areas["heads"].max() > 0


def test_hypervolumes_lie_in_their_box_and_differences_are_of_their_means(artifacts: dict[str, Any]) -> None:
    corner = 1.5 * reference(artifacts["frontier"])
    areas = artifacts["hypervolumes"].set_index(["method", "seed", "bias"])["hypervolume"]
    for (_, _, bias), area in areas.items():
        assert 0 <= area <= corner["err"] * corner[bias]
    assert areas["chosen"].min() > 0
    differences = artifacts["hypervolume_differences"].set_index(["bias", "right"])["difference"]
    mean = areas.groupby(["bias", "method"]).mean()
    assert len(differences) == 2 * (len(set(artifacts["hypervolumes"]["method"])) - 1)
    for bias, right in differences.index:
        assert differences[bias, right] == pytest.approx(mean[bias, "chosen"] - mean[bias, right])


def test_the_models_of_a_hypervolume_are_chosen_without_the_test_part(artifacts: dict[str, Any]) -> None:
    """What is dominated as judged adds nothing, however good it is on test."""
    grid = artifacts["frontier"].copy()
    before = compare(grid, Report())[0].set_index(["method", "seed", "bias"])["hypervolume"]
    judged = grid[grid["split"] == "judged"].pivot_table(index=["variant", "seed"], columns="metric", values="value")
    heads = grid.loc[grid["method"] == "heads", "variant"].unique()
    of_heads = judged[judged.index.get_level_values("variant").isin(heads)]
    worst = of_heads.groupby("variant").min().sum(axis=1).idxmax()
    grid.loc[(grid["variant"] == worst) & (grid["split"] == "judged"), "value"] = 99.0
    dominated = compare(grid, Report())[0].set_index(["method", "seed", "bias"])["hypervolume"]
    grid.loc[(grid["variant"] == worst) & (grid["split"] == "test"), "value"] = 0.0
    perfect = compare(grid, Report())[0].set_index(["method", "seed", "bias"])["hypervolume"]
    pd.testing.assert_series_equal(perfect, dominated)
    assert set(before.index) == set(perfect.index)
