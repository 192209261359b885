"""Network augmentation (the altering paper, Section 3.3): the fair sub-network learns inside larger ones around it.

After Cai et al. (2021): in each epoch some of the pruned weights come back, and the loss of that larger network is
added to the sub-network's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.bounds import NotNegative, Share
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.tuning import restore, states_of
from counterpoise.methods.weights.adversarial import Adversarial, AdversarialFinetuning
from counterpoise.methods.weights.finetuning import critic_facts, finetune_adversarially
from counterpoise.methods.weights.judging import both_epochs
from counterpoise.methods.weights.mask_discovery import discovered, pruned_share
from counterpoise.nn.networks import Masks, State


class AugmentedFinetuning(AdversarialFinetuning):
    """L(θ ⊙ M) + scale · L(θ ⊙ Mᵢ), Mᵢ = M ∪ Bernoulli(diversity), drawn anew in each epoch.

    The statistics of batch norm follow the sub-network's passes alone. With diversity 0 there is no larger network, and
    this is fine-tuning of the masked one.

    Args:
        drawn: one generator per replicate, for Mᵢ and the larger network's dropout.
    """

    def __init__(
        self, *args: Any, diversity: float, scale: float, drawn: Sequence[torch.Generator], **options: Any
    ) -> None:
        super().__init__(*args, **options)
        assert self.masks is not None, "there is nothing to augment a full network with"
        self.diversity, self.scale, self.drawn = diversity, scale, drawn
        self.larger: Masks = self.masks

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        assert self.masks is not None
        if self.diversity:
            self.larger = {
                name: torch.stack(
                    [
                        single.bool()
                        | (torch.rand(single.shape, generator=generator) < self.diversity).to(single.device)
                        for single, generator in zip(mask, self.drawn, strict=True)
                    ]
                )
                for name, mask in self.masks.items()
            }

    def value(self, x: Tensor, y: Int[Tensor, "R B"], s: Int[Tensor, "R B"]) -> Float[Tensor, "R"]:
        smaller = super().value(x, y, s)
        if not self.diversity:
            return smaller
        output = self.network(x, self.effective(self.larger), generators=self.drawn, track=False)
        return smaller + self.scale * self.loss(output, y, s)

    def state(self) -> State:
        state = super().state() | {f"larger.{name}": mask.clone() for name, mask in self.larger.items()}
        return state | states_of("drawn", self.drawn)

    def load(self, state: State) -> None:
        super().load(state)
        self.larger = {name: state[f"larger.{name}"] for name in self.larger}
        restore("drawn", state, self.drawn)


@dataclass(frozen=True)
class NetAug(Adversarial):
    """Settings of network augmentation.

    Attributes:
        diversity: the probability that a pruned weight is used in an epoch.
        scale: of the larger network's loss; the paper calls it α.
    """

    block: ClassVar[str] = "netaug"
    diversity: Share = 0.05
    scale: NotNegative = 1.0


def network_augmentation(problem: Problem, settings: NetAug, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Fine-tune the sub-network with augmentation; the result is θ ⊙ M."""
    masks = discovered(earlier)
    trained = finetune_adversarially(
        problem,
        problem.method,
        settings,
        masks=masks,
        kind=AugmentedFinetuning,
        diversity=settings.diversity,
        scale=settings.scale,
        drawn=problem.generators(f"{problem.method}: larger networks"),
    )
    return both_epochs(problem, trained, facts=critic_facts(trained) | {"pruned": pruned_share(masks)})
