"""Sections of experiments on repaired networks: the results of each repair, what it pruned, and how it was trained."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from counterpoise.reporting import figures_repairs, tables_repairs
from counterpoise.reporting.context import Findings, ReportContext, Table
from counterpoise.reporting.findings import repair_findings
from counterpoise.reporting.sections import figure, section
from counterpoise.reporting.tables_costs import saving_table

JUDGED = ("params:objective", "repairs")
"""What an experiment has that judges its repairs by an objective."""


@figure(place=20, needs=JUDGED)
def plane(context: ReportContext, metrics: pd.DataFrame) -> go.Figure:
    """Performance and bias of every repair."""
    return figures_repairs.repair_plane(metrics, context.objectives, level=context.level)


@figure(place=80)
def pruned(context: ReportContext, pruned_layers: pd.DataFrame) -> go.Figure:
    """What masks leave out, layer by layer."""
    return figures_repairs.pruned_layers(pruned_layers)


@figure(place=90, needs=JUDGED)
def agreement(context: ReportContext, mask_agreement: pd.DataFrame) -> go.Figure:
    """Whether masks of different seeds agree."""
    return figures_repairs.mask_agreement(mask_agreement)


@figure(place=100)
def curves(context: ReportContext, curves: pd.DataFrame, repairs: pd.DataFrame) -> go.Figure:
    """How the repairs were learned."""
    return figures_repairs.repair_curves(curves, repairs, context.objectives)


@figure(place=110, needs=JUDGED)
def critic(context: ReportContext, curves: pd.DataFrame) -> go.Figure:
    """What the critics learned."""
    return figures_repairs.critic_curves(curves)


@section(place=10, needs=JUDGED)
def in_words(context: ReportContext, metrics: pd.DataFrame, repairs: pd.DataFrame) -> Findings:
    """The best repair within the tolerance, and the controls."""
    return repair_findings(metrics, repairs, context.objectives, level=context.level)


@section(place=60, needs=JUDGED)
def tables(context: ReportContext, metrics: pd.DataFrame, repairs: pd.DataFrame) -> list[Table]:
    """The paper's tables, and what they omit."""
    objectives = context.objectives
    return [
        tables_repairs.paper_table(metrics, objectives, repairs=repairs, published_rows=context.published),
        *tables_repairs.repair_tables(metrics, repairs, objectives, noise_floors=context.noise_floor),
        tables_repairs.last_epoch_table(metrics, repairs, objectives, level=context.level),
        tables_repairs.critic_table(repairs),
    ]


@section(place=80)
def saving(context: ReportContext, costs: pd.DataFrame) -> Table:
    """What leaving weights out saves."""
    return saving_table(costs)
