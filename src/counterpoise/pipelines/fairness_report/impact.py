"""What an auditor asks for: rates and impact ratios of every category, and less discriminatory models."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.artifacts.predictions import MODEL, grouped, models_of
from counterpoise.catalogue import CHOSEN
from counterpoise.config.parameters import Dataset, Report
from counterpoise.data.crossing import band_names, named_values
from counterpoise.fairness import UndefinedMetricWarning
from counterpoise.fairness.impact import COLUMNS, impact
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.methods.frontier_results import EVALUATED
from counterpoise.methods.selection.candidates import Candidates, ours
from counterpoise.methods.selection.measuring import AT_ONCE, counts_of
from counterpoise.methods.selection.settings import Names
from counterpoise.pipelines.shared.arrays import examples, rows
from counterpoise.pipelines.shared.compared import population_of
from counterpoise.pipelines.shared.frames import named

BINARY = 2
POSITIVE = 1

MOST_EXTRA_ERROR = 1.0
"""How many points of error, in %, an alternative may have beyond the chosen model."""

MOST_ALTERNATIVES = 10
"""Alternatives that are listed for a replicate."""

OF_ALTERNATIVES = (
    *("seed", "variant", "method", "base", "needs_group", "is_chosen"),
    *("validation_err", "validation_impact_ratio", "test_err", "test_impact_ratio", "holds"),
)


def assess(
    predictions: pd.DataFrame,
    dataset: Dataset,
    report: Report,
    samples: pd.DataFrame | None = None,
    table: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return `MODEL` and `impact.COLUMNS`: every category under every model, on its test rows.

    Who is predicted to be of class 1 is selected. Without exactly two classes there is no such class, and no row.

    Args:
        samples: has the further sensitive attributes of images, where there are any.
        table: the rows of the samples with the columns that groups are joined of, where they are joined of several.
    """
    if len(dataset.classes) != BINARY:
        return pd.DataFrame(columns=[*MODEL, *COLUMNS])
    crossed = {} if table is None else {name: _values(table, name, dataset) for name in dataset.crossed}
    frames = []
    predictions = grouped(predictions)
    for key, rows_ in models_of(predictions):
        model = predictions.iloc[rows_]
        table = impact(
            (model["prediction"] == POSITIVE).to_numpy(),
            attributes(model, dataset, samples, crossed),
            model["score"].to_numpy(dtype="float64"),
            level=report.level,
        )
        frames.append(pd.DataFrame([key] * len(table), columns=list(MODEL)).join(table))
    return pd.concat(frames, ignore_index=True)


def attributes(
    model: pd.DataFrame,
    dataset: Dataset,
    samples: pd.DataFrame | None,
    crossed: Mapping[str, pd.Categorical[Any]],
) -> pd.DataFrame:
    """Return the sensitive attributes of a model's rows by the names of groups; an unknown one is missing.

    Args:
        crossed: the columns that groups are joined of, of all rows: they stand in the place of the joined groups.
    """
    columns = {name: values[model["row"].to_numpy()] for name, values in crossed.items()}
    if not columns:
        columns[dataset.sensitive] = named(model["s"].to_numpy(), dataset.group_names)
    for name, groups in dataset.further_sensitive.items():
        if samples is not None and name in samples:
            columns[name] = named(samples[name].to_numpy()[model["row"].to_numpy()], [str(group) for group in groups])
    return pd.DataFrame(columns)


def _values(table: pd.DataFrame, name: str, dataset: Dataset) -> pd.Categorical[Any]:
    """Return everybody's value of one of the columns that groups are joined of; bands in their order."""
    edges = dataset.crossed_bands.get(name, ())
    values = named_values(table[name], edges)
    return pd.Categorical(values, categories=band_names(edges) if edges else sorted(values.dropna().unique()))


