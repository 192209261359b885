"""Bounds of settings, as annotations: `lr: Positive = 1e-3`; `config` checks them, a dataclass alone does not."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt, MinLen

Count = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Inside = Annotated[float, Gt(0), Lt(1)]
Grid = MinLen(1)
"""Of a sequence of values to try: `Annotated[tuple[Positive, ...], Grid]`."""
