"""Experiments of several parts: their results in one table, and what their heads see."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go
import torch

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Dataset, Report
from counterpoise.pipelines.shared.arrays import examples, rows
from counterpoise.pipelines.shared.heads import pretrained_head
from counterpoise.reporting.figures_parts import ablation, by_part, representation
from counterpoise.reporting.wording import join_part


def join_parts(run: dict[str, Any], **frames: pd.DataFrame) -> pd.DataFrame:
    """Return one table of all parts; a variant is named `<part>/<variant>`, and some tables get a column `part`.

    Args:
        run: its `parts` map the keys of the catalog to the names of the parts.
        frames: `<key>__<kind>` of each part, all of one kind: metrics, predictions, learning curves, masks.
    """
    by_key = {name.split("__")[0]: frame for name, frame in frames.items()}
    parts = []
    for key, name in run["parts"].items():
        frame = by_key[key]
        joined = frame
        if "variant" in frame:
            joined = frame.assign(variant=[join_part(name, variant) for variant in frame["variant"]])
        parts.append(joined.assign(part=name) if {"metric", "mask"} & set(frame) else joined)
    return pd.concat(parts, ignore_index=True)


def draw_parts(metrics: pd.DataFrame, summary: pd.DataFrame, report: Report) -> go.Figure:
    """Return error and bias of all parts side by side (Tables 2 and 4)."""
    return by_part(metrics, summary, level=report.level)


def draw_ablation(metrics: pd.DataFrame, report: Report) -> go.Figure:
    """Return what α does in every part (Figure 5)."""
    return ablation(metrics, level=report.level)


def project(pretrained: Checkpoint, features: Checkpoint, samples: pd.DataFrame, splits: Checkpoint) -> pd.DataFrame:
    """Return the principal components of the head's input, of the first replicate's test rows predicted positive.

    Returns:
        Frame with `group, x, y, share_x, share_y`: the first two components, and the share of the variance of each.
    """
    data, members = examples(samples, features.tensors["features"]), rows(splits, "test")
    weight, bias = pretrained_head(pretrained)
    x, _, s = data.replicate(0).take(members[:1])
    positive = (x[0] @ weight[0] + bias[0]).argmax(dim=-1) == 1
    chosen = x[0][positive].double()
    centred = chosen - chosen.mean(dim=0)
    _, scale, directions = torch.linalg.svd(centred, full_matrices=False)
    # A direction has no sign of its own: the larger of its entries is taken for positive.
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    points = centred @ (directions * largest.sign())[:2].T
    share = scale.square() / scale.square().sum()
    frame = pd.DataFrame({"group": s[0][positive].numpy(), "x": points[:, 0].numpy(), "y": points[:, 1].numpy()})
    return frame.assign(share_x=float(share[0]), share_y=float(share[1]))


def draw_representation(run: dict[str, Any], dataset: Dataset, **components: pd.DataFrame) -> go.Figure:
    """Return Figure 1: what the heads of all parts see of the samples that are predicted positive."""
    frames = {name: components[f"{key}__components"] for key, name in run["parts"].items()}
    points = pd.concat([frame.assign(part=name) for name, frame in frames.items()], ignore_index=True)
    shares = {
        name: (float(frame["share_x"].iloc[0]), float(frame["share_y"].iloc[0])) for name, frame in frames.items()
    }
    return representation(points, dataset.group_names, shares=shares)
