"""One thread for small work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

FORWARD_AND_BACKWARD = 6
"""Floating-point operations per weight and row of a training step: a product forward, two backward."""

WORTH_SHARING = 50_000_000
"""Floating-point operations of one step from which a second thread pays (measured: docs/performance.md)."""


@contextmanager
def threads_for(operations: int) -> Iterator[None]:
    """Run on one thread if a step is too small to share: waking threads costs more than its arithmetic."""
    before = torch.get_num_threads()
    if operations < WORTH_SHARING:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
