"""Predictions to metrics, metrics to verdicts, and all of it to a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

from counterpoise.fairness import confusion_counts, evaluate, leakage, noise_floor
from counterpoise.params import Dataset, Evidence, Report, Variants
from counterpoise.pipelines.arrays import examples, rows
from counterpoise.pipelines.evidence import applicable
from counterpoise.reporting import ReportContext, build, figures, model_card, tables
from counterpoise.reporting import claims as claims_room
from counterpoise.storage import Checkpoint

SETTINGS = ("alpha", "rank", "constraint", "strength")
"""The columns of `metrics.parquet` that hold a variant's settings."""


def measure(
    predictions: pd.DataFrame,
    samples: pd.DataFrame,
    splits: Checkpoint,
    features: Checkpoint,
    finetuned_heads: Checkpoint,
    dataset: Dataset,
    report: Report,
) -> pd.DataFrame:
    """Return the contract's `metrics`: one row per variant, seed and metric, on the test split.

    `leakage` is read from the frozen features, which all heads of a replicate share, so it is the same for all of them.
    """
    keys, arrays = _stack(predictions)
    values = evaluate(**arrays, groups=len(dataset.groups), classes=len(dataset.classes))
    if report.leakage:
        values["leakage"] = torch.tensor(keys["seed"].map(_leakage(samples, splits, features)).to_numpy())
    known: Mapping[str, Mapping[str, Any]] = finetuned_heads.header["variants"]
    settings = pd.DataFrame(
        [{name: known.get(variant, {}).get(name) for name in SETTINGS} for variant in keys["variant"]]
    ).astype({"alpha": "float64", "rank": "Int64", "constraint": "str", "strength": "float64"})
    frames = [
        keys.assign(split="test", metric=metric, value=value.flatten().numpy()).join(settings)
        for metric, value in values.items()
    ]
    return pd.concat(frames, ignore_index=True)


def summarize(
    metrics: pd.DataFrame, evidence: Evidence, variants: Variants, report: Report
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the contract's `summary` and `claims`."""
    tested = applicable(evidence, variants)
    published = [row.model_dump() for row in tested.published]
    return tables.summary(metrics, published), claims_room.evaluate(metrics, _claims(tested), level=report.level)


def floors(predictions: pd.DataFrame, dataset: Dataset) -> dict[str, dict[str, float]]:
    """Return variant → metric → the gap that a perfectly fair model with the same cells would show, mean over seeds."""
    keys, arrays = _stack(predictions)
    counts = confusion_counts(
        arrays["y"], arrays["prediction"], arrays["s"], groups=len(dataset.groups), classes=len(dataset.classes)
    )
    expected = {metric: noise_floor(metric, counts) for metric in ("delta_dp", "delta_eo")}
    frame = keys.assign(**{metric: value.flatten().numpy() for metric, value in expected.items() if value is not None})
    means = frame.groupby("variant", sort=False)[list(expected)].mean()
    return {str(variant): {str(name): float(gap) for name, gap in row.items()} for variant, row in means.iterrows()}


def draw_figures(
    metrics: pd.DataFrame,
    summary: pd.DataFrame,
    claims: pd.DataFrame,
    noise_floors: dict[str, dict[str, float]],
    importance: Checkpoint,
    learning_curves: pd.DataFrame,
    dataset: Dataset,
) -> tuple[go.Figure, go.Figure, go.Figure, go.Figure]:
    """Return Figure 4, the paired differences, Figure 3 and the learning curves."""
    return (
        figures.performance(metrics, summary, noise_floor=noise_floors),
        figures.paired_differences(claims),
        figures.fisher_diagonal(importance.tensors["fisher"].double().numpy(), dataset.group_names),
        figures.learning_curves(learning_curves),
    )


def write_report(
    summary: pd.DataFrame,
    claims: pd.DataFrame,
    predictions: pd.DataFrame,
    noise_floors: dict[str, dict[str, float]],
    data_summary: dict[str, Any],
    figure_performance: go.Figure,
    figure_differences: go.Figure,
    figure_fisher: go.Figure,
    figure_curves: go.Figure,
    dataset: Dataset,
    evidence: Evidence,
    variants: Variants,
    run: dict[str, Any],
) -> tuple[str, dict[str, Any], str]:
    """Return the HTML report, the same as JSON, and the model card."""
    context = ReportContext(
        experiment=run["experiment"],
        title=run["title"],
        dataset=dataset.title,
        summary=summary,
        claims=claims,
        claim_specs=_claims(applicable(evidence, variants)),
        figures={
            "performance": figure_performance,
            "differences": figure_differences,
            "fisher": figure_fisher,
            "curves": figure_curves,
        },
        splits=pd.DataFrame(data_summary["cells"]),
        settings=run["settings"],
        noise_floor=noise_floors,
        lineage={**run["lineage"], "data_digest": data_summary["digest"]},
        group_names=dataset.group_names,
        class_names=dataset.classes,
        sensitive=dataset.sensitive,
        target=dataset.label,
        notes=evidence.notes,
        group_rates=tables.group_rates(predictions, classes=len(dataset.classes)),
    )
    html, document = build(context)
    return html, document, model_card(context)


def _claims(evidence: Evidence) -> list[dict[str, Any]]:
    return [claim.model_dump() for claim in evidence.claims]


def _stack(predictions: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Tensor]]:
    """Return the (method, variant, seed) of every head, and y, s, prediction and score as [heads, n].

    All heads have equally many test rows, so the long table is a matrix that was laid flat.
    """
    keys = predictions[["method", "variant", "seed"]].drop_duplicates(ignore_index=True)
    arrays = {
        name: torch.tensor(predictions[name].to_numpy().reshape(len(keys), -1))
        for name in ("y", "s", "prediction", "score")
    }
    return keys, arrays


def _leakage(samples: pd.DataFrame, splits: Checkpoint, features: Checkpoint) -> dict[int, float]:
    """Return how well a linear probe reads s from the features of each replicate's test rows, by seed."""
    data, members = examples(samples, features.tensors["features"]), rows(splits, "test")
    probes = {}
    for r, seed in enumerate(splits.header["seeds"]):
        x, _, s = data.replicate(r).take(members[r : r + 1])
        probes[seed] = leakage(x[0], s[0], seed=seed)
    return probes
