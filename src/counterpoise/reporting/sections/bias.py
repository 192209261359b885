"""Sections of experiments that measure how much networks rely on a bias."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from counterpoise.catalogue import METHODS
from counterpoise.reporting import maps, tables_bias
from counterpoise.reporting.context import Findings, ReportContext, Table
from counterpoise.reporting.sections import Tensors, figure, section


@figure(place=120, needs=["explanations"])
def accuracy(context: ReportContext, predictions: pd.DataFrame) -> go.Figure:
    """Accuracy by class and value of the bias."""
    shown = [method.name for method in METHODS if method.in_maps]
    return maps.accuracy_maps(predictions, context.class_names, context.group_names, shown)


@figure(place=130)
def explanations(context: ReportContext, explanations: Mapping[str, Tensors]) -> go.Figure:
    """What the first seed's networks look at in ten test images, before and after."""
    parts = {
        part: maps.Explained.read(stored.tensors, stored.header, images=context.shows_images)
        for part, stored in explanations.items()
    }
    return maps.heat_maps(parts, context.class_names, context.group_names)


@section(place=20)
def in_words(context: ReportContext, metrics: pd.DataFrame, repairs: pd.DataFrame) -> Findings:
    """The sub-network beside the network as it was, and its peers."""
    if not tables_bias.measures_bias(repairs):
        return ()
    return tables_bias.bias_findings(metrics, repairs, level=context.level)


@section(place=70)
def tables(context: ReportContext, metrics: pd.DataFrame, repairs: pd.DataFrame) -> list[Table]:
    """Accuracy, and what remains of the bias."""
    if not tables_bias.measures_bias(repairs):
        return []
    return tables_bias.bias_tables(metrics, repairs, level=context.level)
