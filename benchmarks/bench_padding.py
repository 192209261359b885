"""What it costs to pad the columns of a product to whole blocks (nn/linalg.py), and what would happen without.

    python benchmarks/bench_padding.py [--rounds 200]

For every number of columns: in how many of them the first column's bits are others than among 16 columns, and the time
of a product, forward and backward, padded and not.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from timing import in_turn, ratio, show, threads
from torch import Tensor

from counterpoise.nn.linalg import COLUMN_BLOCK, product

REPLICATES = 10
SHAPES = {"a table's head, 128 x 20": (128, 20), "an image's head, 128 x 512": (128, 512)}
WIDTHS = range(1, 4 * COLUMN_BLOCK + 1)
TIMED = (2, 3, 8, 10, 16, 24, 33)
Product = Callable[[Tensor, Tensor], Tensor]


def dependent(multiply: Product, x: Tensor, w: Tensor) -> int:
    """Return for how many widths the first column depends, in its bits, on how many stand beside it."""
    reference = multiply(x, w[..., :COLUMN_BLOCK])[..., 0]
    return sum(not torch.equal(multiply(x, w[..., :width])[..., 0], reference) for width in WIDTHS)


def step(multiply: Product, x: Tensor, w: Tensor) -> Callable[[], None]:
    """Return a product with its backward pass, as training calls it."""
    weight = w.clone().requires_grad_()

    def run() -> None:
        weight.grad = None
        multiply(x, weight).sum().backward()

    return run


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=200)
    rounds = arguments.parse_args().rounds
    generator = torch.Generator().manual_seed(0)
    with threads(1):
        for title, (batch, inputs) in SHAPES.items():
            x = torch.randn(REPLICATES, batch, inputs, generator=generator)
            w = torch.randn(REPLICATES, inputs, WIDTHS[-1], generator=generator)
            found = [dependent(multiply, x, w) for multiply in (torch.bmm, product)]
            rows = []
            for width in TIMED:
                own = w[..., :width].contiguous()
                times = in_turn({"plain": step(torch.bmm, x, own), "padded": step(product, x, own)}, rounds=rounds)
                medians = [f"{1e6 * statistics.median(values):.0f}" for values in times.values()]
                rows.append([str(width), *medians, f"{ratio(times['plain'], times['padded']):.2f}"])
            show(
                f"{title}: of {len(WIDTHS)} widths, the first column's bits differ in {found[0]} plain, "
                f"{found[1]} padded",
                ["columns", "plain, µs", "padded, µs", "plain / padded"],
                rows,
            )


if __name__ == "__main__":
    main()
