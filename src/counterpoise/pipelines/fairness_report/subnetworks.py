"""Results of unbiased sub-networks: measured, and brought into the report."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from counterpoise.params import Dataset
from counterpoise.pipelines.fairness_report.nodes import measure_repairs
from counterpoise.reporting.figures import paired_differences
from counterpoise.reporting.figures_subnetworks import accuracy_maps, closed_layers, extraction_curves
from counterpoise.reporting.tables_subnetworks import MEASURED

SHOWN = ("vanilla", "ffw", "ffw_structured", "refit")
"""Methods whose accuracy is shown by class and value of the bias."""


def measure_subnetworks(predictions: pd.DataFrame, extractions: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Return the contract's `metrics`: those of predictions, and those of what is left of the bias."""
    of_predictions = measure_repairs(predictions, dataset)
    settings = of_predictions.drop_duplicates(["variant", "seed"]).drop(columns=["metric", "value"])
    keys = ["method", "variant", "seed"]
    further = [
        settings.merge(extractions[[*keys, name]].rename(columns={name: "value"}), on=keys).assign(metric=name)
        for name in MEASURED
    ]
    return pd.concat([of_predictions, *further], ignore_index=True)[list(of_predictions)]


def draw_subnetworks(
    claims: pd.DataFrame,
    predictions: pd.DataFrame,
    curves: pd.DataFrame,
    closed: pd.DataFrame,
    dataset: Dataset,
) -> tuple[go.Figure, ...]:
    """Return the paired differences, how gates were learnt, where they are closed, and accuracy by class and bias."""
    return (
        paired_differences(claims),
        extraction_curves(curves),
        closed_layers(closed),
        accuracy_maps(predictions, dataset.classes, dataset.group_names, SHOWN),
    )
