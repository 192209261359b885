"""The challenger as a model of its own, and what the registry learns of a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.artifacts.serving import IMAGE, Servable
from counterpoise.config.parameters import Backbone, Dataset
from counterpoise.config.retraining import Retraining
from counterpoise.errors import InputError
from counterpoise.pipelines.retrain.evaluation import CHALLENGER, Registry
from counterpoise.pipelines.retrain.terms import week_of
from counterpoise.pipelines.shared.served import (
    EXAMPLES,
    bytes_of,
    choice,
    image_network,
    on_images,
    served_head,
    served_image_head,
)
from counterpoise.retraining.history import Record, champion, latest_challenger

UNREGISTERED: dict[str, Any] = {"registered": None, "aliases": {}}
"""Without tracking the history is all there is."""

OUTCOMES = {
    "start": "is the first champion",
    "promote": "is champion",
    "refuse": "was refused",
    "wait": "is asked about again",
}
"""Verdict → what a sentence says of the challenger."""


def export_head(
    finetuned_heads: Checkpoint,
    pretrained: Checkpoint,
    encoding: dict[str, Any],
    dataset: Dataset,
    retraining: Retraining,
) -> Servable:
    """Return the head of the configured variant and seed on its perceptron."""
    return served_head(finetuned_heads, pretrained, encoding, dataset, **_chosen(finetuned_heads, retraining))


def export_choice(model: Servable) -> Servable:
    """Return the model that a frontier has chosen, as it is."""
    return model


def export_image_head(
    finetuned_heads: Checkpoint,
    features: Checkpoint,
    samples: pd.DataFrame,
    raw: Path,
    dataset: Dataset,
    backbone: Backbone,
    retraining: Retraining,
) -> Servable:
    """Return the head of the configured variant and seed on its backbone, which reads images."""
    files = _first(samples, raw)
    images = image_network(files, features, dataset, backbone, retraining.experiment)
    chosen = _chosen(finetuned_heads, retraining)
    return served_image_head(finetuned_heads, images, bytes_of(files), dataset, **chosen)


def export_image_choice(
    model: Servable,
    features: Checkpoint,
    samples: pd.DataFrame,
    raw: Path,
    dataset: Dataset,
    backbone: Backbone,
    retraining: Retraining,
) -> Servable:
    """Return the model that a frontier has chosen, on its backbone."""
    files = _first(samples, raw)
    return on_images(model, image_network(files, features, dataset, backbone, retraining.experiment), bytes_of(files))


def _first(samples: pd.DataFrame, raw: Path) -> list[Path]:
    return [raw / name for name in samples[IMAGE].head(EXAMPLES)]


def _chosen(finetuned_heads: Checkpoint, retraining: Retraining) -> dict[str, Any]:
    header = finetuned_heads.header
    variant = choice(retraining.method, list(header["variants"]), "retraining.method")
    seed = choice(retraining.seed, list(header["seeds"]), "seed")
    metadata = {"variant": variant, "seed": seed, "digests": header["digests"]}
    return {"experiment": retraining.experiment, "variant": variant, "seed": seed, "metadata": metadata}


def promote(
    decision: dict[str, Any],
    evaluation: dict[str, Any],
    batch: dict[str, Any],
    report: dict[str, Any],
    history: Sequence[Record],
    ledger: Mapping[str, Any],
    models: Path,
    registry: Registry | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Log the retraining as one run, register the challenger, and point the aliases where the history says.

    All that is logged is of the time of the decision; the aliases are those of the history as it is now, which may have
    a rollback since.

    Args:
        history: with the decision. registry: None without tracking.

    Returns:
        `registered`, name, version and run; `aliases`; and the ledger with this batch's partitions: what is saved last
        makes them known.

    Raises:
        InputError: the registry does not answer; says what was decided.
    """
    registered = UNREGISTERED
    if registry is not None:
        try:
            version = registry.record(entry_of(decision, evaluation, batch, report, models))
            aliases = registry.point(champion(history), latest_challenger(history))
        except InputError as error:
            decided = f"{decision['challenger']} {OUTCOMES[decision['verdict']]}, which MLflow does not have yet"
            raise InputError(f"{decided}: {error}") from error
        registered = {"registered": version, "aliases": aliases}
    return registered, {**ledger, **batch["entries"]}


def unfinished(history: Sequence[Record], ledger: Mapping[str, Any]) -> Record | None:
    """Return the latest decision if its partitions are not in the ledger, which `promote` ends with; else None.

    There is one at most: later partitions wait until it is complete.
    """
    decided = [record for record in history if record.kind != "rollback"]
    dates = {entry["date"] for entry in ledger.values() if "digest" in entry}
    return decided[-1] if decided and week_of(decided[-1]) not in dates else None


def belong_together(
    record: Record,
    decision: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    batch: Mapping[str, Any],
    report: Mapping[str, Any],
) -> bool:
    """Whether these documents are of the retraining that a record of the history ended."""
    model = record.challenger or record.champion
    same_model = model == decision["challenger"] == evaluation["models"][CHALLENGER]
    weeks = {week_of(record), *(document["week"] for document in (decision, evaluation, batch, report))}
    return same_model and len(weeks) == 1 and record.sequence == decision["sequence"] == report["decision"]["sequence"]


def entry_of(
    decision: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    batch: Mapping[str, Any],
    report: Mapping[str, Any],
    models: Path,
) -> dict[str, Any]:
    """Return what is logged of a retraining: tags say why, metrics are by model, rows and group.

    Args:
        report: says with which experiment and gate it was decided; the settings may be others by now.
    """
    challenger = decision["challenger"]
    failed = [check for check in decision["checks"] if check["outcome"] != "passed"]
    tags = {
        "retraining.week": decision["week"],
        "retraining.verdict": decision["verdict"],
        "retraining.reason": decision["reason"],
        "retraining.decided_at": decision["at"],
        "retraining.champion_before": decision["champion_before"] or "none",
        "retraining.sequence": str(decision["sequence"]),
        "retraining.quarantined": "; ".join(batch["quarantined"].values()),
        **{f"retraining.check.{check['name']}": check["sentence"] for check in failed},
    }
    params = {
        "experiment": report["experiment"],
        "partitions": str(len(batch["used"])),
        **{f"gate.{key}": str(value) for key, value in sorted(report["gate"].items())},
    }
    return {
        "model": challenger,
        "folder": models / challenger,
        "title": f"retrain {decision['week']}",
        "at": decision["at"],
        "tags": {key: value for key, value in tags.items() if value},
        "params": params,
        "metrics": metrics_of(evaluation),
    }


def metrics_of(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return metrics by model, rows (all or the newest) and group, as `challenger/newest/women/error`."""
    metrics: dict[str, float] = {}
    for role, measured in evaluation["measured"].items():
        for scope in ("all", "newest"):
            for row in measured[scope]:
                group = "".join(letter if letter.isalnum() or letter in "_-. " else "_" for letter in row["group"])
                metrics |= {
                    f"{role}/{scope}/{group}/{name}": row[name]
                    for name in ("rows", "error", "selected")
                    if row[name] is not None
                }
        metrics |= {f"{role}/all/{bias['metric']}": bias["estimate"] for bias in measured["biases"]}
        metrics |= {f"{role}/newest/{bias['metric']}": bias["estimate"] for bias in measured["newest_biases"]}
    return {name: float(value) for name, value in metrics.items() if value is not None}
