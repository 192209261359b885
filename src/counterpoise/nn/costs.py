"""What networks need, and what cutting out what is pruned saves: numbers, multiplications, time.

saving = shrink(network, x)        # a pruned network, zeros and all, and rows of test data
saving.module, saving.before, saving.after, saving.seconds
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from counterpoise.nn.compact import compact, plain
from counterpoise.nn.networks import Networks
from counterpoise.nn.threads import threads_for

WARMUP = 3
"""Passes before the clock starts."""

REPEATS = 10
"""Passes of each network that are timed."""

TIMED_ROWS, TIMED_MACS = 256, 200_000_000
"""A batch that is timed has so many rows, or fewer where a pass would be longer than so many multiplications."""

COMPARED_MACS = 100_000_000_000
"""Outputs are compared on as many rows as this many multiplications allow: seconds."""

ROUNDING = 1e-4
"""How far outputs may lie apart by rounding alone, as a share of the largest, or of 1."""


@dataclass(frozen=True)
class Cost:
    """What a module needs: numbers stored, those of them that are not zero, multiplications and additions for a row."""

    parameters: int
    nonzero: int
    macs: int


@dataclass(frozen=True, eq=False)
class Saving:
    """A pruned network without what is wholly pruned, beside the network itself.

    Attributes:
        module: the compact one. before, after: what the two need.
        seconds: the median times of a forward pass of `batch` rows, before and after, on one thread.
        difference: the largest between the outputs of the two on `compared` rows.
    """

    module: nn.Module
    before: Cost
    after: Cost
    seconds: tuple[float, float]
    batch: int
    difference: float
    compared: int


def shrink(network: Networks, x: Shaped[Tensor, "1 n ..."], *, name: str, repeats: int = REPEATS) -> Saving:
    """Cut what is wholly pruned out of one network on the CPU, and measure what that saves.

    Args:
        x: rows as the network takes them, on which both must say the same up to rounding.
        name: of the network, for the error.

    Raises:
        ArithmeticError: they do not.
    """
    full, small = plain(network), compact(network)
    before, after = (cost(module, x[0, :1].float()) for module in (full, small))
    rows = x[:, : max(1, COMPARED_MACS // before.macs)]
    difference, rounding = _difference(network, small, rows)
    if not difference <= rounding:
        raise ArithmeticError(
            f"{name}: the compact network says {difference:g} else than the network it was made of, expected at most "
            f"{rounding:g}, which is rounding"
        )
    batch = x[0, : min(TIMED_ROWS, max(1, TIMED_MACS // before.macs))].float()
    with threads_for(0):  # one thread, as small computations run
        full_time, small_time = latencies([full, small], batch, repeats=repeats)
    return Saving(small, before, after, (full_time, small_time), len(batch), difference, rows.shape[1])


@torch.inference_mode()
def _difference(network: Networks, small: nn.Module, x: Shaped[Tensor, "1 n ..."]) -> tuple[float, float]:
    """Return the largest difference between the outputs of the two, and how much rounding may cause."""
    network.eval()
    difference, largest = torch.zeros(()), torch.ones(())
    for part in x.split(TIMED_ROWS, dim=1):
        logits: Float[Tensor, "n k"] = network(part).logits[0]
        difference = difference.maximum((small(part[0].float()) - logits).abs().max())  # NaN is passed on
        largest = largest.maximum(logits.abs().max())
    return float(difference), ROUNDING * float(largest)


@torch.no_grad()
def cost(module: nn.Module, x: Shaped[Tensor, "B ..."]) -> Cost:
    """Count what a module stores, and what its linear and convolutional layers compute for one row of x.

    `torch.utils.flop_counter` counts the same, and imports torch's compiler for it: see docs/architecture.md.
    """
    counted: list[int] = []

    def count(layer: nn.Linear | nn.Conv2d, _: Any, output: Tensor) -> None:
        counted.append(output[0].numel() * layer.weight[0].numel())

    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        module(x)
    finally:
        for hook in hooks:
            hook.remove()
    parameters = list(module.parameters())
    return Cost(
        parameters=sum(parameter.numel() for parameter in parameters),
        nonzero=sum(int(parameter.count_nonzero()) for parameter in parameters),
        macs=sum(counted),
    )


@torch.inference_mode()
def latencies(modules: Sequence[nn.Module], x: Shaped[Tensor, "B ..."], *, repeats: int = REPEATS) -> list[float]:
    """Return the median time of a forward pass of x by each module in seconds; the modules are to be in eval mode.

    They take turns, so that a machine that is busy for a while is busy for all of them.
    """
    wait = partial(torch.cuda.synchronize, x.device) if x.is_cuda else lambda: None
    times: list[list[float]] = [[] for _ in modules]
    for number in range(WARMUP + repeats):
        for module, passes in zip(modules, times, strict=True):
            wait()
            start = time.perf_counter()
            module(x)
            wait()
            if number >= WARMUP:
                passes.append(time.perf_counter() - start)
    return [statistics.median(passes) for passes in times]
