"""XGBoost's trees as LightGBM's: a written-out evaluation of the JSON, and XGBoost itself where it is installed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from counterpoise.errors import InputError
from counterpoise.nn.tree_text import Filled, onto, parse
from counterpoise.nn.trees import Trees
from counterpoise.nn.xgboost_json import json_with_leaves_of, parse_json

X = np.random.default_rng(0).integers(-4, 5, size=(200, 3)).astype(np.float32) / 4
"""Many rows equal a threshold."""


def tree(generator: np.random.Generator, depth: int = 3) -> dict[str, Any]:
    """Return a complete tree with random splits, some of whose branches end early."""
    nodes: list[list[float]] = []  # left, right, feature, condition

    def grow(level: int) -> int:
        number = len(nodes)
        nodes.append([-1, -1, 0, float(np.float32(generator.normal()))])
        if level < depth and (level == 0 or generator.random() < 0.8):
            condition = float(generator.integers(-3, 4)) / 4
            children = grow(level + 1), grow(level + 1)
            nodes[number] = [*children, int(generator.integers(3)), condition]
        return number

    grow(0)
    left, right, feature, condition = map(list, zip(*nodes, strict=True))
    flags = [0] * len(nodes)
    return {
        "left_children": left,
        "right_children": right,
        "split_indices": feature,
        "split_conditions": condition,
        "base_weights": list(condition),
        "default_left": flags,
        "split_type": list(flags),
    }


def model(base_score: str = "[2.5E-1]", **changes: Any) -> dict[str, Any]:
    generator = np.random.default_rng(1)
    trees = [tree(generator) for _ in range(4)]
    learner = {
        "feature_names": ["age", "home area", "income"],
        "gradient_booster": {"name": "gbtree", "model": {"trees": trees, "tree_info": [0] * 4}},
        "learner_model_param": {"base_score": base_score, "num_feature": "3", "num_target": "1"},
        "objective": {"name": "binary:logistic"},
    }
    return {"learner": learner | changes}


def margins(content: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """Walk through the trees of the JSON, row by row."""
    learner = content["learner"]
    probability = float(learner["learner_model_param"]["base_score"].strip("[]"))
    total = np.full(len(x), np.log(probability / (1 - probability)))
    for each in learner["gradient_booster"]["model"]["trees"]:
        for number, row in enumerate(x):
            node = 0
            while each["left_children"][node] != -1:
                value = row[each["split_indices"][node]]
                goes_left = value < np.float32(each["split_conditions"][node])
                if np.isnan(value):
                    goes_left = each["default_left"][node]
                node = each["left_children" if goes_left else "right_children"][node]
            total[number] += each["split_conditions"][node]
    return total


@pytest.mark.parametrize("base_score", ["[2.5E-1]", "5E-1"])
def test_the_trees_say_the_same(base_score: str) -> None:
    content = model(base_score)
    ensemble = parse_json(json.dumps(content), "m.json")
    assert ensemble.names == ("age", "home_area", "income")
    for trees in (Trees(ensemble.text()), Trees(onto(ensemble, [0, 1, 2], 3).text())):
        assert np.abs(trees.margins(torch.tensor(X)).numpy() - margins(content, X)).max() < 1e-6


def test_repaired_leaf_values_go_back_into_the_json() -> None:
    content = model()
    ensemble = parse_json(json.dumps(content), "m.json")
    trees = Trees(onto(ensemble, [0, 1, 2], 3).text())
    repaired = trees.with_values(0.5 * trees.values + 0.1, shift=-0.3)
    back = json.loads(json_with_leaves_of(json.dumps(content), parse(repaired.text, "repaired")))
    assert np.abs(margins(back, X) - repaired.margins(torch.tensor(X)).numpy()).max() < 1e-5
    forests = [one["learner"]["gradient_booster"]["model"]["trees"] for one in (content, back)]
    old, new = ([each["left_children"] for each in forest] for forest in forests)
    assert old == new


@pytest.mark.parametrize("ways", [(0, 1), (0, 0), (1, 1)])
def test_gaps_that_a_table_fills_go_by_default_in_a_model_that_knows_gaps(ways: tuple[int, int]) -> None:
    """One that was trained without any sends all the same way, and takes what stands in their place."""
    content = model()
    for number, each in enumerate(content["learner"]["gradient_booster"]["model"]["trees"]):
        each["default_left"] = [ways[number % 2]] * len(each["default_left"])
    gaps = np.random.default_rng(2).random(X.shape) < 0.3
    table = np.hstack([np.where(gaps, 0.25, X), gaps]).astype(np.float32)
    ensemble = parse_json(json.dumps(content), "m.json")
    trees = Trees(onto(ensemble, [Filled(0, 3), Filled(1, 4), Filled(2, 5)], 6).text())
    expected = margins(content, np.where(gaps, np.nan if len(set(ways)) > 1 else 0.25, X))
    assert np.abs(trees.margins(torch.tensor(table)).numpy() - expected).max() < 1e-6


def test_trees_after_the_best_round_of_a_classifier_do_not_count() -> None:
    """Native boosters have all trees predict, whatever their best round; those after it are silenced in the repair."""
    native = model(attributes={"best_iteration": "1"})
    assert len(parse_json(json.dumps(native), "m.json").trees) == 4
    content = model(attributes={"best_iteration": "1", "scikit_learn": "{}"})
    content["learner"]["gradient_booster"]["model"]["gbtree_model_param"] = {"num_parallel_tree": "1"}
    ensemble = parse_json(json.dumps(content), "m.json")
    stopped = json.loads(json.dumps(content))
    del stopped["learner"]["gradient_booster"]["model"]["trees"][2:]
    trees = Trees(onto(ensemble, [0, 1, 2], 3).text())
    assert np.abs(trees.margins(torch.tensor(X)).numpy() - margins(stopped, X)).max() < 1e-6
    repaired = trees.with_values(0.5 * trees.values, shift=0.2)
    back = json.loads(json_with_leaves_of(json.dumps(content), parse(repaired.text, "r")))
    assert len(back["learner"]["gradient_booster"]["model"]["trees"]) == 4
    assert np.abs(margins(back, X) - repaired.margins(torch.tensor(X)).numpy()).max() < 1e-5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": {"name": "reg:squarederror"}}, "objective 'reg:squarederror', expected binary:logistic"),
        ({"gradient_booster": {"name": "dart"}}, "of the kind 'dart', expected gbtree"),
        (
            {"gradient_booster": {"name": "gbtree", "model": {"trees": [], "tree_info": [0, 1]}}},
            "has several trees per round",
        ),
        (
            {"gradient_booster": {"name": "gbtree", "model": {"trees": [{"split_type": [1]}], "tree_info": [0]}}},
            "splits by categories",
        ),
    ],
)
def test_other_models_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"m.json: .*{message}"):
        parse_json(json.dumps(model(**changes)), "m.json")


def test_other_json_is_refused() -> None:
    for text in ('{"a": 1}', "{", '{"learner": 3}'):
        with pytest.raises(InputError, match=r"m\.json: is no JSON of an XGBoost model"):
            parse_json(text, "m.json")


@pytest.mark.parametrize("wrapped", [False, True])
def test_xgboost_itself_says_the_same_of_gaps_and_of_a_training_that_stopped(wrapped: bool) -> None:
    xgboost = pytest.importorskip("xgboost", reason="needs the extra 'xgboost'")
    gaps = np.random.default_rng(3).random(X.shape) < 0.3
    x = np.where(gaps, np.nan, X)
    y = np.random.default_rng(4).integers(2, size=len(X)) | (X[:, 0] > 0.2)
    settings = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}
    if wrapped:
        fitted = xgboost.XGBClassifier(n_estimators=50, early_stopping_rounds=3, **settings)
        fitted.fit(x[:150], y[:150], eval_set=[(x[150:], y[150:])], verbose=False)
        booster, expected = fitted.get_booster(), fitted.predict(x, output_margin=True)
        assert fitted.best_iteration + 1 < booster.num_boosted_rounds()
    else:
        booster = xgboost.train(settings, xgboost.DMatrix(x, y), num_boost_round=8)
        expected = booster.predict(xgboost.DMatrix(x), output_margin=True)
    text = bytes(booster.save_raw("json")).decode()
    if wrapped:  # which only `save_model` of the classifier writes
        content = json.loads(text)
        content["learner"]["attributes"]["scikit_learn"] = "{}"
        text = json.dumps(content)
    table = torch.tensor(np.hstack([np.where(gaps, 0.25, X), gaps]).astype(np.float32))
    trees = Trees(onto(parse_json(text, "m.json"), [Filled(0, 3), Filled(1, 4), Filled(2, 5)], 6).text())
    assert np.abs(trees.margins(table).numpy() - expected).max() < 1e-5


def test_xgboost_itself_says_the_same() -> None:
    xgboost = pytest.importorskip("xgboost", reason="needs the extra 'xgboost'")
    y = (X[:, 0] + X[:, 1] * X[:, 2] > 0.1).astype(int)
    booster = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}, xgboost.DMatrix(X, y), num_boost_round=8
    )
    text = bytes(booster.save_raw("json")).decode()
    trees = Trees(onto(parse_json(text, "m.json"), [0, 1, 2], 3).text())
    expected = booster.predict(xgboost.DMatrix(X), output_margin=True)
    assert np.abs(trees.margins(torch.tensor(X)).numpy() - expected).max() < 1e-5
    repaired = trees.with_values(trees.values * 0.7, shift=0.2)
    again = xgboost.Booster(model_file=bytearray(json_with_leaves_of(text, parse(repaired.text, "r")).encode()))
    said = again.predict(xgboost.DMatrix(X), output_margin=True)
    assert np.abs(said - repaired.margins(torch.tensor(X)).numpy()).max() < 1e-5
