"""The report one sends to a colleague: one HTML file that needs no network, and the same content for machines.

Beside it the model card, and one page over all experiments: what was run, how the claims came out, links to reports.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from counterpoise.errors import InputError
from counterpoise.fairness import LEVEL, METRICS
from counterpoise.reporting import wording
from counterpoise.reporting._frames import rows_of
from counterpoise.reporting._templates import render, resource
from counterpoise.reporting.answer import VERDICTS, answer
from counterpoise.reporting.context import ReportContext
from counterpoise.reporting.wording import HEADLINE_METRICS


def build(context: ReportContext) -> tuple[str, dict[str, Any]]:
    """Write the report.

    Returns:
        The HTML, self-contained and byte-identical for equal contexts, and its content as plain JSON values (NaN and
        infinities as null).
    """
    html = render(
        "report.html.j2",
        context=context,
        answer=answer(context),
        lineage=lineage_rows(context.lineage),
        commands=commands(context.lineage),
        artifacts=json.dumps(dict(context.lineage.get("artifacts", {}))).replace("<", "\\u003c"),
        status=resource("status_check.js"),
        headline_metrics=headline_metrics(context.summary["metric"], context.headline_metrics),
        cells=result_cells(context.summary.to_dict("records"), context.noise_floor),
        claims=list(rows_of(context.claims)),
        figures={
            chapter: [figure_view(name, figure) for name, figure in context.figures_of(chapter).items()]
            for chapter in ("", "answer", "appendix")
        },
        splits=split_table(context),
        settings=list(flatten(context.settings).items()),
        group_rates=group_rate_table(context),
        fragments=context.fragments,
        own=[(name, fragment.title) for name, fragment in context.fragments.items() if fragment.chapter == "own"],
        glossary=[METRICS[name] for name in wording.metric_order(context.summary["metric"]) if name in METRICS],
        stylesheet=resource("report.css"),
        script=resource("report.js"),
        plotly=get_plotlyjs(),
    )
    return html, _content(context)


def lineage_rows(lineage: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the numbers came from, as (title, value) rows: known keys first, unknown ones under their own names."""
    titles = {
        "run_id": "Run",
        "seeds": "Seeds",
        "git_commit": "Git commit",
        "data_digest": "Data digest",
        "environment": "Environment",
        "versions": "Versions",
    }
    apart = ("command", "commands", "partial", "artifacts")
    keys = [key for key in titles if key in lineage] + [key for key in lineage if key not in (*titles, *apart)]
    return [(titles.get(key, key.replace("_", " ").capitalize()), _written(lineage[key])) for key in keys]


def commands(lineage: Mapping[str, Any]) -> list[str]:
    """All commands that made what the report shows, in order; of a lineage without them the last alone."""
    return list(lineage.get("commands") or [command for command in [lineage.get("command")] if command])


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `{"finetune.lr": "0.001"}`, in their own order."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _written(value)
    return flat


def split_table(context: ReportContext) -> dict[str, Any]:
    """Rows per group × class (down) and split (across): `splits`, `rows` of (group, class, counts), and their `total`.

    There may be dozens of groups and of classes, but there are only a few splits.
    """
    splits = list(context.splits["split"].unique())
    counts = context.splits.groupby(["split", "group", "label"])["rows"].sum().to_dict()
    rows = [
        (name, title, [int(counts.get((split, group, label), 0)) for split in splits])
        for group, name in enumerate(context.group_names)
        for label, title in enumerate(context.class_names)
    ]
    total = [sum(cells) for cells in zip(*(row[2] for row in rows), strict=True)]
    return {"splits": splits, "rows": rows, "total": total}


def group_rate_table(context: ReportContext) -> dict[str, Any] | None:
    """Rates side by side: `columns` of (rate, class name or ""), `rows` of (variant, group name, cells)."""
    rates = context.group_rates
    if rates is None:
        return None
    records = [(row, None if pd.isna(row.label) else int(row.label)) for row in rows_of(rates)]
    columns = list(dict.fromkeys((row.rate, label) for row, label in records))
    cells = {(row.variant, row.group, row.rate, label): row for row, label in records}
    rows = dict.fromkeys((row.variant, row.group) for row, _ in records)
    return {
        "wilson": any(row.wilson for row, _ in records),
        "columns": [(rate, "" if label is None else context.class_names[label]) for rate, label in columns],
        "rows": [
            (variant, context.group_titles[group], [cells.get((variant, group, *column)) for column in columns])
            for variant, group in rows
        ],
    }


def headline_metrics(metrics: Iterable[str], wanted: Sequence[str] = wording.HEADLINE_METRICS) -> list[str]:
    """The headline metrics among those that were measured."""
    measured = set(metrics)
    return [name for name in wanted if name in measured]


