"""What the library class is given, rows, classes, units, whole numbers, and what is none; and the tables it returns."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int, Shaped
from sklearn.exceptions import DataConversionWarning
from torch import Tensor

from counterpoise.catalogue import CHOSEN
from counterpoise.data.splitting.together import unit_codes
from counterpoise.data.values import as_pandas
from counterpoise.errors import InputError, shown, suggest
from counterpoise.fairness import Compared, non_dominated
from counterpoise.methods.bases.estimator import Classifier
from counterpoise.methods.bases.ground import Kind
from counterpoise.methods.selection.candidates import Candidates
from counterpoise.methods.selection.measuring import AXES

BASES: tuple[Kind, ...] = ("boosted", "linear", "perceptron")


def classifier_of(base: object) -> Classifier | None:
    """Return a base that is a classifier of the user's with `predict_proba`, which some have for some settings."""
    is_instance = not isinstance(base, type) and hasattr(base, "predict_proba")
    return base if isinstance(base, Classifier) and is_instance else None


def kinds_of(base: Any) -> tuple[Kind, ...]:
    """Return the kinds of bases that a parameter names.

    Raises:
        InputError: it names none, or one that is not known.
    """
    if classifier_of(base) is not None:
        return ("frozen",)
    if not isinstance(base, str | list | tuple) or not base:
        raise InputError(
            f"base is {shown(base)}, expected one or several of {', '.join(BASES)}, or a classifier with predict_proba "
            "(an instance)"
        )
    kinds = (base,) if isinstance(base, str) else tuple(base)
    for kind in kinds:
        if kind not in BASES:
            raise InputError(f"base is {shown(kind)}{suggest(kind, BASES)}")
    return tuple(kind for kind in BASES if kind in kinds)


def frame_of(X: Any) -> Any:
    """Return a frame of pandas, Polars or Arrow as one of pandas, anything else as it is.

    Raises:
        InputError: a frame has no row, no column, or two of the same name.
    """
    X = as_pandas(X)
    if not isinstance(X, pd.DataFrame):
        return X
    if 0 in X.shape:
        raise InputError(f"X has {X.shape[0]} rows and {X.shape[1]} columns, expected at least one of each")
    if not X.columns.is_unique:
        twice = X.columns[X.columns.duplicated()][0]
        raise InputError(f"X: the column {shown(twice)} occurs more than once, expected distinct names")
    return X


def require_same_order(X: Any, **columns: Any) -> None:
    """Raise InputError if a column has the index of the frame X in another order: rows are matched by their places."""
    for name, column in columns.items():
        if not isinstance(X, pd.DataFrame) or not isinstance(column, pd.Series | pd.DataFrame):
            continue
        index = column.index
        are_same = len(index) == len(X) and X.index.is_unique and index.is_unique and X.index.isin(index).all()
        if are_same and not index.equals(X.index):
            raise InputError(
                f"{name} has the rows of X in another order, by its index, expected the same order: "
                f"{name}.loc[X.index], or {name}.to_numpy() if its order is right and its index is not"
            )


def labels_of(y: Any) -> Shaped[np.ndarray, "n"]:
    """Return the class of each row, which may be a column [n, 1].

    Raises:
        InputError: there is none, several in each row, or none in some.
    """
    if y is None:
        raise InputError("FairFrontier requires y to be passed, but the target y is None")
    y = as_pandas(y)
    labels = y.to_numpy() if isinstance(y, pd.Series) else np.asarray(y)
    if labels.ndim > 1:
        if labels.shape[1:] != (1,):
            raise InputError(f"y has the shape {list(labels.shape)}, expected the class of each row")
        warnings.warn("A column-vector y was passed when a 1d array was expected", DataConversionWarning, stacklevel=3)
    labels = labels.ravel()
    if gaps := int(pd.isna(labels).sum()):
        raise InputError(f"y misses a class in {gaps} of {len(labels)} rows, expected one in each")
    return labels


