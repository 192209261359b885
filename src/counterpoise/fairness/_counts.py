"""Confusion counts: the one pass over the samples that every count-based metric shares.

The samples are read once and only [group, true class, predicted class] tables leave this module, so a bank of R × V
heads on N samples costs one histogram, and every metric after that is arithmetic on a few numbers per head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
import torch
from jaxtyping import Bool, Int64, Integer
from torch import Tensor

from counterpoise.errors import InputError

SAMPLES_AT_ONCE = 1 << 22
"""Samples handled by one vectorised step: about 100 MB of scratch memory, whatever the batch."""


def confusion_counts(
    y: Integer[Tensor, "*#batch n"],
    prediction: Integer[Tensor, "*batch n"],
    s: Integer[Tensor, "*#batch n"],
    *,
    groups: int,
    classes: int,
    mask: Bool[Tensor, "*#batch n"] | None = None,
) -> Int64[Tensor, "*batch G k k"]:
    """Count the samples of each [group, true class, predicted class].

    Args:
        y: true classes 0 … k−1; broadcasts over the batch axes of `prediction`.
        prediction: predicted classes 0 … k−1, for instance [R, V, N].
        s: groups 0 … G−1; broadcasts like `y`.
        groups: G, also when some group has no sample here.
        classes: k, also when some class has no sample here.
        mask: the samples to count (default: all), for instance one split of each replicate, [R, 1, N]. What stands at
            the other samples is not read, so padding may hold any value.

    Raises:
        InputError: if a counted sample holds a value outside its range, or the shapes do not broadcast to `prediction`.
    """
    batch, n = prediction.shape[:-1], prediction.shape[-1]
    for name, labels, limit in (("y", y, classes), ("prediction", prediction, classes), ("s", s, groups)):
        check_shape(name, labels, prediction)
        _check_range(name, labels, limit, mask)
    table = s.long() * classes + y  # row of the flattened [G·k, k] table
    if mask is not None:
        check_shape("mask", mask, prediction)
        table = torch.where(mask, table, groups * classes)  # one more row collects what is not counted
    tables, source = flatten_shared(table, batch)
    predictions = prediction.reshape(prod(batch), n)

    cells = (groups * classes + 1) * classes
    counts = torch.empty(len(predictions), groups * classes, classes, dtype=torch.int64, device=prediction.device)
    for rows in row_chunks(len(predictions), n):
        predicted = predictions[rows].long().clamp(0, classes - 1)  # uncounted samples may hold anything
        fused = tables[source[rows]] * classes + predicted
        fused += torch.arange(len(fused), device=fused.device).unsqueeze(-1) * cells
        histogram = torch.bincount(fused.flatten(), minlength=len(fused) * cells)
        counts[rows] = histogram.reshape(len(fused), groups * classes + 1, classes)[:, :-1]
    return counts.reshape(*batch, groups, classes, classes)


def check_shape(name: str, shared: Tensor, full: Tensor) -> None:
    """Raise InputError unless `shared` broadcasts to the shape of `full` and has as many samples."""
    try:
        # not torch.broadcast_shapes, whose first call imports torch's symbolic shapes for two seconds
        fits = np.broadcast_shapes(shared.shape, full.shape) == full.shape and shared.shape[-1] == full.shape[-1]
    except ValueError:
        fits = False
    if not fits:
        raise InputError(f"{name} has shape {list(shared.shape)}, expected one that broadcasts to {list(full.shape)}.")


def flatten_shared(shared: Tensor, batch: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return `shared` [*#batch, n] as [rows, n], and for each entry of the flattened batch its row.

    A label vector that all heads share is thereby indexed, never copied once per head.
    """
    leading = shared.shape[:-1]
    index = torch.arange(prod(leading), device=shared.device).reshape(leading)
    return shared.reshape(prod(leading), shared.shape[-1]), index.expand(tuple(batch)).reshape(-1)


def row_chunks(rows: int, samples: int) -> Iterator[slice]:
    """Yield slices over `rows` that hold about `SAMPLES_AT_ONCE` samples each, at least one row."""
    step = max(1, SAMPLES_AT_ONCE // max(samples, 1))
    return (slice(start, start + step) for start in range(0, rows, step))


def _check_range(name: str, labels: Tensor, limit: int, mask: Tensor | None) -> None:
    outside = (labels < 0) | (labels >= limit)
    if mask is not None:
        outside = outside & mask
    if outside.any():
        label = int(labels.expand(outside.shape)[outside][0])
        raise InputError(f"{name} holds {label}, expected whole numbers from 0 to {limit - 1}.")
