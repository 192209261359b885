"""Results of repaired networks: gathered from the stages that made them, measured, and brought into the report."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from counterpoise.config.parameters import Evidence, Report
from counterpoise.methods.objective import ObjectiveSettings
from counterpoise.pipelines.data_split.left_out import join_left_out
from counterpoise.reporting import figures_altering
from counterpoise.reporting.answer_altering import findings
from counterpoise.reporting.figures import paired_differences
from counterpoise.reporting.tables_altering import altering_tables
from counterpoise.reporting.tables_costs import saving_table

ALL = ""
"""The name of the only part of an experiment that has none."""


def gather(masked: pd.DataFrame, reconstructed: pd.DataFrame, baseline: pd.DataFrame) -> pd.DataFrame:
    """Return what the three stages have left of one kind, the baselines first."""
    return pd.concat([frame for frame in (baseline, masked, reconstructed) if len(frame)], ignore_index=True)


def join_data(run: dict[str, Any], **summaries: dict[str, Any]) -> dict[str, Any]:
    """Return one description of the data of all parts: their digests digested, and the cells of each."""
    by_key = {name.split("__")[0]: summary for name, summary in summaries.items()}
    described = {name: by_key[key] for key, name in run["parts"].items()}
    first = next(iter(described.values()))
    digest = hashlib.sha256("".join(own["digest"] for own in described.values()).encode()).hexdigest()
    cells = [cell | {"split": f"{name}: {cell['split']}"} for name, own in described.items() for cell in own["cells"]]
    left_out = join_left_out({name: own["left_out"] for name, own in described.items()})
    return first | {"digest": digest, "cells": cells, "left_out": left_out}


def objectives_of(run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the objective of each part, with its defaults; of an experiment without parts under an empty name."""
    settings = run["settings"]
    shared = settings.get("objective")
    parts = list(run["parts"].values()) or [ALL]
    chosen = {name: settings.get(name, {}).get("objective", shared) if name else shared for name in parts}
    return {name: vars(ObjectiveSettings(**own)) for name, own in chosen.items()}


def biases(run: Mapping[str, Any]) -> list[str]:
    """Return the biases that the repairs of any part are judged by."""
    return list(dict.fromkeys(objective["bias"] for objective in objectives_of(run).values()))


def draw_repairs(
    metrics: pd.DataFrame,
    repairs: pd.DataFrame,
    curves: pd.DataFrame,
    pruned_layers: pd.DataFrame,
    mask_agreement: pd.DataFrame,
    claims: pd.DataFrame,
    run: dict[str, Any],
    report: Report,
) -> tuple[go.Figure, ...]:
    """Return the plane of performance and bias, the paired differences, what is pruned, and how it was learnt."""
    objectives = objectives_of(run)
    return (
        figures_altering.repair_plane(metrics, objectives, level=report.level),
        paired_differences(claims),
        figures_altering.pruned_layers(pruned_layers),
        figures_altering.mask_agreement(mask_agreement),
        figures_altering.repair_curves(curves, repairs, objectives),
        figures_altering.critic_curves(curves),
    )


def repair_context(
    metrics: pd.DataFrame,
    repairs: pd.DataFrame,
    costs: pd.DataFrame,
    run: Mapping[str, Any],
    evidence: Evidence,
    noise_floors: Mapping[str, Mapping[str, float]],
    *,
    level: float,
) -> dict[str, Any]:
    """Return what the report of repairs says beside its claims, as fields of `ReportContext`.

    The paper's tables with what they omit, its numbers beside those of methods that were run; what pruning saves; what
    came of it, in words; and the metrics that the repairs were judged by, which lead the results.
    """
    objectives, known = objectives_of(run), set(metrics["variant"])
    rows = [row.model_dump(exclude_none=True) for row in evidence.published if row.variant in known]
    judged_by = [objective[kind] for kind in ("performance", "bias") for objective in objectives.values()]
    tables = altering_tables(metrics, repairs, objectives, published_rows=rows, noise_floors=noise_floors, level=level)
    return {
        "tables": [*tables, *([saving_table(costs)] if len(costs) else [])],
        "findings": findings(metrics, repairs, objectives, level=level),
        "headline_metrics": tuple(dict.fromkeys([*judged_by, "accuracy"])),
    }
