"""Sections of experiments on last layers: the paper's figures and tables, and what the weighted SVD implies."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from counterpoise.catalogue import FACTORED
from counterpoise.reporting import figures, figures_fisher, figures_parts, tables_parts
from counterpoise.reporting._frames import rows_of
from counterpoise.reporting._templates import render
from counterpoise.reporting.context import Fragment, ReportContext, Table
from counterpoise.reporting.sections import VIEW, Tensors, figure, section


@figure(place=30, needs=[f"{VIEW}parts"])
def parts(context: ReportContext, metrics: pd.DataFrame) -> go.Figure:
    """Error and bias of all parts side by side (Tables 2 and 4)."""
    return figures_parts.by_part(metrics, context.summary, level=context.level)


@figure(place=30, needs=[f"{VIEW}ablation"])
def ablation(context: ReportContext, metrics: pd.DataFrame) -> go.Figure:
    """What α does in every part (Figure 5)."""
    return figures_parts.ablation(metrics, level=context.level)


@figure(place=30)
def representation(context: ReportContext, components: pd.DataFrame) -> go.Figure:
    """What the heads of all parts see of the samples that are predicted positive (Figure 1)."""
    shares = {row.part: (row.share_x, row.share_y) for row in rows_of(components.drop_duplicates("part"))}
    return figures_parts.representation(components, context.group_names, shares=shares)


@figure(place=40)
def curves(context: ReportContext, learning_curves: pd.DataFrame) -> go.Figure:
    """Training loss and validation error by epoch."""
    return figures.learning_curves(learning_curves)


@figure(place=50, needs=["importance"])
def performance(context: ReportContext, metrics: pd.DataFrame) -> go.Figure:
    """Error and bias of every variant (Figure 4)."""
    return figures.performance(metrics, context.summary, noise_floor=context.noise_floor, level=context.level)


@figure(place=70)
def fisher(context: ReportContext, importance: Mapping[str, Tensors]) -> go.Figure:
    """What matters to which group (Figure 3), of the first part."""
    first = next(iter(importance.values()))
    fisher = first.tensors["fisher"].double().numpy()
    return figures_fisher.fisher_diagonal(fisher, context.group_names, context.class_names)


@section(place=40)
def parameter_counts(
    context: ReportContext, finetuned_heads: Mapping[str, Tensors], retrained: Mapping[str, Tensors]
) -> Table:
    """What each method trains (Table 3); a whole network has its own weights and biases."""
    counts: dict[str, int] = {}
    for checkpoint, prefixes in ((finetuned_heads, None), (retrained, ("weights", "biases"))):
        for stored in checkpoint.values():
            for variant in stored.header["variants"]:
                counts[variant] = sum(
                    tensor[0].numel() if prefixes is None else tensor[0, 0].numel()
                    for name, tensor in stored.tensors.items()
                    if name.startswith(prefixes or f"{variant}.")
                )
    return tables_parts.parameter_counts(context.summary, counts)


@section(place=45, chapter="appendix")
def other_layers(context: ReportContext, layer_factors: pd.DataFrame) -> Table:
    """What factors in the place of other layers than the head do to a network that came trained."""
    return tables_parts.layer_factors(layer_factors)


@section(place=50, needs=[f"{VIEW}parts"])
def before_after(context: ReportContext) -> Table:
    """Every pretrained model before and after fine-tuning (Table 2)."""
    return tables_parts.before_after(context.summary, parts=context.parts)


@section(place=20)
def weighted_svd(context: ReportContext) -> Fragment | None:
    """When the two ways to factor a head can differ."""
    if not set(context.summary["method"]) >= FACTORED:
        return None
    return Fragment(render("weighted_svd.html.j2"), chapter="method")
