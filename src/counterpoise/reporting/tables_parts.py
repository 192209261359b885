"""Tables 2 and 3 of the WIN paper, as text in the paper's form, and one on its question about other layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from counterpoise.catalogue import PAPERS
from counterpoise.reporting import published
from counterpoise.reporting._frames import rows_of
from counterpoise.reporting.context import Table
from counterpoise.reporting.wording import (
    HEADLINE_METRICS,
    NOT_AVAILABLE,
    is_missing,
    join_part,
    metric_label,
    number,
    part_title,
    plus_minus,
    reported,
    split_part,
    variant_titles,
)

_NOTE: Final = "Mean ± standard deviation over the seeds, on the test split; in brackets what the paper reports."


def before_after(
    summary: pd.DataFrame, *, parts: Sequence[str] = (), metrics: Sequence[str] = HEADLINE_METRICS
) -> Table:
    """Table 2: for every pretrained model of an experiment, what it does before fine-tuning and what after.

    Args:
        summary: `tables.summary` of variants named `<part>/<variant>`.
        parts: those to put first, in this order; the others follow in the order of the summary.
    """
    rows: list[tuple[str, ...]] = []
    for part, variants in _parts(summary, parts).items():
        for place, (variant, title) in enumerate(variant_titles(variants).items()):
            head = part_title(part) if place == 0 else ""
            rows.append((head, title, *_cells(summary, join_part(part, variant), metrics)))
    columns = ("Pretrained", "Method", *map(metric_label, metrics))
    return Table("Before and after fine-tuning", f"{_NOTE} A block for every pretrained model.", columns, rows)


def parameter_counts(
    summary: pd.DataFrame, parameters: Mapping[str, int], *, metrics: Sequence[str] = HEADLINE_METRICS
) -> Table:
    """Table 3: what each method trains, and what comes of it.

    Args:
        summary: `tables.summary`.
        parameters: variant → number of trainable parameters; a variant that is not in it has none to show.
    """
    rows = []
    for variant, title in variant_titles(dict(zip(summary["variant"], summary["method"], strict=True))).items():
        count = f"{parameters[variant]:,}" if variant in parameters else NOT_AVAILABLE
        rows.append((title, f"{count}{_printed_count(summary, variant)}", *_cells(summary, variant, metrics)))
    columns = ("Method", "Trainable parameters", *map(metric_label, metrics))
    return Table("Trainable parameters, error and bias", _NOTE, columns, rows)


def layer_factors(measured: pd.DataFrame) -> Table:
    """What weighted SVD in the place of other layers than the head does to a network, mean over the seeds.

    Args:
        measured: `seed, layer, factors, ratio, rank, parameters, weight_error, output_error, drift, worst_drift, err,
            delta_eo`: one row for each seed, layer or all of them, share of parameters, and way to weigh.
    """
    figures = ("parameters", "weight_error", "output_error", "drift", "worst_drift", "err", "delta_eo")
    means = measured.groupby(["layer", "ratio", "rank", "factors"], sort=False)[list(figures)].mean().reset_index()
    rows = [
        (
            *(str(row.layer), row.factors, str(row.rank), f"{row.parameters:.0%}"),
            *(number(getattr(row, name), name) for name in figures[1:]),
        )
        for row in rows_of(means)
    ]
    columns = (
        "Layer",
        "Factors",
        "Rank",
        "Parameters",
        "Error of weights",
        "of outputs",
        "Drift",
        "of the worst group",
    )
    return Table(
        "Low rank in the place of other layers",
        "Mean over the seeds, on the test split, before any fine-tuning. Errors are relative; drift is how far what "
        "the head sees moves, relative to its length. Factors are plain SVD, weighted by the groups' neutralized "
        "importance, or blind: by importance that knows no groups.",
        (*columns, *map(metric_label, ("err", "delta_eo"))),
        rows,
    )


def _parts(summary: pd.DataFrame, first: Sequence[str]) -> dict[str, dict[str, str]]:
    """Part → variant within it → method: the parts named first, then the others in order of appearance."""
    parts: dict[str, dict[str, str]] = {part: {} for part in first}
    for row in rows_of(summary[["variant", "method"]].drop_duplicates()):
        part, variant = split_part(row.variant)
        parts.setdefault(part, {})[variant] = row.method
    return parts


def _cells(summary: pd.DataFrame, variant: str, metrics: Sequence[str]) -> list[str]:
    cells = {row.metric: row for row in rows_of(summary[summary["variant"] == variant])}
    return [_measured(cells[metric]) if metric in cells else NOT_AVAILABLE for metric in metrics]


def _measured(row: Any) -> str:
    ours = plus_minus(row.mean, row.std, row.metric)
    return ours if is_missing(row.reported) else f"{ours} ({reported(row.reported, row.reported_std, row.metric)})"


def _printed_count(summary: pd.DataFrame, variant: str) -> str:
    """The paper's number of trainable parameters in brackets, where it is the paper's variant."""
    rows = summary[summary["variant"] == variant]
    if rows["reported"].isna().all():
        return ""
    method = rows["method"].iloc[0]
    if method not in set(published.load()["method"]):
        return ""
    printed = published.lookup(paper=PAPERS["heads"], table="T3", metric="trainable_parameters", method=method)
    return f" ({printed.value:,.0f})" if printed else ""
