"""Predictions to metrics, metrics to verdicts, and all of it to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.artifacts.serving import Servable
from counterpoise.config.parameters import Dataset, Evidence, Report, Selection
from counterpoise.data.images import IMAGE, ImageFiles
from counterpoise.errors import InputError
from counterpoise.fairness import confusion_counts, evaluate, leakage, noise_floor
from counterpoise.pipelines.fairness_report.altering import biases, repair_context
from counterpoise.pipelines.fairness_report.exported import exported_model
from counterpoise.pipelines.shared.arrays import examples, rows
from counterpoise.pipelines.shared.evidence import applicable
from counterpoise.pipelines.shared.heads import CHOSEN, trainable_parameters
from counterpoise.reporting import (
    ReportContext,
    build,
    figures,
    figures_fisher,
    figures_frontier,
    gallery,
    model_card,
    tables,
    tables_frontier,
    tables_parts,
    tables_subnetworks,
)
from counterpoise.reporting import claims as claims_room
from counterpoise.reporting.exported_model import ExportedModel

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
    retrained: Checkpoint | None = None,
) -> pd.DataFrame:
    """Return the contract's `metrics`: one row per variant, seed and metric, on the test split.

    `leakage` is read from the frozen features, which all heads of a replicate share, so it is the same for all of them.
    A variant without predictions in a replicate, because it diverged there, has null for them.
    """
    keys, arrays = _stack(predictions)
    values = evaluate(**arrays, groups=len(dataset.groups), classes=len(dataset.classes))
    if report.leakage:
        values["leakage"] = torch.tensor(keys["seed"].map(_leakage(samples, splits, features)).to_numpy())
    absent = _absent(keys, splits.header["seeds"])
    keys = pd.concat([keys, absent], ignore_index=True)
    unknown = torch.full((len(absent),), torch.nan)
    known: Mapping[str, Mapping[str, Any]] = finetuned_heads.header["variants"] | (
        retrained.header["variants"] if retrained else {}
    )
    return _long(keys, {metric: torch.cat([value.flatten(), unknown]) for metric, value in values.items()}, known)


def measure_repairs(predictions: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Return the contract's `metrics` of whole networks, which have none of the settings of heads."""
    return measure_models(predictions, dataset, {})


