"""Heads fine-tuned side by side in the bank against the same heads one after the other.

    python benchmarks/bench_bank.py [--quick]

Both sides use `fit`, so the ratio is what stacking alone brings; that the heads come out equal to the last bit is
checked. Sizes are those of win_adult's fine-tuning: 20 features, 2 classes, batches of 128, ten replicates; 6, 12, ...
variants of each, half of them low-rank. One after the other is timed on a few heads and scaled.
"""

from __future__ import annotations

import argparse
import time

import torch
from timing import seconds, show

from counterpoise.methods import cross_entropy, weighted_svd
from counterpoise.nn import Examples, Factors, HeadBank, Optimizer, fit, generators

REPLICATES, FEATURES, CLASSES, ROWS, BATCH, EPOCHS = 10, 20, 2, 8000, 128, 2
SAMPLED = 12
"""Heads that are trained one after the other; their mean time stands for the others'."""

Heads = dict[str, Factors]


def examples() -> Examples:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(REPLICATES, ROWS, FEATURES, generator=generator)
    y = torch.randint(0, CLASSES, (ROWS,), generator=generator)
    return Examples(x, y, torch.zeros_like(y))


def heads(variants: int) -> Heads:
    """Return dense and low-rank heads in turn, each from weights of its own."""
    generator = torch.Generator().manual_seed(1)
    made: Heads = {}
    for v in range(variants):
        weight = torch.randn(REPLICATES, FEATURES, CLASSES, generator=generator)
        bias = torch.zeros(REPLICATES, CLASSES)
        if v % 2:
            first, second = weighted_svd(weight, None, rank=1)
            made[f"svd_{v}"] = Factors(first, bias, second)
        else:
            made[f"tl_{v}"] = Factors(weight, bias)
    return made


def alone(head: Factors, r: int) -> Factors:
    """Return one replicate's head."""
    second = None if head.second is None else head.second[r : r + 1]
    return Factors(head.first[r : r + 1], head.bias[r : r + 1], second)


def trained(bank_heads: Heads, data: Examples, replicates: range) -> Heads:
    """Train the heads of some replicates in one bank."""
    bank = HeadBank(bank_heads)
    own = Examples(data.x[replicates.start : replicates.stop], data.y, data.s)
    fit(
        bank,
        own,
        torch.arange(ROWS).expand(len(replicates), ROWS),
        loss=cross_entropy,
        optimizer=Optimizer(),
        epochs=EPOCHS,
        batch_size=BATCH,
        generators=generators(list(replicates), "batches"),
    )
    return bank.heads()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="the smallest bank only")
    variants = (6,) if arguments.parse_args().quick else (6, 12, 24, 48, 96)

    data = examples()
    trained({"tl": alone(heads(1)["tl_0"], 0)}, data, range(1))  # the first call of all is not counted
    rows = []
    for count in variants:
        bank_heads = heads(count)
        single: list[float] = []
        together: list[float] = []
        for turn in range(SAMPLED):
            if turn % (SAMPLED // 3) == 0:
                began = time.perf_counter()
                result = trained(bank_heads, data, range(REPLICATES))
                together.append(time.perf_counter() - began)
            name, r = list(bank_heads)[turn % count], turn % REPLICATES
            one = {name: alone(bank_heads[name], r)}
            single.append(seconds(lambda one=one, r=r: one.update(trained(one, data, range(r, r + 1)))))
            assert torch.equal(one[name].first[0], result[name].first[r]), "a head depends on its neighbours"
        apart = sum(single) / SAMPLED * count * REPLICATES
        bank_time = sum(together) / len(together)
        rows.append([f"{count * REPLICATES}", f"{apart:.1f}", f"{bank_time:.2f}", f"{apart / bank_time:.0f}"])
    show(
        f"{EPOCHS} epochs over {ROWS} rows, {REPLICATES} replicates, equal bits",
        ["heads", "one by one, s", "bank, s", "ratio"],
        rows,
    )


if __name__ == "__main__":
    main()
