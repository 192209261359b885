"""Domain-discriminative and domain-independent training (Wang et al., CVPR 2020, Sections 4.2 and 4.4).

Instead of hiding the group, the network is made to know it, and at prediction the knowledge is taken out: either as a
prior that training data have and fair data have not, or by asking the classifiers of all groups and adding their votes.
Neither needs the group of the rows it predicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from counterpoise.methods.cells import require_cells
from counterpoise.methods.objective import GROUPS
from counterpoise.methods.outputs import scores, task_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.inprocessing import FromScratch, InProcessing, train
from counterpoise.nn.builders import Builder
from counterpoise.nn.networks import Networks


@dataclass(frozen=True)
class Widened:
    """A builder of the same networks with another number of outputs."""

    builder: Builder
    outputs: int

    def __call__(self, outputs: int | None = None) -> Networks:
        return self.builder(self.outputs if outputs is None else outputs)

    def replicate(self, r: int) -> Widened:
        return replace(self, builder=self.builder.replicate(r))


def domain_discriminative(
    problem: Problem, settings: InProcessing, earlier: Mapping[str, list[Result]]
) -> list[Result]:
    """Tell classes of groups apart, each of the k · G a class of its own, and predict with the prior shifted.

    Raises:
        InputError: a class of a group is not among the training rows.
    """
    k = problem.goal.classes
    y, s = (labels.long() for labels in problem.labels(problem.pretrain))
    require_cells(
        y, s, groups=GROUPS, classes=k, where="a replicate's training part", why="or its share cannot be told apart"
    )
    prior = one_hot(_cell(y, s, k), GROUPS * k).double().mean(dim=1)
    widened = replace(
        problem, build=Widened(problem.build, GROUPS * k), read=lambda logits: without_prior(logits, prior.to(logits))
    )
    trainee = FromScratch(widened, settings, lambda output, y, s: task_loss(output.logits, _cell(y, s, k)))
    return train(widened, settings, trainee)


def domain_independent(problem: Problem, settings: InProcessing, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Train one head for each group on common features, each on its group's rows, and predict by all of them."""
    outputs = GROUPS * (1 if problem.goal.classes == 2 else problem.goal.classes)
    widened = replace(problem, build=Widened(problem.build, outputs), read=lambda logits: scores(summed(logits)))
    trainee = FromScratch(widened, settings, lambda output, y, s: task_loss(of_group(output.logits, s), y))
    return train(widened, settings, trainee)


def without_prior(logits: Float[Tensor, "R m c"], prior: Float[Tensor, "R c"]) -> Float[Tensor, "R m k"]:
    """Return P(class) ∝ Σ over groups of P(class, group | x) / prior(class, group), for class 1 or for every class.

    It is the prediction for data in which all classes of all groups are equally frequent.

    Args:
        logits: of the classes of group 0, then of those of group 1. prior: their shares among the training rows.
    """
    shifted = (logits.log_softmax(dim=-1) - prior.log().unsqueeze(1)).unflatten(-1, (GROUPS, -1))
    p = shifted.logsumexp(dim=-2).softmax(dim=-1)
    return p[..., 1:] if p.shape[-1] == 2 else p


def summed(logits: Float[Tensor, "R m c"]) -> Float[Tensor, "R m k"]:
    """Return the sum of the heads' logits; those of group 0 stand first."""
    return logits.unflatten(-1, (GROUPS, -1)).sum(dim=-2)


def of_group(logits: Float[Tensor, "R B c"], s: Int[Tensor, "R B"]) -> Float[Tensor, "R B k"]:
    """Return the logits of the head of each row's group."""
    heads = logits.unflatten(-1, (GROUPS, -1))
    chosen = s.long().view(*s.shape, 1, 1).expand(*s.shape, 1, heads.shape[-1])
    return heads.gather(2, chosen).squeeze(2)


def _cell(y: Int[Tensor, "R B"], s: Int[Tensor, "R B"], classes: int) -> Int[Tensor, "R B"]:
    return s.long() * classes + y.long()
