"""How much each input feature of the head matters to each group."""

from __future__ import annotations

import logging

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Dataset
from counterpoise.methods import group_fisher, importance
from counterpoise.pipelines.shared.arrays import examples, origin, require_features, rows
from counterpoise.pipelines.shared.heads import pretrained_head

LOG = logging.getLogger(__name__)


def compute_importance(
    samples: pd.DataFrame, splits: Checkpoint, features: Checkpoint, pretrained: Checkpoint, dataset: Dataset
) -> Checkpoint:
    """Return `fisher` [R, G, d, k] and `importance` [R, G, d] of the pretrained head on the new task's train rows.

    A group without such rows has NaN, and a warning says so.
    """
    weight, bias = pretrained_head(pretrained)
    require_features(features.tensors["features"], "pretrained", weight.shape[-2])
    data, members = examples(samples, features.tensors["features"]), rows(splits, "train")
    fisher = []
    for r in range(len(members)):  # one at a time: a replicate's rows of a large image set fill memory by themselves
        x, y, s = data.replicate(r).take(members[r : r + 1])
        fisher.append(group_fisher(x[0], weight[r], bias[r], y[0], s[0], groups=len(dataset.groups)))
        absent = sorted(set(range(len(dataset.groups))) - set(s.unique().tolist()))
        if absent:
            LOG.warning(
                "%s: the train part of the seed %d has no rows of %s, so what matters to %s is not neutralized",
                dataset.title,
                splits.header["seeds"][r],
                " and ".join(repr(dataset.group_names[group]) for group in absent),
                "it" if len(absent) == 1 else "them",
            )
    header = as_header(architecture="importance", groups=list(dataset.group_names), **origin(pretrained))
    stacked = torch.stack(fisher)
    return Checkpoint({"fisher": stacked, "importance": importance(stacked)}, header)
