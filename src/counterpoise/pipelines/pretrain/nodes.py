"""The pretrained model: a perceptron for each replicate, or a head on a shared backbone."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Backbone, Block, Dataset, Network, Seeds
from counterpoise.methods import cross_entropy, penalized
from counterpoise.methods.heads.penalties import Penalty
from counterpoise.nn import Loss, StackedMLP, fit, generators
from counterpoise.nn.settings import Training
from counterpoise.pipelines.shared.arrays import examples, feature_matrix, input_statistics, origin, require_seeds, rows
from counterpoise.pipelines.shared.compared import compared_groups
from counterpoise.pipelines.shared.progress import training_progress
from counterpoise.pipelines.shared.trained import with_classes

ROWS_PER_CHUNK = 4096


def train_networks(
    samples: pd.DataFrame,
    splits: Checkpoint,
    dataset: Dataset,
    network: Network,
    penalty: Block[Penalty],
    pretrain: Block[Training],
    epochs: int | None,
    seeds: Seeds,
) -> Checkpoint:
    """Train the networks on each replicate's pretraining rows, from which the input statistics are taken too.

    With a penalty they are the fair pretrained models of WIN, Section 4.3.
    """
    require_seeds(seeds, splits=splits)
    x, members = feature_matrix(samples), rows(splits, "pretrain")
    mean, scale = input_statistics(x, members)
    bank = StackedMLP(
        [x.shape[1], *[network.width] * (network.layers - 1), len(dataset.classes)],
        mean=mean,
        scale=scale,
        generators=generators(seeds.root, "initial weights"),
    )
    header = as_header(architecture="mlp", widths=list(bank.widths), **origin(splits))
    loss: Loss = cross_entropy
    if penalty.root.strength:
        loss = penalized(
            {penalty.root.constraint: penalty.root.strength},
            groups=len(dataset.groups),
            compared=compared_groups(samples, splits, dataset),
        )
    return _train(bank, header, samples, x, members, pretrain.root.lasting(epochs), seeds, loss)


def _train(
    bank: StackedMLP,
    header: dict[str, Any],
    samples: pd.DataFrame,
    x: Tensor,
    members: Int[Tensor, "R n"],
    training: Training,
    seeds: Seeds,
    loss: Loss = cross_entropy,
) -> Checkpoint:
    with training_progress("pretrain", training.epochs) as advance:
        fit(
            bank,
            examples(samples, x),
            members,
            loss=loss,
            optimizer=training.optimizer,
            epochs=training.epochs,
            batch_size=training.batch_size,
            generators=generators(seeds.root, "pretraining batches"),
            on_epoch=advance,
        )
    return Checkpoint({name: tensor.detach() for name, tensor in bank.state_dict().items()}, header)


def fit_heads(
    samples: pd.DataFrame,
    splits: Checkpoint,
    features: Checkpoint,
    backbone_head: Checkpoint,
    dataset: Dataset,
    backbone: Backbone,
    pretrain: Block[Training],
    epochs: int | None,
    seeds: Seeds,
) -> Checkpoint:
    """Return the head that counts as pretrained, one per replicate (METHODS.md, "Pretrained model").

    `probe`: a linear head fitted on the replicate's pretraining rows from torch's own initial weights. From zero, a
    two-class head would stay of rank one for ever (the two columns' gradients are opposite), and every factorisation
    of it would be the same. `imagenet`: the backbone's own head, whose first classes are taken for the labels;
    `network`: its own head, of as many classes as the data have.
    """
    require_seeds(seeds, splits=splits)
    replicates, x = len(seeds.root), features.tensors["features"]
    if backbone.head != "probe":
        weight, bias = backbone_head.tensors["weight"], backbone_head.tensors["bias"]
        if backbone.head == "network":
            weight, bias = with_classes(weight, bias, dataset, backbone.name)
        shared = {"weights.0": weight, "biases.0": bias}
        tensors = {name: tensor.expand(replicates, 1, *tensor.shape) for name, tensor in shared.items()}
        widths = list(weight.shape)
        return Checkpoint(tensors, as_header(architecture=backbone.head, widths=widths, **origin(splits)))
    probes = StackedMLP(
        [x.shape[1], len(dataset.classes)], mean=None, scale=None, generators=generators(seeds.root, "initial weights")
    )
    header = as_header(architecture="probe", widths=list(probes.widths), **origin(splits))
    return _train(probes, header, samples, x, rows(splits, "pretrain"), pretrain.root.lasting(epochs), seeds)


def compute_features(samples: pd.DataFrame, pretrained: Checkpoint) -> Checkpoint:
    """Return the head's input of every row in every replicate, [R, N, d]: the backbone is not run again after this."""
    bank = StackedMLP.from_state(pretrained.tensors, pretrained.header["widths"])
    x = feature_matrix(samples)
    with torch.inference_mode():
        chunks = [
            bank.representation(part.expand(bank.replicates, *part.shape)).squeeze(1)
            for part in x.split(ROWS_PER_CHUNK)
        ]
        return Checkpoint({"features": torch.cat(chunks, dim=1)}, as_header(**origin(pretrained)))
