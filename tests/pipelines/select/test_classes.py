"""A frontier of four classes and three groups, from a file to the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import sklearn.metrics as sk

from counterpoise.artifacts.datasets import read_checkpoint
from counterpoise.artifacts.serving import read_servable

CLASSES = ["A121", "A122", "A123", "A124"]

pytestmark = pytest.mark.filterwarnings("ignore::counterpoise.fairness.UndefinedMetricWarning")
"""Of 200 test rows, a choice may call none of a class."""


@pytest.fixture(scope="module")
def classes_run(run_once: Callable[..., Any]) -> Any:
    """The credit table with another label, in the place of its two classes."""
    dataset = {"label": "property", "positive": None, "classes": CLASSES, "sensitive": "housing"}
    groups = ["A151", "A152", "A153"]
    return run_once(
        "classes",
        "frontier_german",
        seeds=2,
        datasets={"german": dataset | {"groups": groups, "group_names": groups}},
        frontiers={"tables": {"kinds": ["boosted", "linear"]}},
        selection={"nested_folds": 0},  # on so few rows a corrected choice says the same of everyone
        peers={"methods": ["plain", "hsic"], "inputs": ["columns"], "estimators": ["logistic"]},
    )


def test_every_choice_decides_among_all_classes_without_a_threshold(classes_run: Any) -> None:
    selection = pd.read_csv(classes_run.file("08_reporting/*/selection.csv"))
    assert {"chosen", "chosen_bias_scores", "unrepaired", "plain"} <= set(selection["family"])
    assert not {"hsic", "chosen_heads", "chosen_leaves"} & set(selection["family"])
    assert selection["threshold"].isna().all()
    assert set(classes_run.predictions["prediction"]) == {0, 1, 2, 3}
    measured = selection[selection["family"] != "constant"].set_index(["family", "seed"])["test_err"]
    for key, rows in classes_run.predictions.groupby(["variant", "seed"]):
        f1 = sk.f1_score(rows["y"], rows["prediction"], average="weighted", zero_division=0)
        assert measured[key] == pytest.approx(100 - 100 * f1)


def test_constants_are_as_many_as_classes(classes_run: Any) -> None:
    grid = pd.read_parquet(classes_run.file("08_reporting/*/frontier.parquet"))
    constants = grid[grid["method"] == "constant"]
    assert set(constants["variant"]) == {f"constant_{label}" for label in range(4)}
    gaps = constants[(constants["split"] == "test") & constants["metric"].isin(["delta_dp", "delta_eo"])]
    assert (gaps["value"] == 0).all()


def test_the_report_says_what_is_not_defined(classes_run: Any) -> None:
    text = classes_run.file("08_reporting/*/report.html").read_text()
    assert "With 4 classes, heads under penalties, decision thresholds and the peers" in text
    settings = json.loads(classes_run.file("08_reporting/*/report.json").read_text())["settings"]
    assert settings["dataset"]["classes"] == CLASSES


def test_the_exported_model_has_the_chosen_rule(classes_run: Any) -> None:
    model = read_servable(classes_run.data / "06_models/frontier_german/model")
    chosen = read_checkpoint(classes_run.file("06_models/*/chosen_models.safetensors"))
    assert model.classes == tuple(CLASSES)
    stored = chosen.tensors.get(f"chosen.{model.metadata['seed']}.rule")
    assert (model.rule is None) == (stored is None)
    if model.rule is not None:
        assert model.rule.matrix.shape == (16, 4), "four classes of three groups, and the dither of each class"
        assert model.rule.matrix.equal(stored)
