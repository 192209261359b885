"""Other layers than the head of a network that came trained: what factors in their place do to it, by group."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.models import MlflowFolder, TorchModule, file_in
from counterpoise.config.parameters import Block, Dataset
from counterpoise.errors import InputError
from counterpoise.fairness import evaluate
from counterpoise.methods.heads.layer_drift import measure_factors
from counterpoise.methods.heads.layer_svd import layer_importance, linear_layers
from counterpoise.methods.heads.neutralize import neutralize
from counterpoise.pipelines.shared.arrays import rows
from counterpoise.pipelines.shared.compared import compared_groups
from counterpoise.pipelines.shared.trained import Trained, network_on_table, with_classes

METRICS = ("err", "delta_eo", "delta_dp")
COLUMNS = (
    *("seed", "layer", "factors", "ratio", "rank", "parameters", "weight_error", "output_error", "drift"),
    *("worst_group", "worst_drift", *METRICS),
)
PLAIN, NEUTRALIZED, BLIND = "plain", "neutralized", "blind"
"""Ways to weigh: not at all, by the groups' importance as WIN does, by importance that knows no groups."""


def factor_layers(
    samples: pd.DataFrame,
    splits: Checkpoint,
    table: pd.DataFrame,
    model_files: Path,
    dataset: Dataset,
    model: Block[Trained],
) -> pd.DataFrame:
    """Return `COLUMNS`: each of `target_layers` by itself, and all at once, with factors in their place.

    Importance is of a replicate's train rows; all else is measured on its test rows, before any fine-tuning. Drift is
    of what the network's head sees, relative to its mean length; `worst_group` is the group whose rows drift the most.
    Without target layers there is no row.

    Raises:
        InputError: a pattern fits no linear layer, or the head.
    """
    settings = model.root
    if not isinstance(settings, TorchModule | MlflowFolder) or not settings.target_layers:
        return pd.DataFrame(columns=list(COLUMNS))
    network, x = network_on_table(samples, table, model_files, settings, dataset)
    source = file_in(settings)
    weight, bias = with_classes(network.weight.T, network.bias, dataset, f"{source}: its last layer {network.name!r}")
    body = network.body.network
    layers = linear_layers(body, settings.target_layers)
    if network.name in layers:
        raise InputError(
            f"target_layers: {network.name!r} is the head, which every method of the experiment factors, expected "
            "other layers"
        )
    labels = {name: torch.tensor(samples[name].to_numpy()) for name in ("y", "s")}
    groups, classes = len(dataset.groups), len(dataset.classes)
    compared = compared_groups(samples, splits, dataset)
    records = []
    for seed, train, test in zip(splits.header["seeds"], rows(splits, "train"), rows(splits, "test"), strict=True):

        def losses(numbers: Tensor, train: Tensor = train) -> Float[Tensor, "B"]:
            logits = network.body(x[train[numbers]]) @ weight + bias
            return nn.functional.cross_entropy(logits, labels["y"][train[numbers]], reduction="none")

        group_of = labels["s"][train]
        ways = {
            PLAIN: None,
            NEUTRALIZED: _combined(layer_importance(body, layers, losses, group_of, groups=groups)),
            BLIND: _combined(layer_importance(body, layers, losses, torch.zeros_like(group_of), groups=1)),
        }
        y, s = labels["y"][test], labels["s"][test]

        def answer(changed: nn.Module, test: Tensor = test) -> Float[Tensor, "n d"]:
            return type(network.body)(changed, network.body.head)(x[test]).float()

        for each in measure_factors(body, layers, ways, settings.target_ratios, answer):
            decided = (each.answer @ weight + bias).argmax(dim=1)
            values = evaluate(y, s, decided, names=METRICS, groups=groups, classes=classes, compared=compared)
            of_groups = pd.Series(each.drift.numpy()).groupby(s.numpy()).mean()
            records.append(
                {"seed": seed, "layer": each.layer, "factors": each.factors, "ratio": each.ratio, "rank": each.rank}
                | {name: getattr(each, name) for name in ("parameters", "weight_error", "output_error")}
                | {"drift": float(each.drift.mean()), "worst_drift": float(of_groups.max())}
                | {"worst_group": dataset.group_names[int(of_groups.to_numpy().argmax())]}
                | {name: float(value) for name, value in values.items()}
            )
    return pd.DataFrame(records, columns=list(COLUMNS))


def _combined(importance: Mapping[str, Float[Tensor, "G d"]]) -> dict[str, Float[Tensor, "d"]]:
    return {name: neutralize(scores) for name, scores in importance.items()}
