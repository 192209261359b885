"""Fine-tune every variant of every replicate at once, and predict the test rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Dataset, Seeds, Training
from counterpoise.fairness import confusion_counts, metrics
from counterpoise.methods import cross_entropy
from counterpoise.nn import Bank, Examples, Factors, HeadBank, History, Loss, Optimizer, fit, generators
from counterpoise.pipelines.shared.arrays import examples, origin, require_features, require_seeds, rows
from counterpoise.pipelines.shared.heads import PRETRAINED, pretrained_head, read_heads, write_heads
from counterpoise.pipelines.shared.predictions import predict
from counterpoise.pipelines.shared.progress import training_progress


def train_heads(
    samples: pd.DataFrame,
    splits: Checkpoint,
    features: Checkpoint,
    head_bank: Checkpoint,
    dataset: Dataset,
    finetune: Training,
    epochs: int | None,
    seeds: Seeds,
) -> tuple[Checkpoint, pd.DataFrame]:
    """Train the bank on the new task; each head keeps its epoch with the lowest validation error.

    Returns:
        The heads at their chosen epochs, and the learning curves.
    """
    require_seeds(seeds, splits=splits, head_bank=head_bank)
    heads = read_heads(head_bank)
    require_features(features, "head_bank", next(iter(heads.values())).first.shape[-2])
    bank = HeadBank(heads)
    data = examples(samples, features.tensors["features"])
    history = tune(bank, data, splits, dataset, finetune, epochs, seeds, loss=cross_entropy, description="finetune")
    variants = head_bank.header["variants"]
    curves = _curves(history, {name: variants[name]["method"] for name in bank.names}, seeds)
    return write_heads(bank.heads(), variants, **origin(splits)), curves


def tune(
    bank: Bank,
    data: Examples,
    splits: Checkpoint,
    dataset: Dataset,
    finetune: Training,
    epochs: int | None,
    seeds: Seeds,
    *,
    loss: Loss,
    description: str,
) -> History:
    """Train a bank on the new task, whatever is in it; each model keeps its epoch with the lowest validation error."""

    def validation_error(
        logits: Float[Tensor, "R V m k"], y: Int[Tensor, "R m"], s: Int[Tensor, "R m"]
    ) -> Float[Tensor, "R V"]:
        groups, classes = len(dataset.groups), len(dataset.classes)
        counts = confusion_counts(y.unsqueeze(1), logits.argmax(dim=-1), s.unsqueeze(1), groups=groups, classes=classes)
        return metrics.err(counts)

    total = epochs or finetune.epochs
    with training_progress(description, total) as advance:
        return fit(
            bank,
            data,
            rows(splits, "train"),
            loss=loss,
            optimizer=Optimizer(**finetune.optimizer.model_dump()),
            epochs=total,
            batch_size=finetune.batch_size,
            generators=generators(seeds.root, "fine-tuning batches"),
            validation=rows(splits, "validation"),
            criterion=validation_error,
            classes=len(dataset.classes),
            on_epoch=advance,
        )


def predict_test(
    samples: pd.DataFrame,
    splits: Checkpoint,
    features: Checkpoint,
    pretrained: Checkpoint,
    finetuned_heads: Checkpoint,
    dataset: Dataset,
) -> pd.DataFrame:
    """Predict the test rows with the pretrained head and with every fine-tuned one.

    Returns:
        The contract's predictions; see `pipelines.predictions`.
    """
    weight, bias = pretrained_head(pretrained)
    bank = HeadBank({PRETRAINED: Factors(first=weight, bias=bias), **read_heads(finetuned_heads)})
    methods = {PRETRAINED: PRETRAINED} | {
        name: settings["method"] for name, settings in finetuned_heads.header["variants"].items()
    }
    return predict(
        bank,
        [(method, name, bank.names.index(name)) for name, method in methods.items()],
        examples(samples, features.tensors["features"]),
        rows(splits, "test"),
        seeds=finetuned_heads.header["seeds"],
        classes=len(dataset.classes),
    )


def _curves(history: History, methods: dict[str, str], seeds: Seeds) -> pd.DataFrame:
    """Return `method, variant, seed, epoch, loss, validation_err, chosen`, one row per epoch of every head."""
    assert history.validation is not None
    replicates, variants, epochs = history.train_loss.shape
    names = list(methods)
    index: dict[str, Any] = {
        "method": np.tile(np.repeat([methods[name] for name in names], epochs), replicates),
        "variant": np.tile(np.repeat(names, epochs), replicates),
        "seed": np.repeat(np.array(seeds.root), variants * epochs),
        "epoch": np.tile(np.arange(1, epochs + 1), replicates * variants),
    }
    chosen = torch.arange(1, epochs + 1) == history.best_epoch.unsqueeze(-1)
    return pd.DataFrame(
        {
            **index,
            "loss": history.train_loss.flatten().numpy(),
            "validation_err": history.validation.flatten().numpy(),
            "chosen": chosen.flatten().numpy(),
        }
    )
