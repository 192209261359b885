"""The report of a retraining: what was decided and why, and all that it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from counterpoise.config.parameters import Dataset
from counterpoise.config.retraining import Retraining
from counterpoise.pipelines.retrain.evaluation import document_text
from counterpoise.retraining.history import Record


def write_pages(
    decision: dict[str, Any],
    evaluation: dict[str, Any],
    batch: dict[str, Any],
    audit: dict[str, Any],
    past: Mapping[str, Any],
    history: Sequence[Record],
    retraining: Retraining,
    dataset: Dataset,
    run: Mapping[str, Any],
    **pages: str,
) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the files of this week's folder, path → text, and the document that `report.json` is.

    Args:
        run: what the challenger was made from, as reports say it.
        past: folder → document, of all retrainings that have left one; those of this week, later ones and those of
            another history are ignored.
        history: with the decision.
        pages: pages of the challenger's own report, file name → text.
    """
    from counterpoise.reporting.retraining_page import retraining_page

    week = decision["week"]
    document = {
        "week": week,
        "experiment": retraining.experiment,
        "title": dataset.title,
        "groups": list(dataset.group_names),
        "decision": decision,
        "evaluation": evaluation,
        "batch": {key: value for key, value in batch.items() if key != "entries"},
        "audit": audit,
        "gate": {
            key: dict(value) if isinstance(value, Mapping) else value for key, value in vars(retraining.gate).items()
        },
        "pages": sorted(pages),
    }
    before = {record.sequence: record.challenger or record.champion for record in history[: decision["sequence"]]}
    earlier = [report for report in past.values() if before.get(_sequence(report)) == report["decision"]["challenger"]]
    earlier.sort(key=_sequence)
    files = {
        f"{week}/report.html": retraining_page(document, earlier, run["lineage"]),
        f"{week}/report.json": document_text(document),
        **{f"{week}/model/{name}": text for name, text in pages.items()},
    }
    return files, document


def _sequence(report: Mapping[str, Any]) -> int:
    """Return the number of the record that a report is about."""
    return int(report["decision"]["sequence"])
