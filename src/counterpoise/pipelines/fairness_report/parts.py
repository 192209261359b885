"""Experiments of several parts: one table of results, one description of the data, and representations of all heads."""

from __future__ import annotations

import hashlib
from typing import Any

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.artifacts.predictions import COLUMNS
from counterpoise.pipelines.data_split.left_out import join_left_out
from counterpoise.pipelines.shared.arrays import examples, rows
from counterpoise.pipelines.shared.heads import pretrained_head
from counterpoise.pipelines.shared.predictions import joined
from counterpoise.reporting.wording import join_part


def join_parts(run: dict[str, Any], **frames: pd.DataFrame) -> pd.DataFrame:
    """Return one table of all parts; a variant is named `<part>/<variant>`.

    Metrics, and tables that are not about variants, get a column `part`.

    Args:
        run: its `parts` map the keys of the catalog to the names of the parts.
        frames: `<key>__<kind>` of each part, all of one kind: metrics, predictions, learning curves, masks.
    """
    by_key = {name.split("__")[0]: frame for name, frame in frames.items()}
    parts = []
    for key, name in run["parts"].items():
        frame = by_key[key]
        named = frame.assign(variant=_joined(name, frame["variant"])) if "variant" in frame else frame
        parts.append(named.assign(part=name) if "metric" in frame or "variant" not in frame else named)
    if all(list(part) == list(COLUMNS) for part in parts):
        return joined(parts)
    return pd.concat(parts, ignore_index=True)


def _joined(part: str, variants: pd.Series) -> pd.Series:
    """Return the full names of variants; of categories each is named once."""
    if isinstance(variants.dtype, pd.CategoricalDtype):
        return variants.cat.rename_categories(lambda variant: join_part(part, variant))
    return variants.map(lambda variant: join_part(part, variant)).astype("str")


def join_data(run: dict[str, Any], **summaries: dict[str, Any]) -> dict[str, Any]:
    """Return one description of the data of all parts: their digests digested, and the cells of each."""
    by_key = {name.split("__")[0]: summary for name, summary in summaries.items()}
    described = {name: by_key[key] for key, name in run["parts"].items()}
    first = next(iter(described.values()))
    digest = hashlib.sha256("".join(summary["digest"] for summary in described.values()).encode()).hexdigest()
    cells = [
        cell | {"split": f"{name}: {cell['split']}"} for name, summary in described.items() for cell in summary["cells"]
    ]
    left_out = join_left_out({name: summary["left_out"] for name, summary in described.items()})
    return first | {"digest": digest, "cells": cells, "left_out": left_out}


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
