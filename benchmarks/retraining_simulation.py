"""The gate and the monitor on simulated years whose truth is known, beside the rules of other tools.

    python benchmarks/retraining_simulation.py [--years 1000] [--rows 2000] [--only walk]

A model is four error rates, by group and class. Each row is hard or easy for all models alike, so that models tend to err
on the same rows; given that, they err independently. The gate's real code (`gate.verdicts`, `sequential.Budget`,
`monitor.watch`) sees the counts. Point rules see the newest week's counts:

- MLflow's `validate_evaluation_results`: accuracy at least the champion's + `min_absolute_change` (which has to be
  positive; 0.001 here), bias at most `threshold` (mlflow/models/evaluation/validation.py, 3.17).
- TFMA's `GenericChangeThreshold`: accuracy's change at least `absolute`, with −1e-10 ("not worse", as TFX's tutorials
  have it) and −0.005; bias with `GenericValueThreshold` (tensorflow.org/tfx/model_analysis/model_validations).

One thread; the tables are printed as Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from counterpoise.retraining.evidence import BiasEvidence, Evidence
from counterpoise.retraining.gate import Gate, verdicts
from counterpoise.retraining.monitor import Monitor, watch
from counterpoise.retraining.sequential import Budget

WEEKS = 52
CELLS = np.array([[0.40 * 0.75, 0.40 * 0.25], [0.60 * 0.70, 0.60 * 0.30]])
"""Share of rows of each group and class."""
FIRST = np.array([[0.10, 0.32], [0.10, 0.30]])
"""Error rates of the first champion."""
HARD = 1.6 * FIRST
EASY_ERROR = 0.01
WITHIN_GROUP = CELLS / CELLS.sum(1, keepdims=True)
GATE = Gate(tolerances={"delta_dp": 0.10, "delta_eo": 0.15})
Rates = NDArray[np.float64]


def error(rates: Rates) -> Rates:
    return (rates * CELLS).sum((-2, -1))


def group_errors(rates: Rates) -> Rates:
    return (rates * WITHIN_GROUP).sum(-1)


def biases(rates: Rates) -> dict[str, Rates]:
    """Return ΔDP and ΔEO."""
    selection = (WITHIN_GROUP * np.stack([rates[..., 0], 1 - rates[..., 1]], axis=-1)).sum(-1)
    gaps = np.abs(rates[..., 0, :] - rates[..., 1, :])
    return {"delta_dp": np.abs(selection[..., 0] - selection[..., 1]), "delta_eo": gaps.sum(-1)}


def is_bad(rates: Rates, gate: Gate = GATE) -> NDArray[np.bool_]:
    """Return whether a model is one that the gate must not promote."""
    bad = error(rates) - error(FIRST) > gate.error_margin
    bad |= (group_errors(rates) - group_errors(FIRST) > gate.group_margin).any(-1)
    for metric, tolerance in gate.tolerances.items():
        bad |= biases(rates)[metric] > tolerance
    return bad


def shifted(rates: Rates, change: Rates | float) -> Rates:
    """Return rates whose error differs by so much, each cell in proportion."""
    factor = 1 + np.asarray(change) / error(rates)
    return np.clip(rates * factor[..., None, None], 0.005, 0.95)


def drawn(
    rng: np.random.Generator, rows: int, first: Rates, champion: Rates, challenger: Rates, same: NDArray
) -> NDArray:
    """Return counts [N, G, k, 2, 2, 2]: whether the first champion, the champion and the challenger err."""
    years = len(champion)
    sizes = rng.multinomial(rows, CELLS.ravel(), size=years).reshape(years, 2, 2)
    hard = rng.binomial(sizes, HARD)
    counts = np.zeros((years, 2, 2, 8), dtype=np.int64)
    for number, of_hard in ((hard, True), (sizes - hard, False)):
        wrong = [_stratum(rates, of_hard) for rates in (np.broadcast_to(first, champion.shape), champion, challenger)]
        either = [np.stack([1 - p, p], axis=-1) for p in wrong]
        present = np.where(same[:, None, None, None, None], np.eye(2), either[1][..., None, :])  # given the first
        joint = either[0][..., :, None, None] * present[..., :, :, None] * either[2][..., None, None, :]
        counts += rng.multinomial(number, joint.reshape(*joint.shape[:3], 8))
    return counts.reshape(years, 2, 2, 2, 2, 2)


def _stratum(rates: Rates, of_hard: bool) -> Rates:
    hard = np.clip((rates - (1 - HARD) * EASY_ERROR) / HARD, 0.01, 0.9)
    return hard if of_hard else np.clip((rates - HARD * hard) / (1 - HARD), 1e-4, 1)


def paired(counts: NDArray, axis: int) -> NDArray:
    """Return how often the challenger alone is right, both are or neither, the other model (of an axis) alone is."""
    table = counts.sum(4 if axis == 3 else 3)
    return np.stack([table[..., 1, 0], table[..., 0, 0] + table[..., 1, 1], table[..., 0, 1]], axis=-1)


def confusion(counts: NDArray) -> NDArray:
    right, wrong = np.moveaxis(counts.sum((3, 4)), -1, 0)
    return np.stack(
        [np.stack([right[..., 0], wrong[..., 0]], axis=-1), np.stack([wrong[..., 1], right[..., 1]], axis=-1)], axis=-2
    )


Propose = Callable[[np.random.Generator, Rates], Rates]
"""Rates of a new challenger, from those of the present champion."""


@dataclass
class Years:
    """What became of the simulated years."""

    bad: NDArray
    promotions: NDArray
    promoted_in: NDArray
    champion: Rates
    worst: NDArray = field(default_factory=lambda: np.zeros(0))

    def row(self, name: str) -> str:
        loss = 100 * (error(self.champion) - error(FIRST))
        beyond = np.mean(self.worst > GATE.error_margin)
        return (
            f"| {name} | {np.mean(self.bad > 0):.1%} | {self.promotions.mean():.1f} | {loss.mean():+.2f} | "
            f"{np.quantile(loss, 0.95):+.2f} | {beyond:.1%} |"
        )


def gated(
    propose: Propose, years: int, rows: int, *, seed: int, gate: Gate = GATE, weeks: int = WEEKS, entered: int = 0
) -> Years:
    """Run the gate; a challenger that waits is asked again with the next week's rows, one at a time is on trial."""
    rng, steps = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    champion, challenger = (np.broadcast_to(FIRST, (years, 2, 2)).copy() for _ in range(2))
    same = np.ones(years, dtype=bool)
    active, looks, level = np.zeros(years, dtype=bool), np.zeros(years, dtype=int), np.zeros(years)
    budget = Budget(np.full(years, entered), np.zeros(years))
    first_pairs, pairs = (np.zeros((years, gate.patience, 2, 2, 3), dtype=np.int64) for _ in range(2))
    tables = np.zeros((years, gate.patience, 2, 2, 2), dtype=np.int64)
    result = Years(np.zeros(years), np.zeros(years), np.full(years, -1), champion, np.zeros(years))
    for week in range(weeks):
        fresh = ~active
        challenger = np.where(fresh[:, None, None], propose(steps, champion), challenger)
        entering, budget = budget.enter(gate.significance, gate.horizon, fresh)
        level, looks = np.where(fresh, entering, level), np.where(fresh, 0, looks)
        for array in (first_pairs, pairs, tables):
            array[fresh] = 0
        counts = drawn(rng, rows, FIRST, champion, challenger, same)
        slot = np.arange(years), looks
        # The newest batch stands last.
        first_pairs[slot], pairs[slot], tables[slot] = paired(counts, 3), paired(counts, 4), confusion(counts)
        order = (looks[:, None] + 1 + np.arange(gate.patience)) % gate.patience
        seen = Evidence(
            *(
                np.take_along_axis(a, order.reshape(*order.shape, *[1] * (a.ndim - 2)), 1)
                for a in (first_pairs, pairs, tables)
            )
        )
        promoted, refused = verdicts(seen, gate, level=level, looks=looks)
        budget = budget.release(np.where(promoted, level, 0.0))
        result.bad += promoted & is_bad(challenger, gate)
        result.promotions += promoted
        result.promoted_in = np.where(promoted & (result.promoted_in < 0), week, result.promoted_in)
        champion = np.where(promoted[:, None, None], challenger, champion)
        result.worst = np.maximum(result.worst, error(champion) - error(FIRST))
        same &= ~promoted
        active, looks = ~promoted & ~refused, looks + 1
    result.champion = champion
    return result


