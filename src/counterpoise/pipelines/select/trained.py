"""The model that came trained, repaired, in the form in which it came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.catalogue import CHOSEN
from counterpoise.config.models import TreeFile
from counterpoise.config.parameters import Dataset
from counterpoise.methods.bases.boosted import Boosted
from counterpoise.methods.bases.ground import Ground
from counterpoise.methods.frontier import HEAD, LEAVES
from counterpoise.nn.tree_text import parse, with_leaves_of
from counterpoise.pipelines.select.export import best
from counterpoise.pipelines.shared.bases import read_bases
from counterpoise.pipelines.shared.trained import trees_on_table


def repaired_tree_file(
    samples: pd.DataFrame,
    bases: Checkpoint,
    chosen_models: Checkpoint,
    selection: pd.DataFrame,
    model_files: Path,
    dataset: Dataset,
    trees: TreeFile,
) -> str:
    """Return the user's trees with the leaf values of one of the repairs that the tolerance chose.

    It is the choice among repairs of leaf values, even where a rule in bias scores was better: a rule is no file of
    trees. Among seeds the one that `export.best` takes. The decision is at a margin of 0, a probability of 0.5.
    """
    model, _ = trees_on_table(samples, model_files, dataset, trees)
    ground, head, threshold = _chosen(bases, chosen_models, selection, f"{CHOSEN}_{LEAVES}", dataset)
    assert isinstance(ground.base, Boosted)
    repaired = ground.base.with_head(head, threshold)
    return with_leaves_of(model, parse(repaired.text, trees.trees)).text()


def _chosen(
    bases: Checkpoint, chosen_models: Checkpoint, selection: pd.DataFrame, family: str, dataset: Dataset
) -> tuple[Ground, Float[Tensor, "p"], float]:
    """Return the base, the head and the decision threshold of one family's choice."""
    choice: dict[str, Any] = best(selection[selection["family"] == family].assign(family=CHOSEN))
    seeds = bases.header["seeds"]
    grounds = read_bases(bases, groups=len(dataset.groups), classes=len(dataset.classes))
    ground = grounds[seeds.index(choice["seed"])][0]
    head = chosen_models.tensors[f"{family}.{choice['seed']}.{HEAD}"]
    return ground, torch.cat([head[: len(ground.head) - 1], head[-1:]]), choice["threshold"] or 0.0
