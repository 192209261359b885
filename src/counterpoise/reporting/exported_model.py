"""The model that leaves a frontier: which it is, how well its tolerance holds, where it lies, and how to use it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any, Final

from counterpoise.reporting.wording import is_missing, number, shortfall_symbol

ROWS: Final = "rows.csv"
"""The reader's own file, in the command that predicts with the model."""


@dataclass(frozen=True)
class ExportedModel:
    """What to say about an exported model.

    Attributes:
        variant, seed: of the model.
        criterion, tolerance: what its choice was to keep: `shortfall(criterion)` ≤ tolerance.
        met: whether it does on the validation rows of its seed, where `validation_bias` is measured.
        test_bias: the same on the test rows.
        held, seeds: in how many seeds the tolerance holds on test for the model chosen in that seed, of those in which
            the criterion can be measured.
        folder: where the model lies, as seen from the project's folder; None for a model in memory.
        columns: of the rows that it takes.
        of_features: whether these are features of images rather than columns of a table.
    """

    variant: str
    seed: int
    criterion: str
    tolerance: float
    met: bool
    validation_bias: float
    test_bias: float
    held: int
    seeds: int
    folder: str | None
    columns: tuple[str, ...]
    of_features: bool

    @property
    def command(self) -> str | None:
        """What predicts the rows of a CSV file, in the environment of the project; None for a model in memory."""
        if self.folder is None:
            return None
        return shlex.join(
            ["mlflow", "models", "predict", "--env-manager", "local", "-m", self.folder, "-i", ROWS, "-t", "csv"]
        )

    def sentences(self) -> tuple[str, ...]:
        """Which model, its tolerance on validation and test, and where it lies."""
        bound = f"{shortfall_symbol(self.criterion)} ≤ {self.tolerance:g}"
        on_validation = number(self.validation_bias)
        met = f"met on validation ({on_validation})"
        if not self.met:
            met = f"not met on validation ({on_validation}), where no model of its seed comes nearer"
        measured = (
            "cannot be measured on test" if is_missing(self.test_bias) else f"has {number(self.test_bias)} on test"
        )
        said = [
            f"The exported model is {self.variant} of seed {self.seed}, chosen under {bound}: {met}; it {measured}.",
            f"Of the models that are chosen in this way in each seed, the tolerance holds on test in {self.held} of "
            f"{self.seeds} seeds.",
        ]
        if self.folder is not None:
            kind = "features of an image" if self.of_features else "columns of the encoded table"
            said.append(
                f"It lies in {self.folder}, beside an example of the {len(self.columns)} {kind} that it takes "
                "(input_example.json)."
            )
        return tuple(said)

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            **{name: getattr(self, name) for name in ("variant", "seed", "criterion", "tolerance", "met")},
            **{name: getattr(self, name) for name in ("validation_bias", "test_bias", "held", "seeds", "folder")},
            "command": self.command,
            "sentences": list(self.sentences()),
        }
