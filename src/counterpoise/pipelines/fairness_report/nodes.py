"""Predictions to metrics, metrics to verdicts, and all of it to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.artifacts.predictions import COLUMNS, MODEL, grouped, models_of
from counterpoise.config.parameters import Dataset, Evidence, Report
from counterpoise.data.images import IMAGE, ImageFiles
from counterpoise.errors import InputError
from counterpoise.fairness import confusion_counts, evaluate, leakage, noise_floor, of_groups
from counterpoise.methods.objective import ObjectiveSettings
from counterpoise.pipelines.fairness_report.parts import join_parts
from counterpoise.pipelines.shared.arrays import examples, rows
from counterpoise.pipelines.shared.compared import compared_in, predicted_groups
from counterpoise.pipelines.shared.evidence import applicable
from counterpoise.pipelines.shared.predictions import counted
from counterpoise.reporting import ReportContext, build, gallery, model_card, tables
from counterpoise.reporting import claims as claims_room
from counterpoise.reporting.sections import Producer
from counterpoise.reporting.tables_bias import MEASURED
from counterpoise.reporting.wording import HEADLINE_METRICS

SETTINGS = {"alpha": "float64", "rank": "Int64", "constraint": "str", "strength": "float64"}
"""The columns of `metrics.parquet` that hold a variant's settings, and their types."""

NO_CLAIMS = Evidence()
"""What an experiment is held against whose row names no evidence; arguments that may be left out come last, since
Kedro checks the types of parameters by their position."""

OF_REPAIRS = (*MEASURED, "sparsity")
"""Columns of `repairs` that are metrics too, where they are measured."""

WITHOUT_PEOPLE = frozenset({"biased_mnist", "corrupted_cifar10", "multicolor_mnist"})
"""Readers of images that a report shows unasked; for others `report.examples` has to be above 0, see `gallery`."""