def measure_models(
    predictions: pd.DataFrame, dataset: Dataset, settings: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Return the contract's `metrics` of what predictions say, with the settings of each variant that has some."""
    keys, arrays = _stack(predictions)
    return _long(keys, evaluate(**arrays, groups=len(dataset.groups), classes=len(dataset.classes)), settings)


def _long(keys: pd.DataFrame, values: Mapping[str, Tensor], known: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row per model and metric; a model's settings are those `known` of its variant."""
    settings = pd.DataFrame(
        [{name: known.get(variant, {}).get(name) for name in SETTINGS} for variant in keys["variant"]]
    ).astype({"alpha": "float64", "rank": "Int64", "constraint": "str", "strength": "float64"})
    frames = [
        keys.assign(split="test", metric=metric, value=value.flatten().numpy()).join(settings)
        for metric, value in values.items()
    ]
    return pd.concat(frames, ignore_index=True)


def summarize(metrics: pd.DataFrame, evidence: Evidence, report: Report) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the contract's `summary` and `claims`."""
    names = ["method", *SETTINGS]
    run = metrics.drop_duplicates("variant").set_index("variant")[names].astype(object)
    rows_ = run.where(run.notna(), None).to_dict("index")
    known = {str(variant): {str(name): value for name, value in own.items()} for variant, own in rows_.items()}
    tested = applicable(evidence, known)
    published = [row.model_dump(exclude_none=True) for row in tested.published]
    summary = tables.summary(metrics, published, level=report.level)
    return summary, claims_room.evaluate(metrics, _claims(tested), level=report.level)


def floors(predictions: pd.DataFrame, dataset: Dataset) -> dict[str, dict[str, float]]:
    """Return variant → metric → the gap that a perfectly fair model with the same cells would show, mean over seeds."""
    return _floors(predictions, dataset, ("delta_dp", "delta_eo"))


def floors_of_repairs(predictions: pd.DataFrame, dataset: Dataset, run: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the same for the biases that repairs are judged by; none is known of a mean bias."""
    return _floors(predictions, dataset, ("delta_dp", "delta_eo", *biases(run)))


def _floors(predictions: pd.DataFrame, dataset: Dataset, metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    keys, arrays = _stack(predictions)
    counts = confusion_counts(
        arrays["y"], arrays["prediction"], arrays["s"], groups=len(dataset.groups), classes=len(dataset.classes)
    )
    every = {metric: noise_floor(metric, counts) for metric in dict.fromkeys(metrics)}
    expected = {metric: value.flatten().numpy() for metric, value in every.items() if value is not None}
    frame = keys.assign(**expected)
    means = frame.groupby("variant", sort=False)[list(expected)].mean()
    return {str(variant): {str(name): float(gap) for name, gap in row.items()} for variant, row in means.iterrows()}


def draw_figures(
    metrics: pd.DataFrame,
    summary: pd.DataFrame,
    claims: pd.DataFrame,
    noise_floors: dict[str, dict[str, float]],
    importance: Checkpoint,
    dataset: Dataset,
    report: Report,
) -> tuple[go.Figure, go.Figure, go.Figure]:
    """Return Figure 4, the paired differences, and Figure 3."""
    return (
        figures.performance(metrics, summary, noise_floor=noise_floors, level=report.level),
        figures.paired_differences(claims),
        figures_fisher.fisher_diagonal(importance.tensors["fisher"].double().numpy(), dataset.group_names),
    )


def draw_frontier(
    frontier: pd.DataFrame,
    selection: pd.DataFrame,
    areas: pd.DataFrame,
    noise_floors: dict[str, dict[str, float]],
    settings: Selection,
    report: Report,
) -> tuple[go.Figure, go.Figure, go.Figure]:
    """Return the plane of error and ΔEO, that of error and ΔDP, and the hypervolumes."""
    values = frontier[frontier["split"] == "test"].set_index(["seed", "variant", "metric"])["value"]
    planes = []
    for bias in ("delta_eo", "delta_dp"):
        chosen = selection[["seed", "variant"]].assign(method=selection["family"]).dropna(subset=["variant"])
        for name in ("err", bias):
            keys = pd.MultiIndex.from_arrays([chosen["seed"], chosen["variant"], [name] * len(chosen)])
            chosen[name] = values.loc[keys].to_numpy()
        planes.append(
            figures_frontier.frontier_plane(
                frontier,
                chosen,
                bias=bias,
                tolerance=settings.tolerance if bias == settings.criterion else None,
                noise_floor=noise_floors[CHOSEN].get(bias),
                level=report.level,
            )
        )
    return (*planes, figures_frontier.hypervolumes(areas, level=report.level))


def pick_examples(
    predictions: pd.DataFrame, samples: pd.DataFrame, raw: Path, dataset: Dataset, report: Report
) -> dict[str, Any]:
    """Return `gallery.examples`, `report.examples` images per cell; an empty mapping where that is 0.

    Raises:
        InputError: an image can no longer be decoded.
    """
    if not report.examples:
        return {}
    images = ImageFiles(raw, samples[IMAGE], max_pixels=dataset.limits.image_pixels, value_range=dataset.image_range)

    def load(row: int) -> np.ndarray:
        image = images[row]
        if image.pixels is None:
            raise InputError(
                f"{raw / image.name}: cannot be shown ({image.reason}), expected the image that the features are of"
            )
        return image.pixels.permute(1, 2, 0).numpy()

    return gallery.examples(predictions, samples[IMAGE].tolist(), load, report.examples)


def write_report(
    summary: pd.DataFrame,
    claims: pd.DataFrame,
    predictions: pd.DataFrame,
    noise_floors: dict[str, dict[str, float]],
    data_summary: dict[str, Any],
    dataset: Dataset,
    evidence: Evidence,
    report: Report,
    run: dict[str, Any],
    *,
    example_images: Mapping[str, Any] | None = None,
    selection: pd.DataFrame | None = None,
    hypervolume_differences: pd.DataFrame | None = None,
    importance_effect: pd.DataFrame | None = None,
    finetuned_heads: Checkpoint | None = None,
    retrained: Checkpoint | None = None,
    metrics: pd.DataFrame | None = None,
    repairs: pd.DataFrame | None = None,
    costs: pd.DataFrame | None = None,
    extractions: pd.DataFrame | None = None,
    model: Servable | None = None,
    **drawn: go.Figure,
) -> tuple[str, dict[str, Any], str]:
    """Return the HTML report, the same as JSON, and the model card. What an experiment does not have is left out."""
    tested = set(zip(claims["claim"], claims["metric"], strict=True))
    further = [
        make(frame, level=report.level)
        for make, frame in (
            (tables_frontier.selection_table, selection),
            (tables_frontier.hypervolume_table, hypervolume_differences),
            (tables_frontier.importance_table, importance_effect),
        )
        if frame is not None
    ]
    if finetuned_heads is not None and retrained is not None:
        further.append(tables_parts.parameter_counts(summary, trainable_parameters(finetuned_heads, retrained)))
    if run["parts"] and "figure_parts" in drawn:
        further.append(tables_parts.before_after(summary, parts=list(run["parts"].values())))
    of_repairs: dict[str, Any] = {"tables": further}
    if metrics is not None and repairs is not None and costs is not None:
        of_repairs = repair_context(metrics, repairs, costs, run, evidence, noise_floors, level=report.level)
    if metrics is not None and extractions is not None:
        of_repairs = {
            "tables": tables_subnetworks.report_tables(metrics, extractions, costs, level=report.level),
            "findings": tables_subnetworks.findings(metrics, extractions, level=report.level),
            "headline_metrics": ("accuracy", *tables_subnetworks.MEASURED),
        }
    context = ReportContext(
        experiment=run["experiment"],
        title=run["title"],
        dataset=dataset.title,
        summary=summary,
        claims=claims,
        claim_specs=[claim for claim in _claims(evidence) if (claim["claim"], claim["metric"]) in tested],
        figures={name.removeprefix("figure_"): figure for name, figure in drawn.items()},
        splits=pd.DataFrame(data_summary["cells"]),
        left_out=data_summary["left_out"],
        settings=run["settings"],
        noise_floor=noise_floors,
        lineage={**run["lineage"], "data_digest": data_summary["digest"]},
        group_names=dataset.group_names,
        class_names=dataset.classes,
        sensitive=dataset.sensitive,
        target=dataset.label,
        notes=evidence.notes,
        group_rates=tables.group_rates(predictions, classes=len(dataset.classes), level=report.level),
        level=report.level,
        **of_repairs,
        examples=example_images or {},
        exported=_exported(model, selection, images=example_images is not None),
    )
    html, document = build(context)
    return html, document, model_card(context)


def _exported(model: Servable | None, selection: pd.DataFrame | None, *, images: bool) -> ExportedModel | None:
    if model is None or selection is None:
        return None
    return exported_model(model, selection, of_features=images)


def _claims(evidence: Evidence) -> list[dict[str, Any]]:
    return [claim.model_dump() for claim in evidence.claims]


def _stack(predictions: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Tensor]]:
    """Return the (method, variant, seed) of every head, and y, s, prediction and score as [heads, n].

    All heads have equally many test rows; in which order the table lists them does not matter.

    Raises:
        InputError: a head has fewer rows than another, or one of them twice.
    """
    names = ["method", "variant", "seed"]
    keys = predictions[names].drop_duplicates(ignore_index=True)
    heads = predictions.groupby(names, sort=False).ngroup().to_numpy()
    rows_ = predictions["row"].to_numpy()
    order = np.lexsort((rows_, heads))
    counts = np.bincount(heads)
    twice = np.flatnonzero((np.diff(heads[order]) == 0) & (np.diff(rows_[order]) == 0))
    if len(twice) or (counts != counts[0]).any():
        head = int(heads[order][twice[0]] if len(twice) else (counts != counts[0]).argmax())
        row = f"row {rows_[order][twice[0]]} twice" if len(twice) else f"{counts[head]:,} rows"
        raise InputError(
            f"predictions: variant {keys['variant'][head]!r} of seed {keys['seed'][head]} has {row}, expected "
            f"{counts[0]:,} different test rows, as many as every other"
        )
    ordered = predictions.iloc[order]
    arrays = {
        name: torch.tensor(ordered[name].to_numpy().reshape(len(keys), -1))
        for name in ("y", "s", "prediction", "score")
    }
    return keys, arrays


def _absent(keys: pd.DataFrame, seeds: list[int]) -> pd.DataFrame:
    """Return the (method, variant, seed) that other seeds of the variant have and this one lacks."""
    every = keys[["method", "variant"]].drop_duplicates().merge(pd.DataFrame({"seed": seeds}), how="cross")
    return every[~pd.MultiIndex.from_frame(every).isin(pd.MultiIndex.from_frame(keys[list(every)]))]


def _leakage(samples: pd.DataFrame, splits: Checkpoint, features: Checkpoint) -> dict[int, float]:
    """Return how well a linear probe reads s from the features of each replicate's test rows, by seed."""
    data, members = examples(samples, features.tensors["features"]), rows(splits, "test")
    probes = {}
    for r, seed in enumerate(splits.header["seeds"]):
        x, _, s = data.replicate(r).take(members[r : r + 1])
        probes[seed] = leakage(x[0], s[0], seed=seed)
    return probes
