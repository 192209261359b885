"""Frontiers and importance compared: against rectangles and means by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from counterpoise.artifacts import schemas
from counterpoise.artifacts.datasets import CSVDataset
from counterpoise.config.parameters import Report
from counterpoise.pipelines.select.compare import compare

PEERS = {"plain", "threshold_optimizer"}


@pytest.mark.parametrize(("methods", "comparisons"), [(["tl"], 0), (["svd", "win"], 2 * 3), (["win"], 0)])
def test_methods_that_are_not_run_are_left_out_of_comparisons(
    artifacts: dict[str, Any], methods: list[str], comparisons: int, tmp_path: Any
) -> None:
    grid = artifacts["frontier"]
    grid = grid[grid["method"].isin([*methods, *PEERS])]
    areas, differences, effect = compare(grid, Report())
    assert set(areas["method"]) == {"chosen", *methods, *PEERS}
    assert set(differences["right"]) == {*methods, *PEERS}
    assert (areas["hypervolume"] >= 0).all()
    assert len(effect) == comparisons
    file = CSVDataset(filepath=str(tmp_path / "effect.csv"))
    file.save(schemas.ImportanceEffect.validate(effect))
    assert tuple(file.load()) == tuple(schemas.ImportanceEffect.to_schema().columns)


def test_hypervolumes_are_areas_that_predictions_on_test_dominate(artifacts: dict[str, Any]) -> None:
    """Of one model the area is a rectangle; more models, chosen on validation, are counted once."""
    grid = artifacts["frontier"]
    test = grid[grid["split"] == "test"].set_index(["variant", "seed", "metric"])["value"]
    corner = {metric: 1.5 * np.mean([test["tl", seed, metric] for seed in range(3)]) for metric in ("err", "delta_dp")}
    areas = artifacts["hypervolumes"].set_index(["method", "seed", "bias"])["hypervolume"]
    for seed in range(3):
        sides = [max(0.0, corner[metric] - test["plain_features_logistic", seed, metric]) for metric in corner]
        assert areas["plain", seed, "delta_dp"] == pytest.approx(np.prod(sides))
        box = corner["err"] * corner["delta_dp"]
        assert 0 <= areas["win", seed, "delta_dp"] <= box
    differences = artifacts["hypervolume_differences"].set_index(["bias", "right"])["difference"]
    mean = areas.groupby(["bias", "method"]).mean()
    for bias, right in differences.index:
        assert differences[bias, right] == pytest.approx(mean[bias, "chosen"] - mean[bias, right])


def test_importance_is_compared_at_equal_rank_and_penalty(artifacts: dict[str, Any]) -> None:
    grid = artifacts["frontier"]
    test = grid[(grid["split"] == "test") & (grid["threshold"] == 0) & (grid["metric"] == "delta_eo")]
    mean = {
        (method, rank): own["value"].mean() for (method, rank), own in test.groupby(["method", "rank"], dropna=False)
    }
    plain = next(value for (method, _), value in mean.items() if method == "tl")
    effect = artifacts["importance_effect"].query("metric == 'delta_eo'").set_index(["right", "rank"])["difference"]
    for rank in (1, 2):
        assert effect["svd", rank] == pytest.approx(mean["win", rank] - mean["svd", rank])
        assert effect["tl", rank] == pytest.approx(mean["win", rank] - plain)
