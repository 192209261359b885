"""How much each input feature of the head matters to each group."""

from __future__ import annotations

import pandas as pd
import torch

from counterpoise.methods import group_fisher, importance
from counterpoise.params import Dataset
from counterpoise.pipelines.arrays import examples, rows
from counterpoise.pipelines.heads import pretrained_head
from counterpoise.storage import Checkpoint, as_header


def compute_importance(
    samples: pd.DataFrame, splits: Checkpoint, features: Checkpoint, pretrained: Checkpoint, dataset: Dataset
) -> Checkpoint:
    """Return `fisher` [R, G, d, k] and `importance` [R, G, d] of the pretrained head on the new task's train rows."""
    weight, bias = pretrained_head(pretrained)
    x, y, s = examples(samples, features.tensors["features"]).take(rows(splits, "train"))
    groups = len(dataset.groups)
    fisher = torch.stack([group_fisher(x[r], weight[r], bias[r], y[r], s[r], groups=groups) for r in range(len(x))])
    header = as_header(groups=list(dataset.group_names), seeds=pretrained.header["seeds"])
    return Checkpoint({"fisher": fisher, "importance": importance(fisher)}, header)
