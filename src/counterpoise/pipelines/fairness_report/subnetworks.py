"""Results of unbiased sub-networks: measured, and brought into the report."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Dataset, Report
from counterpoise.pipelines.fairness_report.nodes import measure_models
from counterpoise.reporting.figures import paired_differences
from counterpoise.reporting.figures_subnetworks import (
    Explained,
    accuracy_maps,
    closed_layers,
    extraction_curves,
    heat_maps,
)
from counterpoise.reporting.tables_subnetworks import MEASURED

SHOWN = ("vanilla", "ffw", "ffw_structured", "refit")
"""Methods whose accuracy is shown by class and value of the bias."""

WITHOUT_PEOPLE = frozenset({"biased_mnist", "corrupted_cifar10", "multicolor_mnist"})
"""Readers of images that a report shows unasked; for others `report.examples` has to be above 0, see `gallery`."""


def measure_subnetworks(predictions: pd.DataFrame, extractions: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Return the contract's `metrics`: those of predictions, and those of what is left of the bias."""
    names = extractions.drop_duplicates("variant").set_index("variant")[["alpha", "rank"]].astype(object)
    known = names.where(names.notna(), None).to_dict("index")
    by_variant = {str(variant): {str(name): value for name, value in own.items()} for variant, own in known.items()}
    of_predictions = measure_models(predictions, dataset, by_variant)
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


def draw_explanations(run: dict[str, Any], dataset: Dataset, report: Report, **explanations: Checkpoint) -> go.Figure:
    """Return what the first seed's networks look at in ten test images, before and after.

    Args:
        explanations: `explanations`, or `<key>__explanations` of each part.
    """
    named = {f"{key}__explanations": name for key, name in run["parts"].items()} or {"explanations": ""}
    shown = dataset.reader in WITHOUT_PEOPLE or report.examples > 0
    parts = {name: _explained(explanations[key], images=shown) for key, name in named.items()}
    return heat_maps(parts, dataset.classes, dataset.group_names)


def _explained(stored: Checkpoint, *, images: bool) -> Explained:
    arrays = {name: tensor.numpy() for name, tensor in stored.tensors.items()}
    variants = stored.header["variants"]
    return Explained(
        method=stored.header["method"],
        images=arrays["images"].transpose(0, 2, 3, 1) if images else None,
        y=arrays["y"],
        s=arrays["s"],
        heat={name: arrays[f"{name}.heat"] for name in variants},
        prediction={name: arrays[f"{name}.prediction"] for name in variants},
    )
