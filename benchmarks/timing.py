"""Time things side by side. Figures are ratios of times taken in turn, which hold on a machine that is shared too."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

TERMINAL_WIDTH = 100


def seconds(function: Callable[[], Any]) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def in_turn(functions: Mapping[str, Callable[[], Any]], *, rounds: int) -> dict[str, list[float]]:
    """Call all functions once per round, in rotating order, after one round that does not count: seconds by name."""
    names = list(functions)
    for name in names:
        functions[name]()
    times: dict[str, list[float]] = {name: [] for name in names}
    for first in range(rounds):
        for name in names[first % len(names) :] + names[: first % len(names)]:
            times[name].append(seconds(functions[name]))
    return times


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Return the median over the rounds of slow / fast."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are numbers."""
    table = Table()
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position else "left")
    for row in rows:
        table.add_row(*row)
    console = Console(width=TERMINAL_WIDTH, highlight=False)
    console.print(title, style="bold")
    console.print(table)
