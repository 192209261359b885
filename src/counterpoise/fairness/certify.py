r"""Tolerances that hold on new data with a stated probability: Learn then Test (arXiv 2110.01052) for gaps of rates.

Each candidate gets a p-value for the hypothesis that its true bias exceeds the tolerance, from rows that neither
trained it nor put it in order. Those whose hypothesis is rejected are certified, so that the probability of certifying
any that exceeds the tolerance is at most δ = 1 − level. The lowest error may then be chosen freely among them.

**A bias as linear functions of rates.** Every gap metric is the largest of finitely many $\sum_i a_i p_i$ over rates
$p_i$ of disjoint rows: ΔDP of $\pm(p_0 - p_1)$, ΔEO of the four $\pm(TPR_0 - TPR_1) \pm (FPR_0 - FPR_1)$, for each pair
of groups and each class. "Bias > ε" is the union of "$\sum_i a_i p_i > ε$", so that the largest of their p-values is a
valid one: groups, classes and signs need no correction.

**The p-value of one of them**, valid for every number of rows. Given the cells' sizes, $X_i \sim Bin(n_i, p_i)$ are
independent. With $r(k; p) = sign(k/n - p) \sqrt{2 n KL(k/n \| p)}$, Zubkov and Serov (Theory of Probability and its
Applications 57, 2013) prove $Φ(r(k; p)) \le P(X \le k) \le Φ(r(k + 1; p))$. Hence (quantile coupling) there are
independent standard normal $Z_i$ with $r(X_i - 1; p_i) \le Z_i \le r(X_i + 1; p_i)$. Let E be the event that all
$|Z_i| \le B$, with $P(E^c) \le γ$. On E each $p_i$ lies in the interval $C_i$ where $r(X_i - 1; p_i) \le B$ and
$r(X_i + 1; p_i) \ge -B$ (the nuisance is confined as by Berger and Boos, 1994). With $σ_i^2 = p_i (1 - p_i) / n_i$, and
where $\sum_i a_i p_i \ge ε$,

$$\sum_i a_i σ_i Z_i \le \sum_i |a_i| U_i - ε, \quad U_i = \sup_{p \in C_i} \; σ(p) \min(r(X_i + 1; p), B) + p$$

for $a_i > 0$; for $a_i < 0$, $U_i$ is that of the complementary count $n_i - X_i$, less 1. The left side is normal with
variance $\sum_i a_i^2 σ_i^2 \le D^2 = \sum_i a_i^2 \sup_{C_i} σ^2$. So $γ + Φ((\sum_i |a_i| U_i - ε) / D)$ is a valid
p-value where the argument is negative, and 1 elsewhere: it is at most α with a probability of at most γ + (α − γ).

**Its price.** To be certified at 0.9, a model's measured bias must lie below the tolerance by a margin. Beside that of
the normal approximation, which is not valid on few rows, it is 1.35 (ΔDP) to 1.8 (ΔEO) times as wide at 100 rows per
cell, 1.1 to 1.25 times at 1,000, 1.05 to 1.1 times at 5,000. Clopper–Pearson bounds of each rate, joined by Bonferroni,
take 1.8 (ΔDP) and 3 times (ΔEO) at any size, which is three and nine times the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import torch
from jaxtyping import Bool, Float64, Int64, Num
from torch import Tensor

from counterpoise.errors import InputError, suggest
from counterpoise.fairness import _rates
from counterpoise.fairness.statistics import holm

UNRESTRICTED_SHARE = 0.05
"""γ as a share of the significance at which a p-value is used: what confining the rates to intervals costs."""

GRID = 129
"""Points at which a supremum over an interval is sought; it misses what is of second order in their distance."""

HALVINGS = 40
"""Bisection steps: to 1e-12 of a rate."""

RATES_AT_ONCE = 1 << 15
"""Rates whose grids are held at once: 34 MB for each array."""

MOST_TIMES = 2.0**24
"""How many times the rows `rows_needed` looks at."""

_Rates = tuple[Float64[Tensor, "b I"], Float64[Tensor, "b I"]]
"""Hits and sizes of all rates that a metric is made of."""

_SELECTION, _ODDS = ("selection",), ("tpr", "fpr")

CERTIFIABLE = {
    "delta_dp": _SELECTION,
    "spd": _SELECTION,
    "eod": ("tpr",),
    "equalized_odds_difference": _ODDS,
    "delta_eo": _ODDS,
    "aod": _ODDS,
}
"""The metrics that can be certified, and the rates that they are made of."""

_WEIGHTS = {"delta_eo": 1.0, "aod": 0.5}
"""Of the gaps that a metric adds up, of the same groups and class; others are the largest of single gaps."""


@dataclass(frozen=True, eq=False)
class Certification:
    """Which candidates are certified.

    Attributes:
        p: of "the bias exceeds the tolerance", for each candidate.
        certified: that it does not; wrong for any candidate at all with probability 1 − level at most.
    """

    p: Float64[Tensor, "V"]
    certified: Bool[Tensor, "V"]


def certify(
    counts: Num[Tensor, "V G k k"],
    metric: str,
    tolerance: float,
    *,
    level: float = 0.9,
    order: Sequence[int] | None = None,
) -> Certification:
    """Certify candidates: with probability `level`, the true bias of none that is certified exceeds the tolerance.

    Args:
        counts: [candidate, group, true class, predicted class] on the rows to certify with, which have neither trained
            the candidates nor put them in order.
        metric: a name of `CERTIFIABLE`; of a signed metric the absolute value counts.
        tolerance: for the true bias, that on the distribution which the rows are drawn from.
        order: candidates to be tested one after the other, each at 1 − level, until one is not certified (a fixed
            sequence, which needs no correction); those that are left out are not certified. Likely ones first: by their
            bias on other rows. By default all are tested at once, with Holm's correction.

    Raises:
        InputError: the metric cannot be certified, the level is not between 0 and 1, the tolerance is not positive, or
            `order` names a candidate that is not there, or one twice.
    """
    _require_level(level)
    candidates = len(counts)
    if order is not None and (len(set(order)) < len(order) or not set(order) <= set(range(candidates))):
        raise InputError(f"order is {list(order)}, expected different candidates from 0 to {candidates - 1}")
    tests = 1 if order is not None else max(1, candidates)
    p = p_values(counts, metric, tolerance, significance=(1 - level) / tests)
    if order is None:
        return Certification(p, torch.from_numpy(holm(p.numpy()) <= 1 - level))
    certified = torch.zeros(candidates, dtype=torch.bool)
    for candidate in order:
        if p[candidate] > 1 - level:
            break
        certified[candidate] = True
    return Certification(p, certified)


def p_values(
    counts: Num[Tensor, "*batch G k k"], metric: str, tolerance: float, *, significance: float = 0.1
) -> Float64[Tensor, "*batch"]:
    """Return valid p-values of "the true bias exceeds the tolerance"; 1 where a cell that the metric needs is empty.

    Args:
        significance: at which they will be used; they are valid at any other, and sharpest there.

    Raises:
        InputError: the metric cannot be certified, or the tolerance is not positive.
    """
    hits, sizes = _counted(counts, metric)
    index, weight = _functionals(metric, counts.shape[-3], _positive_classes(counts))
    if _require_tolerance(tolerance) >= _largest(weight):
        return torch.zeros(counts.shape[:-3], dtype=torch.float64)
    return _p_values((hits, sizes), index, weight, tolerance, significance).reshape(counts.shape[:-3])


def rows_needed(
    counts: Num[Tensor, "*batch G k k"],
    metric: str,
    tolerance: float,
    *,
    level: float = 0.9,
    bias: float | None = None,
    power: float = 0.5,
    candidates: int = 1,
) -> Int64[Tensor, "*batch G k"]:
    """Return how many rows of each group and class it would take to certify a model like this one.

    Like this one: with its rates, the groups' differences apart, in cells of the same proportions.

    Args:
        bias: the true one of the model, half the tolerance by default.
        power: the probability that it is certified.
        candidates: how many are tested with Bonferroni's correction; 1 for a fixed sequence.

    Raises:
        InputError: as `p_values`; or the bias is not below the tolerance, a cell is empty, or no number of
            rows suffices.
    """
    _require_level(level)
    _require_level(power)
    bias = _require_tolerance(tolerance) / 2 if bias is None else bias
    if not 0 <= bias < tolerance:
        raise InputError(f"a model with a bias of {bias:g} cannot be certified to be within {tolerance:g}")
    hits, sizes = _counted(counts, metric)
    if (sizes == 0).any():
        raise InputError(f"{metric}: a group has no rows of a class, expected some of each to know their proportions")
    classes, groups = _positive_classes(counts), counts.shape[-3]
    index, weight = _functionals(metric, groups, classes)
    cells = counts.double().sum(-1)
    if tolerance >= _largest(weight):
        return torch.ones_like(cells, dtype=torch.int64)
    shape = (len(hits), len(CERTIFIABLE[metric]), groups, classes)
    by_group = hits.reshape(shape), sizes.reshape(shape)
    pooled = (by_group[0].sum(2, keepdim=True) / by_group[1].sum(2, keepdim=True)).expand(shape).flatten(1)
    luck, significance = _quantile(power), (1 - level) / candidates

    def certified(times: Float64[Tensor, "b"]) -> Bool[Tensor, "b"]:
        scaled = sizes * times.unsqueeze(1)
        # all rates are the pooled ones: the difference is `bias`, and what its estimate exceeds it by with bad luck
        deviation = _deviation(pooled, scaled, index, weight)
        p = _p_values((pooled * scaled, scaled), index, weight, tolerance - bias, significance, luck * deviation)
        return p <= significance

    low, high = (torch.full((len(hits),), value, dtype=torch.float64) for value in (1 / MOST_TIMES, MOST_TIMES))
    if not certified(high).all():
        raise InputError(f"{metric}: no number of rows certifies a bias of {bias:g} to be within {tolerance:g}")
    for _ in range(HALVINGS):
        middle = (low * high).sqrt()
        enough = certified(middle)
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return (cells * high.reshape(*counts.shape[:-3], 1, 1)).ceil().long()


def linear_parts(
    counts: Num[Tensor, "*batch G k k"], metric: str
) -> tuple[Float64[Tensor, "*batch M J"], Float64[Tensor, "*batch M J"], Float64[Tensor, "M J"]]:
    """Return hits, sizes and weights of the linear functions of rates whose largest value is the (absolute) bias.

    Raises:
        InputError: the metric is no name of `CERTIFIABLE`, or there are fewer than two groups.
    """
    hits, sizes = _counted(counts, metric)
    index, weight = _functionals(metric, counts.shape[-3], _positive_classes(counts))
    shape = (*counts.shape[:-3], *index.shape)
    return hits[:, index].reshape(shape), sizes[:, index].reshape(shape), weight


def _counted(counts: Num[Tensor, "*batch G k k"], metric: str) -> _Rates:
    """Return hits and sizes of the rates of a metric: by family (`CERTIFIABLE`), group, class."""
    if metric not in CERTIFIABLE:
        raise InputError(f"{metric!r} cannot be certified{suggest(metric, CERTIFIABLE)}")
    flat = counts.double().flatten(0, -4) if counts.ndim > 3 else counts.double().unsqueeze(0)
    predicted, right = flat.sum(-2), _rates.hits(flat)
    families = {
        "selection": (predicted, _rates.members(flat).expand_as(predicted)),
        "tpr": (right, flat.sum(-1)),
        "fpr": (predicted - right, _rates.members(flat) - flat.sum(-1)),
    }
    chosen = [families[name] for name in CERTIFIABLE[metric]]
    classes = _positive_classes(counts)
    hits, sizes = (torch.stack([pair[i][..., -classes:] for pair in chosen], dim=1).flatten(1) for i in (0, 1))
    return hits, sizes


def _positive_classes(counts: Tensor) -> int:
    return 1 if counts.shape[-1] == 2 else counts.shape[-1]


def _functionals(metric: str, groups: int, classes: int) -> tuple[Int64[Tensor, "M J"], Float64[Tensor, "M J"]]:
    """Return the linear functions of rates whose largest value is the bias: which rates, with which weights."""
    families = len(CERTIFIABLE[metric])
    if groups < 2:
        raise InputError(f"A comparison of groups got counts for {groups} group, expected at least 2.")
    index, weight = [], []
    for (i, j), c in product(combinations(range(groups), 2), range(classes)):
        gaps = [[(family * groups + group) * classes + c for group in (i, j)] for family in range(families)]
        if metric in _WEIGHTS:
            signs = product((1, -1), repeat=families) if metric == "delta_eo" else [(1, 1), (-1, -1)]
            for of_gaps in signs:
                index.append([rate for gap in gaps for rate in gap])
                weight.append([_WEIGHTS[metric] * sign * end for sign in of_gaps for end in (1, -1)])
        else:
            for gap, sign in product(gaps, (1, -1)):
                index.append(gap)
                weight.append([sign, -sign])
    return torch.tensor(index), torch.tensor(weight, dtype=torch.float64)


def _largest(weight: Float64[Tensor, "M J"]) -> float:
    """Return the largest bias that there can be."""
    return float(weight.clamp(min=0).sum(1).max())


def _p_values(
    rates: _Rates,
    index: Int64[Tensor, "M J"],
    weight: Float64[Tensor, "M J"],
    tolerance: float,
    significance: float,
    excess: Float64[Tensor, "b M"] | float = 0.0,
) -> Float64[Tensor, "b"]:
    """Return the largest p-value over the linear functions; `excess` is added to each of their values."""
    hits, sizes = rates
    beyond = UNRESTRICTED_SHARE * significance  # γ
    bound = -_quantile(beyond / (2 * index.shape[1]))  # B
    parts = [
        _suprema(torch.stack([x, n - x]), n.expand(2, *n.shape), bound)
        for x, n in zip(*(tensor.split(max(1, RATES_AT_ONCE // hits.shape[1])) for tensor in rates), strict=True)
    ]
    both, deviation = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
    upper, lower, deviation = both[0][:, index], both[1][:, index] - 1, deviation[0][:, index]  # b, M, J
    value = (weight.abs() * torch.where(weight > 0, upper, lower)).sum(-1) + excess - tolerance
    scale = (weight * deviation).square().sum(-1).sqrt()
    p = torch.where(value < 0, beyond + torch.special.ndtr(value / scale), 1.0)
    return torch.where((sizes[:, index] > 0).all(-1), p, 1.0).amax(-1).clamp(max=1)


def _deviation(
    rate: Float64[Tensor, "b I"], sizes: Float64[Tensor, "b I"], index: Int64[Tensor, "M J"], weight: Tensor
) -> Float64[Tensor, "b M"]:
    """Return the standard deviation of the linear functions' estimates."""
    return (weight.square() * (rate * (1 - rate) / sizes)[:, index]).sum(-1).sqrt()


