"""What classifiers say of rows: one number for each, and of more than two classes also the decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Int8, Shaped
from torch import Tensor

from counterpoise.methods.cells import in_order
from counterpoise.methods.repair import Result, prefixed

LOST = -1
"""What a model that diverged decides."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What models say of rows.

    Attributes:
        score: of two classes the probability of the second; of more that of the class that is decided for.
        decision: of more than two classes; of two it is the second where the score is above ½, or another threshold.
    """

    score: Float[Tensor, "*V n"]
    decision: Int8[Tensor, "*V n"] | None = None

    @classmethod
    def of(cls, log_odds: Float[Tensor, "*V k n"]) -> Answers:
        """Return the answers of more than two classes; ties go to the first."""
        probability, decision = log_odds.double().softmax(dim=-2).max(dim=-2)
        return cls(probability.float(), decision.to(torch.int8))

    @property
    def decided(self) -> Int8[Tensor, "*V n"]:
        """The decisions; `LOST` where the score is NaN."""
        decision = (self.score > 0.5).to(torch.int8) if self.decision is None else self.decision
        return decision.masked_fill(self.score.isnan().any(dim=-1, keepdim=True), LOST)

    def __getitem__(self, v: int) -> Answers:
        return Answers(self.score[v], None if self.decision is None else self.decision[v])


def stacked(answers: Sequence[Answers]) -> Answers:
    """Return the answers of several replicates, which become the first axis."""
    decisions = [each.decision for each in answers if each.decision is not None]
    return Answers(torch.stack([each.score for each in answers]), torch.stack(decisions) if decisions else None)


def answers_in_order(held_out: Sequence[Answers], fold: Int[Tensor, "n"]) -> Answers:
    """Put what was said of each fold back into the order of the rows."""
    decisions = [each.decision for each in held_out if each.decision is not None]
    return Answers(in_order([each.score for each in held_out], fold), in_order(decisions, fold) if decisions else None)


def result_of(
    name: str, facts: Mapping[str, Any], said: Mapping[str, Sequence[Answers]], model: Mapping[str, Tensor]
) -> Result:
    """Return the result of one model of each replicate.

    Args:
        said: by part, what the models of the replicates say; of the test part among them.
        model: tensors of it, axis R first.

    Returns:
        A result whose tensors are the model's, `scores.<part>`, and `predictions.<part>` of more than two classes; as a
        fact it says who `diverged`: of those the scores are NaN, and the predictions `LOST`.
    """
    answers = {part: stacked(each) for part, each in said.items()}
    test = answers["test"]
    others = {part: each for part, each in answers.items() if part != "test"}
    decisions = {part: each.decision for part, each in others.items() if each.decision is not None}
    return Result(
        name,
        test.score.unsqueeze(-1),
        test.decided,
        tensors=prefixed("scores", {part: each.score for part, each in others.items()})
        | prefixed("predictions", decisions)
        | dict(model),
        facts={**facts, "diverged": test.score.isnan().any(dim=1)},
    )


def padded(heads: Sequence[Float[Tensor, "_ *k"]]) -> Float[Tensor, "R p *k"]:
    """Stack heads of bases of different widths; zeros stand before the intercept, which stays last."""
    width = max(len(head) for head in heads)
    return torch.stack(
        [torch.cat([head[:-1], head.new_zeros(width - len(head), *head.shape[1:]), head[-1:]]) for head in heads]
    )


def tensors_of(results: Sequence[Result], *, test: bool) -> dict[str, Shaped[Tensor, "R V _"]]:
    """Return what the models of `result_of` say by part, `<part>.score`, and of more than two classes
    `<part>.prediction`.

    Args:
        test: whether the test part is among them.
    """
    tensors = {
        f"{part}.{one}": torch.stack([result.tensors[f"{many}.{part}"] for result in results], dim=1)
        for many, one in (("scores", "score"), ("predictions", "prediction"))
        for part in results[0].part(many)
    }
    if test:
        tensors["test.score"] = torch.stack([result.score.squeeze(-1) for result in results], dim=1)
    if test and results[0].part("predictions"):
        tensors["test.prediction"] = torch.stack([result.prediction for result in results], dim=1)
    return tensors
