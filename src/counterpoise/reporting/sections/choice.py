"""Sections of experiments with a frontier: the frontier, the choice under a tolerance, and the exported model."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import pandas as pd
import plotly.graph_objects as go

from counterpoise.catalogue import CHOSEN
from counterpoise.reporting import answer_frontier, figures_frontier, tables, tables_frontier
from counterpoise.reporting._frames import cells
from counterpoise.reporting._templates import render
from counterpoise.reporting.context import Findings, Fragment, Headline, ReportContext, Table
from counterpoise.reporting.sections import figure, section
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


MOST_RATES = 36
"""Rows of rates below the answer; of more, the chapter by group has all."""


@runtime_checkable
class Servable(Protocol):
    """A model that can be served: what it says of itself, where it lies, and the columns that it takes."""

    metadata: Mapping[str, Any]
    folder: Path | None

    @property
    def columns(self) -> tuple[str, ...]: ...


@figure(place=10)
def frontier_eo(context: ReportContext, frontier: pd.DataFrame, selection: pd.DataFrame) -> go.Figure:
    """The plane of error and ΔEO."""
    return _plane(context, frontier, selection, "delta_eo")


@figure(place=11)
def frontier_dp(context: ReportContext, frontier: pd.DataFrame, selection: pd.DataFrame) -> go.Figure:
    """The plane of error and ΔDP."""
    return _plane(context, frontier, selection, "delta_dp")


@figure(place=12, needs=["frontier"], chapter="appendix")
def hypervolumes(context: ReportContext, hypervolumes: pd.DataFrame) -> go.Figure:
    """The hypervolume of each method's frontier."""
    return figures_frontier.hypervolumes(hypervolumes, level=context.level)


@section(place=1)
def exchange(context: ReportContext, selection: pd.DataFrame, predictions: pd.DataFrame) -> Headline:
    """What the choice costs and buys."""
    return Headline(
        answer_frontier.headline(answer_frontier.models(selection, predictions, context.compared), selection)
    )


@section(place=2)
def choice_in_words(
    context: ReportContext, selection: pd.DataFrame, frontier: pd.DataFrame, predictions: pd.DataFrame
) -> Findings:
    """Which model was chosen, and what to beware of."""
    models = answer_frontier.models(selection, predictions, context.compared)
    floors = context.noise_floor.get(CHOSEN, {})
    return answer_frontier.findings(
        models, selection, frontier, predictions, floors, context.class_names, context.compared
    )


@section(place=3, chapter="answer", needs=["selection"])
def rates(
    context: ReportContext,
    selection: pd.DataFrame,
    predictions: pd.DataFrame,
    judged_counts: pd.DataFrame | None = None,
) -> Table | None:
    """What each group receives before and after, on the test rows and where they are counted on those of the choice.

    Args:
        judged_counts: `family, seed, s, y, prediction, rows`: how the rows that the choice was made by are predicted.
    """
    families = [answer_frontier.base_of(selection), CHOSEN]
    test = predictions[(predictions["split"] == "test") & predictions["variant"].isin(families)]
    counts = {"test": cells(test, ["variant", "seed", "s", "y", "prediction"])}
    if judged_counts is not None:
        counts = {"as judged": judged_counts.rename(columns={"family": "variant"}), **counts}
    classes = len(context.class_names)
    rates = {
        part: tables.rates_of_counts(
            frame[frame["variant"].isin(families)], ["variant"], classes=classes, level=context.level
        )
        for part, frame in counts.items()
    }
    names = (context.group_titles, context.class_names, context.sensitive)
    table = tables_frontier.rates_table(rates, families, *names, level=context.level)
    return table if len(table.rows) <= MOST_RATES else None


@section(place=4, chapter="answer")
def beside(context: ReportContext, selection: pd.DataFrame, predictions: pd.DataFrame) -> Table:
    """The choice beside the constant predictor, the unrepaired base and the peers."""
    models = answer_frontier.models(selection, predictions, context.compared)
    return tables_frontier.comparison_table(models, *answer_frontier.limits_of(selection), level=context.level)


@section(place=5, chapter="answer")
def apart(context: ReportContext, scored_only: pd.DataFrame) -> Table:
    """What people of groups that are not compared receive from the exported model."""
    return tables_frontier.apart_table(scored_only, context.class_names, context.sensitive, level=context.level)


@section(place=10)
def chosen(context: ReportContext, selection: pd.DataFrame) -> Table:
    """What each family chose on validation."""
    return tables_frontier.selection_table(selection)


@section(place=20, chapter="appendix")
def areas(context: ReportContext, hypervolume_differences: pd.DataFrame) -> Table:
    """The frontiers' hypervolumes, compared."""
    return tables_frontier.hypervolume_table(hypervolume_differences, level=context.level)


@section(place=10)
def exported(
    context: ReportContext,
    model: Mapping[str, Servable],
    selection: pd.DataFrame,
    example_images: Mapping[str, Any] | None = None,
) -> Fragment:
    """The exported model, and how to use it; features of images have no columns of a table."""
    (servable,) = model.values()
    choices = selection[selection["family"] == CHOSEN]
    inputs, whole = TABLE, None
    if example_images is not None:
        inputs, whole = "features of an image", f"counterpoise export {context.experiment} --to FOLDER"
    elif servable.columns == tuple(f"f{place}" for place in range(len(servable.columns))):
        inputs = "features of your model"  # which has no form without pickled objects
    described = describe(servable.metadata, choices, servable.folder, servable.columns, inputs=inputs, whole=whole)
    return fragment_of(described)


def fragment_of(model: ExportedModel) -> Fragment:
    """Return what the answer, the model card and `report.json` say of a model."""
    return Fragment(
        render("exported_model.html.j2", model=model),
        chapter="answer",
        card=render("exported_model.md.j2", model=model),
        data={"exported_model": model.document()},
    )


def _plane(context: ReportContext, frontier: pd.DataFrame, selection: pd.DataFrame, bias: str) -> go.Figure:
    """Draw the frontier with what each family chose, measured on the test split."""
    values = frontier[frontier["split"] == "test"].set_index(["seed", "variant", "metric"])["value"]
    choices = selection[["seed", "variant"]].assign(method=selection["family"]).dropna(subset=["variant"])
    for name in ("err", bias):
        keys = pd.MultiIndex.from_arrays([choices["seed"], choices["variant"], [name] * len(choices)])
        choices[name] = values.loc[keys].to_numpy()
    criterion, tolerance = selection[["criterion", "tolerance"]].iloc[0]
    return figures_frontier.frontier_plane(
        frontier,
        choices,
        bias=bias,
        tolerance=float(tolerance) if bias == criterion else None,
        noise_floor=context.noise_floor.get(CHOSEN, {}).get(bias),
        level=context.level,
    )
