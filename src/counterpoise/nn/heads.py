"""The head bank: every variant of every replicate's last layer, trained as one computation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from counterpoise.nn.bank import Bank
from counterpoise.nn.linalg import product


@dataclass(frozen=True)
class Factors:
    """One variant's head in all replicates: `x @ first (@ second) + bias`.

    A dense head has `first` = W [R, d, k] and no `second`; a low-rank head has `first` = A [R, d, r] and `second` =
    B [R, r, k] (WIN, Section 3.3).
    """

    first: Float[Tensor, "R d c"]
    bias: Float[Tensor, "R k"]
    second: Float[Tensor, "R c k"] | None = None

    @property
    def rank(self) -> int | None:
        """r of a low-rank head, None of a dense one."""
        return None if self.second is None else self.second.shape[-2]

    @property
    def parameters_per_replicate(self) -> int:
        """How many numbers fine-tuning may change."""
        tensors = (self.first, self.bias) if self.second is None else (self.first, self.second, self.bias)
        return sum(tensor[0].numel() for tensor in tensors)


class HeadBank(Bank):
    """All variants' heads over one feature matrix.

    The first factors of all variants, dense or of whatever rank, stand side by side as the columns of one matrix
    [R, d, C], so a step multiplies the features once for all heads. Second factors [R, r, k] are stacked by rank.
    """

    def __init__(self, heads: Mapping[str, Factors]) -> None:
        super().__init__()
        factors = list(heads.values())
        self.names = tuple(heads)
        self.replicates, self.variants = factors[0].first.shape[0], len(factors)
        self.classes = factors[0].bias.shape[-1]

        # Variants of one rank are neighbours in the columns, so that a block of them is a view, not a gather.
        ranks = sorted({head.rank for head in factors}, key=lambda rank: rank or 0)
        self._blocks = [(rank, [v for v, head in enumerate(factors) if head.rank == rank]) for rank in ranks]
        order = [v for _, members in self._blocks for v in members]
        self._position = torch.tensor(order).argsort()
        widths = torch.tensor([factors[v].first.shape[-1] for v in order])
        self._column_owner = torch.tensor(order).repeat_interleave(widths)

        self.first = nn.Parameter(torch.cat([factors[v].first for v in order], dim=-1))
        self.second = nn.ParameterList(
            nn.Parameter(torch.stack([self._second(factors[v]) for v in members], dim=1))
            for rank, members in self._blocks
            if rank is not None
        )
        self.bias = nn.Parameter(torch.stack([head.bias for head in factors], dim=1))

    @staticmethod
    def _second(head: Factors) -> Tensor:
        assert head.second is not None
        return head.second

    def forward(self, x: Float[Tensor, "R B d"]) -> Float[Tensor, "R V B k"]:
        hidden = product(x, self.first)
        outputs, start, seconds = [], 0, iter(self.second)
        for rank, members in self._blocks:
            width = rank or self.classes
            stop = start + width * len(members)
            block = hidden[..., start:stop].unflatten(-1, (len(members), width)).transpose(1, 2)
            outputs.append(block if rank is None else self._expand(block, next(seconds)))
            start = stop
        logits = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)
        if len(outputs) > 1:
            logits = logits.index_select(1, self._position)
        return logits + self.bias.unsqueeze(2)

    @staticmethod
    def _expand(hidden: Float[Tensor, "R v B r"], second: Float[Tensor, "R v r k"]) -> Float[Tensor, "R v B k"]:
        product_ = product(hidden.flatten(0, 1), second.flatten(0, 1))
        return product_.unflatten(0, hidden.shape[:2])

    def owners(self, flags: Bool[Tensor, "R V"]) -> Iterator[Bool[Tensor, "..."]]:
        # The order of `parameters()`: direct parameters first (first, bias), then those of sub-modules (second).
        yield flags[:, self._column_owner].unsqueeze(1)
        yield flags.unsqueeze(-1)
        for rank, members in self._blocks:
            if rank is not None:
                yield flags[:, members, None, None]

    def heads(self) -> dict[str, Factors]:
        """Return every variant's factors as they are now, detached, keyed and ordered as they were given."""
        seconds = {
            v: block[:, i].detach()
            for block, (_, members) in zip(
                self.second, [block for block in self._blocks if block[0] is not None], strict=True
            )
            for i, v in enumerate(members)
        }
        return {
            name: Factors(
                first=self.first.detach()[..., self._column_owner == v].contiguous(),
                bias=self.bias.detach()[:, v].contiguous(),
                second=seconds[v].contiguous() if v in seconds else None,
            )
            for v, name in enumerate(self.names)
        }
