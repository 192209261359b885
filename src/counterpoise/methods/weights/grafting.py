"""Grafting (the altering paper, Section 3.3): the holes of a mask are filled with other weights, then fine-tuned.

Scions are noise, the network's own strongest weights, or the weights that a second network has there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterpoise.bounds import Count
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.adversarial import Adversarial
from counterpoise.methods.weights.discovery import discover
from counterpoise.methods.weights.finetuning import critic_facts, finetune_adversarially
from counterpoise.methods.weights.judging import both_epochs
from counterpoise.methods.weights.mask_discovery import MaskSettings, discovered, pruned_share
from counterpoise.nn.epochs import Trained
from counterpoise.nn.networks import Masks, State, Weights, masked

LOUDER = 1.1
"""How much larger the noise's mean magnitude is than that of the weights it replaces (METHODS.md)."""

Graft = Callable[[Tensor, Tensor, Sequence[torch.Generator]], Tensor]
"""(weight, mask, generators) to the weight with its holes filled."""

FILTERS = 5
"""Axes of a stack of convolutions' weights: replicate, output channel, input channel, height, width."""


def noise_graft(
    weight: Float[Tensor, "R ..."], mask: Bool[Tensor, "R ..."], generators: Sequence[torch.Generator]
) -> Float[Tensor, "R ..."]:
    """Fill the holes with N(0, s²), s = 1.1 · mean |corrupted weight| · √(π/2), layer by layer.

    √(π/2) times a mean magnitude is the standard deviation of a normal variable with that mean magnitude.
    """
    holes = ~mask.bool()
    count = holes.flatten(1).sum(dim=1).clamp(min=1)
    magnitude = (weight.abs() * holes).flatten(1).sum(dim=1) / count
    spread = LOUDER * math.sqrt(math.pi / 2) * magnitude.view(-1, *[1] * (weight.ndim - 1))
    noise = torch.stack([torch.randn(weight.shape[1:], generator=generator) for generator in generators])
    return torch.where(holes, noise.to(weight) * spread, weight)


def internal_graft(
    weight: Float[Tensor, "R ..."], mask: Bool[Tensor, "R ..."], generators: Sequence[torch.Generator]
) -> Float[Tensor, "R ..."]:
    """Fill a layer's n holes with its n largest remaining weights, in a random order.

    In a convolution whole filters are grafted: as many as the holes would fill, those with most holes are replaced by
    the kept ones of the largest ℓ1 norm. Holes in other filters stay empty. Where fewer are left than there are holes,
    the largest are taken again; where none is left, the holes stay.
    """
    grafted = weight * mask
    for r, generator in enumerate(generators):
        if weight.ndim == FILTERS:
            filled = grafted[r].flatten(1)
            holes = (~mask[r].bool()).flatten(1).sum(dim=1)
            wanted = math.ceil(int(holes.sum()) / filled.shape[1])
            order = holes.argsort(descending=True, stable=True)
            receivers, donors = order[:wanted], order[wanted:]
            strength = filled.abs().sum(dim=1)
        else:
            filled = grafted[r].flatten()
            present = mask[r].bool().flatten()
            receivers, donors = (~present).nonzero().flatten(), present.nonzero().flatten()
            strength = filled.abs()
        if len(receivers) and len(donors):
            filled[receivers] = filled[_largest(strength, donors, len(receivers), generator)]
    return grafted


def _largest(strength: Tensor, donors: Tensor, wanted: int, generator: torch.Generator) -> Tensor:
    """Return `wanted` of the donors, the strongest first in line, in an order of chance."""
    ranked = donors[strength[donors].argsort(descending=True, stable=True)]
    chosen = ranked.repeat(math.ceil(wanted / len(ranked)))[:wanted]
    return chosen[torch.randperm(wanted, generator=generator)]


def external_graft(weights: Weights, masks: Masks, other: Weights) -> dict[str, Float[Tensor, "R ..."]]:
    """Fill the holes of one network with what another has there: W ⊙ M + W′ ⊙ (1 − M)."""
    return {name: torch.where(mask.bool(), weights[name], other[name]) for name, mask in masks.items()}


@dataclass(frozen=True)
class ExternalGraft(Adversarial):
    """Settings of external grafting.

    Attributes:
        rounds: of fine-tuning both networks and exchanging what each lacks; they share the epochs.
        masks: of the second network's discovery.
    """

    block: ClassVar[str] = "external_graft"
    rounds: Count = 5
    masks: MaskSettings = field(default_factory=MaskSettings)


def noise_grafting(problem: Problem, settings: Adversarial, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Graft noise, then fine-tune adversarially without a mask."""
    return _grafted(problem, settings, discovered(earlier), noise_graft)


def internal_grafting(problem: Problem, settings: Adversarial, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Graft the network's own strongest weights, then fine-tune adversarially without a mask."""
    return _grafted(problem, settings, discovered(earlier), internal_graft)


def _grafted(problem: Problem, settings: Adversarial, masks: Masks, graft: Graft) -> list[Result]:
    drawn = problem.generators(f"{problem.method}: scions")
    state = problem.base | {weight: graft(problem.base[weight], mask, drawn) for weight, mask in masks.items()}
    trained = finetune_adversarially(problem, problem.method, settings, state=state)
    return both_epochs(problem, trained, facts=critic_facts(trained) | {"grafted": pruned_share(masks)})


def external_grafting(problem: Problem, settings: ExternalGraft, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Two networks, from two discoveries, teach each other: fine-tune both, exchange what each lacks, and again.

    In the first round each is its pruned network, which stays pruned. The epochs of `settings` are shared out among the
    rounds, and the first network is the result, as in the paper (Section 4.1, "Our setting"). Its result holds the
    masks of the second discovery.
    """
    masks, rounds = discovered(earlier), settings.rounds
    others = discover(problem, "second discovery", settings.masks).best
    shared = {part.name: getattr(settings, part.name) for part in fields(Adversarial)}
    each = settings.epochs // rounds
    part = replace(Adversarial(**shared), epochs=max(1, each), warmup=max(0, min(settings.warmup, each - 1)))
    states: list[State] = [problem.base | masked(problem.base, mask) for mask in (masks, others)]
    trained: list[Trained] = []
    for number in range(1, rounds + 1):
        trained = [
            finetune_adversarially(
                problem,
                f"{problem.method}: network {which}, round {number}",
                part,
                state=state,
                masks=mask if number == 1 else None,
            )
            for which, (state, mask) in enumerate(zip(states, (masks, others), strict=True), start=1)
        ]
        if number < rounds:
            first, second = (one.last for one in trained)
            states = [first | external_graft(first, masks, second), second | external_graft(second, others, first)]
    facts = critic_facts(trained[0]) | {"grafted": pruned_share(masks)}
    return both_epochs(problem, trained[0], facts=facts, masks=others)
