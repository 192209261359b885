"""XGBoost's JSON of boosted trees as LightGBM's text, and leaf values back into the JSON.

Both are binary trees with a value in each leaf. XGBoost goes left where x < c, both in single precision; LightGBM where
x ≤ t: t is the number before c. `base_score`, a probability, becomes a part of the first tree's leaves.

The format is that of XGBoost's `doc/model.schema`.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from counterpoise.errors import InputError, shown
from counterpoise.nn.tree_text import Ensemble, Tree

LOGISTIC = ("binary:logistic", "reg:logistic")
"""Objectives whose margin is the log odds of class 1."""

MISSING_LEFT, MISSING_RIGHT = "10", "8"
"""`decision_type` of splits whose missing values are NaN."""

NEUTRAL = "5E-1"
"""A `base_score` that adds nothing to a margin."""

ABSENT = -1
"""The child of a leaf."""


def parse_json(text: str, source: str) -> Ensemble:
    """Return an XGBoost model as LightGBM's.

    Args:
        source: what to call it in a sentence.

    Raises:
        InputError: it is no such model, not one of two classes, or has trees that are weighed or split by categories.
    """
    learner = _learner(text, source)
    booster, parameters = learner["gradient_booster"], learner["learner_model_param"]
    if (kind := booster.get("name")) != "gbtree":
        raise InputError(f"{source}: is of the kind {shown(kind)}, expected gbtree, whose trees are added as they are")
    if (objective := learner["objective"].get("name")) not in LOGISTIC:
        raise InputError(f"{source}: was trained with the objective {shown(objective)}, expected {LOGISTIC[0]}")
    model = booster["model"]
    if any(model["tree_info"]) or int(parameters.get("num_target", 1)) > 1:
        raise InputError(f"{source}: has several trees per round, expected one: a model of two classes")
    if any(any(tree.get("split_type", ())) for tree in model["trees"]):
        raise InputError(f"{source}: splits by categories (enable_categorical), expected one column for each category")
    probability = float(str(parameters["base_score"]).strip("[]"))
    shift = math.log(probability / (1 - probability))
    trees = tuple(_tree(tree, 0.0 if number else shift) for number, tree in enumerate(model["trees"]))
    columns = int(parameters["num_feature"])
    names = [name.replace(" ", "_") for name in learner.get("feature_names") or (f"f{i}" for i in range(columns))]
    header = {
        "version": "v4",
        "num_class": "1",
        "num_tree_per_iteration": "1",
        "label_index": "0",
        "max_feature_idx": str(columns - 1),
        "objective": "binary sigmoid:1",
        "feature_names": " ".join(names),
        "feature_infos": " ".join(["[-inf:inf]"] * columns),
    }
    return Ensemble(header, trees)


def json_with_leaves_of(text: str, repaired: Ensemble) -> str:
    """Return the JSON with the leaf values of what `tree_text.onto` made of `parse_json`'s model, after a repair."""
    content = copy.deepcopy(json.loads(text))
    learner = content["learner"]
    written = str(learner["learner_model_param"]["base_score"])
    learner["learner_model_param"]["base_score"] = f"[{NEUTRAL}]" if written.startswith("[") else NEUTRAL
    for tree, other in zip(learner["gradient_booster"]["model"]["trees"], repaired.trees, strict=True):
        leaves = [node for node, child in enumerate(tree["left_children"]) if child == ABSENT]
        for node, value in zip(leaves, other["leaf_value"].split(), strict=False):
            tree["split_conditions"][node] = tree["base_weights"][node] = float(np.float32(float(value)))
    return json.dumps(content)


def _learner(text: str, source: str) -> Mapping[str, Any]:
    try:
        learner = json.loads(text)["learner"]
        for key in ("gradient_booster", "learner_model_param", "objective"):
            learner[key]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{source}: is no JSON of an XGBoost model, expected what `save_model` writes") from None
    return dict(learner)


def _tree(tree: Mapping[str, Any], shift: float) -> Tree:
    left, right, conditions = tree["left_children"], tree["right_children"], tree["split_conditions"]
    leaves = [node for node, child in enumerate(left) if child == ABSENT]
    splits = [node for node, child in enumerate(left) if child != ABSENT]
    place = {node: number for number, node in enumerate(splits)} | {node: ~number for number, node in enumerate(leaves)}
    before = np.nextafter(np.array([conditions[node] for node in splits], dtype=np.float32), np.float32(-np.inf))
    arrays: dict[str, list[Any]] = {
        "split_feature": [tree["split_indices"][node] for node in splits],
        "threshold": [float(value) for value in before],
        "decision_type": [MISSING_LEFT if tree["default_left"][node] else MISSING_RIGHT for node in splits],
        "left_child": [place[left[node]] for node in splits],
        "right_child": [place[right[node]] for node in splits],
        "leaf_value": [conditions[node] + shift for node in leaves],
    }
    lines = {name: " ".join(map(str, values)) for name, values in arrays.items() if values}
    return {"num_leaves": str(len(leaves)), "num_cat": "0", **lines, "is_linear": "0", "shrinkage": "1"}
