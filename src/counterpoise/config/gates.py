"""Parameters of the third paper's experiments: which sub-networks are looked for, and how.

The defaults are those of the dataclasses in `counterpoise.methods.gates`, to which these blocks are handed on.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from counterpoise.config.data import Count, Positive, Settings, Share, of_kind
from counterpoise.errors import shown

NotNegative = Annotated[float, Field(ge=0)]
Inside = Annotated[float, Field(gt=0, lt=1)]


class _Falling(Settings):
    end: Positive
    first: Positive = 1.0

    @model_validator(mode="after")
    def _falls(self) -> _Falling:
        if self.end >= self.first:
            raise ValueError(f"end is {self.end:g}, expected less than first, {self.first:g}: it never falls")
        return self


class Stalling(_Falling):
    """The temperature is cut when the information stalls; see `counterpoise.methods.gates.schedules`."""

    kind: Literal["stalling"] = "stalling"
    factor: Inside = 0.1
    patience: Count = 5
    end: Positive = 1e-8
    epochs: Count = 200


class Geometric(_Falling):
    """The temperature is cut after every epoch; see `counterpoise.methods.gates.schedules`."""

    kind: Literal["geometric"] = "geometric"
    factor: Inside = 0.6
    end: Positive = 0.004
    epochs: Count = 11


class StraightThrough(Settings):
    """Gates are hard from the first step; see `counterpoise.methods.gates.schedules`."""

    kind: Literal["straight_through"] = "straight_through"
    temperature: Positive = 1.0
    epochs: Count = 15


SCHEDULES: dict[str, type[Settings]] = {
    "stalling": Stalling,
    "geometric": Geometric,
    "straight_through": StraightThrough,
}


def _schedule(value: Any) -> Any:
    return of_kind(value, "kind", SCHEDULES, default="geometric")


class GateParameters(Settings):
    """How the gates of one method are learnt; see `counterpoise.methods.gates.gating.GateSettings`."""

    granularity: Literal["weights", "channels", "kernels"] = "weights"
    reader: Literal["head", "best"] = "head"
    alpha: NotNegative = 1.0
    gamma: NotNegative = 1.0
    lr: Positive = 0.03
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: NotNegative = 0.0
    batch_size: Count = 100
    temperature: Annotated[Stalling | Geometric | StraightThrough, BeforeValidator(_schedule)] = Geometric()
    initial: NotNegative = 0.0
    head_rows: Count = 3000


class RefitParameters(Settings):
    """How new last layers are trained; see `counterpoise.methods.gates.lastlayer.RefitSettings`."""

    epochs: Count = 200
    batch_size: Count = 1000
    lr: Positive = 0.03
    alpha: Share = 0.5


class BankParameters(Settings):
    """A bank of penalised last layers; see `counterpoise.methods.gates.lastlayer.BankSettings`."""

    strengths: tuple[NotNegative, ...] = Field(default=(0.0, 0.01, 0.03, 0.1, 0.3, 1.0), min_length=1)
    tolerance: NotNegative = 0.05
    epochs: Count = 200
    batch_size: Count = 1000
    lr: Positive = 0.03

    @field_validator("strengths")
    @classmethod
    def _increasing(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not low < high for low, high in pairwise(value)):
            raise ValueError(f"strengths are {shown(list(value))}, expected increasing numbers")
        return value


class Subnetworks(Settings):
    """Methods and their settings; see `counterpoise.methods.gates.catalogue`.

    gates: settings by the name of the method, of those that learn gates. accept_vanilla: go on with a network that has
    learnt nothing but the bias.
    """

    methods: tuple[str, ...] = Field(min_length=1)
    gates: dict[str, GateParameters] = Field(default={})
    refit: RefitParameters = RefitParameters()
    bank: BankParameters = BankParameters()
    accept_vanilla: bool = False
