"""How the temperature of soft gates falls (FFW; METHODS.md part 3, 5)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from counterpoise.bounds import Count, Inside, Positive
from counterpoise.errors import InputError


class Schedule(ABC):
    """A temperature per epoch; a schedule holds nothing that changes, so that a training can go on from its curves."""

    epochs: int
    hard: ClassVar[bool] = False
    """Whether gates are the step 1[m ≥ 0] already in training, so that nothing is left between soft and hard."""

    @abstractmethod
    def after(self, temperature: float, stalled: int) -> float:
        """Return the next epoch's temperature.

        Args:
            temperature: of the epoch that has ended.
            stalled: for how many epochs, up to that one, the information on the validation rows has not fallen.
        """

    @property
    @abstractmethod
    def start(self) -> float:
        """The first epoch's temperature."""

    def ended(self, temperature: float) -> bool:
        """Whether training ends before an epoch at this temperature."""
        return False


class _Falling(Schedule):
    """A temperature that is cut by a factor, from a first one towards a last one."""

    factor: float
    first: float
    end: float

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1:
            raise InputError(
                f"gates: the temperature's factor is {self.factor:g}, expected a number between 0 and 1: it never falls"
            )
        if self.first <= 0:
            raise InputError(f"gates: the first temperature is {self.first:g}, expected a number above 0")
        if self.end >= self.first:
            raise InputError(
                f"gates: the last temperature is {self.end:g}, expected less than the first, {self.first:g}: it never "
                "falls"
            )

    @property
    def start(self) -> float:
        return self.first


@dataclass(frozen=True)
class Stalling(_Falling):
    """`paper`: the temperature is cut whenever the information stalls, until it is negligible.

    Attributes:
        factor: of each cut. patience: epochs without progress before a cut. end: below it, training ends.
        epochs: at most.
    """

    kind: Literal["stalling"] = "stalling"
    factor: Inside = 0.1
    patience: Count = 5
    end: Positive = 1e-8
    epochs: Count = 200
    first: Positive = 1.0

    def after(self, temperature: float, stalled: int) -> float:
        return temperature * self.factor if stalled > self.patience else temperature

    def ended(self, temperature: float) -> bool:
        return temperature < self.end


@dataclass(frozen=True)
class Geometric(_Falling):
    """`cpu`: the same cut after every epoch, down to a last temperature at which gates are all but hard."""

    kind: Literal["geometric"] = "geometric"
    factor: Inside = 0.6
    end: Positive = 0.004
    epochs: Count = 11
    first: Positive = 1.0

    def after(self, temperature: float, stalled: int) -> float:
        return max(temperature * self.factor, self.end)


@dataclass(frozen=True)
class StraightThrough(Schedule):
    """`hard`: gates are hard from the first step on; the temperature only shapes the gradient, and stays."""

    kind: Literal["straight_through"] = "straight_through"
    temperature: Positive = 1.0
    epochs: Count = 15
    hard: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise InputError(f"gates: the temperature is {self.temperature:g}, expected a number above 0")

    @property
    def start(self) -> float:
        return self.temperature

    def after(self, temperature: float, stalled: int) -> float:
        return temperature
