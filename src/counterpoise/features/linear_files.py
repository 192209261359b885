"""Linear classifiers of scikit-learn, alone or at the end of a pipeline, that come trained.

    estimator = read_skops(folder / "scorer.skops", trust=())
    features, weight, bias = linear_parts(estimator, rows, source="scorer.skops")
    features @ weight + bias                               # its decision function, [N, k] or [N, 1]

Files of skops are read without running code: a type that skops does not trust has to be trusted by name.
https://skops.readthedocs.io/en/stable/persistence.html
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
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
        unknown = sorted(set(skops.get_untrusted_types(file=path)) - set(trust))
        if not unknown:
            return skops.load(path, trusted=list(trust))
    except Exception as error:  # of damaged archives nearly anything
        raise InputError(f"{path}: cannot be read ({reason(error)}), expected what skops.io.dump writes") from None
    raise InputError(
        f"{path}: holds {', '.join(unknown)}, which skops does not trust, expected none, or names of what you "
        "trust under `trust`"
    )


def columns_taken(
    estimator: Any, encoded: Sequence[str], table: Sequence[str], columns: Sequence[str] | str, source: str
) -> tuple[list[str], bool]:
    """Return the names of the columns that an estimator takes, in its order, and whether they are those of the file.

    Args and errors: as of `taken`, but for the names in the place of rows.
    """
    names = list(getattr(estimator, "feature_names_in_", ())) if isinstance(columns, str) else list(columns)
    if not names:
        return list(encoded), False
    if set(names) <= set(encoded):
        return names, False
    if set(names) <= set(table):
        return names, True
    both = list(dict.fromkeys([*table, *encoded]))
    missing = [name for name in names if name not in both] or [name for name in names if name not in table]
    raise InputError(
        f"{source}: takes {shown(missing[0])}, which the table does not have{suggest(missing[0], both)}, expected "
        "the columns of the file, or those of the encoded table"
    )


def taken(
    estimator: Any, encoded: pd.DataFrame, table: pd.DataFrame, columns: Sequence[str] | str, source: str
) -> pd.DataFrame:
    """Return the rows as an estimator takes them.

    Args:
        encoded: the features of the encoded table. table: the same rows, with the columns of the file.
        columns: names, in its order; `encoded` takes those that it was fitted with, and all of the encoded table where
            it was fitted without names.

    Raises:
        InputError: neither table has all of the columns, or their number is another one.
    """
    names, of_file = columns_taken(estimator, [*map(str, encoded)], [*map(str, table)], columns, source)
    rows = (table if of_file else encoded)[names]
    expected = getattr(estimator, "n_features_in_", rows.shape[1])
    if rows.shape[1] != expected:
        raise InputError(
            f"{source}: takes {expected} columns without names, the encoded table has {rows.shape[1]}, expected as "
            "many: name them under `columns`, or fit it on a frame"
        )
    # Arrays were what it was fitted on, if it knows no names.
    return rows if hasattr(estimator, "feature_names_in_") else rows.set_axis(range(rows.shape[1]), axis=1)


def linear_parts(
    estimator: Any, rows: pd.DataFrame, classes: Sequence[str], source: str
) -> tuple[Float[Tensor, "N d"], Float[Tensor, "c d"], Float[Tensor, "c"]]:
    """Take a classifier apart: what its last step sees of rows, and that step's coefficients.

    Args:
        rows: as `taken` returns them.
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
    inputs: Any = rows if hasattr(estimator, "feature_names_in_") else rows.to_numpy()
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
