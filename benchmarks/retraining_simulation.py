"""The gate and the monitor on simulated years whose truth is known, beside the rules of other tools.

    python benchmarks/retraining_simulation.py [--years 1000] [--rows 2000] [--only walk]

The gate's real code (`gate.verdicts`, `sequential.Budget`, `monitor.watch`) sees the counts that `simulated_models`
draws. Point rules see the newest week's counts:

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
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from simulated_models import (
    CELLS,
    FIRST,
    HARD,
    Rates,
    biased,
    biases,
    confusion,
    drawn,
    error,
    group_errors,
    group_harm,
    paired,
    shifted,
    stratum_rates,
)

from counterpoise.retraining.evidence import BiasEvidence, Evidence
from counterpoise.retraining.gate import Gate, verdicts
from counterpoise.retraining.monitor import Monitor, watch
from counterpoise.retraining.sequential import PAIRED, Budget, mean_bounds

WEEKS = 52
GATE = Gate(tolerances={"delta_dp": 0.10, "delta_eo": 0.15})
Propose = Callable[[np.random.Generator, Rates], Rates]
"""Rates of a new challenger, from those of the present champion."""


def is_bad(rates: Rates, gate: Gate = GATE) -> NDArray[np.bool_]:
    """Return whether a model is one that the gate must not promote."""
    bad = error(rates) - error(FIRST) > gate.error_margin
    bad |= (group_errors(rates) - group_errors(FIRST) > gate.group_margin).any(-1)
    for metric, tolerance in gate.tolerances.items():
        bad |= biases(rates)[metric] > tolerance
    return bad


@dataclass
class Years:
    """What became of the simulated years."""

    bad: NDArray
    promotions: NDArray
    champion: Rates
    worst: NDArray

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
    result = Years(np.zeros(years), np.zeros(years), champion, np.zeros(years))
    for _ in range(weeks):
        fresh = ~active
        challenger = np.where(fresh[:, None, None], propose(steps, champion), challenger)
        entering, budget = budget.enter(gate.significance, gate.horizon, fresh)
        level, looks = np.where(fresh, entering, level), np.where(fresh, 0, looks)
        for array in (first_pairs, pairs, tables):
            array[fresh] = 0
        counts = drawn(rng, rows, FIRST, champion, challenger, same)
        slot = np.arange(years), looks
        # The newest batch stands last.
        first_pairs[slot], pairs[slot] = paired(counts.sum(4)), paired(counts.sum(3))
        tables[slot] = confusion(counts.sum((3, 4)))
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
    result = Years(np.zeros(years), np.zeros(years), champion, np.zeros(years))
    for _ in range(weeks):
        challenger = propose(steps, champion)
        counts = drawn(rng, rows, FIRST, champion, challenger, same)
        table = paired(counts.sum(3)).sum((1, 2))
        promoted = (table[:, 0] - table[:, 2]) / rows >= change
        for metric, tolerance in GATE.tolerances.items():
            promoted &= BiasEvidence.of(confusion(counts.sum((3, 4)))[:, None], metric).estimate() <= tolerance
        result.bad += promoted & is_bad(challenger)
        result.promotions += promoted
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
        lambda rng, champion: np.broadcast_to(biased(1.001 * GATE.tolerances["delta_dp"]), champion.shape),
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

    def share(rows: int, **options: Any) -> str:
        return f"{np.mean(gated(better, years, rows, seed=2, weeks=4, **options).promotions > 0):.1%}"

    print("\n**improvement**: every challenger is better by 2 points; promoted within four weeks\n")
    print(
        "| rows a week | 1st challenger | 13th, none promoted | 53rd, none promoted | a new one weekly | without bias |"
    )
    print("|---|---|---|---|---|---|")
    unbiased, anew = Gate(tolerances={}), Gate(tolerances=GATE.tolerances, patience=1)
    for rows in (500, 1000, 1500, 2000, 3000, 4000, 8000):
        cells = [share(rows, entered=entered) for entered in (0, 12, 52)]
        cells += [share(rows, gate=gate) for gate in (anew, unbiased)]
        print(f"| {rows:,} | " + " | ".join(cells) + " |", flush=True)


def reused(years: int, rows: int, window: int = 26) -> None:
    """Ask each week's challenger once, on the held-out rows of a window of weeks, which tested earlier ones too."""
    gate = Gate(tolerances=GATE.tolerances, patience=1)
    print(f"\n**reused**: {rows:,} held-out rows a week, those of {window} weeks test each once\n")
    print("| every challenger, or every other one | years with a bad promotion | promotions a year |")
    print("|---|---|---|")
    edge, bias = shifted(FIRST, 1.0001 * gate.error_margin), biased(1.001 * gate.tolerances["delta_dp"])
    series = {
        "is worse by 1 point": [edge],
        "is worse by 1 point, others are equal": [FIRST, edge],
        "has a ΔDP of 0.1": [bias],
        "has a ΔDP of 0.1, others are equal": [FIRST, bias],
        "is better by 2 points": [shifted(FIRST, -0.02)],
    }
    for name, models in series.items():
        rng = np.random.default_rng(6)
        budget, bad, promotions = Budget(np.zeros(years, dtype=int), np.zeros(years)), np.zeros(years), np.zeros(years)
        strata = np.zeros((years, window, 2, 2, 2, 2), dtype=np.int64)  # …, group, class, hard, the first champion errs
        first = np.stack([stratum_rates(FIRST, of_hard) for of_hard in (False, True)], axis=-1)
        for week in range(window + WEEKS):
            sizes = rng.multinomial(rows, CELLS.ravel(), size=years).reshape(years, 2, 2)
            hard = rng.binomial(sizes, HARD)
            sizes = np.stack([sizes - hard, hard], axis=-1)
            errs = rng.binomial(sizes, first)
            strata = np.concatenate([strata[:, 1:], np.stack([sizes - errs, errs], axis=-1)[:, None]], axis=1)
            if week < window:
                continue
            model = models[week % len(models)]
            p = np.stack([stratum_rates(model, of_hard) for of_hard in (False, True)], axis=-1)
            wrong = rng.binomial(strata, p[..., None])
            outcomes = np.stack([strata - wrong, wrong], axis=-1).sum(-3)  # …, the first errs, the challenger errs
            outcomes = outcomes.sum(1, keepdims=True)  # one batch, as `evidence.collect` makes by default
            pairs, table = paired(outcomes), confusion(outcomes.sum(-2))
            level, budget = budget.enter(gate.significance, gate.horizon)
            promoted, _ = verdicts(Evidence(pairs, pairs, table), gate, level=level, looks=np.zeros(years, dtype=int))
            budget = budget.release(np.where(promoted, level, 0.0))
            bad += promoted & is_bad(model)
            promotions += promoted
        print(f"| {name} | {np.mean(bad > 0):.1%} | {promotions.mean():.1f} |", flush=True)


