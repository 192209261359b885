"""Choosing a model under a tolerance for its bias, on validation data alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64, Integer, UInt64
from torch import Tensor

Decisions = Integer[Tensor, "V m"] | Bool[Tensor, "V m"]
"""What models predict of rows: classes, of two also truth values."""

SUBSETS_AT_ONCE = 8
"""Subsets whose rows are told apart together, which takes two to the power of their number as many bins."""

SCORES_AT_ONCE = 2**20
"""Rows times scores that are sorted together."""

FEW_CUTS = 16
"""Up to this many comparisons are faster than a search."""


def counts_within(
    y: Integer[Tensor, "m"],
    s: Integer[Tensor, "m"],
    prediction: Decisions | Iterable[Decisions],
    subsets: Bool[Tensor, "T m"],
    *,
    groups: int,
    classes: int,
) -> Int64[Tensor, "T V G k k"]:
    """Count [group, true class, predicted class] of V models within each of T subsets of the same rows.

    `confusion_counts` of every subset at once: rows are bits, of which 64 are compared and counted together.
    Predictions are 0 … k−1, of two classes also truth values; they may come a part of the models at a time.
    """
    cell = torch.nn.functional.one_hot(s.long() * classes + y.long(), groups * classes).T.bool()  # G·k, m
    member = (subsets.unsqueeze(1) & cell).flatten(0, 1)  # T·G·k, m
    masks = _as_bits(member)
    size = member.sum(dim=1).unsqueeze(-1)
    parts = []
    for part in [prediction] if isinstance(prediction, Tensor) else prediction:
        of_class = [part] if part.dtype == torch.bool else [part == c for c in range(1, classes)]
        others = torch.stack([_in_common(_as_bits(one), masks) for one in of_class], dim=-1)
        parts.append(torch.cat([size - others.sum(dim=-1, keepdim=True), others], dim=-1))  # what is of no other class
    counts = torch.cat(parts)
    return counts.unflatten(1, (len(subsets), groups, classes)).transpose(0, 1)


def _as_bits(rows: Bool[Tensor, "v m"]) -> UInt64[np.ndarray, "v w"]:
    """Return each row of truth values as bits, 64 in a word; zeros fill the last."""
    size = rows.shape[1]
    packed = np.zeros((len(rows), -(-size // 64) * 8), dtype=np.uint8)
    packed[:, : -(-size // 8)] = np.packbits(rows.contiguous().cpu().numpy(), axis=1)
    return packed.view(np.uint64)


def _in_common(bits: UInt64[np.ndarray, "V w"], masks: UInt64[np.ndarray, "M w"]) -> Int64[Tensor, "V M"]:
    """Return how many bits each row of the one has in common with each of the other."""
    counts = [np.bitwise_count(bits & mask).sum(axis=1, dtype=np.int64) for mask in masks]
    return torch.from_numpy(np.stack(counts, axis=1))


def counts_above(
    y: Integer[Tensor, "m"],
    s: Integer[Tensor, "m"],
    score: Float[Tensor, "H m"],
    scored: Int[Tensor, "V"],
    cut: Float[Tensor, "V"],
    subsets: Bool[Tensor, "T m"],
    *,
    groups: int,
) -> Int64[Tensor, "T V G 2 2"]:
    """Count as `counts_within` does for V models of two classes which predict 1 where a score is above a cut.

    A score is sorted into the cuts that are set on it once, however many they are; rows that lie in the same subsets
    are counted together.

    Args:
        score: the scores of the rows; not NaN. scored: which of them is whose.
    """
    counts = torch.empty(len(subsets), len(scored), groups, 2, 2, dtype=torch.int64)
    cell = s.long() * 2 + y.long()
    alike = _with_equal_cuts(scored, cut, scores_at_once=max(1, SCORES_AT_ONCE // max(1, len(cell))))
    for start in range(0, len(subsets), SUBSETS_AT_ONCE):
        chunk = subsets[start : start + SUBSETS_AT_ONCE]
        weights = (1 << torch.arange(len(chunk))).unsqueeze(1)
        patterns, pattern = (chunk * weights).sum(dim=0).unique(return_inverse=True)
        is_in = (patterns & weights > 0).long()  # T, P
        place = pattern * (2 * groups) + cell
        for which, models in alike:
            cuts = cut[models[0]]
            bins, places = len(cuts) + 1, len(patterns) * 2 * groups
            offset = places * torch.arange(len(which)).unsqueeze(1)
            bucket = (place + offset) * bins + _cuts_below(score[which], cuts)  # h, m
            histogram = torch.bincount(bucket.flatten(), minlength=len(which) * places * bins)
            by_pattern = histogram.view(len(which), len(patterns), 2 * groups * bins)
            below = (is_in @ by_pattern).view(len(which), len(chunk), groups, 2, bins).cumsum(dim=-1)
            negative = below[..., :-1].permute(1, 0, 4, 2, 3)  # T, h, v, G, k
            total = below[..., -1].transpose(0, 1).unsqueeze(2)
            counts[start : start + len(chunk), models] = torch.stack([negative, total - negative], dim=-1)
    return counts


def _with_equal_cuts(
    scored: Int[Tensor, "V"], cut: Float[Tensor, "V"], *, scores_at_once: int
) -> list[tuple[list[int], list[list[int]]]]:
    """Return scores that are cut at the same values, at most so many together, and each one's models, cuts in order."""
    of_score: dict[int, list[int]] = {}
    for v, h in enumerate(scored.tolist()):
        of_score.setdefault(h, []).append(v)
    values = cut.tolist()
    alike: dict[tuple[float, ...], list[tuple[int, list[int]]]] = {}
    for h, models in of_score.items():
        models.sort(key=values.__getitem__)
        alike.setdefault(tuple(values[v] for v in models), []).append((h, models))
    chunks = [
        each[start : start + scores_at_once] for each in alike.values() for start in range(0, len(each), scores_at_once)
    ]
    return [([h for h, _ in chunk], [models for _, models in chunk]) for chunk in chunks]


