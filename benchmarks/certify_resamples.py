"""Do certified tolerances hold? Resamples of Adult's rows, divided anew into rows to certify with and rows to test on.

    python benchmarks/certify_resamples.py [--resamples 300] [--metric delta_eo] [--tolerance 0.05]

    kedro run --pipelines=frontier_adult --to-nodes=frontier.train_frontier --params="frontiers.tables.hold_out=0.2"
    python benchmarks/certify_resamples.py --run data [--replicate 0]

The candidates are logistic regressions under several penalties with several thresholds, and the same trained on
reweighed rows. They are fitted once, on 40% of the rows; 10% put them in order; the other half is divided anew for
every resample. With `--run`, they are all models of a run of `frontier_adult` in the data folder given: its
cross-fitted rows put in order those that no other dominates, as a run with `selection.certify` does, and the resamples
are of the validation and test rows of one replicate.

A resample is a violation if a certified candidate's true bias exceeds the tolerance; of the choice, if
that of the certified candidate with the lowest error does. True is the bias on all rows that resamples are drawn
from, with replacement: only so is it known. What the rows that were not drawn measure stands beside it. It uses one
thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from frontier_runs import read_run
from torch import Tensor

from counterpoise.data import encode, read
from counterpoise.fairness import certify, confusion_counts, delta_dp, delta_eo, err, non_dominated, rows_needed
from counterpoise.methods.selection.certifying import JUDGES
from counterpoise.methods.selection.measuring import judged_by
from counterpoise.methods.selection.settings import Judge

Metric = Callable[[Tensor], Tensor]

EXPERIMENT = "frontier_adult"
UNSEEN = ("validation", "test")
"""Parts of a run that have neither taught nor chosen."""
REPOSITORY = Path(__file__).parents[1]
METRICS = {"delta_dp": delta_dp, "delta_eo": delta_eo}
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
THRESHOLDS = (-2.0, -1.2, -0.6, -0.3, 0.0, 0.3, 0.6, 1.2, 2.0)


def adult(folder: Path) -> tuple[np.ndarray, Tensor, Tensor]:
    """Return standardised features, classes and groups of Adult's complete rows."""
    samples = encode(
        read("adult", folder),
        source="Adult",
        label="income",
        positive=">50K",
        sensitive="sex",
        groups=["Female", "Male"],
        drop=["fnlwgt"],
    )
    x = samples.drop(columns=["y", "s"]).to_numpy(dtype=np.float64)
    y, s = (torch.tensor(samples[name].to_numpy()) for name in "ys")
    return (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1), y, s


def decisions(x: np.ndarray, y: Tensor, s: Tensor, train: Tensor) -> Tensor:
    """Return what the candidates decide on every row, [V, N]."""
    from sklearn.linear_model import LogisticRegression

    cells = (2 * y + s)[train]
    share = torch.bincount(cells, minlength=4).double() / len(train)
    fair = torch.outer(share.reshape(2, 2).sum(1), share.reshape(2, 2).sum(0)).flatten() / share  # reweighing
    margins = [
        LogisticRegression(C=c, max_iter=1000)
        .fit(x[train.numpy()], y[train].numpy(), sample_weight=weight)
        .decision_function(x)
        for c in PENALTIES
        for weight in (None, fair[cells].numpy())
    ]
    return torch.stack([torch.from_numpy(margin > cut).long() for margin in margins for cut in THRESHOLDS])


@dataclass(frozen=True, eq=False)
class Pool:
    """Rows that resamples are drawn from, what candidates decide of them [V, N], and their bias by other rows [V]."""

    decided: Tensor
    y: Tensor
    s: Tensor
    estimated: Tensor
    up_to_tolerance: bool  # whether candidates that other rows put above the tolerance are not tested at all

    def counts(self, rows: Tensor) -> Tensor:
        """Return the candidates' counts on rows, [V, G, k, k]."""
        return confusion_counts(self.y[rows], self.decided[:, rows], self.s[rows], groups=2, classes=2)

    def order(self, tolerance: float) -> list[int]:
        order = self.estimated.argsort(stable=True)
        return (order[self.estimated[order] <= tolerance] if self.up_to_tolerance else order).tolist()


