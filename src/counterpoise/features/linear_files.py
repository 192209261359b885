"""Linear classifiers of scikit-learn, alone or at the end of a pipeline, that come trained.

    estimator = read_skops(folder / "scorer.skops", trust=())
    features, weight, bias = linear_parts(estimator, rows, source="scorer.skops")
    features @ weight + bias                               # its decision function, [N, k] or [N, 1]

Files of skops are read without running code: a type that skops does not trust has to be trusted by name.
https://skops.readthedocs.io/en/stable/persistence.html
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from counterpoise.errors import InputError, reason, shown, suggest

LOGISTIC = ("LogisticRegression", "LogisticRegressionCV", "SGDClassifier", "LinearDiscriminantAnalysis")
"""Classifiers whose decision function is a log odds, or one for each class; SGDClassifier with the loss `log_loss`."""

HARMLESS = ("numpy.dtype",)
"""Types of nearly every pipeline that skops does not trust, and that run no code: it reads them from an empty array."""

TRIED = 32
"""Rows by which it is seen whether an estimator takes a gap."""

AGREEMENT = 1e-4
"""How far the head on the features may be from the decision function, relative to its size: features are float32."""


def read_skops(path: Path, trust: Sequence[str]) -> Any:
    """Read what `skops.io.dump` wrote.

    Args:
        trust: types beyond those that skops trusts, by their full names.

    Raises:
        InputError: skops is not installed, there is no such file, it cannot be read, or it holds types that nobody
            trusts.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected what skops.io.dump writes")
    try:
        skops = importlib.import_module("skops.io")
    except ImportError:
        raise InputError(f"{path}: needs the package skops, expected it installed: pip install skops") from None
    try:
        unknown = sorted(set(skops.get_untrusted_types(file=path)) - {*trust, *HARMLESS})
        if not unknown:
            return skops.load(path, trusted=[*trust, *HARMLESS])
    except Exception as error:  # of damaged archives nearly anything
        raise InputError(f"{path}: cannot be read ({reason(error)}), expected what skops.io.dump writes") from None
    raise InputError(
        f"{path}: holds {', '.join(unknown)}, which skops does not trust, expected none, or names of what you "
        "trust under `trust`"
    )


@dataclass(frozen=True)
class Taken:
    """What an estimator takes.

    Attributes:
        rows: in its order. of_file: whether these are columns of the file, or of the encoded table.
        gaps: columns whose gaps it deals with itself, as an imputer does: they are in the rows as the file has them.
            With the names of their types.
    """

    rows: pd.DataFrame
    of_file: bool
    gaps: Mapping[str, str]


def taken(
    estimator: Any,
    encoded: pd.DataFrame,
    table: pd.DataFrame,
    columns: Sequence[str] | str,
    source: str,
    *,
    gapped: pd.DataFrame | None = None,
) -> Taken:
    """Return the rows as an estimator takes them.

    Args:
        encoded: the features of the encoded table. table: the same rows, with the columns of the file.
        columns: names, in its order; `encoded` takes those that it was fitted with, and all of the encoded table where
            it was fitted without names.
        gapped: the table with the gaps that the file has (`data.table.with_gaps`).

    Raises:
        InputError: neither table has all of the columns, or their number is another one.
    """
    names = list(getattr(estimator, "feature_names_in_", ())) if isinstance(columns, str) else list(columns)
    names = names or [*map(str, encoded)]
    of_file = not set(names) <= set(encoded)
    if of_file and not set(names) <= set(table):
        both = list(dict.fromkeys([*table, *encoded]))
        missing = [name for name in names if name not in both] or [name for name in names if name not in table]
        raise InputError(
            f"{source}: takes {shown(missing[0])}, which the table does not have{suggest(missing[0], both)}, expected "
            "the columns of the file, or those of the encoded table"
        )
    expected = getattr(estimator, "n_features_in_", len(names))
    if len(names) != expected:
        raise InputError(
            f"{source}: takes {expected} columns without names, the encoded table has {len(names)}, expected as "
            "many: name them under `columns`, or fit it on a frame"
        )
    if gapped is not None and set(names) <= set(gapped):
        gaps = _gaps_taken(estimator, table[names], gapped[names])
        if gaps:
            types = {name: str(gapped[name].dtype) for name in gaps}
            return Taken(table[names].assign(**{name: gapped[name] for name in gaps}), True, types)
    return Taken((table if of_file else encoded)[names], of_file, {})