def find_alternatives(
    frontier_outcomes: Checkpoint, selection: pd.DataFrame, samples: pd.DataFrame, splits: Checkpoint, dataset: Dataset
) -> pd.DataFrame:
    """Return less discriminatory alternatives to each replicate's chosen model, below that model's own row.

    They have, on the validation rows, a higher impact ratio and at most `MOST_EXTRA_ERROR` points more error than the
    chosen model, and no other alternative is better in both; what they come to on test is stated beside it.

    Returns:
        `OF_ALTERNATIVES`, by impact ratio; `holds`: whether both hold on test too, null of the chosen one. The ratio is
        that of the groups with the lowest and the highest selection rate, among those that are compared.
    """
    candidates = ours(frontier_outcomes)
    names = list(candidates.settings)
    data = examples(samples, torch.empty(len(samples), 0))
    population = population_of(samples, splits, dataset)
    members = {part: rows(splits, part) for part in EVALUATED}
    choices = selection[(selection["family"] == CHOSEN) & selection["variant"].notna()].set_index("seed")["variant"]
    records: list[dict[str, Any]] = []
    for r, seed in enumerate(splits.header["seeds"]):
        if seed not in choices.index:
            continue
        measured = pd.DataFrame(
            {
                f"{part}_{name}": values.numpy()
                for part in EVALUATED
                for name, values in _measured(candidates, part, r, data, members[part][r], population)
            },
            index=names,
        )
        chosen = measured.loc[choices[seed]]
        gain, cost = measured["validation_impact_ratio"], measured["validation_err"]
        fit = (gain > chosen["validation_impact_ratio"]) & (cost <= chosen["validation_err"] + MOST_EXTRA_ERROR)
        for variant in [choices[seed], *_undominated(measured[fit]).index[:MOST_ALTERNATIVES]]:
            row, model = measured.loc[variant], candidates.settings[variant]
            holds = (
                row["test_impact_ratio"] > chosen["test_impact_ratio"]
                and row["test_err"] <= chosen["test_err"] + MOST_EXTRA_ERROR
            )
            is_chosen = variant == choices[seed]
            named = {name: model.get(name) for name in ("method", "base", "needs_group")}
            records.append(
                {"seed": seed, "variant": variant, **named, "is_chosen": is_chosen}
                | {**row, "holds": None if is_chosen else bool(holds)}
            )
    return pd.DataFrame(records, columns=list(OF_ALTERNATIVES))


def _measured(
    candidates: Candidates, part: str, r: int, data: Any, members: Tensor, population: Names
) -> Iterator[tuple[str, Tensor]]:
    """Yield the error and the impact ratio of every model of one replicate [V]; NaN where it diverged."""
    lost = candidates.diverged(part)[r]
    places = range(len(candidates.settings))
    counts = torch.cat(
        [
            counts_of(candidates, (part,), r, data, members, population, places[start : start + AT_ONCE])
            for start in range(0, len(places), AT_ONCE)
        ]
    )
    for name, metric in (("err", "err"), ("impact_ratio", "disparate_impact")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)  # of a grid, some select nobody
            values = COUNT_METRICS[metric](counts, compared=population.compared)
        yield name, values.masked_fill(lost, torch.nan)


def _undominated(models: pd.DataFrame) -> pd.DataFrame:
    """Return the models that no other one beats in error without a lower impact ratio, the highest ratio first."""
    ordered = models.sort_values(["validation_impact_ratio", "validation_err"], ascending=[False, True], kind="stable")
    before = ordered["validation_err"].cummin().shift(fill_value=float("inf"))
    return ordered[ordered["validation_err"] < before]


def write_impact_page(
    impact: pd.DataFrame,
    data_summary: Mapping[str, Any],
    dataset: Dataset,
    report: Report,
    run: Mapping[str, Any],
    alternatives: pd.DataFrame | None = None,
    model: Any = None,
    scored_only: pd.DataFrame | None = None,
) -> tuple[str, dict[str, Any]]:
    """Return the auditor's page, and the same as plain values.

    Args:
        alternatives, model, scored_only: with a frontier; the replicate of the exported model is the one that is shown.
    """
    from counterpoise.reporting.impact_page import ImpactAudit, document, impact_page

    audit = ImpactAudit(
        experiment=run["experiment"],
        title=run["title"],
        dataset=dataset.title,
        origin=dataset.origin,
        label=dataset.label,
        classes=tuple(dataset.classes),
        sensitive=(*(dataset.crossed or (dataset.sensitive,)), *dataset.further_sensitive),
        impact=impact,
        alternatives=alternatives,
        scored_only=scored_only,
        most_extra_error=MOST_EXTRA_ERROR,
        exported_seed=None if model is None else int(model.metadata["seed"]),
        data_summary=data_summary,
        lineage=run["lineage"] | {"data_digest": data_summary["digest"]},
        level=report.level,
    )
    return impact_page(audit), document(audit)
