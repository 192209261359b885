"""The block `retraining` of conf/: which experiment is retrained, on what, and what its models have to show."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from counterpoise.bounds import Count
from counterpoise.config.data import Settings
from counterpoise.retraining.gate import Gate
from counterpoise.retraining.monitor import Monitor


class Retraining(Settings):
    """What is retrained, and when its model takes the champion's place.

    experiment: its name; it is on a table and has no parts. model_name: of its models in the registry.
    method, seed: of an experiment that fine-tunes heads, the variant and the seed that are exported; without a seed the
    first one. A frontier exports the model that it chooses.
    held_out: share of the rows, drawn by what they contain, that no training ever sees and that decide.
    window: newest partitions that are trained and decided on, beside the rows that the experiment has anyway.
    min_rows: labelled rows that a partition needs.
    """

    experiment: str
    model_name: str = Field(min_length=1)
    method: str | None = None
    seed: int | None = None
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    window: Count = 26
    min_rows: Count = 100
    gate: Gate = Gate(patience=1)
    monitor: Monitor = Monitor()

    @model_validator(mode="after")
    def _asked_once(self) -> Retraining:
        if self.gate.patience != 1:
            raise ValueError(
                f"gate.patience is {self.gate.patience}, expected 1: held-out rows are used again, so that each model "
                "may be asked about once"
            )
        return self