def _gaps_taken(estimator: Any, rows: pd.DataFrame, gapped: pd.DataFrame) -> list[str]:
    """Return the columns whose gaps an estimator takes, tried one by one on rows without any.

    A text in the place of a gap stays if the estimator knows it: it decides otherwise than by one that is made up.
    """
    complete = rows[gapped.notna().all(axis=1)].head(TRIED)
    chosen = []
    for name in gapped.columns[gapped.isna().any()] if len(complete) else ():
        filled = rows.loc[gapped[name].isna(), name].iloc[0]
        if isinstance(filled, str):
            by_text, by_other = (_decision(estimator, complete.assign(**{name: text})) for text in (filled, filled * 2))
            if by_text is not None and (by_other is None or not np.allclose(by_text, by_other)):
                continue
        if (
            _decision(estimator, complete.assign(**{name: complete[name].mask(np.ones(len(complete), dtype=bool))}))
            is not None
        ):
            chosen.append(str(name))
    return chosen


def _decision(estimator: Any, rows: pd.DataFrame) -> np.ndarray | None:
    """Return the decision function of rows; None where the estimator does not take them."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return np.asarray(estimator.decision_function(_inputs(estimator, rows)))
    except Exception:  # whatever its steps raise
        return None


def _inputs(estimator: Any, rows: pd.DataFrame) -> Any:
    """Return rows as an estimator was fitted on them: arrays, if it knows no names."""
    return rows if hasattr(estimator, "feature_names_in_") else rows.to_numpy()


def linear_parts(
    estimator: Any, rows: pd.DataFrame, classes: Sequence[str], source: str
) -> tuple[Float[Tensor, "N d"], Float[Tensor, "c d"], Float[Tensor, "c"]]:
    """Take a classifier apart: what its last step sees of rows, and that step's coefficients.

    Args:
        rows: as `taken` has them.
        classes: the data set's, in order; an estimator that knows the same names has its own order changed to it.

    Raises:
        InputError: it is no such classifier, its preprocessing fails, or its decision is not that of its coefficients.
    """
    steps: list[Any] = [step for _, step in estimator.steps] if hasattr(estimator, "steps") else [estimator]
    last = steps[-1]
    name = type(last).__name__
    if name not in LOGISTIC or (name == "SGDClassifier" and last.loss != "log_loss"):
        what = f"{name} with the loss {last.loss}" if name == "SGDClassifier" else name
        raise InputError(
            f"{source}: ends in {what}, expected one of {', '.join(LOGISTIC)} (SGDClassifier with log_loss), or a "
            "pipeline that ends in one"
        )
    inputs = _inputs(estimator, rows)
    try:
        seen: Any = estimator[:-1].transform(inputs) if len(steps) > 1 else inputs
        decision = np.asarray(estimator.decision_function(inputs))
    except Exception as error:
        raise InputError(
            f"{source}: fails on the rows of the table ({reason(error)}), expected a classifier that takes them"
        ) from None
    dense = np.asarray(seen.toarray() if hasattr(seen, "toarray") else seen, dtype=np.float64)
    weight, bias = np.atleast_2d(last.coef_), np.atleast_1d(last.intercept_)
    margins = dense @ weight.T + bias
    if not np.allclose(margins, decision.reshape(margins.shape), rtol=AGREEMENT, atol=AGREEMENT):
        raise InputError(f"{source}: its decision is not that of its coefficients, expected a linear classifier")
    labels = [str(label) for label in last.classes_]
    if sorted(labels) == sorted(classes) and labels != list(classes):
        order = [labels.index(label) for label in classes]
        weight, bias = (-weight, -bias) if len(weight) == 1 else (weight[order], bias[order])
    return tuple(torch.tensor(each, dtype=torch.float32) for each in (dense, weight, bias))  # type: ignore[return-value]
