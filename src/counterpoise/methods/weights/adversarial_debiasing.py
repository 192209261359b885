"""Adversarial debiasing (Zhang, Lemoine and Mitchell, AIES 2018): an adversary guesses the group from the prediction.

With L_P the task's loss, L_A the adversary's and W the network's weights, W moves against

    ∇_W L_P − proj_{∇_W L_A} ∇_W L_P − strength · ∇_W L_A                          (their Eq. 1)

so that no step on the task's behalf helps the adversary. For statistical parity it sees the logits alone, for equalized
odds, of which equal opportunity is a part, the class too (their Section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from counterpoise.methods.outputs import task_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.inprocessing import Contest, Contested, train
from counterpoise.nn.epochs import Figures

ADVERSARY_WIDTH = 32


class AdversarialDebiasing(Contest):
    """Networks and their adversaries; see `nn.epochs.Trainee`."""

    def __init__(self, problem: Problem, settings: Contested) -> None:
        objective = problem.goal
        self.classes = objective.classes
        self.sees_class = objective.bias in ("eod", "aod")
        logits = 1 if self.classes == 2 else self.classes
        widths = [logits + (self.classes if self.sees_class else 0), ADVERSARY_WIDTH, 1]
        super().__init__(problem, settings, lambda output, y, s: task_loss(output.logits, y), widths)

    def step(self, x: Tensor, y: Int[Tensor, "R B"], s: Int[Tensor, "R B"], rows: Int[Tensor, "R B"]) -> Figures:
        output = self.network(self.prepared(x), generators=self.generators)
        value = self.loss(output, y, s)
        guess = task_loss(self.opponent(self.shown(output.logits, y)).logits, s)
        wanted = torch.autograd.grad(value.sum(), self.parameters, retain_graph=True)
        guesser = list(self.opponent.parameters())
        gradients_of_guess = torch.autograd.grad(guess.sum(), [*self.parameters, *guesser])
        helping, of_guesser = gradients_of_guess[: len(self.parameters)], gradients_of_guess[len(self.parameters) :]
        gradients = [*opposed(wanted, helping, self.strength, replicates=self.network.replicates), *of_guesser]
        for parameter, gradient in zip([*self.parameters, *guesser], gradients, strict=True):
            assert parameter.grad is not None
            parameter.grad.copy_(gradient)
        self.move()
        self.move_opponent()
        return {"loss": value.detach(), "adversary_loss": guess.detach()}

    def shown(self, logits: Float[Tensor, "R B k"], y: Int[Tensor, "R B"]) -> Float[Tensor, "R B c"]:
        """Return what the adversary sees."""
        return torch.cat([logits, one_hot(y.long(), self.classes).to(logits)], dim=-1) if self.sees_class else logits


def opposed(wanted: Sequence[Tensor], helping: Sequence[Tensor], strength: float, *, replicates: int) -> list[Tensor]:
    """Return ∇L_P − proj_{∇L_A} ∇L_P − strength · ∇L_A, with each replicate's weights as one vector.

    Args:
        wanted: ∇L_P, one tensor for each of the parameters, the replicates in front. helping: ∇L_A.
    """
    along, length = (
        torch.stack(
            [(one * other).reshape(replicates, -1).sum(dim=1) for one, other in zip(helping, others, strict=True)]
        ).sum(dim=0)
        for others in (wanted, helping)
    )
    factor = along / length.clamp(min=torch.finfo(length.dtype).tiny) + strength  # R
    return [
        one - (factor.view(-1, 1) * other.reshape(replicates, -1)).view_as(other)
        for one, other in zip(wanted, helping, strict=True)
    ]


def adversarial_debiasing(problem: Problem, settings: Contested, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Train networks whose predictions do not reveal the group."""
    return train(problem, settings, AdversarialDebiasing(problem, settings))
