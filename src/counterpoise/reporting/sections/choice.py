"""Sections of experiments with a frontier: the frontier, the choice under a tolerance, and the exported model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import plotly.graph_objects as go

from counterpoise.reporting import figures_frontier, tables_frontier
from counterpoise.reporting._templates import render
from counterpoise.reporting.context import Fragment, ReportContext, Table
from counterpoise.reporting.exported_model import ExportedModel, describe
from counterpoise.reporting.sections import figure, section

# The name of the family of models that may take any head: the noise floor is that of what it chose.
ANY_HEAD = "chosen"


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


@figure(place=12, needs=["frontier"])
def hypervolumes(context: ReportContext, hypervolumes: pd.DataFrame) -> go.Figure:
    """The hypervolume of each method's frontier."""
    return figures_frontier.hypervolumes(hypervolumes, level=context.level)


@section(place=10)
def chosen(context: ReportContext, selection: pd.DataFrame) -> Table:
    """What each family chose on validation, measured on test."""
    return tables_frontier.selection_table(selection, level=context.level)


@section(place=20)
def areas(context: ReportContext, hypervolume_differences: pd.DataFrame) -> Table:
    """The frontiers' hypervolumes, compared."""
    return tables_frontier.hypervolume_table(hypervolume_differences, level=context.level)


@section(place=30)
def importance(context: ReportContext, importance_effect: pd.DataFrame) -> Table:
    """Whether importance helps under a penalty."""
    return tables_frontier.importance_table(importance_effect, level=context.level)


@section(place=10)
def exported(
    context: ReportContext,
    model: Mapping[str, Servable],
    selection: pd.DataFrame,
    example_images: Mapping[str, Any] | None = None,
) -> Fragment:
    """The exported model, and how to use it; features of images have no columns of a table."""
    (servable,) = model.values()
    choices = selection[selection["family"] == ANY_HEAD]
    return fragment_of(
        describe(servable.metadata, choices, servable.folder, servable.columns, of_features=example_images is not None)
    )


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
        noise_floor=context.noise_floor[ANY_HEAD].get(bias),
        level=context.level,
    )