def _cuts_below(score: Float[Tensor, "h m"], cuts: Float[Tensor, "v"]) -> Int[Tensor, "h m"]:
    """Return how many cuts, which do not decrease, each score is above."""
    if len(cuts) > FEW_CUTS:
        return torch.bucketize(score, cuts)
    number = torch.zeros(score.shape, dtype=torch.uint8)
    for cut in cuts:
        number += score > cut
    return number.long()


def untested(rows: Int[Tensor, "R m"], tested: Int[Tensor, "R t"]) -> Bool[Tensor, "R R m"]:
    """Return [replicate whose rows these are, replicate that chooses, row]: whether the latter is not tested on it.

    One replicate's validation part is too small to judge a way to train; all of them together are large enough. Rows of
    the replicate's test part are left out, so that they are never used to choose.

    Args:
        rows: numbers of the rows that each replicate's own models are judged by. tested: of its test rows.
    """
    most = max(int(numbers.max()) for numbers in (rows, tested) if numbers.numel())
    is_untested = torch.ones(len(tested), most + 1, dtype=torch.bool)
    is_untested.scatter_(1, tested.long(), False)
    return torch.stack([is_untested[:, members] for members in rows])


def choose(
    err: Float[Tensor, "R V"], bias: Float[Tensor, "R V"], tolerance: float | Float[Tensor, "R"]
) -> tuple[Int64[Tensor, "R"], Bool[Tensor, "R"]]:
    """Return each replicate's model with the lowest error among those with |bias| ≤ `tolerance`, or its own one.

    Ties go to the first. Where none is within the tolerance, return the one with the lowest |bias|; ties go to the
    lowest error.

    Returns:
        The index of the chosen model, −1 where no model has both an error and a bias, and whether it is within the
        tolerance.
    """
    defined = ~(err.isnan() | bias.isnan())
    size = bias.abs().masked_fill(~defined, torch.inf)
    error = err.masked_fill(~defined, torch.inf)
    within = defined & (size <= (tolerance.unsqueeze(1) if isinstance(tolerance, Tensor) else tolerance))
    best_within = error.masked_fill(~within, torch.inf).argmin(dim=1)
    least = size.amin(dim=1, keepdim=True)
    nearest = error.masked_fill(size > least, torch.inf).argmin(dim=1)
    meets = within.any(dim=1)
    return torch.where(meets, best_within, nearest).masked_fill(~defined.any(dim=1), -1), meets


def typical(err: Float[Tensor, "R"], bias: Float[Tensor, "R"], meets: Bool[Tensor, "R"]) -> int:
    """Return the replicate whose choice stands for those of all: the one with the median error among those that meet
    the tolerance, the lower of two; if none does, the one with the lowest |bias|. Ties go to the first.

    Each replicate is judged by rows of its own, and the lowest error is that of the luckiest: its model errs no less
    than the others on new rows, and is less fair than they are.

    Args:
        err: of each replicate's choice, as its own rows judge it. bias: the same. meets: see `choose`.
    """
    if not bool(meets.any()):
        return int(bias.abs().nan_to_num(torch.inf).argmin())
    order = err.masked_fill(~meets, torch.inf).argsort(stable=True)
    return int(order[(int(meets.sum()) - 1) // 2])