def by_points(propose: Propose, years: int, rows: int, *, seed: int, change: float, weeks: int = WEEKS) -> Years:
    """Run a rule of point estimates on each week's rows: accuracy's change, and biases within their thresholds."""
    rng, steps = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    champion = np.broadcast_to(FIRST, (years, 2, 2)).copy()
    same = np.ones(years, dtype=bool)
    result = Years(np.zeros(years), np.zeros(years), np.full(years, -1), champion, np.zeros(years))
    for week in range(weeks):
        challenger = propose(steps, champion)
        counts = drawn(rng, rows, FIRST, champion, challenger, same)
        table = paired(counts, 4).sum((1, 2))
        promoted = (table[:, 0] - table[:, 2]) / rows >= change
        for metric, tolerance in GATE.tolerances.items():
            promoted &= BiasEvidence.of(confusion(counts)[:, None], metric).estimate() <= tolerance
        result.bad += promoted & is_bad(challenger)
        result.promotions += promoted
        result.promoted_in = np.where(promoted & (result.promoted_in < 0), week, result.promoted_in)
        champion = np.where(promoted[:, None, None], challenger, champion)
        result.worst = np.maximum(result.worst, error(champion) - error(FIRST))
        same &= ~promoted
    result.champion = champion
    return result


POINT_RULES = {
    "MLflow, `min_absolute_change` 0.001": 0.001,
    "TFMA, `absolute` −1e-10": -1e-10,
    "TFMA, `absolute` −0.005": -0.005,
}