def units_of(together: Any, rows: int, least: int) -> Int[Tensor, "n"] | None:
    """Number what rows belong to, from 0, where each missing value is one of its own; None of None.

    Raises:
        InputError: there is another number of values than of rows, or fewer than `least` are different.
    """
    if together is None:
        return None
    values = np.asarray(as_pandas(together))
    if values.size != rows:
        raise InputError(f"together has {values.size} values, expected {rows}, one for each row of X")
    codes = unit_codes(pd.Series(values.ravel()))
    if (different := int(codes.max()) + 1) < least:
        raise InputError(f"together has {different} different values, expected at least {least} to divide the rows by")
    return torch.from_numpy(codes)


def whole_number(name: str, value: Any, least: int) -> int:
    """Return a parameter, whatever whole number it is.

    Raises:
        InputError: it is none, or too small.
    """
    if not isinstance(value, Integral) or value < least:
        raise InputError(f"{name} is {shown(value)}, expected a whole number of at least {least}")
    return int(value)


def tolerance_of(value: Any) -> float:
    """Return a tolerance as a number.

    Raises:
        InputError: it is none.
    """
    if not isinstance(value, Real):
        raise InputError(f"tolerance is {shown(value)}, expected a number of at least 0")
    return float(value)


def seeds_of(seeds: Any) -> list[int]:
    """Return as many seeds as a number says, or the seeds that are listed.

    Raises:
        InputError: they are neither, none, or the same.
    """
    listed = range(int(seeds)) if isinstance(seeds, Integral) else seeds
    is_list = isinstance(listed, Iterable) and not isinstance(listed, str)
    numbers = [seed for seed in listed if isinstance(seed, Integral)] if is_list else []
    if not numbers or len(set(numbers)) < len(list(listed)):
        raise InputError(f"seeds is {shown(seeds)}, expected a number of at least 1, or distinct seeds")
    return [int(seed) for seed in numbers]


BINARY = 2
_SETTINGS = ("base", "method", "constraint", "strength", "weight_decay", "threshold")


def frontier_frame(
    candidates: Candidates, judged: Mapping[str, Float64[Tensor, "R V"]], criterion: str, place: int
) -> pd.DataFrame:
    """Return a row for each model: settings, error and biases as judged, `dominated`, and whether it is the chosen one.

    Args:
        place: of the chosen model.
    """
    frame = pd.DataFrame(
        [{"variant": name} | {key: model.get(key) for key in _SETTINGS} for name, model in candidates.settings.items()]
    )
    for name in dict.fromkeys(("err", *AXES, criterion)):
        frame[name] = judged[name].mean(dim=0).numpy()
    points = torch.stack([judged["err"].mean(dim=0), judged[criterion].mean(dim=0)], dim=1)
    frame["dominated"] = ~non_dominated(points).numpy()
    frame[CHOSEN] = np.arange(len(frame)) == place
    return frame


def rates_frame(
    decided: Int[Tensor, "n"],
    y: Int[Tensor, "n"],
    s: Int[Tensor, "n"],
    groups: Sequence[Any],
    classes: Sequence[Any],
    compared: Compared,
) -> pd.DataFrame:
    """Return a row for each group, of more than two classes for each group and class: its rows and its rates."""
    binary = len(classes) == BINARY
    records = []
    for group, name in enumerate(groups):
        members = s == group
        for code, label in enumerate(classes):
            if binary and not code:
                continue
            selected = decided == code
            record = {"group": name} | ({} if binary else {"class": label})
            record |= {"rows": int(members.sum()), "compared": compared is None or group in compared}
            for rate, among in (("selected", members), ("true_positive", members & (y == code))):
                record[rate] = _share(selected, among)
            records.append(record | {"false_positive": _share(selected, members & (y != code))})
    return pd.DataFrame(records)


def _share(selected: Tensor, among: Tensor) -> float:
    return float(selected[among].double().mean())
