"""Uniform confusion (Alvi, Zisserman and Nellåker, ECCV workshops 2018): features that hide the group.

A classifier guesses the group from the features; the network is trained for its task and for that guess to be as
uncertain as can be: the cross-entropy from a uniform distribution (their Eq. 3). The two take turns on every batch.
"""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.methods.objective import GROUPS
from counterpoise.methods.outputs import task_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.tuning import features_of
from counterpoise.methods.weights.inprocessing import Contest, Contested, train


class UniformConfusion(Contest):
    """Networks and their classifiers of the group, one linear layer each; see `nn.epochs.Trainee`."""

    def __init__(self, problem: Problem, settings: Contested) -> None:
        widths = [features_of(problem.build(), problem.examples, problem.pretrain), GROUPS]
        super().__init__(problem, settings, lambda output, y, s: task_loss(output.logits, y), widths)

    def value(self, x: Tensor, y: Int[Tensor, "R B"], s: Int[Tensor, "R B"]) -> Float[Tensor, "R"]:
        output = self.network(x, generators=self.generators)
        self.guess(output.features.detach(), s)
        unsure = confusion(self.opponent(output.features).logits)
        return self.loss(output, y, s) + self.strength * unsure

    def guess(self, features: Float[Tensor, "R B d"], s: Int[Tensor, "R B"]) -> None:
        """Let the classifiers learn from a batch; other steps do not change them."""
        self.opponent.requires_grad_(True)
        task_loss(self.opponent(features).logits, s).sum().backward()
        self.move_opponent()
        self.opponent.requires_grad_(False)


def confusion(logits: Float[Tensor, "R B G"]) -> Float[Tensor, "R"]:
    """Return the mean cross-entropy to the uniform distribution over the groups, in nats: at least ln G."""
    return -logits.log_softmax(dim=-1).mean(dim=(1, 2))


def uniform_confusion(problem: Problem, settings: Contested, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Train networks from whose features the group cannot be predicted."""
    return train(problem, settings, UniformConfusion(problem, settings))
