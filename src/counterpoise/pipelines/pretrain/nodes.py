"""The model that counts as pretrained: a perceptron of each replicate's own, or a head on a backbone they share."""

from __future__ import annotations

import pandas as pd
import torch

from counterpoise.methods import cross_entropy
from counterpoise.nn import Factors, HeadBank, Optimizer, StackedMLP, fit, generators
from counterpoise.params import Backbone, Dataset, Network, Seeds, Training
from counterpoise.pipelines.arrays import examples, feature_matrix, rows
from counterpoise.pipelines.progress import training_progress
from counterpoise.storage import Checkpoint, as_header

ROWS_PER_CHUNK = 4096


def train_networks(
    samples: pd.DataFrame,
    splits: Checkpoint,
    dataset: Dataset,
    network: Network,
    pretrain: Training,
    epochs: int | None,
    seeds: Seeds,
) -> Checkpoint:
    """Train the networks on each replicate's pretraining rows, from which the input statistics are taken too."""
    data = examples(samples, feature_matrix(samples))
    members = rows(splits, "pretrain")
    mean = torch.stack([data.x[own].mean(dim=0) for own in members])
    scale = torch.stack([data.x[own].std(dim=0, correction=0) for own in members])
    bank = StackedMLP(
        [data.x.shape[1], *[network.width] * (network.layers - 1), len(dataset.classes)],
        mean=mean,
        # A category that none of the pretraining rows has is constant there: it is centred, not scaled.
        scale=torch.where(scale > 0, scale, torch.ones_like(scale)),
        generators=generators(seeds.root, "initial weights"),
    )
    total = epochs or pretrain.epochs
    with training_progress("pretrain", total) as advance:
        fit(
            bank,
            data,
            members,
            loss=cross_entropy,
            optimizer=Optimizer(**pretrain.optimizer.model_dump()),
            epochs=total,
            batch_size=pretrain.batch_size,
            generators=generators(seeds.root, "pretraining batches"),
            on_epoch=advance,
        )
    header = as_header(architecture="mlp", widths=list(bank.widths), seeds=list(seeds.root))
    return Checkpoint({name: tensor.detach() for name, tensor in bank.state_dict().items()}, header)


def fit_heads(
    samples: pd.DataFrame,
    splits: Checkpoint,
    features: Checkpoint,
    backbone_head: Checkpoint,
    dataset: Dataset,
    backbone: Backbone,
    pretrain: Training,
    epochs: int | None,
    seeds: Seeds,
) -> Checkpoint:
    """Return the head that counts as pretrained, one per replicate (METHODS.md, "Pretrained model").

    `probe`: a linear head fitted on the replicate's pretraining rows, from zero. `imagenet`: the backbone's own head,
    whose first classes are taken for the labels.
    """
    if backbone.head == "imagenet":
        weight, bias = (backbone_head.tensors[name] for name in ("weight", "bias"))
        head = Factors(
            first=weight.expand(len(seeds.root), *weight.shape), bias=bias.expand(len(seeds.root), *bias.shape)
        )
    else:
        head = _fit_probes(samples, splits, features, len(dataset.classes), pretrain, epochs, seeds)
    header = as_header(architecture=backbone.head, widths=list(head.first.shape[1:]), seeds=list(seeds.root))
    return Checkpoint({"weights.0": head.first.unsqueeze(1), "biases.0": head.bias.unsqueeze(1)}, header)


def _fit_probes(
    samples: pd.DataFrame,
    splits: Checkpoint,
    features: Checkpoint,
    classes: int,
    pretrain: Training,
    epochs: int | None,
    seeds: Seeds,
) -> Factors:
    x = features.tensors["features"]
    zeros = Factors(
        first=torch.zeros(len(seeds.root), x.shape[-1], classes), bias=torch.zeros(len(seeds.root), classes)
    )
    bank, total = HeadBank({"probe": zeros}), epochs or pretrain.epochs
    with training_progress("pretrain", total) as advance:
        fit(
            bank,
            examples(samples, x),
            rows(splits, "pretrain"),
            loss=cross_entropy,
            optimizer=Optimizer(**pretrain.optimizer.model_dump()),
            epochs=total,
            batch_size=pretrain.batch_size,
            generators=generators(seeds.root, "pretraining batches"),
            on_epoch=advance,
        )
    return bank.heads()["probe"]


def compute_features(samples: pd.DataFrame, pretrained: Checkpoint) -> Checkpoint:
    """Return the head's input of every row in every replicate, [R, N, d]: the backbone is not run again after this."""
    bank = StackedMLP.from_state(pretrained.tensors, pretrained.header["widths"])
    x = feature_matrix(samples)
    with torch.inference_mode():
        chunks = [
            bank.representation(part.expand(bank.replicates, *part.shape)).squeeze(1)
            for part in x.split(ROWS_PER_CHUNK)
        ]
        return Checkpoint({"features": torch.cat(chunks, dim=1)}, as_header(seeds=pretrained.header["seeds"]))