def measure(
    predictions: pd.DataFrame,
    dataset: Dataset,
    report: Report,
    *,
    samples: pd.DataFrame | None = None,
    splits: Checkpoint | None = None,
    features: Checkpoint | None = None,
    heads: Checkpoint | None = None,
    retrained: Checkpoint | None = None,
    repairs: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the contract's `metrics`: one row per variant, seed and metric, on the test split.

    Args:
        predictions: of all variants on the test rows.
        samples, splits, features: of an experiment on heads. `leakage` is read from the frozen features, which all
            heads of a replicate share, so it is the same for all of them. A variant without predictions in a replicate,
            because it diverged there, has null for every metric.
        heads, retrained: checkpoints whose headers have the variants' settings.
        repairs: its settings and the figures in `OF_REPAIRS` are taken over.
    """
    keys, arrays = _stack(predictions)
    values = evaluate(
        *(arrays[name] for name in ("y", "s", "prediction", "score")),
        groups=len(dataset.groups),
        classes=len(dataset.classes),
        compared=compared_in(arrays["s"], dataset),
    )
    if samples is not None and splits is not None:
        if report.leakage and features is not None:
            values["leakage"] = torch.tensor(keys["seed"].map(_leakage(samples, splits, features)).to_numpy())
        absent = _absent(keys, splits.header["seeds"])
        keys = pd.concat([keys, absent], ignore_index=True)
        missing = torch.full((len(absent),), torch.nan)
        values = {metric: torch.cat([value.flatten(), missing]) for metric, value in values.items()}
    settings = [variant for stored in (heads, retrained) if stored for variant in stored.header["variants"].items()]
    metrics = _long(keys, values, dict(settings) if repairs is None else _settings(repairs))
    return metrics if repairs is None else pd.concat([metrics, *_measured(repairs, metrics)], ignore_index=True)


def _long(keys: pd.DataFrame, values: Mapping[str, Tensor], settings: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row per model and metric, with the settings of the model's variant."""
    columns = pd.DataFrame(
        [{name: settings.get(variant, {}).get(name) for name in SETTINGS} for variant in keys["variant"]]
    ).astype(SETTINGS)
    frames = [
        keys.assign(split="test", metric=metric, value=value.flatten().numpy()).join(columns)
        for metric, value in values.items()
    ]
    return pd.concat(frames, ignore_index=True)


def _settings(frame: pd.DataFrame, columns: Sequence[str] = tuple(SETTINGS)) -> dict[str, dict[str, Any]]:
    """Return the settings of each variant of a table by the columns that it has; None for null."""
    names = [name for name in columns if name in frame]
    values = frame.drop_duplicates("variant").set_index("variant")[names].astype(object)
    records: dict[Any, dict[Any, Any]] = values.where(values.notna(), None).to_dict("index")
    return {str(variant): {str(name): value for name, value in record.items()} for variant, record in records.items()}


def _measured(repairs: pd.DataFrame, metrics: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the figures of `repairs` that are metrics in the form of `metrics`, those that any model has."""
    keys = ["method", "variant", "seed"]
    settings = metrics.drop_duplicates(keys[1:]).drop(columns=["metric", "value"])
    return [
        settings.merge(repairs[[*keys, name]].rename(columns={name: "value"}), on=keys).assign(metric=name)[
            list(metrics)
        ]
        for name in OF_REPAIRS
        if name in repairs and repairs[name].notna().any()
    ]


def summarize(
    metrics: pd.DataFrame, report: Report, evidence: Evidence = NO_CLAIMS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the contract's `summary` and `claims`."""
    tested = applicable(evidence, _settings(metrics, ("method", *SETTINGS)))
    summary = tables.summary(metrics, _published(tested), level=report.level)
    return summary, claims_room.evaluate(metrics, _claims(tested), level=report.level)


def floors(predictions: pd.DataFrame, dataset: Dataset, run: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return variant → metric → the gap that a perfectly fair model with the same cells would show, mean over seeds.

    The groups are those that gaps are taken of.

    Beside the headline's gaps, of the biases that repairs are judged by; a mean bias has none.
    """
    keys, arrays = _stack(predictions)
    counts = confusion_counts(
        arrays["y"], arrays["prediction"], arrays["s"], groups=len(dataset.groups), classes=len(dataset.classes)
    )
    biases = (objective["bias"] for objective in objectives_of(run).values())
    counts = of_groups(counts, compared_in(arrays["s"], dataset))
    every = {metric: noise_floor(metric, counts) for metric in dict.fromkeys(("delta_dp", "delta_eo", *biases))}
    expected = {metric: value.flatten().numpy() for metric, value in every.items() if value is not None}
    frame = keys.assign(**expected)
    means = frame.groupby("variant", sort=False)[list(expected)].mean()
    return {str(variant): {str(name): float(gap) for name, gap in row.items()} for variant, row in means.iterrows()}


def objectives_of(run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the objective of each part, with its defaults; of an experiment without parts under an empty name."""
    settings = run["settings"]
    shared = settings.get("objective")
    blocks = {name: settings.get(name, {}).get("objective", shared) for name in run["parts"].values()}
    return {name: vars(ObjectiveSettings(**block)) for name, block in (blocks or {"": shared}).items() if block}


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


@dataclass(frozen=True)
class ReportWriter:
    """The node that writes a report with the sections of some producers; it can be sent to another process.

    Attributes:
        of_parts: names of artifacts that each part has, and which are not joined yet.
    """

    producers: tuple[Producer, ...]
    of_parts: tuple[str, ...]

    def write_report(
        self, dataset: Dataset, report: Report, evidence: Evidence = NO_CLAIMS, **artifacts: Any
    ) -> dict[str, Any]:
        """Return the figures by name, the HTML report, the same as JSON, and the model card."""
        artifacts["predictions"] = counted(grouped(artifacts["predictions"]))
        available = artifacts | {name: _by_part(name, artifacts) for name in self.of_parts}
        context = _context(dataset, evidence, report, artifacts)
        sections = {producer: producer.sections(context, available) for producer in self.producers}
        context = replace(context, sections=list(chain.from_iterable(sections.values())))
        html, document = build(context)
        figures = {producer.name: sections[producer][0].content for producer in self.producers if producer.is_figure}
        return figures | {"report_html": html, "report_json": document, "model_card": model_card(context)}


def _by_part(name: str, artifacts: Mapping[str, Any]) -> Any:
    """Return what the parts have under one name: tables as one, anything else as a mapping from the part's name."""
    run = artifacts["run"]
    values = {f"{key}__{name}": artifacts[f"{key}__{name}"] for key in run["parts"]} or {name: artifacts[name]}
    if not all(isinstance(value, pd.DataFrame) for value in values.values()):
        return dict(zip(run["parts"].values() or [""], values.values(), strict=True))
    return join_parts(run, **values) if run["parts"] else values[name]


def _context(dataset: Dataset, evidence: Evidence, report: Report, artifacts: Mapping[str, Any]) -> ReportContext:
    """Return what a report says in any case."""
    summary, claims, run, data = (artifacts[name] for name in ("summary", "claims", "run", "data_summary"))
    tested = set(zip(claims["claim"], claims["metric"], strict=True))
    objectives, variants = objectives_of(run), set(summary["variant"])
    return ReportContext(
        experiment=run["experiment"],
        title=run["title"],
        dataset=dataset.title,
        summary=summary,
        claims=claims,
        claim_specs=[claim for claim in _claims(evidence) if (claim["claim"], claim["metric"]) in tested],
        splits=pd.DataFrame(data["cells"]),
        left_out=data["left_out"],
        settings=run["settings"],
        noise_floor=artifacts["noise_floors"],
        lineage={**run["lineage"], "data_digest": data["digest"]},
        group_names=dataset.group_names,
        compared=predicted_groups(artifacts["predictions"], dataset),
        class_names=dataset.classes,
        sensitive=dataset.sensitive,
        target=dataset.label,
        notes=evidence.notes,
        group_rates=tables.group_rates(artifacts["predictions"], classes=len(dataset.classes), level=report.level),
        level=report.level,
        headline_metrics=_headline(objectives, set(summary["metric"])),
        parts=list(run["parts"].values()),
        objectives=objectives,
        published=[row for row in _published(evidence) if row["variant"] in variants],
        shows_images=shows_images(dataset, report),
    )


def shows_images(dataset: Dataset, report: Report) -> bool:
    """Whether images of the data may stand in a report."""
    return dataset.reader in WITHOUT_PEOPLE or report.examples > 0


def _headline(objectives: Mapping[str, Mapping[str, Any]], measured: set[str]) -> tuple[str, ...]:
    """Return the metrics that lead the results: those that repairs are judged by, or that say how biased they are."""
    judged = [objective[kind] for kind in ("performance", "bias") for objective in objectives.values()]
    if judged:
        return tuple(dict.fromkeys([*judged, "accuracy"]))
    return ("accuracy", *MEASURED) if "information" in measured else HEADLINE_METRICS


def _claims(evidence: Evidence) -> list[dict[str, Any]]:
    return [claim.model_dump() for claim in evidence.claims]


def _published(evidence: Evidence) -> list[dict[str, Any]]:
    return [row.model_dump(exclude_none=True) for row in evidence.published]


def _stack(predictions: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Tensor]]:
    """Return the (method, variant, seed) of every head, and y, s, prediction and score as [heads, n].

    All heads have equally many test rows; in which order the table lists them does not matter.

    Raises:
        InputError: a head has fewer rows than another, or one of them twice.
    """
    predictions = grouped(predictions)
    models = dict(models_of(predictions))
    keys = pd.DataFrame(list(models), columns=list(MODEL)).astype({name: COLUMNS[name] for name in MODEL})
    sizes = [rows_.stop - rows_.start for rows_ in models.values()]
    for (_, variant, seed), rows_, size in zip(models, models.values(), sizes, strict=True):
        row = predictions["row"].to_numpy()[rows_]
        twice = np.flatnonzero(row[1:] == row[:-1])
        if len(twice) or size != sizes[0]:
            mistake = f"row {row[twice[0]]} twice" if len(twice) else f"{size:,} rows"
            raise InputError(
                f"predictions: variant {variant!r} of seed {seed} has {mistake}, expected "
                f"{sizes[0]:,} different test rows, as many as every other"
            )
    arrays = {
        name: torch.tensor(predictions[name].to_numpy()).reshape(len(keys), -1)
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
