"""Walking through a frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd


def rows_of(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows as named tuples; of any type, because the columns of a frame have no static ones."""
    yield from frame.itertuples(index=False)
