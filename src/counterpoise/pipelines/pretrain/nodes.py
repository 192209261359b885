"""Train the model that is 'pre-trained': every replicate's own perceptron, all as one stack."""

from __future__ import annotations

import pandas as pd
import torch

from counterpoise.methods import cross_entropy
from counterpoise.nn import Optimizer, StackedMLP, fit, generators
from counterpoise.params import Dataset, Network, Seeds, Training
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