def harm(years: int) -> None:
    print("\n**harm**: one group's error rises by 5 points, the error of all stays; refused\n")
    print("| rows a week | gate | " + " | ".join(POINT_RULES) + " |")
    print("|---|---|" + "---|" * len(POINT_RULES))

    def propose(rng: np.random.Generator, champion: Rates) -> Rates:
        return np.broadcast_to(group_harm(0.05), champion.shape)

    for rows in (500, 2000, 8000):
        shares = [1 - np.mean(gated(propose, years, rows, seed=3, weeks=4).promotions > 0)]
        shares += [
            1 - np.mean(by_points(propose, years, rows, seed=3, change=change, weeks=1).promotions > 0)
            for change in POINT_RULES.values()
        ]
        print(f"| {rows:,} | " + " | ".join(f"{share:.1%}" for share in shares) + " |", flush=True)


def monitored(rng: np.random.Generator, gaps: Rates, years: int, rows: int) -> NDArray:
    """Return the champion's confusion counts [N, W, G, k, k] with a demographic parity gap each week."""
    rates = np.stack([biased(gap) for gap in gaps])
    sizes = rng.multinomial(rows, CELLS.ravel(), size=(years, len(gaps))).reshape(years, len(gaps), 2, 2)
    wrong = rng.binomial(sizes, rates)
    return confusion(np.stack([sizes - wrong, wrong], axis=-1))


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


def price() -> None:
    print("\n**price**: rows for the same confidence bound, as a multiple of one look with a normal approximation\n")
    print("| rows | significance | error (models disagree on 10% of rows) | gap of two rates of 0.3 |")
    print("|---|---|---|---|")
    for rows in (500, 2000, 8000, 32_000):
        for significance in (0.01, 0.001, 0.0002):
            once = norm.isf(significance)
            bound = mean_bounds(np.array([0.05, 0.9, 0.05]) * rows, PAIRED, significance)[1] / np.sqrt(0.1 / rows)
            sizes = np.array([[[0.4 * rows, 0.6 * rows]]])
            gap = BiasEvidence(0.3 * sizes, sizes, np.array([[1.0, -1.0]])).upper_bound(significance)
            gap = gap / np.sqrt((0.21 / sizes).sum())
            print(
                f"| {rows:,} | {significance:g} | {(bound / once) ** 2:.2f} | {(float(gap) / once) ** 2:.2f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--only", choices=[*NULLS, "reused", "improvement", "harm", "drift", "price"])
    arguments = parser.parse_args()
    begun = time.perf_counter()
    if arguments.only in (None, *NULLS):
        no_improvement(arguments.years, arguments.rows, arguments.only)
    if arguments.only in (None, "reused"):
        reused(arguments.years, arguments.rows // 4)
    if arguments.only in (None, "improvement"):
        improvement(arguments.years)
    if arguments.only in (None, "harm"):
        harm(arguments.years)
    if arguments.only in (None, "drift"):
        drift(arguments.years, arguments.rows)
    if arguments.only in (None, "price"):
        price()
    print(f"\n{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
