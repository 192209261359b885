"""`group_fisher` of a 512 x 1000 head on 512 rows, against BackPACK and against the products it cannot avoid.

    python benchmarks/bench_fisher.py [--rounds 50]

BackPACK's `SumGradSquared` is the sum of squared gradients of single samples, so N times the diagonal of the Fisher
matrix; the two are checked to be equal. It comes with the gradient itself: one more product of the same size than is
needed, and another one where the head's input is to be differentiated too, as it is at the end of a network.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Callable
from typing import Any

import torch
from backpack import backpack, extend
from backpack.extensions import SumGradSquared
from timing import in_turn, ratio, show, threads
from torch import Tensor, nn

from counterpoise.methods import group_fisher

ROWS, INPUTS, CLASSES = 512, 512, 1000


class Problem:
    """A random head and random rows, and every way to compute its Fisher diagonal."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(ROWS, INPUTS, generator=generator)
        self.weight = torch.randn(INPUTS, CLASSES, generator=generator) / INPUTS**0.5
        self.bias = torch.randn(CLASSES, generator=generator)
        self.y = torch.randint(0, CLASSES, (ROWS,), generator=generator)
        self.s = torch.randint(0, 2, (ROWS,), generator=generator)
        self.squares = torch.rand(ROWS, CLASSES, generator=generator)

        self.linear = extend(nn.Linear(INPUTS, CLASSES))
        self.linear.load_state_dict({"weight": self.weight.T, "bias": self.bias})
        self.loss = extend(nn.CrossEntropyLoss(reduction="sum"))

    def ours(self) -> Tensor:
        return group_fisher(self.x, self.weight, self.bias, self.y, torch.zeros_like(self.s), groups=1)

    def ours_by_group(self) -> Tensor:
        return group_fisher(self.x, self.weight, self.bias, self.y, self.s, groups=2)

    def products(self) -> tuple[Tensor, Tensor]:
        """The logits, and the sum over the rows of squares times squares: what no closed form can do without."""
        return torch.mm(self.x, self.weight), torch.mm(self.x.T, self.squares)

    def backpack(self) -> Tensor:
        return self._backpack(self.x, self.y)

    def backpack_in_a_network(self) -> Tensor:
        return self._backpack(self.x.detach().requires_grad_(), self.y)

    def backpack_by_group(self) -> Tensor:
        return torch.stack([self._backpack(self.x[self.s == g], self.y[self.s == g]) for g in (0, 1)])

    def _backpack(self, x: Tensor, y: Tensor) -> Tensor:
        self.linear.zero_grad()
        with backpack(SumGradSquared()):
            self.loss(self.linear(x), y).backward()
        return self.linear.weight.sum_grad_squared.T / len(x)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=50)
    rounds = arguments.parse_args().rounds
    warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)  # the input is a constant here

    problem = Problem()
    torch.testing.assert_close(problem.ours()[0], problem.backpack())
    torch.testing.assert_close(problem.ours_by_group(), problem.backpack_by_group())
    functions: dict[str, Callable[[], Any]] = {
        "group_fisher": problem.ours,
        "group_fisher, 2 groups": problem.ours_by_group,
        "the two products": problem.products,
        "BackPACK": problem.backpack,
        "BackPACK, 2 groups": problem.backpack_by_group,
        "BackPACK, in a network": problem.backpack_in_a_network,
    }
    for count in (1, 2):
        with threads(count):
            times = in_turn(functions, rounds=rounds)
        ours, products = times["group_fisher"], times["the two products"]
        show(
            f"{INPUTS} x {CLASSES} head, {ROWS} rows, {count} thread(s); goals: group_fisher / products <= 1.5,"
            " BackPACK / group_fisher >= 2",
            ["time", "median ms", "/ products", "/ group_fisher"],
            [
                [
                    name,
                    f"{1e3 * statistics.median(own):.1f}",
                    f"{ratio(own, products):.2f}",
                    f"{ratio(own, times['group_fisher, 2 groups'] if name.endswith('2 groups') else ours):.2f}",
                ]
                for name, own in times.items()
            ],
        )


if __name__ == "__main__":
    main()
