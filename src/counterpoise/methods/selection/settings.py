"""What a choice reads: the outcomes of models, the classes and groups, and how models are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor

from counterpoise.errors import InputError, shown, suggest
from counterpoise.fairness import CRITERIA, Compared


@runtime_checkable
class Outcomes(Protocol):
    """Scores of all models by part, `<part>.score` [R, V, m], and in the header their settings by name, `variants`."""

    @property
    def tensors(self) -> Mapping[str, Tensor]: ...

    @property
    def header(self) -> Mapping[str, Any]: ...


@runtime_checkable
class Population(Protocol):
    """What classes and groups are called, and which groups are compared."""

    @property
    def title(self) -> str: ...

    @property
    def classes(self) -> Sequence[str]: ...

    @property
    def group_names(self) -> Sequence[str]: ...

    @property
    def compared(self) -> Compared: ...


@runtime_checkable
class Judging(Protocol):
    """How models are judged; `counterpoise.config.parameters.Selection` describes the settings."""

    @property
    def tolerance(self) -> float: ...

    @property
    def criterion(self) -> str: ...

    @property
    def validation(self) -> str: ...

    @property
    def smoothing(self) -> float: ...

    @property
    def nested_folds(self) -> int: ...

    @property
    def certify(self) -> float | None: ...


@dataclass(frozen=True)
class Judge:
    """`Judging` for who has no configuration.

    Raises:
        InputError: an unknown criterion, or a tolerance below 0.
    """

    tolerance: float = 0.05
    criterion: str = "delta_eo"
    validation: Literal["auto", "own", "pooled"] = "auto"
    smoothing: float = 0.3
    nested_folds: int = 5
    certify: float | None = None

    def __post_init__(self) -> None:
        if self.criterion not in CRITERIA:
            raise InputError(f"criterion is {shown(self.criterion)}{suggest(self.criterion, CRITERIA)}")
        if not 0 <= self.tolerance < inf:
            raise InputError(f"tolerance is {shown(self.tolerance)}, expected a number of at least 0")


@dataclass(frozen=True)
class Names:
    """`Population` as plain values."""

    title: str
    classes: Sequence[str]
    group_names: Sequence[str]
    compared: Compared = None