def _group_harm(points: float) -> Rates:
    """Return the first champion's rates with group 0's error higher, and group 1's lower so that the error stays."""
    rates = FIRST.copy()
    rates[0] += points
    rates[1] -= points * CELLS[0].sum() / CELLS[1].sum()
    return rates


def _biased(gap: float) -> Rates:
    """Return rates with a demographic parity gap, at the first champion's error, whose other quantities are within."""
    rates = FIRST.copy()
    low, high = 0.0, 0.3
    for _ in range(60):
        shift = (low + high) / 2
        moved = rates + np.array([[-0.2 * shift, shift], [0.2 * shift, -0.3 * shift]])
        low, high = (shift, high) if biases(moved)["delta_dp"] < gap else (low, shift)
    return moved


NULLS: dict[str, tuple[str, Propose]] = {
    "equal": (
        "every challenger has the first champion's rates",
        lambda rng, champion: np.broadcast_to(FIRST, champion.shape),
    ),
    "walk": (
        "every challenger is the champion's rates, changed by a step of mean +0.3 and deviation 0.5 points",
        lambda rng, champion: shifted(champion, rng.normal(0.003, 0.005, len(champion))),
    ),
    "edge": (
        "every challenger is worse than the first champion by just more than the margin of 1 point",
        lambda rng, champion: np.broadcast_to(shifted(FIRST, 1.0001 * GATE.error_margin), champion.shape),
    ),
    "bias": (
        "every challenger has a ΔDP just above the tolerance of 0.1",
        lambda rng, champion: np.broadcast_to(_biased(1.001 * GATE.tolerances["delta_dp"]), champion.shape),
    ),
}


def no_improvement(years: int, rows: int, only: str | None) -> None:
    anew = Gate(tolerances=GATE.tolerances, patience=1)
    for name, (title, propose) in NULLS.items():
        if only not in (None, name):
            continue
        print(f"\n**{name}**: {title}; {rows:,} rows a week\n")
        print(
            "| rule | years with a bad promotion | promotions a year | loss, mean | 95% | years with a loss > 1 point |"
        )
        print("|---|---|---|---|---|---|")
        print(gated(propose, years, rows, seed=1).row("gate, up to 4 weeks each"))
        print(gated(propose, years, rows, seed=1, gate=anew).row("gate, a new challenger each week"), flush=True)
        for rule, change in POINT_RULES.items():
            print(by_points(propose, years, rows, seed=1, change=change).row(rule), flush=True)


def improvement(years: int) -> None:
    def better(rng: np.random.Generator, champion: Rates) -> Rates:
        return np.broadcast_to(shifted(FIRST, -0.02), champion.shape)

    print("\n**improvement**: every challenger is better by 2 points; promoted within four weeks\n")
    print(
        "| rows a week | first challenger | 13th, all refused before | 53rd, all refused before | error checks alone, 1st |"
    )
    print("|---|---|---|---|---|")
    alone = Gate(tolerances={}, group_margin=1.0)
    for rows in (500, 1000, 1500, 2000, 3000, 4000, 8000):
        cells = [gated(better, years, rows, seed=2, weeks=4, entered=n).promotions.mean() for n in (0, 12, 52)]
        cells.append(gated(better, years, rows, seed=2, weeks=4, gate=alone).promotions.mean())
        print(f"| {rows:,} | " + " | ".join(f"{share:.1%}" for share in cells) + " |", flush=True)


