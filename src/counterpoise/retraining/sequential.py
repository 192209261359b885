r"""Evidence that may be looked at as often as one likes: e-processes, confidence sequences, spending of significance.

An **e-process** is a number $E_n ≥ 0$, computed from the first n rows, below a nonnegative martingale that starts at 1
wherever its null hypothesis holds. By Ville's inequality $P(\exists n: E_n ≥ 1/α) ≤ α$: one may stop at any time, for
any reason. All functions work with logarithms, over any leading batch axes, and on counts: the order of rows within a
batch has no influence.

**Means of bounded values** (an error, or the difference of two models' errors on the same row, in {−1, 0, 1}). Against
"the mean is at least m", betting a share u of the capital that it is lower multiplies the capital by
$1 - u + u \, (b - x) / (b - m)$ for a row with the value x ≤ b (Waudby-Smith and Ramdas, JRSS-B 86, 2024, Section 4).
Mixed over fixed shares u, it has a closed form in the counts of the values, rises with m (so that the m that are not
refuted form an interval), and does not need a constant mean: since $\prod (1 + λ (m - μ_i)) ≤ (1 + λ (m - \bar μ))^n$,
the statements hold for the running average of the rows' conditional means, simultaneously for all n.

**Linear functions of rates** ($\sum_i w_i p_i$ of disjoint cells of rows: gaps between groups, and ΔEO's sums of gaps;
arXiv 2305.17570 bets on pairs of rows instead, which leaves rows of the larger group unused). With $X_i$ hits among the
$n_i$ rows of a batch, against "$\sum_i w_i p_i ≥ ε$",

$$E = \exp(-\sum_i λ_i X_i) \; / \sup_{p: \sum w_i p_i ≥ ε} \prod_i (1 - p_i + p_i e^{-λ_i})^{n_i},
\quad λ_i = d \, (w_i / n_i) / \sum_j (w_j^2 / n_j)$$

has an expectation of at most 1, whatever the $λ_i$. With these, the exponent is −d times the plain estimate, in units
of its variance over p (1 − p), and the supremum is near rates of ½, whose variance is the largest. Where rates $r_i$
are expected, from rows of earlier batches, $\log(1 + λ_i r_i) - \log(1 - λ_i (1 - r_i))$ in the place of $λ_i$ has the
supremum near $r_i$: there, the gradient of the product's logarithm is along that of the constraint. So the price is the
variance of these rates, and not that of ½; a wrong expectation costs power alone. (Likelihood ratios to the nearest
rates under the null hypothesis have this form: Turner, Ly and Grünwald, Journal of Statistical Planning and Inference
230, 2024.) The supremum is replaced by its Lagrangian dual, which for any multiplier is at least as large, so that no
tolerance of the search enters the guarantee. Batches (weeks) multiply, each with its own rates: that base rates change
from week to week is allowed. The mixture over d stands outside the product.

**Spending.** A false rejection in an endless series of hypotheses has a probability of at most α if their significances
sum to α: `spent_share`. The significance of a rejected hypothesis passes to the next (`Budget`): the online fallback
procedure of Tian and Ramdas (Statistical Methods in Medical Research 30, 2021). Feng, Emerson and Simon (Biometrics 77,
2021) spend on approvals of modified models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Integer, Num
from numpy.typing import NDArray

from counterpoise.errors import InputError

Array = NDArray[Any]
Numbers = Float64[np.ndarray, "*batch"] | float
Counts = Integer[np.ndarray, "*batch"] | int

SHARES = 2.0 ** -np.arange(0.5, 7)
"""u: bets on means, 0.71 to 0.011; each is good for effects within √2 of the one that it is best for."""

SCALES = 0.03 * 2.0 ** np.arange(6)
"""d: bets on linear functions of rates; each is best for an effect of d · p (1 − p)."""

HALVINGS = 24
"""Bisection steps of bounds: to 1e-7 of the range."""

LARGEST_STAKE = 0.9
"""Of what a bet with expected rates can lose on a row."""

MULTIPLIER_HALVINGS = 16
"""Bisection steps of the Lagrangian's multiplier; fewer would cost power, not validity."""

PAIRED = np.array([-1.0, 0.0, 1.0])
"""Differences of two models' errors on a row: the first is right alone, they agree, the second is right alone."""

OUTCOMES = np.array([0.0, 1.0])
"""Of one model: right, wrong."""


