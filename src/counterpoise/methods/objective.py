"""The objective of repairs: performance while the bias stays within the tolerance (Savani et al., Eq. 1).

What is counted here is for choosing; soft biases, for training, are in `methods.gaps`. A trivial
classifier is fair and has balanced accuracy one half, so there is always a threshold that is within the tolerance.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from counterpoise.bounds import Bounded, NotNegative, Positive
from counterpoise.errors import InputError
from counterpoise.fairness import UndefinedMetricWarning, confusion_counts
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.methods.gaps import Bias, soft_bias
from counterpoise.methods.outputs import task_loss

GROUPS = 2
"""Groups that a bias compares."""

THRESHOLDS = 1001
"""Points of the grid of decision thresholds, 0 and 1 among them."""


@dataclass(frozen=True)
class ObjectiveSettings(Bounded):
    """The objective of a repair: its performance where |bias| < tolerance − margin.

    Attributes:
        bias: what must be small.
        performance: what should be high.
        tolerance: ε.
        margin: how much nearer to zero than ε the bias must be on validation rows, of which there are few.
    """

    block: ClassVar[str] = "objective"
    bias: Bias
    performance: Literal["balanced_accuracy", "accuracy"] = "balanced_accuracy"
    tolerance: Positive = 0.05
    margin: NotNegative = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tolerance <= self.margin:
            raise InputError(
                f"objective: the tolerance {self.tolerance:g} is not above the margin {self.margin:g}, expected it to "
                "be: no model has a bias below their difference"
            )


@dataclass(frozen=True)
class Objective(ObjectiveSettings):
    """Φ: the performance where |bias| < tolerance − margin, else 0 (Savani et al., 2020, Section 3).

    Attributes:
        classes: k; networks for two classes have one logit.
    """

    classes: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.bias == "mean_bias") != (self.classes > 2):
            raise InputError(
                f"objective: bias {self.bias!r} with {self.classes} classes, expected 'mean_bias' for more than two "
                "classes and 'spd', 'eod' or 'aod' for two"
            )

    @property
    def bound(self) -> float:
        """ε − margin."""
        return self.tolerance - self.margin


@dataclass(frozen=True)
class Judged:
    """Hard figures of R models: Φ, performance, signed bias, and the decision threshold they are at."""

    phi: Float64[Tensor, "R"]
    performance: Float64[Tensor, "R"]
    bias: Float64[Tensor, "R"]
    threshold: Float64[Tensor, "R"]

    def preference(self, objective: Objective) -> Float64[Tensor, "R"]:
        """Return what of two models is chosen by: Φ and, where it is 0, how far the bias is beyond its bound, below 0.

        With a threshold some model is always within the bound. With many classes there may be none, and the paper does
        not say what is chosen then; a bias that is undefined, of a class that is never predicted, comes last.
        """
        beyond = (self.bias.abs() - objective.bound).nan_to_num(nan=1.0)
        return torch.where(self.phi > 0, self.phi, -beyond.clamp(min=0))


def fairness_loss(
    objective: Objective, logits: Float[Tensor, "R B k"], y: Int[Tensor, "R B"], s: Int[Tensor, "R B"], weight: float
) -> Float[Tensor, "R"]:
    """Return cross-entropy + weight · max(0, |soft bias| − (ε − margin)): L_ft of mask discovery's default reading."""
    excess = soft_bias(objective.bias, logits, y, s).abs() - objective.bound
    return task_loss(logits, y) + weight * excess.clamp(min=0)


def judge(
    objective: Objective,
    score: Float[Tensor, "R m k"],
    y: Int[Tensor, "R m"],
    s: Int[Tensor, "R m"],
    *,
    aim: Literal["phi", "performance"] = "phi",
) -> Judged:
    """Choose each replicate's decision threshold and return the figures there.

    Two classes: the threshold of a grid of 1001 with the highest Φ; ties go to the one nearest to one half. With
    `aim="performance"`, that with the highest performance, whatever the bias. More classes: the likeliest class, and
    the threshold is NaN; the bias too where a class is never predicted, which is within no tolerance.
    """
    if score.shape[-1] > 1:
        counts = confusion_counts(y, score.argmax(dim=-1), s, groups=2, classes=objective.classes).unsqueeze(1)
        grid = torch.full((1,), torch.nan, dtype=torch.float64)
    else:
        grid = torch.linspace(0, 1, THRESHOLDS, dtype=torch.float64)
        counts = _counts_at(grid, score.squeeze(-1), y, s)
    performance = COUNT_METRICS[objective.performance](counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # of a class that is never predicted, in every epoch
        bias = COUNT_METRICS[objective.bias](counts)
    phi = performance.where(bias.abs() < objective.bound, 0)
    value = phi if aim == "phi" else performance
    central = -(grid - 0.5).abs().nan_to_num()
    best = value == value.amax(dim=1, keepdim=True)
    chosen = central.expand_as(value).masked_fill(~best, -torch.inf).argmax(dim=1, keepdim=True)
    at = [figure.gather(1, chosen).squeeze(1) for figure in (phi, performance, bias)]
    return Judged(at[0], at[1], at[2], grid[chosen.squeeze(1)])


def _counts_at(
    grid: Float64[Tensor, "T"], score: Float[Tensor, "R m"], y: Int[Tensor, "R m"], s: Int[Tensor, "R m"]
) -> Int64[Tensor, "R T 2 2 2"]:
    """Count [group, class, decision] at every threshold: a histogram of the scores, summed from above."""
    steps = len(grid) + 1
    above = torch.searchsorted(grid, score.double().contiguous(), right=False)  # how many thresholds a score exceeds
    cell = s.long() * 2 + y.long()
    index = (torch.arange(len(score)).unsqueeze(1) * 4 + cell) * steps + above
    histogram = torch.bincount(index.flatten(), minlength=len(score) * 4 * steps).view(len(score), 2, 2, steps)
    total = histogram.sum(dim=-1, keepdim=True)
    negative = histogram.cumsum(dim=-1)[..., :-1]  # a score of at most the threshold
    return torch.stack([negative, total - negative], dim=-1).permute(0, 3, 1, 2, 4)
