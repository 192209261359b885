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
from counterpoise.pipelines.retrain.evaluation import Registry
from counterpoise.pipelines.shared.served import (
    EXAMPLES,
    bytes_of,
    choice,
    image_network,
    on_images,
    served_head,
    served_image_head,
)
from counterpoise.retraining.history import Record, champion

UNREGISTERED: dict[str, Any] = {"registered": None, "aliases": {}}
"""Without tracking the history is all there is."""


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
    retraining: Retraining,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Log the retraining as one run, register the challenger, and point the aliases where the history says.

    Args:
        history: after the decision. registry: None without tracking.

    Returns:
        `registered`, name, version and run; `aliases`; and the ledger with this batch's partitions: what is saved last
        makes them known.
    """
    registered = UNREGISTERED
    if registry is not None:
        version = registry.record(entry_of(decision, evaluation, batch, models, retraining))
        aliases = registry.point(champion(history), decision["challenger"])
        registered = {"registered": version, "aliases": aliases}
    return registered, {**ledger, **batch["entries"]}


def entry_of(
    decision: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    batch: Mapping[str, Any],
    models: Path,
    retraining: Retraining,
) -> dict[str, Any]:
    """Return what is logged of a retraining: tags say why, metrics are by model, rows and group."""
    challenger = decision["challenger"]
    failed = [check for check in decision["checks"] if check["outcome"] != "passed"]
    tags = {
        "retraining.week": decision["week"],
        "retraining.verdict": decision["verdict"],
        "retraining.reason": decision["reason"],
        "retraining.champion_before": decision["champion_before"] or "none",
        "retraining.sequence": str(decision["sequence"]),
        "retraining.quarantined": "; ".join(batch["quarantined"].values()),
        **{f"retraining.check.{check['name']}": check["sentence"] for check in failed},
    }
    params = {
        "experiment": retraining.experiment,
        "partitions": str(len(batch["used"])),
        **{f"gate.{key}": str(value) for key, value in sorted(vars(retraining.gate).items())},
    }
    return {
        "model": challenger,
        "folder": models / challenger,
        "title": f"retrain {decision['week']}",
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
