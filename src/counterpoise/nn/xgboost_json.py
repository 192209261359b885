"""XGBoost's JSON of boosted trees as LightGBM's text, and leaf values back into the JSON.

Both are binary trees with a value in each leaf. XGBoost goes left where x < c, both in single precision; LightGBM where
x ≤ t: t is the number before c. `base_score`, a probability, becomes a part of the first tree's leaves. Of a classifier
that was stopped early, the trees after its best round do not count, as scikit-learn's interface does not count them.

The format is that of XGBoost's `doc/model.schema`.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from counterpoise.errors import InputError, shown
from counterpoise.nn.tree_text import DEFAULT_LEFT, NAN_IS_MISSING, Ensemble, Tree

LOGISTIC = ("binary:logistic", "reg:logistic")
"""Objectives whose margin is the log odds of class 1."""

NO_GAPS = 2
"""`decision_type` of splits of a model that was trained without missing values."""

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
    counted = model["trees"][: _rounds(learner)]
    knows_gaps = _knows_gaps(counted)
    trees = tuple(_tree(tree, 0.0 if number else shift, knows_gaps) for number, tree in enumerate(counted))
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
    for number, tree in enumerate(learner["gradient_booster"]["model"]["trees"]):
        leaves = [node for node, child in enumerate(tree["left_children"]) if child == ABSENT]
        counts = number < len(repaired.trees)  # others say nothing, however many trees the user has predict
        values = repaired.trees[number]["leaf_value"].split() if counts else ["0"] * len(leaves)
        for node, value in zip(leaves, values, strict=False):
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


def _rounds(learner: Mapping[str, Any]) -> int | None:
    """Return how many trees count; None if all do."""
    attributes = learner.get("attributes", {})
    if not {"scikit_learn", "best_iteration"} <= attributes.keys():
        return None
    per_round = int(learner["gradient_booster"]["model"]["gbtree_model_param"]["num_parallel_tree"])
    return (int(attributes["best_iteration"]) + 1) * per_round


def _knows_gaps(trees: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a model was trained with missing values: not all of its splits send such values the same way."""
    ways = {
        way
        for tree in trees
        for way, child in zip(tree["default_left"], tree["left_children"], strict=True)
        if child != ABSENT
    }
    return len(ways) > 1


def _tree(tree: Mapping[str, Any], shift: float, knows_gaps: bool) -> Tree:
    left, right, conditions = tree["left_children"], tree["right_children"], tree["split_conditions"]
    leaves = [node for node, child in enumerate(left) if child == ABSENT]
    splits = [node for node, child in enumerate(left) if child != ABSENT]
    place = {node: number for number, node in enumerate(splits)} | {node: ~number for number, node in enumerate(leaves)}
    before = np.nextafter(np.array([conditions[node] for node in splits], dtype=np.float32), np.float32(-np.inf))
    arrays: dict[str, list[Any]] = {
        "split_feature": [tree["split_indices"][node] for node in splits],
        "threshold": [float(value) for value in before],
        "decision_type": [
            NAN_IS_MISSING | DEFAULT_LEFT * tree["default_left"][node] if knows_gaps else NO_GAPS for node in splits
        ],
        "left_child": [place[left[node]] for node in splits],
        "right_child": [place[right[node]] for node in splits],
        "leaf_value": [conditions[node] + shift for node in leaves],
    }
    lines = {name: " ".join(map(str, values)) for name, values in arrays.items() if values}
    return {"num_leaves": str(len(leaves)), "num_cat": "0", **lines, "is_linear": "0", "shrinkage": "1"}
