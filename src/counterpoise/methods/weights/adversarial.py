"""Adversarial fine-tuning (Savani et al., 2020, Section 4.3): the task's loss, weighted up while a batch looks biased.

The critic sees the features of a whole batch at once and estimates its bias. As published it barely learns: its error
stays near the variance of what it estimates, which reports show as `critic_ratio`. `critic="exact"` takes the batch's
own soft bias in the place of an estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.bounds import Bounded, Count, NotNegative, Positive
from counterpoise.methods.gaps import soft_bias
from counterpoise.methods.objective import Objective
from counterpoise.methods.outputs import task_loss
from counterpoise.methods.repair import under
from counterpoise.methods.tuning import WeightTuning, features_of, restore, states_of
from counterpoise.nn.epochs import Figures
from counterpoise.nn.examples import Examples, shuffled
from counterpoise.nn.networks import Masks, Networks, Output, StackedNetwork, State, evaluate
from counterpoise.nn.optimizers import Optimizer

CRITIC_WIDTHS = (32, 32, 32, 32)
CRITIC_DROPOUT = 0.2


@dataclass(frozen=True)
class Adversarial(Bounded):
    """Settings of adversarial fine-tuning; defaults as METHODS.md fixes them.

    Attributes:
        critic: `published` estimates a batch's bias from its features, `exact` computes it from its predictions.
        pressure: λ, how fast the task's loss is weighted up as the bias leaves the tolerance.
        warmup: epochs in which the rate rises, all of them at most; afterwards it falls as a cosine.
    """

    block: ClassVar[str] = "adversarial"
    critic: Literal["published", "exact"] = "published"
    pressure: NotNegative = 10.0
    lr: Positive = 1e-3
    critic_lr: Positive = 1e-3
    epochs: Count = 90
    warmup: Annotated[int, Ge(0)] = 5
    batch_size: Count = 64


class AdversarialFinetuning(WeightTuning):
    """Networks, and with the published critic one beside each of them; see `nn.epochs.Trainee`.

    Args:
        examples, rows: what the critics are trained on, with the networks held still, before each epoch of theirs.
        generators: of the networks' dropout. critic_generators: of the critics' weights, dropout and batches.
    """

    def __init__(
        self,
        network: Networks,
        objective: Objective,
        settings: Adversarial,
        examples: Examples,
        rows: Int[Tensor, "R n"],
        *,
        generators: Sequence[torch.Generator],
        critic_generators: Sequence[torch.Generator],
        masks: Masks | None = None,
    ) -> None:
        batches = max(1, rows.shape[1] // settings.batch_size)
        super().__init__(
            network,
            self._weighted,
            optimizer=Optimizer(
                lr=settings.lr,
                schedule="cosine",
                warmup=min(settings.warmup, settings.epochs) / settings.epochs,
                fused=True,
            ),
            steps=batches * settings.epochs,
            batch_size=settings.batch_size,
            generators=generators,
            masks=masks,
        )
        self.objective, self.settings = objective, settings
        self.examples, self.rows, self.critic_generators = examples, rows, critic_generators
        self.critic: StackedNetwork | None = None
        self.ratio = torch.full((len(rows),), torch.nan, dtype=torch.float64)
        if settings.critic == "published":
            self.batch = min(settings.batch_size, rows.shape[1])
            self.critic = StackedNetwork(
                [self.batch * features_of(network, examples, rows), *CRITIC_WIDTHS, 1],
                generators=critic_generators,
                dropout=CRITIC_DROPOUT,
                normalized=False,
            ).to(network.device)
            self.move_critic = Optimizer(lr=settings.critic_lr, fused=True).build(
                self.critic.parameters(), batches * settings.epochs
            )

    @torch.no_grad()
    def _held_still(self, rows: Int[Tensor, "R B"]) -> Output:
        output = evaluate(self.network, self.examples, rows, self.effective())
        return Output(*(part.to(self.network.device) for part in output))

    def begin_epoch(self, epoch: int) -> None:
        """Train the critics for an epoch on the features of the networks as they are."""
        if self.critic is None:
            return
        self.critic.requires_grad_(True).train()
        errors, targets = [], []
        for part in shuffled(self.rows, self.critic_generators).split(self.batch, dim=1):
            if part.shape[1] < self.batch:
                break
            output = self._held_still(part)
            y, s = (labels.take(part).to(self.network.device) for labels in (self.examples.y, self.examples.s))
            target = soft_bias(self.objective.bias, output.logits, y, s)
            estimate = self._estimate(output.features, self.critic_generators)
            error = (estimate - target).square()
            error.sum().backward()
            self.move_critic()
            errors.append(error.detach().cpu().double())
            targets.append(target.cpu().double())
        variance = torch.stack(targets).var(dim=0, correction=0)
        self.ratio = torch.stack(errors).mean(dim=0) / variance.clamp(min=torch.finfo(torch.float64).tiny)
        self.critic.requires_grad_(False).eval()

    def _estimate(
        self, features: Float[Tensor, "R B d"], generators: Sequence[torch.Generator] | None = None
    ) -> Float[Tensor, "R"]:
        assert self.critic is not None
        return self.critic(features.flatten(1).unsqueeze(1), generators=generators).logits.flatten()

    def _weighted(self, output: Output, y: Int[Tensor, "R B"], s: Int[Tensor, "R B"]) -> Float[Tensor, "R"]:
        """Return max(1, λ (|b̂| − ε + margin) + 1) · BCE."""
        if self.critic is None:
            bias = soft_bias(self.objective.bias, output.logits, y, s)
        else:
            bias = self._estimate(output.features)
        weight = (self.settings.pressure * (bias.abs() - self.objective.bound) + 1).clamp(min=1)
        return weight * task_loss(output.logits, y)

    def step(self, x: Tensor, y: Int[Tensor, "R B"], s: Int[Tensor, "R B"], rows: Int[Tensor, "R B"]) -> Figures:
        return {**super().step(x, y, s, rows), "critic_ratio": self.ratio}

    def state(self) -> State:
        state = super().state()
        if self.critic is None:
            return state
        state |= {f"critic.{name}": tensor.clone() for name, tensor in self.critic.state().items()}
        state |= {f"critic_optimizer.{name}": tensor for name, tensor in self.move_critic.state().items()}
        return state | states_of("critic_generator", self.critic_generators)

    def load(self, state: State) -> None:
        super().load(state)
        if self.critic is not None:
            self.critic.load(under("critic", state))
            self.move_critic.load(under("critic_optimizer", state))
            restore("critic_generator", state, self.critic_generators)
