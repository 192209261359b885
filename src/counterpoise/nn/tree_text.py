"""LightGBM's text of boosted trees, taken apart, put on other columns, and put together again.

A model that comes trained has columns of its own: in another order, with categories as one column of codes where a
table that is encoded here has one column for each category. Its rows are not translated; its splits are. A split by a
number is looked up in another column. A split by a set of categories becomes a chain of questions, "is it a?", "is it
b?", whose answers lead to the same two branches: so each leaf keeps its number, and values that a repair finds for the
leaves here are values for the leaves of the model as it came.

The format is that of `src/io/tree.cpp` and `src/boosting/gbdt_model_text.cpp` in LightGBM.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from counterpoise.errors import InputError, shown

CATEGORICAL = 1
"""The bit of `decision_type` that says that a split is by a set of categories."""

DEFAULT_LEFT = 2
"""The bit of `decision_type` that sends a missing value to the left."""

ZERO_IS_MISSING, NAN_IS_MISSING = 4, 8
"""The bits of `decision_type` that say what a split takes for missing; without either it takes a NaN for 0."""

NO_CODE = -1
"""What pandas writes for a category that is not listed."""

LARGEST = 1.7e308
"""A threshold that no number is above."""

BITS = 32
"""Categories in one word of `cat_threshold`."""

MARGINS = ("binary", "cross_entropy")
"""Objectives whose raw score is the log odds of class 1."""

Tree = dict[str, str]
"""One tree: the name of an array → its values, separated by spaces."""


@dataclass(frozen=True)
class Codes:
    """A column of codes of categories: code → the number of the column that is one where a row has the category.

    Codes of categories that no row has are absent.
    """

    places: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Filled:
    """A column whose gaps a table fills: where it is, and the number of the column that is one where it did."""

    source: int | Codes
    indicator: int


Source = int | Filled | Codes
"""Where a column of a model is in a table: the number of a column, or the columns of its categories."""


@dataclass(frozen=True)
class Ensemble:
    """A model's text, taken apart."""

    header: Mapping[str, str]
    trees: tuple[Tree, ...]
    pandas_categorical: tuple[tuple[object, ...], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the model's columns, in its order."""
        return tuple(self.header["feature_names"].split(" "))

    @property
    def categorical(self) -> tuple[int, ...]:
        """The columns that it was trained on as categories."""
        infos = self.header.get("feature_infos", "").split(" ")
        return tuple(i for i, info in enumerate(infos) if info and info != "none" and not info.startswith("["))

    @property
    def split_on(self) -> frozenset[int]:
        """The columns that some split asks for."""
        return frozenset(int(i) for tree in self.trees for i in tree.get("split_feature", "").split())

    def text(self) -> str:
        """Return the model as LightGBM reads it."""
        header = [f"{name}={value}" for name, value in self.header.items() if name != "tree_sizes"]
        trees = [
            "\n".join([f"Tree={number}", *(f"{name}={value}" for name, value in tree.items())])
            for number, tree in enumerate(self.trees)
        ]
        last = f"pandas_categorical:{json.dumps(self.pandas_categorical or None)}"
        return "\n".join(["tree", *header, ""]) + "\n" + "\n\n\n".join(trees) + f"\n\n\nend of trees\n\n{last}\n"


def parse(text: str, source: str) -> Ensemble:
    """Take a model's text apart.

    Args:
        source: what to call it in a sentence.

    Raises:
        InputError: it is no text of LightGBM, or what it gives is not the log odds of one class against another.
    """
    head, *blocks = text.split("\nTree=")
    if not head.lstrip().startswith("tree\n") or "feature_names=" not in head:
        raise InputError(f"{source}: begins with {shown(text[:20])}, expected the text of a LightGBM model")
    if blocks and "end of trees" not in blocks[-1]:
        raise InputError(f"{source}: ends in the middle of tree {len(blocks) - 1}, expected all of the file")
    header = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
    if "average_output" in head.splitlines():
        raise InputError(f"{source}: its trees are averaged (boosting: rf), expected trees whose values are added")
    if (per_round := header.get("num_tree_per_iteration")) != "1":
        raise InputError(f"{source}: has {per_round} trees per round, expected one: a model of two classes")
    objective, *options = header.get("objective", "none").split()
    if objective not in MARGINS:
        raise InputError(
            f"{source}: was trained with the objective {shown(objective)}, expected {' or '.join(MARGINS)}: a model of "
            "two classes, whose raw scores are log odds"
        )
    if any(option.startswith("sigmoid:") and float(option[8:]) != 1 for option in options):
        raise InputError(f"{source}: was trained with the option {options[0]}, expected sigmoid:1")
    trees = tuple(
        dict(line.split("=", 1) for line in block.split("end of trees")[0].splitlines()[1:] if "=" in line)
        for block in blocks
    )
    if any(tree.get("is_linear") == "1" for tree in trees):
        raise InputError(f"{source}: has linear models in its leaves (linear_tree), expected constant leaf values")
    marker = "\npandas_categorical:"
    listed = text.rpartition(marker)[2].splitlines()[0] if marker in text else "null"
    return Ensemble(header, trees, tuple(tuple(values) for values in json.loads(listed) or ()))


def onto(model: Ensemble, sources: Sequence[Source | None], width: int) -> Ensemble:
    """Return the model on a table of `width` columns, with the same leaves.

    Args:
        sources: of each column of the model; None of those that no split asks for.

    Every tree has further leaves that no row reaches where chains need more splits than it has.
    """
    header = {
        **model.header,
        "max_feature_idx": str(width - 1),
        "feature_names": " ".join(f"Column_{i}" for i in range(width)),
        "feature_infos": " ".join(["none"] * width),
    }
    header.pop("monotone_constraints", None)  # one for each column of the model: of no use once it is trained
    return Ensemble(header, tuple(_tree_onto(tree, sources) for tree in model.trees))


def with_leaves_of(model: Ensemble, repaired: Ensemble) -> Ensemble:
    """Return a model with the leaf values of what `onto` made of it, after a repair."""
    trees = []
    for tree, other in zip(model.trees, repaired.trees, strict=True):
        values = other["leaf_value"].split()[: int(tree["num_leaves"])]
        trees.append({**tree, "leaf_value": " ".join(values)})
    return Ensemble(model.header, tuple(trees), model.pandas_categorical)


@dataclass
class _Splits:
    """The splits of a tree, each by its place: the column asked, LightGBM's kind of decision, the threshold, and where
    rows go, to another split (≥ 0) or a leaf (< 0)."""

    feature: list[int]
    kind: list[int]
    threshold: list[float]
    left: list[int]
    right: list[int]

    def copy(self, node: int) -> int:
        """Append a copy of a split; return its place."""
        for values in (self.feature, self.kind, self.left, self.right):
            values.append(values[node])
        self.threshold.append(self.threshold[node])
        return len(self.feature) - 1

    def put(self, node: int, feature: int, threshold: float, left: int, right: int) -> None:
        """Make a split of numbers of it, which sends a missing one to the left."""
        self.feature[node], self.kind[node], self.threshold[node] = feature, DEFAULT_LEFT, threshold
        self.left[node], self.right[node] = left, right


def _tree_onto(tree: Tree, sources: Sequence[Source | None]) -> Tree:
    leaves = int(tree["num_leaves"])
    if leaves < 2:
        return tree
    feature, kind, left, right = (
        [int(value) for value in tree[name].split()]
        for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    splits = _Splits(feature, kind, [float(value) for value in tree["threshold"].split()], left, right)
    for node in range(leaves - 1):
        source, at = sources[feature[node]], node
        assert source is not None, "a split asks for a column that was not matched"
        if isinstance(source, Filled):
            at, source = _gap_first(splits, node, source.indicator), source.source
        if isinstance(source, int):
            # Tables are float32: a number that equals a threshold has to be rounded as the threshold is.
            feature[at], splits.threshold[at] = source, float(np.float32(splits.threshold[at]))
        elif kind[at] & CATEGORICAL:
            chosen = _codes_of_set(tree, splits.threshold[at])
            _chain(splits, at, [place for code, place in source.places.items() if code in chosen])
        else:
            _by_code(splits, at, source)
    surplus = len(feature) + 1 - leaves
    nodes: dict[str, list[Any]] = {"split_feature": feature, "threshold": splits.threshold, "decision_type": kind}
    nodes |= {"left_child": left, "right_child": right}
    empty = " ".join(["0"] * surplus)
    return {
        "num_leaves": str(leaves + surplus),
        "num_cat": "0",
        **{name: " ".join(map(repr, values)) for name, values in nodes.items()},
        **{
            name: f"{tree[name]} {empty}".rstrip()
            for name in ("leaf_value", "leaf_weight", "leaf_count")
            if tree.get(name)
        },
        **{
            name: f"{tree[name]} {empty}".rstrip()
            for name in ("split_gain", "internal_value", "internal_weight", "internal_count")
            if tree.get(name)
        },
        "is_linear": "0",
        "shrinkage": tree.get("shrinkage", "1"),
    }


def _codes_of_set(tree: Tree, number: float) -> set[int]:
    """Return the codes of categories that a split by a set sends to the left; others, and unknown ones, go right."""
    bounds, words = ([int(value) for value in tree[name].split()] for name in ("cat_boundaries", "cat_threshold"))
    chosen = words[bounds[int(number)] : bounds[int(number) + 1]]
    return {BITS * place + bit for place, word in enumerate(chosen) for bit in range(BITS) if word >> bit & 1}


def _gap_first(splits: _Splits, node: int, indicator: int) -> int:
    """Put the question whether a table filled a gap before a split, in place; return where the split is then.

    Gaps go where the model sends missing values; of a number for which it knows none, by what the table has.
    """
    kind = splits.kind[node]
    if not kind & (CATEGORICAL | ZERO_IS_MISSING | NAN_IS_MISSING):
        return node
    gap = splits.left[node] if kind & DEFAULT_LEFT and not kind & CATEGORICAL else splits.right[node]
    moved = splits.copy(node)
    splits.put(node, indicator, 0.5, left=moved, right=gap)
    return moved


def _by_code(splits: _Splits, node: int, source: Codes) -> None:
    """Put a split of codes, which the model took for numbers, on the columns of the categories, in place.

    A category without a code goes where a missing number goes where the model knows such, else where `NO_CODE` does.
    """
    kind, bound = splits.kind[node], splits.threshold[node]
    missing_left = bool(kind & DEFAULT_LEFT)

    def goes_left(code: int) -> bool:
        return missing_left if code == 0 and kind & ZERO_IS_MISSING else code <= bound

    others_left = missing_left if kind & NAN_IS_MISSING else goes_left(NO_CODE)
    places = [place for code, place in source.places.items() if goes_left(code) != others_left]
    if others_left:
        splits.left[node], splits.right[node] = splits.right[node], splits.left[node]
    _chain(splits, node, places)


def _chain(splits: _Splits, node: int, places: Sequence[int]) -> None:
    """Replace a split by one for each category that goes left, in place; the further ones come at the end."""
    inside, outside = splits.left[node], splits.right[node]
    if not places:
        splits.put(node, 0, LARGEST, left=outside, right=outside)
        return
    at = node
    for place in places[:-1]:
        following = splits.copy(at)
        splits.put(at, place, 0.5, left=following, right=inside)
        at = following
    splits.put(at, places[-1], 0.5, left=outside, right=inside)
