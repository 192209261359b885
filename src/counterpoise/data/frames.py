"""Frames and arrays to features: numbers and truth values as they are, one feature for each category of all else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32
from pandas.api import types

from counterpoise.data.encoding import EXAMPLE_ROWS, numbers
from counterpoise.data.values import distinct, name_of
from counterpoise.errors import InputError

MISSING = "(missing)"
"""The category of missing values."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """How the columns of one frame become features, so that those of another do in the same way.

    Attributes:
        described: the encoding as plain data (`data.encoding`). example: a few rows.
    """

    described: Mapping[str, Any]
    example: pd.DataFrame

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Encoder:
        """Take the categories of a frame, sorted by their names; a missing one is a category too."""
        columns = [_entry(frame[name]) for name in frame]
        return cls(numbers([]) | {"columns": columns, "missing": []}, frame.head(EXAMPLE_ROWS).reset_index(drop=True))

    @classmethod
    def of_matrix(cls, matrix: Float32[np.ndarray, "n D"]) -> Encoder:
        """Call the columns of an array x0, x1, …."""
        names = [f"x{place}" for place in range(matrix.shape[1])]
        return cls(numbers(names), pd.DataFrame(matrix[:EXAMPLE_ROWS].astype(np.float64), columns=names))

    def __call__(self, frame: pd.DataFrame) -> Float32[np.ndarray, "n D"]:
        """Return the features; a category that is not among those that were taken is none of them.

        Raises:
            InputError: a number is missing or infinite.
        """
        features: list[np.ndarray] = []
        for entry, name in zip(self.described["columns"], frame.columns, strict=True):
            if entry["kind"] == "category":
                names = _names(frame[name])
                features += [(names == category).to_numpy(dtype=np.float32) for category in entry["categories"]]
            else:
                features.append(frame[name].to_numpy(dtype=np.float32, na_value=np.nan))
        matrix = np.stack(features, axis=1) if features else np.empty((len(frame), 0), dtype=np.float32)
        if not np.isfinite(matrix).all():
            raise InputError("X has missing or infinite numbers, expected finite ones")
        return matrix


def _entry(column: pd.Series) -> dict[str, Any]:
    (entry,) = numbers([str(column.name)])["columns"]
    if types.is_bool_dtype(column):
        return entry | {"kind": "boolean"}
    if types.is_numeric_dtype(column):
        return entry
    categories: Sequence[str] = sorted(str(name) for name in distinct(_names(column)))
    return entry | {
        "kind": "category",
        "fill": MISSING,
        "categories": list(categories),
        "features": [f"{column.name}={category}" for category in categories],
    }


def _names(column: pd.Series) -> pd.Series:
    return column.astype(object).map(name_of, na_action="ignore").fillna(MISSING).astype("str")
