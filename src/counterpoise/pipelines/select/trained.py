"""The model that came trained, repaired, in the form in which it came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.catalogue import CHOSEN
from counterpoise.config.models import TreeFile
from counterpoise.config.parameters import Block, Dataset
from counterpoise.methods.bases.boosted import Boosted
from counterpoise.methods.bases.dense import Dense
from counterpoise.methods.bases.ground import Ground
from counterpoise.methods.frontier import HEADS, LEAVES
from counterpoise.methods.frontier_results import HEAD
from counterpoise.nn.tree_text import parse
from counterpoise.pipelines.select.export import exported_choice
from counterpoise.pipelines.shared.bases import read_bases
from counterpoise.pipelines.shared.trained import Trained, network_on_table, tree_file_of, trees_on_table


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
    from counterpoise.features.tree_files import written_back

    model, _ = trees_on_table(samples, model_files, dataset, trees)
    ground, head, threshold = _chosen(bases, chosen_models, selection, f"{CHOSEN}_{LEAVES}", dataset)
    assert isinstance(ground.base, Boosted)
    repaired = ground.base.with_head(head, threshold)
    return written_back(tree_file_of(model_files, trees), model, parse(repaired.text, trees.trees))


def repaired_state(
    samples: pd.DataFrame,
    bases: Checkpoint,
    chosen_models: Checkpoint,
    selection: pd.DataFrame,
    model_files: Path,
    dataset: Dataset,
    model: Block[Trained],
    table: pd.DataFrame,
) -> Checkpoint:
    """Return the state dict of the user's network with the head of one of the repairs that the tolerance chose.

    Which one is as in `repaired_tree_file`. Of two logits their mean stays, and their difference is the head's margin;
    one logit is the margin. Of an exported program and of a linear classifier there are the weight and bias alone.
    """
    network, _ = network_on_table(samples, table, model_files, model.root, dataset)
    ground, head, threshold = _chosen(bases, chosen_models, selection, f"{CHOSEN}_{HEADS}", dataset)
    assert isinstance(ground.base, Dense)
    margin = ground.base.unstandardised(head)
    margin[-1] -= threshold
    weight, bias = margin[:-1].unsqueeze(0), margin[-1:]
    if len(network.weight) > 1:
        signs = torch.tensor([-0.5, 0.5])
        weight = network.weight.mean(dim=0) + signs.unsqueeze(1) * weight
        bias = network.bias.mean() + signs * bias
    repaired = {f"{network.name}.weight": weight, f"{network.name}.bias": bias}
    return Checkpoint(network.state | repaired, as_header(architecture="repaired", head=network.name))


def _chosen(
    bases: Checkpoint, chosen_models: Checkpoint, selection: pd.DataFrame, family: str, dataset: Dataset
) -> tuple[Ground, Float[Tensor, "p"], float]:
    """Return the base, the head and the decision threshold of one family's choice."""
    choice: dict[str, Any] = exported_choice(selection[selection["family"] == family].assign(family=CHOSEN))
    seeds = bases.header["seeds"]
    grounds = read_bases(bases, groups=len(dataset.groups), classes=len(dataset.classes))
    ground = grounds[seeds.index(choice["seed"])][0]
    head = chosen_models.tensors[f"{family}.{choice['seed']}.{HEAD}"]
    return ground, torch.cat([head[: len(ground.head) - 1], head[-1:]]), choice["threshold"] or 0.0
