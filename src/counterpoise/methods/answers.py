"""What classifiers say of rows: one number for each, and of more than two classes also the decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Int8, Shaped
from torch import Tensor

from counterpoise.methods.cells import in_order
from counterpoise.methods.repair import Result, prefixed

LOST = -1
"""What a model that diverged decides."""

ROWS_AT_ONCE = 2**16
"""Rows that models are asked about together: what is in memory meanwhile grows no further with a table."""


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

    @classmethod
    def joined(cls, blocks: Sequence[Answers]) -> Answers:
        """Return what the same models say of blocks of rows, one after the other."""
        decisions = [block.decision for block in blocks if block.decision is not None]
        return cls(
            torch.cat([block.score for block in blocks], dim=-1), torch.cat(decisions, dim=-1) if decisions else None
        )

    @property
    def decided(self) -> Int8[Tensor, "*V n"]:
        """The decisions; `LOST` where the score is NaN."""
        decision = (self.score > 0.5).to(torch.int8) if self.decision is None else self.decision
        return decision.masked_fill(self.score.isnan().any(dim=-1, keepdim=True), LOST)

    def __getitem__(self, v: int | slice) -> Answers:
        return Answers(self.score[v], None if self.decision is None else self.decision[v])

    def of_model(self, v: int) -> Answers:
        """Return what one model says in every replicate [R, n], of answers [R, V, n]: views of these."""
        return Answers(self.score[:, v], None if self.decision is None else self.decision[:, v])


def answers_in_order(held_out: Sequence[Answers], fold: Int[Tensor, "n"]) -> Answers:
    """Put what was said of each fold back into the order of the rows."""
    decisions = [each.decision for each in held_out if each.decision is not None]
    return Answers(in_order([each.score for each in held_out], fold), in_order(decisions, fold) if decisions else None)


def collected(said: Iterable[Sequence[Answers]], replicates: int, order: Sequence[int]) -> Answers:
    """Return what models say of the rows of a part as [R, V, m].

    Args:
        said: by replicate, the answers of banks of models [v, m], one bank after the other; each is taken once.
        order: the place on the axis V of each of these models.
    """
    places = list(order)
    values: dict[str, Tensor] = {}
    for r, banks in enumerate(said):
        for name in ("score", "decision"):
            each = [getattr(bank, name) for bank in banks]
            if each[0] is None:
                continue
            if name not in values:
                values[name] = each[0].new_empty(replicates, len(places), each[0].shape[-1])
            start = 0
            for bank in each:
                values[name][r, places[start : start + len(bank)]] = bank
                start += len(bank)
    return Answers(values["score"], values.get("decision"))


def result_of(
    name: str, facts: Mapping[str, Any], answers: Mapping[str, Answers], model: Mapping[str, Tensor]
) -> Result:
    """Return the result of one model of each replicate.

    Args:
        answers: by part, what the models of the replicates say [R, m]; of the test part among them.
        model: tensors of it, axis R first.

    Returns:
        A result whose tensors are the model's, `scores.<part>`, and `predictions.<part>` of more than two classes; as a
        fact it says who `diverged`: of those the scores are NaN, and the predictions `LOST`.
    """
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
        f"{part}.{one}": _side_by_side([result.tensors[f"{many}.{part}"] for result in results])
        for many, one in (("scores", "score"), ("predictions", "prediction"))
        for part in results[0].part(many)
    }
    if test:
        tensors["test.score"] = _side_by_side([result.score.squeeze(-1) for result in results])
    if test and results[0].part("predictions"):
        tensors["test.prediction"] = torch.stack([result.prediction for result in results], dim=1)
    return tensors


def _side_by_side(models: Sequence[Shaped[Tensor, "R _"]]) -> Shaped[Tensor, "R V _"]:
    """Stack what models say along the axis V, without a copy where that is how they lie in memory (`collected`)."""
    whole = models[0]._base
    if whole is not None and whole.ndim == 3 and whole.shape[1] == len(models):
        size = whole.shape[-1]
        if all(
            one._base is whole and one.shape == whole[:, 0].shape and one.storage_offset() == v * size
            for v, one in enumerate(models)
        ):
            return whole
    return torch.stack(list(models), dim=1)
