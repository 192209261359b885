"""Sections that every experiment can have: how its methods differ, and example images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from counterpoise.reporting import figures, gallery
from counterpoise.reporting._templates import render
from counterpoise.reporting.context import Findings, Fragment, ReportContext
from counterpoise.reporting.sections import figure, section


@figure(place=60)
def differences(context: ReportContext) -> go.Figure:
    """The claims as a forest plot."""
    return figures.paired_differences(context.claims)


@section(place=10)
def examples(context: ReportContext, example_images: Mapping[str, Any]) -> Fragment | None:
    """Images of every cell, where somebody asked for them."""
    if not example_images:
        return None
    rows = gallery.table(example_images, context.group_names, context.class_names)
    return Fragment(
        render("examples.html.j2", context=context, shown=example_images, rows=rows),
        title="Example images",
        data={"examples": gallery.without_pixels(example_images)},
    )


@section(place=5)
def trained_elsewhere(context: ReportContext) -> Findings:
    """That a model which came trained may have seen the rows it is tested on."""
    if not (context.settings.get("trees") or context.settings.get("model")):
        return ()
    return (
        "The model came trained, on rows that are not known here. If some of them are in the validation or test part, "
        "it looks better here than it is on new rows, before repair and after.",
    )