def mixed(log_factors: Float64[np.ndarray, "*batch K"]) -> Float64[np.ndarray, "*batch"]:
    """Return the logarithm of the mean over bets of what each has multiplied the capital by."""
    top = log_factors.max(-1, keepdims=True)
    finite = np.where(np.isfinite(top), top, 0.0)
    return np.asarray(np.log(np.exp(log_factors - finite).mean(-1)) + finite[..., 0])


def bets_below(
    counts: Num[np.ndarray, "*batch V"], values: Float64[np.ndarray, "V"], bound: float | Float64[np.ndarray, "*batch"]
) -> Float64[np.ndarray, "*batch K"]:
    """Return the logarithm of each bet's capital against "the mean is at least `bound`"; infinite if it cannot be.

    Args:
        counts: rows of each value.
        values: in increasing order; the mean lies between the first and the last.
        bound: one, or one for each element of the batch.
    """
    highest = values[-1]
    room = np.asarray(highest - bound, dtype=np.float64)[..., None]  # *batch 1
    with np.errstate(divide="ignore"):
        odds = np.where(room > 0, (highest - values) / np.where(room > 0, room, 1.0), np.inf)  # *batch V
    with np.errstate(invalid="ignore"):
        growth = np.log(1 - SHARES[:, None] + SHARES[:, None] * odds[..., None, :])  # *batch K V
        capital = (counts[..., None, :] * growth).sum(-1)
    return np.where(room > 0, capital, np.inf)


def bets_above(
    counts: Num[np.ndarray, "*batch V"], values: Float64[np.ndarray, "V"], bound: float | Float64[np.ndarray, "*batch"]
) -> Float64[np.ndarray, "*batch K"]:
    """Return the logarithm of each bet's capital against "the mean is at most `bound`"."""
    return bets_below(counts[..., ::-1], -values[::-1], -bound)


def mean_bounds(
    counts: Num[np.ndarray, "*batch V"], values: Float64[np.ndarray, "V"], significance: float
) -> tuple[Float64[np.ndarray, "*batch"], Float64[np.ndarray, "*batch"]]:
    """Return both ends of a confidence sequence of the mean, each wrong with probability `significance` at most, ever.

    Raises:
        InputError: the significance is not between 0 and 1.
    """
    _require_probability(significance)

    def upper(counts: Array, values: Array) -> Array:
        return _first_refuted(lambda m: mixed(bets_below(counts, values, m)), counts.shape[:-1], values, significance)

    return np.asarray(-upper(counts[..., ::-1], -values[::-1])), upper(counts, values)


def bets_on_rates(
    hits: Num[np.ndarray, "*batch J"],
    sizes: Num[np.ndarray, "*batch J"],
    weight: Float64[np.ndarray, "*#batch J"],
    bound: float | Float64[np.ndarray, "*#batch"],
    expected: Float64[np.ndarray, "*batch J"] | None = None,
) -> Float64[np.ndarray, "*batch K"]:
    """Return the logarithm of each bet's factor of one batch of rows, against "Σ weight · rate is at least `bound`".

    Evidence of the contrary is that of `-weight` and `-bound`. Factors of several batches multiply (add the
    logarithms), then `mixed`. A batch in which a cell is empty has the factor 1.

    Args:
        hits, sizes: of the cells whose rates count, independent given their sizes.
        weight: of each rate; none is 0.
        expected: the rates as they are guessed without these rows, inside of 0 and 1; NaN, or None, for no guess.
    """
    n = np.maximum(np.asarray(sizes, dtype=np.float64), 1.0)
    weight = np.broadcast_to(weight, n.shape)
    per_row = weight / n
    tilt = SCALES * (per_row / (weight * per_row).sum(-1, keepdims=True))[..., None]  # λ: *batch J K
    if expected is not None:
        tilt = _at_rates(tilt, expected[..., None])
    limit = np.asarray(bound, dtype=np.float64)[..., None]
    exponent = -(tilt * np.asarray(hits, dtype=np.float64)[..., None]).sum(-2)
    factors = exponent - _log_supremum(tilt, n[..., None], weight[..., None], limit)
    possible: Array = np.maximum(weight, 0).sum(-1, keepdims=True) >= limit
    factors = np.where(possible, factors, np.inf)
    counted: NDArray[np.bool_] = np.greater(sizes, 0).all(-1, keepdims=True)
    return np.where(counted, factors, 0.0)