def result_cells(
    summary: Iterable[Mapping[Any, Any]], noise_floor: Mapping[str, Mapping[str, float]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """(variant, metric) → a row of the summary, with the noise floor of that variant."""
    return {
        (row["variant"], row["metric"]): {**row, "floor": noise_floor.get(row["variant"], {}).get(row["metric"])}
        for row in summary
    }


def figure_view(name: str, figure: go.Figure) -> dict[str, Any]:
    """A figure whose title became the page's heading; `<` is escaped so that no name can close the script element."""
    untitled = go.Figure(figure).update_layout(title_text="", margin_t=56)
    return {
        "name": name,
        "title": figure.layout.title.text or name,
        "height": figure.layout.height,
        "json": untitled.to_json().replace("<", "\\u003c"),
    }


def _content(context: ReportContext) -> dict[str, Any]:
    answered = answer(context)
    rates = context.group_rates
    content: dict[str, Any] = plain(
        {
            "experiment": context.experiment,
            "title": context.title,
            "dataset": context.dataset,
            "sensitive": context.sensitive,
            "target": context.target,
            "group_names": context.group_names,
            "class_names": context.class_names,
            "answer": {
                "headline": answered.headline,
                "findings": answered.findings,
                "comparisons": answered.comparisons,
                "reservations": answered.reservations,
            },
            "summary": context.summary.to_dict("records"),
            "exported_model": None,
            "level": context.level,
            "headline_metrics": context.headline_metrics,
            "claims": context.claims.to_dict("records"),
            "noise_floor": context.noise_floor,
            "group_rates": [] if rates is None else rates.to_dict("records"),
            "splits": context.splits.to_dict("records"),
            "left_out": context.left_out,
            "settings": context.settings,
            "figures": list(context.figures),
            "tables": [asdict(table) for table in context.tables],
            "lineage": context.lineage,
            "notes": context.notes,
        }
        | {key: value for fragment in context.fragments.values() for key, value in fragment.data.items()}
    )
    return content


def plain(value: Any) -> Any:
    """Plain JSON values: no numpy scalars or arrays, no NaN."""
    match value:
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case np.ndarray() | np.generic():
            return plain(value.tolist())
        case str() | bool() | int() | None:
            return value
        case float():
            return value if math.isfinite(value) else None
        case Sequence():
            return [plain(item) for item in value]
        case _:
            return None if value is pd.NA else str(value)


def _written(value: Any) -> str:
    """A setting as one writes it: lists and mappings without Python's quotes, nothing as a dash."""
    match value:
        case None:
            return "—"
        case Mapping():
            return ", ".join(f"{key} {_written(item)}" for key, item in value.items()) or "—"
        case str():
            return value
        case Sequence():
            return ", ".join(_written(item) for item in value) or "—"
        case _:
            return str(value)


def model_card(context: ReportContext) -> str:
    """Write the model card as Markdown; equal contexts give equal text.

    Its nine headings are those of Mitchell et al., "Model Cards for Model Reporting", FAT* 2019, in their order.
    """
    return render(
        "model_card.md.j2",
        context=context,
        answer=answer(context),
        lineage=lineage_rows(context.lineage),
        commands=commands(context.lineage),
        settings=list(flatten(context.settings).items()),
        splits=split_table(context),
        summary=list(rows_of(context.summary)),
        claims=list(rows_of(context.claims)),
        group_rates=None if context.group_rates is None else list(rows_of(context.group_rates)),
        glossary=[METRICS[name] for name in wording.metric_order(context.summary["metric"]) if name in METRICS],
    )


DOCUMENT_KEYS: Final = ("experiment", "title", "dataset", "answer", "summary", "claims", "noise_floor", "lineage")


def overview(documents: Sequence[Mapping[str, Any]]) -> str:
    """Write the page over all experiments, self-contained and byte-identical for equal documents.

    Args:
        documents: the content of the experiments' `report.json`, in the order of the page. Each report is linked as
            `<experiment>/report.html`, so the page belongs into the folder above.

    Raises:
        InputError: no document, two of one experiment, or one that lacks a key.
    """
    if not documents:
        raise InputError("reports: no experiment was run yet, expected at least one report.json.")
    for name, times in Counter(_key(document, "experiment") for document in documents).items():
        if times > 1:
            raise InputError(f"reports: the experiment {name!r} has {times} documents, expected one for each.")
    experiments = [_view(document) for document in documents]
    return render(
        "overview.html.j2",
        experiments=experiments,
        verdicts=VERDICTS,
        total={name: sum(view["counts"][name] for view in experiments) for name in VERDICTS},
        stylesheet=resource("report.css"),
    )


def _view(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of one document."""
    content = {key: _key(document, key) for key in DOCUMENT_KEYS}
    verdicts = Counter(claim["verdict"] for claim in content["claims"])
    return {
        **content,
        "level": document.get("level", LEVEL),
        "variants": {row["variant"]: row["method"] for row in content["summary"]},
        "metrics": headline_metrics(
            (row["metric"] for row in content["summary"]), document.get("headline_metrics", HEADLINE_METRICS)
        ),
        "cells": result_cells(content["summary"], content["noise_floor"]),
        "seeds": max((row["n"] for row in content["summary"]), default=0),
        "counts": {name: verdicts[name] for name in VERDICTS},
        "tables": document.get("tables", []),
    }


def _key(document: Mapping[str, Any], key: str) -> Any:
    if key not in document:
        raise InputError(f"report.json of {document.get('experiment', 'an experiment')}: the key {key!r} is missing.")
    return document[key]
