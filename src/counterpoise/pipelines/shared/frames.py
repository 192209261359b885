"""Frames as plain values, and codes under their names: for documents that stages leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as plain values that JSON can hold; NaN and infinities as None."""
    return [{str(key): _plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


def named(codes: np.ndarray | pd.Series, names: Sequence[str]) -> pd.Categorical[Any]:
    """Return codes 0, 1, … as categories with these names, also those that no code has."""
    return pd.Categorical.from_codes(np.asarray(codes).astype(np.int64), pd.Index(names))


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