def _suprema(
    hits: Float64[Tensor, "*b"], sizes: Float64[Tensor, "*b"], bound: float
) -> tuple[Float64[Tensor, "*b"], Float64[Tensor, "*b"]]:
    """Return U and the largest standard deviation of each rate over the interval C; see the module's docstring."""
    above = hits + 1
    # At the kink r(X + 1; p) is B.
    low, high, kink = _roots(torch.stack([hits - 1, above, above]), sizes, (bound, -bound, bound))
    low = torch.where(hits >= 2, low, 0.0)
    high = torch.where(hits <= sizes - 2, high, 1.0)
    kink = torch.where(above <= sizes, kink, 1.0).clamp(low, high)
    steps = torch.linspace(0, 1, (GRID + 1) // 2, dtype=torch.float64)
    parts = [first.unsqueeze(-1) + (last - first).unsqueeze(-1) * steps for first, last in ((low, kink), (kink, high))]
    grid, n = torch.cat(parts, dim=-1), sizes.unsqueeze(-1)
    value = (grid * (1 - grid) / n).sqrt() * _signed_root(above.unsqueeze(-1), n, grid).clamp(max=bound) + grid
    nearest = torch.full_like(low, 0.5).clamp(low, high)
    return value.amax(-1), (nearest * (1 - nearest) / sizes).sqrt()


def _signed_root(
    k: Float64[Tensor, "*#b"], n: Float64[Tensor, "*#b"], p: Float64[Tensor, "*#b"]
) -> Float64[Tensor, "*b"]:
    """Return r(k; p), infinite for k > n."""
    share = (k / n).clamp(0, 1)
    divergence = torch.xlogy(share, share / p) + torch.xlogy(1 - share, (1 - share) / (1 - p))
    root = (share - p).sign() * (2 * n * divergence.clamp(min=0)).sqrt()
    return torch.where(k > n, torch.inf, torch.where(share == p, 0.0, root))


def _roots(k: Float64[Tensor, "m *b"], n: Float64[Tensor, "*b"], values: Sequence[float]) -> Float64[Tensor, "m *b"]:
    """Return the p at which r(k; p), which falls with p, is a value other than 0, rounded away from k / n.

    Of k that is no count from 1 to n − 1 the result has no meaning.
    """
    value = torch.tensor(values, dtype=torch.float64).reshape(-1, *(1 for _ in n.shape))
    low, high = torch.zeros_like(k), torch.ones_like(k)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        higher = _signed_root(k, n, middle) > value
        low, high = torch.where(higher, middle, low), torch.where(higher, high, middle)
    return torch.where(value > 0, low, high)


def _quantile(probability: float) -> float:
    return float(torch.special.ndtri(torch.tensor(probability, dtype=torch.float64)))


def _require_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level is {level:g}, expected a number between 0 and 1")


def _require_tolerance(tolerance: float) -> float:
    if not tolerance > 0:
        raise InputError(f"tolerance is {tolerance:g}, expected a positive number")
    return tolerance
