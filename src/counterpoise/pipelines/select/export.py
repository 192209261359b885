"""The exported model: one of the chosen models of all replicates."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.artifacts.serving import Rule, Servable
from counterpoise.catalogue import CHOSEN
from counterpoise.config.parameters import Dataset
from counterpoise.data.encoding import EXAMPLE_ROWS, numbers
from counterpoise.errors import InputError
from counterpoise.methods.bases.boosted import Boosted
from counterpoise.methods.bases.dense import Dense
from counterpoise.methods.bases.ground import Ground
from counterpoise.methods.bases.perceptron import Perceptron
from counterpoise.methods.frontier import HEAD, RULE
from counterpoise.methods.repair import under
from counterpoise.methods.rules.joint import GroupHeads, GroupTrees
from counterpoise.pipelines.shared.bases import inputs_of, read_bases


def export_model(
    samples: pd.DataFrame,
    bases: Checkpoint,
    chosen_models: Checkpoint,
    selection: pd.DataFrame,
    dataset: Dataset,
    run: dict[str, Any],
    encoding: dict[str, Any] | None = None,
    features: Checkpoint | None = None,
) -> Servable:
    """Return one replicate's chosen model, its input the columns of a table or the features f0 … of an image.

    Args:
        chosen_models: heads and rules by family.
        selection: `seed, family, variant, base, constraint, strength, tolerance, criterion, validation_err,
            validation_bias, meets`; the row that decided becomes the model's metadata.
        encoding: of a table; without one, samples or features are numbers that are taken as they are.

    Raises:
        InputError: the chosen models are of other seeds than the bases.
    """
    seeds = chosen_models.header["seeds"]
    if seeds != (expected := bases.header["seeds"]):
        raise InputError(
            f"chosen_models.safetensors has the seeds {seeds}, expected {expected}, as in bases.safetensors: run "
            "the stages before this one too"
        )
    chosen = best(selection)
    x = inputs_of(samples, features)
    if encoding is None:
        names = list(samples.columns.drop(["y", "s"])) if features is None else [f"f{i}" for i in range(x.shape[1])]
        encoding = numbers(names) | {"example": dict(zip(names, x[:EXAMPLE_ROWS].double().T.tolist(), strict=True))}
    grounds = read_bases(bases, groups=len(dataset.groups), classes=len(dataset.classes))
    (ground,) = (one for one in grounds[seeds.index(chosen["seed"])] if one.kind == chosen["base"])
    stored = under(f"{CHOSEN}.{chosen['seed']}", chosen_models.tensors)
    head = stored.get(HEAD)
    if head is not None:  # of the widest replicate's length, with zeros before the intercept
        head = torch.cat([head[: len(ground.head) - 1], head[-1:]])
    return served(
        ground,
        head=head,
        rule=stored.get(RULE),
        threshold=chosen["threshold"] or 0.0,
        encoding={name: value for name, value in encoding.items() if name != "example"},
        classes=tuple(dataset.classes),
        label=dataset.label,
        experiment=run["experiment"],
        example=pd.DataFrame(encoding["example"]),
        metadata={**chosen, "digests": bases.header["digests"]},
    )


def served(ground: Ground, *, head: Tensor | None, rule: Tensor | None, threshold: float, **described: Any) -> Servable:
    """Put a head or a rule on its base.

    Args:
        head: [q + 1] on the base; or rule: [k·G, k], on the base's unrepaired probabilities.
        threshold: on the margin, of a head.
        described: the other attributes of `Servable`.
    """
    on_base = ground.head if head is None else head
    decision = None
    base = ground.base
    if rule is not None:
        heads = ground.group.heads if isinstance(ground.group, GroupHeads) else None
        trees = ground.group.text if isinstance(ground.group, GroupTrees) else None
        if heads is not None and isinstance(base, Perceptron):
            heads = _unstandardised(heads, base.dense)
        decision = Rule(rule, ground.temperature, ground.group.temperature, heads, trees)
    if isinstance(base, Boosted):
        repaired = base.with_head(on_base, threshold)
        return Servable(layers=(), trees=repaired.text, threshold=threshold, rule=decision, **described)
    margin = on_base.clone()
    margin[-1] -= threshold
    if isinstance(base, Perceptron):
        last = _unstandardised(margin.double().view(1, -1, 1), base.dense)[0, :, 0]
        network = base.network
        hidden = [
            (weight.detach()[0, 0], bias.detach()[0, 0])
            for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True)
        ]
        mean, scale = (None if one is None else one[0] for one in (network.mean, network.scale))
    else:
        assert isinstance(base, Dense)
        last, hidden, mean, scale = margin, [], base.mean, base.scale
    logits = torch.stack([torch.zeros_like(last), last], dim=1).float()
    layers = (*hidden, (logits[:-1], logits[-1]))
    return Servable(layers=layers, mean=mean, scale=scale, threshold=threshold, rule=decision, **described)


def _unstandardised(heads: Float[Tensor, "k p G"], statistics: Dense) -> Float[Tensor, "k p G"]:
    """Return heads on features as they come that say the same as heads on standardised ones."""
    weight = heads[:, :-1] / statistics.scale.double().view(1, -1, 1)
    intercept = heads[:, -1] - (weight * statistics.mean.double().view(1, -1, 1)).sum(dim=1)
    return torch.cat([weight, intercept.unsqueeze(1)], dim=1)


def best(selection: pd.DataFrame) -> dict[str, Any]:
    """Return the row of the family `chosen` with the lowest validation error among those that meet the tolerance.

    If none meets it, the row with the lowest validation bias. Plain values, null where there is none.
    """
    ours = selection[selection["family"] == CHOSEN].drop(columns="family")
    meeting = ours[ours["meets"].astype(bool)]
    by_error, by_bias = ["validation_err", "validation_bias", "seed"], ["validation_bias", "validation_err", "seed"]
    first = (ours.sort_values(by_bias) if meeting.empty else meeting.sort_values(by_error)).iloc[:1]
    (row,) = first.to_dict("records")
    return {str(name): None if pd.isna(value) else value for name, value in row.items()}