def harm(years: int) -> None:
    print("\n**harm**: one group's error rises by 5 points, the error of all stays; refused\n")
    print("| rows a week | gate | " + " | ".join(POINT_RULES) + " |")
    print("|---|---|" + "---|" * len(POINT_RULES))

    def propose(rng: np.random.Generator, champion: Rates) -> Rates:
        return np.broadcast_to(_group_harm(0.05), champion.shape)

    for rows in (500, 2000, 8000):
        shares = [1 - np.mean(gated(propose, years, rows, seed=3, weeks=4).promotions > 0)]
        shares += [
            1 - np.mean(by_points(propose, years, rows, seed=3, change=change, weeks=1).promotions > 0)
            for change in POINT_RULES.values()
        ]
        print(f"| {rows:,} | " + " | ".join(f"{share:.1%}" for share in shares) + " |", flush=True)


def monitored(rng: np.random.Generator, gaps: Rates, years: int, rows: int) -> NDArray:
    """Return the champion's confusion counts [N, W, G, k, k] with a demographic parity gap each week."""
    rates = np.stack([_biased(gap) for gap in gaps])
    sizes = rng.multinomial(rows, CELLS.ravel(), size=(years, len(gaps))).reshape(years, len(gaps), 2, 2)
    wrong = rng.binomial(sizes, rates)
    right = sizes - wrong
    return np.stack(
        [np.stack([right[..., 0], wrong[..., 0]], axis=-1), np.stack([wrong[..., 1], right[..., 1]], axis=-1)], axis=-2
    )


def weekly_z(counts: NDArray, tolerance: float) -> NDArray:
    """Return each week's statistic of "ΔDP is at most the tolerance", normal approximation."""
    selected, members = counts.sum(-2)[..., 1], counts.sum((-2, -1))
    p = selected / members
    deviation = np.sqrt((p * (1 - p) / members).sum(-1))
    return (np.abs(p[..., 0] - p[..., 1]) - tolerance) / deviation


def drift(years: int, rows: int, start: int = 12) -> None:
    tolerance = 0.10
    settings = Monitor(tolerances={"delta_dp": tolerance}, error_margin=1.0)

    def processes(gaps: list[float], seed: int) -> dict[str, NDArray]:
        counts = monitored(np.random.default_rng(seed), np.array(gaps), years, rows)
        return {
            "e-process": watch(counts, settings, expected_error=0.0)[1].log_e,
            "weekly Bonferroni": weekly_z(counts, tolerance),
        }

    nominal = {"e-process": np.log(1 / 0.05), "weekly Bonferroni": norm.isf(0.05 / WEEKS)}
    edge = processes([tolerance] * WEEKS, 4)
    calibrated = {name: np.quantile(values.max(1), 0.95) for name, values in edge.items()}
    false = {name: np.mean(values.max(1) >= nominal[name]) for name, values in edge.items()}
    print(f"\n**drift**: {rows:,} rows a week, ΔDP 0.06 for {start} weeks, then as below; tolerance 0.1\n")
    print(
        "False alarms in a year at ΔDP 0.1, nominal thresholds: "
        + ", ".join(f"{k} {v:.1%}" for k, v in false.items())
        + "\n"
    )
    print(
        "| ΔDP from then on | threshold | monitor | found in the year | weeks until found, mean (years without: 40) |"
    )
    print("|---|---|---|---|---|")
    for gap in (0.11, 0.12, 0.13, 0.15, 0.20):
        values = processes([0.06] * start + [gap] * (WEEKS - start), 5)
        for kind, thresholds in (("nominal", nominal), ("same false alarms", calibrated)):
            for name, statistic in values.items():
                alarms = statistic[:, start:] >= thresholds[name]
                found = alarms.any(1)
                weeks = np.where(found, alarms.argmax(1) + 1, WEEKS - start)
                print(f"| {gap:.2f} | {kind} | {name} | {found.mean():.1%} | {weeks.mean():.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--only", choices=[*NULLS, "improvement", "harm", "drift"])
    arguments = parser.parse_args()
    begun = time.perf_counter()
    if arguments.only in (None, *NULLS):
        no_improvement(arguments.years, arguments.rows, arguments.only)
    if arguments.only in (None, "improvement"):
        improvement(arguments.years)
    if arguments.only in (None, "harm"):
        harm(arguments.years)
    if arguments.only in (None, "drift"):
        drift(arguments.years, arguments.rows)
    print(f"\n{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