def _at_rates(tilt: Array, expected: Array) -> Array:
    """Return the tilts whose supremum is near the expected rates, as they are where nothing is expected."""
    rate = np.where(np.isnan(expected), 0.5, expected)
    stake = np.clip(tilt, -LARGEST_STAKE / rate, LARGEST_STAKE / (1 - rate))
    return np.where(np.isnan(expected), tilt, np.log1p(stake * rate) - np.log1p(-stake * (1 - rate)))


def _log_supremum(tilt: Array, n: Array, weight: Array, limit: Array) -> Array:
    """Return a bound on the largest Σ n log(1 − p + p exp(−tilt)) over rates with Σ weight p ≥ limit; [*batch K]."""
    growth = np.expm1(-tilt)  # of the opposite sign to the weight
    # The multipliers at which a rate leaves one end of [0, 1] and reaches the other.
    ends = np.abs(growth) * n / np.abs(weight), np.abs(growth) * n / np.abs(weight) / (1 + growth)
    low, high = np.minimum(*ends).min(-2, keepdims=True), np.maximum(*ends).max(-2, keepdims=True)

    def rates(multiplier: Array) -> Array:
        return np.clip(-n / (multiplier * weight) - 1 / growth, 0.0, 1.0)

    for _ in range(MULTIPLIER_HALVINGS):
        middle = np.sqrt(low * high)
        below = (weight * rates(middle)).sum(-2, keepdims=True) < limit[..., None]
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    multiplier = np.sqrt(low * high)
    p = rates(multiplier)
    dual = (n * np.log1p(growth * p) + multiplier * weight * p).sum(-2) - multiplier[..., 0, :] * limit
    # The rates without the constraint: multiplier 0.
    unconstrained = np.where(weight < 0, n * np.log1p(growth), 0.0).sum(-2)
    return np.where(np.minimum(weight, 0).sum(-2) >= limit, unconstrained, dual)


def largest_not_refuted(
    log_e: Callable[[Array], Array], low: float, high: float, shape: tuple[int, ...], significance: float
) -> Array:
    """Return the largest bound that evidence does not refute, from evidence that grows with the bound; [*shape]."""
    threshold = np.log(1 / _require_probability(significance))
    smallest, largest = np.full(shape, float(low)), np.full(shape, float(high))
    for _ in range(HALVINGS):
        middle = (smallest + largest) / 2
        refuted = log_e(middle) >= threshold
        smallest, largest = np.where(refuted, smallest, middle), np.where(refuted, middle, largest)
    return largest


def _first_refuted(
    log_e: Callable[[Array], Array], shape: tuple[int, ...], values: Array, significance: float
) -> Array:
    return largest_not_refuted(log_e, values[0], values[-1], shape, significance)


def spent_share(position: Counts, horizon: int) -> Numbers:
    """Return the share of the significance that the hypothesis at a position (from 1) has in an endless series.

    $h / ((t + h - 1)(t + h))$: the shares of the first t sum to t / (t + h). Half is spent on the first `horizon`, of
    which the last has about a quarter of the first's share; all of them, for ever, sum to 1.
    """
    return horizon / ((position + horizon - 1.0) * (position + horizon))


@dataclass(frozen=True, eq=False)
class Budget:
    """What is left of a significance that challengers of an endless series share; arrays for many series at once.

    Each unit of it belongs to one challenger at a time. What a promoted challenger had passes to the next one that
    enters: until the first bad promotion it was never at risk. So the significances of all bad challengers sum to at
    most the total, and so does the probability that any of them is ever promoted.

    Attributes:
        entered: how many challengers have entered.
        released: significance of promoted challengers that awaits the next one.
    """

    entered: Counts = 0
    released: Numbers = 0.0

    def enter(
        self, significance: float, horizon: int, where: Bool[np.ndarray, "*batch"] | None = None
    ) -> tuple[Numbers, Budget]:
        """Return the significance of a challenger that enters (0 where none does), and the budget afterwards."""
        level = significance * spent_share(self.entered + 1, horizon) + self.released
        if where is None:
            return level, Budget(self.entered + 1, 0.0 * self.released)
        return np.where(where, level, 0.0), Budget(self.entered + where, np.where(where, 0.0, self.released))

    def release(self, level: Numbers) -> Budget:
        """Return the budget after challengers of these significances were promoted (0 where none was)."""
        return Budget(self.entered, self.released + level)


def _require_probability(significance: float) -> float:
    if not 0 < significance < 1:
        raise InputError(f"significance is {significance:g}, expected a number between 0 and 1")
    return significance
