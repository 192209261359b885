"""The model that leaves a frontier: which it is, how well its tolerance holds, where it lies, and how to use it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from counterpoise.reporting.tables_frontier import held
from counterpoise.reporting.wording import is_missing, number, shortfall_symbol

ROWS: Final = "rows.csv"
"""The reader's own file, in the command that predicts with the model."""


TABLE: Final = "columns of the table"


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
        inputs: what these are: `columns of the table`, or features of something that is not part of the model.
        whole: the command that exports the model with what makes its features of images; None where it takes columns.
        divided: share of all rows that its rule decides otherwise than it would without dither.
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
    inputs: str = TABLE
    whole: str | None = None
    divided: float = 0.0

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
            met = f"not met on validation ({on_validation}), but no model of its seed is nearer"
        measured = (
            "cannot be measured on test" if is_missing(self.test_bias) else f"has {number(self.test_bias)} on test"
        )
        sentences = [
            f"The exported model is {self.variant} of seed {self.seed}, chosen under {bound}: {met}; it {measured}.",
            f"One model is chosen in this way in each seed; on test, the tolerance holds for {self.held} of these "
            f"{self.seeds} models.",
        ]
        if self.divided > 0:
            sentences.append(
                "Its rule divides rows near a tie by a fixed pattern of their scores (bias_scores.dither), which "
                f"decides {self.divided:.1%} of all rows otherwise than without it: people who are nearly alike may be "
                "decided differently."
            )
        if self.folder is not None:
            sentences.append(
                f"It lies in {self.folder}, beside an example of the {len(self.columns)} {self.inputs} that it takes "
                "(input_example.json)."
            )
        if self.whole is not None:
            sentences.append(f"With its backbone, so that it takes images, `{self.whole}` writes it down.")
        return tuple(sentences)

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            **{name: getattr(self, name) for name in ("variant", "seed", "criterion", "tolerance", "met")},
            **{name: getattr(self, name) for name in ("validation_bias", "test_bias", "held", "seeds", "folder")},
            "command": self.command,
            "sentences": list(self.sentences()),
        }


def describe(
    metadata: Mapping[str, Any],
    choices: pd.DataFrame,
    folder: Path | None,
    columns: tuple[str, ...],
    *,
    inputs: str = TABLE,
    whole: str | None = None,
) -> ExportedModel:
    """Describe an exported model by its metadata, and by what became of the same choice in the other seeds.

    Args:
        metadata: `variant, seed, criterion, tolerance, meets, validation_bias, test_bias` of the model, and `divided`.
        choices: `tables_frontier.SELECTION_KEYS` of its family.
        folder, columns, inputs, whole: as of `ExportedModel`; the folder as an absolute path.
    """
    holds, seeds = held(choices, metadata["tolerance"])
    on_validation, on_test = (
        math.nan if metadata[name] is None else float(metadata[name]) for name in ("validation_bias", "test_bias")
    )
    return ExportedModel(
        **{name: metadata[name] for name in ("variant", "seed", "criterion", "tolerance")},
        met=bool(metadata["meets"]),
        validation_bias=on_validation,
        test_bias=on_test,
        held=holds,
        seeds=seeds,
        folder=None if folder is None else str(_from_project(folder)),
        columns=columns,
        inputs=inputs,
        whole=whole,
        divided=metadata.get("divided", 0.0),
    )


def _from_project(folder: Path) -> Path:
    """Return a path as seen from the project's folder, from which the commands of a report are run."""
    project = next((parent for parent in folder.parents if (parent / "pyproject.toml").is_file()), None)
    return folder if project is None else folder.relative_to(project)
