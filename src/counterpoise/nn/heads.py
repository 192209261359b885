"""The head bank: every variant of every replicate's last layer, trained as one computation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from counterpoise.nn.bank import Bank, Features
from counterpoise.nn.linalg import product
from counterpoise.nn.trees import is_sparse, sparse_product


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
    [R, d, C], so a step multiplies the features once for all heads. Second factors [R, r, k] are stacked by rank. The
    axis V has the order of `names`: dense heads first, then by rank. Features may be sparse indicators (`nn.trees`).
    """

    def __init__(self, heads: Mapping[str, Factors]) -> None:
        super().__init__()
        # Variants of one rank are neighbours, so that each block of columns is a view, not a gather.
        self.names = tuple(sorted(heads, key=lambda name: heads[name].rank or 0))
        self._names_as_passed = tuple(heads)
        factors = [heads[name] for name in self.names]
        self.replicates, self.variants = factors[0].first.shape[0], len(factors)
        self.classes = factors[0].bias.shape[-1]
        self._blocks = [(rank, len(list(block))) for rank, block in groupby(head.rank for head in factors)]
        widths = torch.tensor([head.first.shape[-1] for head in factors])
        self._column_owner = torch.arange(len(factors)).repeat_interleave(widths)

        self.first = nn.Parameter(torch.cat([head.first for head in factors], dim=-1))
        self.bias = nn.Parameter(torch.stack([head.bias for head in factors], dim=1))
        self.second = nn.ParameterList()
        for _, block in groupby(factors, key=lambda head: head.rank):
            seconds = [head.second for head in block if head.second is not None]
            if seconds:
                self.second.append(nn.Parameter(torch.stack(seconds, dim=1)))

    def logits(self, x: Features) -> Float[Tensor, "R V B k"]:
        hidden = sparse_product(x, self.first) if is_sparse(x) else product(x, self.first)
        outputs, start, seconds = [], 0, iter(self.second)
        for rank, members in self._blocks:
            stop = start + (rank or self.classes) * members
            block = hidden[..., start:stop].unflatten(-1, (members, rank or self.classes)).transpose(1, 2)
            outputs.append(block if rank is None else _expand(block, next(seconds)))
            start = stop
        logits = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)
        return logits + self.bias.unsqueeze(2)

    def owners(self, values: Shaped[Tensor, "R V"]) -> Iterator[Shaped[Tensor, "..."]]:
        # The order of `parameters()`: direct parameters first (first, bias), then those of sub-modules (second).
        yield values[:, self._column_owner].unsqueeze(1)
        yield values.unsqueeze(-1)
        start = 0
        for rank, members in self._blocks:
            if rank is not None:
                yield values[:, start : start + members, None, None]
            start += members

    def heads(self) -> dict[str, Factors]:
        """Return every variant's factors as they are now, detached, in the order in which they were given."""
        seconds = iter([second for block in self.second for second in block.detach().unbind(1)])
        factors = {
            name: Factors(
                first=self.first.detach()[..., self._column_owner == v].contiguous(),
                bias=self.bias.detach()[:, v].contiguous(),
                second=None if rank is None else next(seconds).contiguous(),
            )
            for v, (name, rank) in enumerate(zip(self.names, self._ranks(), strict=True))
        }
        return {name: factors[name] for name in self._names_as_passed}

    def _ranks(self) -> Iterator[int | None]:
        for rank, members in self._blocks:
            yield from [rank] * members


def _expand(hidden: Float[Tensor, "R v B r"], second: Float[Tensor, "R v r k"]) -> Float[Tensor, "R v B k"]:
    return product(hidden.flatten(0, 1), second.flatten(0, 1)).unflatten(0, hidden.shape[:2])