def of_regressions(bias: Metric) -> Pool:
    """Return the pool of logistic regressions: half of Adult's rows."""
    x, y, s = adult(REPOSITORY / "data/01_raw/adult")
    generator = torch.Generator().manual_seed(0)
    train, ordering, rest = torch.randperm(len(y), generator=generator).split(
        [2 * len(y) // 5, len(y) // 10, len(y) - 2 * len(y) // 5 - len(y) // 10]
    )
    decided = decisions(x, y, s, train)
    estimated = bias(confusion_counts(y[ordering], decided[:, ordering], s[ordering], groups=2, classes=2))
    return Pool(decided[:, rest], y[rest], s[rest], estimated, up_to_tolerance=False)


def of_run(root: Path, replicate: int, metric: str) -> Pool:
    """Return the pool of a frontier's models that no other dominates on cross-fitted rows: what a replicate has not
    learnt from."""
    run = read_run(root, EXPERIMENT)
    if not run.outcomes.header["hold_out"]:
        raise SystemExit("validation rows of this run have chosen settings, expected frontiers.tables.hold_out=0.2")
    judge = Judge(criterion=metric)
    judged, _ = judged_by(JUDGES, run.candidates, run.examples, run.members, run.names, judge)
    estimated = judged[metric][replicate]
    best = non_dominated(torch.stack([judged["err"][replicate], estimated], dim=1)).nonzero().flatten()
    decided = torch.cat([run.candidates.prediction(part, replicate, best.tolist()) for part in UNSEEN], dim=1)
    unseen = torch.cat([run.members[part][replicate] for part in UNSEEN])
    y, s = run.examples.y[unseen], run.examples.s[unseen]
    return Pool(decided.long(), y, s, estimated[best], up_to_tolerance=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--resamples", type=int, default=300)
    arguments.add_argument("--metric", choices=METRICS, default="delta_eo")
    arguments.add_argument("--tolerance", type=float, nargs="+", default=[0.05, 0.1, 0.15])
    arguments.add_argument("--level", type=float, default=0.9)
    arguments.add_argument("--rows", type=int, help="to certify with; by default half of those that are not trained on")
    arguments.add_argument("--run", type=Path, help="a data folder with a run of frontier_adult, for its models")
    arguments.add_argument("--replicate", type=int, default=0, help="which of the run's seeds, from 0")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    bias = METRICS[given.metric]
    pool = of_run(given.run, given.replicate, given.metric) if given.run else of_regressions(bias)
    rest = torch.arange(len(pool.y))
    every = pool.counts(rest)
    true, error = bias(every), err(every)
    size = given.rows or len(rest) // 2
    print(f"{len(true)} candidates, {len(rest):,} rows, {size:,} to certify with, level {given.level:g}")
    print(f"true {given.metric} of the candidates: {true.min():.3f} to {true.max():.3f}\n")
    print(
        "tolerance  within it  way             certified  violations  of the choice  choice: error, true bias, on test"
    )
    for tolerance in given.tolerance:
        tallies: dict[str, list[tuple[float, ...]]] = {"uncorrected": [], "Holm": [], "fixed sequence": []}
        order = pool.order(tolerance)
        begun = time.perf_counter()
        for resample in range(given.resamples):
            drawn = torch.Generator().manual_seed(resample + 1)
            drawn_rows = rest[torch.randint(len(rest), (size,), generator=drawn)]
            others = rest[~torch.isin(rest, drawn_rows)]
            counts, test = pool.counts(drawn_rows), bias(pool.counts(others))
            ways = {
                "uncorrected": bias(counts) <= tolerance,
                "Holm": certify(counts, given.metric, tolerance, level=given.level).certified,
                "fixed sequence": certify(counts, given.metric, tolerance, level=given.level, order=order).certified,
            }
            for way, chosen in ways.items():
                if not chosen.any():
                    tallies[way].append((0, 0, 0, np.nan, np.nan, np.nan))
                    continue
                measured = torch.where(chosen, err(counts), torch.inf)
                best = int(measured.argmin())
                beyond = true > tolerance
                figures = (chosen.sum(), (chosen & beyond).any(), beyond[best], error[best], true[best], test[best])
                tallies[way].append(tuple(float(figure) for figure in figures))
        for way, tally in tallies.items():
            number, wrong, wrong_choice = np.mean([row[:3] for row in tally], axis=0)
            there = [row[3:] for row in tally if row[0]]
            choice = "{:.2f}, {:.3f}, {:.3f}".format(*np.mean(there, axis=0)) if there else "none is certified"
            within = int((true <= tolerance).sum())
            start = f"{tolerance:9.3f}  {within:9d}  {way:14s}  {number:9.1f}"
            print(f"{start}  {wrong:10.1%}  {wrong_choice:13.1%}  {choice}", flush=True)
        seconds = (time.perf_counter() - begun) / given.resamples
        needed = rows_needed(every, given.metric, tolerance, level=given.level).sum((-2, -1))
        print(
            f"{'':9}  half of it is certified from {int(needed.median()):,} rows (median); {seconds:.2f} s a resample"
        )


if __name__ == "__main__":
    main()
