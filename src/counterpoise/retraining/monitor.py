r"""The champion's monitor: alarms on labelled traffic, week after week; any is ever false with probability α at most.

Each quantity (the error; each bias metric) has an e-process against "it never exceeds its limit". A drift that begins
in week s is seen best by a process that begins there too, since earlier weeks speak against it; so the processes of all
starts are mixed with weights that sum to 1 (`sequential.spent_share`), those yet to come with the value 1. Per bet,
the sum over past starts is $A_t = (A_{t-1} + w_t) \, E_t$, with $E_t$ the factor of week t's rows. As long as no week
exceeds the limit, the mixture lies below a nonnegative martingale that starts at 1, so an alarm at $Q / α$ for each of
Q quantities is ever false with a probability of at most α. (E-detectors, Shin, Ramdas and Rinaldo 2023, sum over starts
without weights, and bound the mean time to a false alarm instead.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int64, Num

from counterpoise.bounds import Bounded, Count, Inside, Positive, Share
from counterpoise.errors import InputError
from counterpoise.fairness import Compared
from counterpoise.retraining.evidence import BiasEvidence, require_tolerances
from counterpoise.retraining.sequential import OUTCOMES, bets_above, mixed, spent_share


@dataclass(frozen=True, kw_only=True)
class Monitor(Bounded):
    """What raises an alarm.

    Attributes:
        error_margin: by which the error may exceed that which is expected of the champion.
        tolerances: largest bias, by the name of a metric of `fairness.CERTIFIABLE`.
        significance: probability that there is ever a false alarm.
        horizon: weeks before which half of the weight of a drift's start lies.
    """

    block = "monitor"

    error_margin: Share = 0.02
    tolerances: Mapping[str, Positive] = field(default_factory=lambda: {"delta_dp": 0.1})
    significance: Inside = 0.05
    horizon: Count = 52

    def __post_init__(self) -> None:
        """Raise InputError also for a metric that has no test, or a tolerance that is not positive."""
        super().__post_init__()
        require_tolerances(self.block, self.tolerances)


@dataclass(frozen=True, eq=False)
class Watch:
    """One quantity, week by week.

    Attributes:
        name: `error`, or a metric's.
        limit: that it may not exceed.
        estimate: of each week's rows alone; NaN without rows.
        log_e: evidence that it has exceeded it since any week, natural logarithm.
        needed: for an alarm.
    """

    name: str
    limit: float
    estimate: Float64[np.ndarray, "*batch W"]
    log_e: Float64[np.ndarray, "*batch W"]
    needed: float

    def first_alarm(self) -> Int64[np.ndarray, "*batch"]:
        """Return the week (from 0) of the first alarm, −1 where there is none."""
        alarms = self.log_e >= self.needed
        return np.where(alarms.any(-1), alarms.argmax(-1), -1)

    def sentence(self) -> str:
        """Return what one champion's quantity shows by the last week."""
        week, value = int(self.first_alarm()), float(self.estimate[-1])
        measured = "no labelled rows" if np.isnan(value) else f"{value:.3g}"
        alarm = "no alarm" if week < 0 else f"alarm since week {week + 1}"
        return f"{self.name}: {measured} in the last week, limit {self.limit:.3g}; {alarm}."


def watch(
    confusion: Num[np.ndarray, "*batch W G k k"],
    settings: Monitor,
    *,
    expected_error: float,
    compared: Compared = None,
) -> list[Watch]:
    """Return what the champion's labelled traffic shows, for each quantity; earlier weeks' values do not change later.

    Args:
        confusion: counts by week (in which the labels arrived), group, true class, predicted class; a week without rows
            has zeros.
        expected_error: share of wrong predictions that the champion was promoted with.
        compared: the groups that biases are taken of.

    Raises:
        InputError: there is no week, or the expected error is not between 0 and 1.
    """
    if not 0 <= expected_error <= 1:
        raise InputError(f"expected_error is {expected_error:g}, expected a share between 0 and 1")
    if confusion.shape[-4] == 0:
        raise InputError("The traffic has no weeks, expected at least one.")
    needed = float(np.log((1 + len(settings.tolerances)) / settings.significance))
    pooled = confusion.sum(-3)
    right, rows = pooled.trace(axis1=-2, axis2=-1), pooled.sum((-2, -1))
    limit = expected_error + settings.error_margin
    counts = np.stack([right, rows - right], axis=-1)
    share_wrong = (rows - right) / np.where(rows > 0, rows, np.nan)
    watches = [
        Watch("error", limit, share_wrong, any_start(bets_above(counts, OUTCOMES, limit), settings.horizon), needed)
    ]
    for metric, tolerance in settings.tolerances.items():
        factors = BiasEvidence.of(confusion, metric, compared).bets_beyond(tolerance)  # *batch W M K
        log_e = any_start(factors.reshape(*factors.shape[:-2], -1), settings.horizon)
        weekly = BiasEvidence.of(np.expand_dims(confusion, -4), metric, compared).estimate()
        watches.append(Watch(metric, tolerance, weekly, log_e, needed))
    return watches


def any_start(log_factors: Float64[np.ndarray, "*batch W K"], horizon: int) -> Float64[np.ndarray, "*batch W"]:
    """Return the logarithm of the mixture over bets and over the week in which each begins, after each week."""
    begun = np.full(log_factors[..., 0, :].shape, -np.inf)
    weeks = []
    for week in range(log_factors.shape[-2]):
        begun = np.logaddexp(begun, np.log(spent_share(week + 1, horizon))) + log_factors[..., week, :]
        to_come = np.log(horizon / (week + 1 + horizon))
        weeks.append(np.logaddexp(mixed(begun), to_come))
    return np.stack(weeks, axis=-1)
