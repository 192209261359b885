"""Fine-tune whole networks under a penalty: what WIN is compared with in Section 4.4."""

from __future__ import annotations

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Dataset, Retrain, Seeds, Training
from counterpoise.methods import Constraint, penalized
from counterpoise.nn import StackedMLP
from counterpoise.pipelines.finetune.nodes import tune
from counterpoise.pipelines.shared.arrays import examples, feature_matrix, origin, require_seeds, rows
from counterpoise.pipelines.shared.predictions import predict

METHOD = "retrain"


def retrain_networks(
    samples: pd.DataFrame,
    splits: Checkpoint,
    pretrained: Checkpoint,
    dataset: Dataset,
    finetune: Training,
    retrain: Retrain,
    epochs: int | None,
    seeds: Seeds,
) -> tuple[Checkpoint, pd.DataFrame]:
    """Fine-tune every weight of the pretrained networks on the new task, once under each penalty, as one stack.

    Returns:
        The networks at their epochs with the lowest validation error, variants on the second axis; their predictions.
    """
    require_seeds(seeds, splits=splits, pretrained=pretrained)
    grid: dict[str, tuple[Constraint | None, float]] = {METHOD: (None, 0.0)} if 0 in retrain.strengths else {}
    for constraint in retrain.constraints:
        grid |= {f"{METHOD}_{constraint}_{value:g}": (constraint, value) for value in retrain.strengths if value}
    bank = StackedMLP.from_state(pretrained.tensors, pretrained.header["widths"], copies=len(grid))
    strengths: dict[Constraint, float | torch.Tensor] = {
        name: torch.tensor([value if constraint == name else 0.0 for constraint, value in grid.values()])
        for name in ("dp", "eo")
    }
    data, loss = examples(samples, feature_matrix(samples)), penalized(strengths, groups=len(dataset.groups))
    tune(bank, data, splits, dataset, finetune, epochs, seeds, loss=loss, description="retrain")
    variants = {
        name: {"method": METHOD, "alpha": None, "rank": None, "constraint": constraint, "strength": value or None}
        for name, (constraint, value) in grid.items()
    }
    predicted = predict(
        bank,
        [(METHOD, name, v) for v, name in enumerate(grid)],
        data,
        rows(splits, "test"),
        seeds=seeds.root,
        classes=len(dataset.classes),
    )
    tensors = {name: tensor.detach() for name, tensor in bank.state_dict().items()}
    header = as_header(architecture="mlp", widths=list(bank.widths), variants=variants, **origin(splits))
    return Checkpoint(tensors, header), predicted


def join_predictions(head_predictions: pd.DataFrame, retrained_predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions of heads and whole networks in one table."""
    return pd.concat([head_predictions, retrained_predictions], ignore_index=True)
