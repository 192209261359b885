"""One page over all experiments: what was run, how the claims came out, and every table, with links to the reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from counterpoise.errors import InputError
from counterpoise.fairness import LEVEL
from counterpoise.reporting._templates import render, resource
from counterpoise.reporting.answer import VERDICTS
from counterpoise.reporting.report import headline_metrics, result_cells
from counterpoise.reporting.wording import HEADLINE_METRICS

DOCUMENT_KEYS: Final = ("experiment", "title", "dataset", "answer", "summary", "claims", "noise_floor", "lineage")
_TEMPLATE: Final = "overview.html.j2"


def overview(documents: Sequence[Mapping[str, Any]]) -> str:
    """Write the page, self-contained and byte-identical for equal documents.

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
        _TEMPLATE,
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
