"""A table of many rows, from a file to a chosen model, beside logistic regressions on the same matrix.

    python benchmarks/bench_million.py [--rows 1000000] [--columns 50] [--seeds 10] [--folder FOLDER]

Writes a CSV, then does what a user does: `counterpoise init` and `kedro run --pipelines=frontier_own`, with 30 heads
for each seed on the columns themselves, no folds and one peer (`SETTINGS`), in one process on one thread. By stage:
processor seconds, and the peak resident memory while it ran. Beside it as many `LogisticRegression` fits as seeds, on
the float32 matrix of all rows. Goals: at most five times their processor seconds; peak memory below three times the
matrix.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import yaml
from bench_run import Stopwatch, run_here
from jaxtyping import Float32, Int64
from processes import copy_of_the_project, forget_peak, measured, peak_of
from timing import show

GOAL_TIME, GOAL_MEMORY = 5, 3
CHUNK = 100_000
SETTINGS = {
    "compute": {"backend": "serial"},
    "frontiers": {
        "own": {
            "kinds": ["linear"],
            "folds": 0,
            "strengths": [0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1, 1.5, 2.2],
        }
    },
    "peer_sets": {"own": {"methods": ["plain"], "estimators": ["logistic"]}},
}
"""15 strengths, 0 among them, of two constraints: with the unrepaired and the unpenalised head 30 for each seed."""


class Meter(Stopwatch):
    """Also charges processor seconds of the process and its children, and the peak of the resident memory."""

    def __init__(self, began: float, file: Path) -> None:
        super().__init__(began)
        self.used, self.file = 0.0, file
        self.processor, self.peaks = dict[str, float](), dict[str, int]()

    def charge(self, phase: str) -> None:
        super().charge(phase)
        total = sum(
            usage.ru_utime + usage.ru_stime
            for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )
        self.processor[phase] = self.processor.get(phase, 0.0) + total - self.used
        self.used = total
        self.peaks[phase] = max(self.peaks.get(phase, 0), peak_of(os.getpid()))
        forget_peak(os.getpid())
        self.file.write_text(json.dumps({name: [self.processor[name], self.peaks[name]] for name in self.processor}))


def drawn(rows: int, columns: int, seed: int) -> tuple[Float32[np.ndarray, "n D"], Int64[np.ndarray, "n"], np.ndarray]:
    """Return columns of numbers, classes that depend on them, and groups that some of them tell."""
    draw = np.random.default_rng(seed)
    group = draw.random(rows) < 0.4
    x = draw.standard_normal((rows, columns), dtype=np.float32)
    x[:, : columns // 5] += 0.3 * group[:, None]
    x = np.round(x, 3)
    weights = np.random.default_rng(0).normal(0, 0.3, columns).astype(np.float32)
    y = draw.random(rows) < 1 / (1 + np.exp(0.8 - 0.6 * group - x @ weights))
    return x, y.astype(np.int64), group


def write(path: Path, rows: int, columns: int) -> None:
    """Write a CSV, a part of the rows at a time."""
    for number, start in enumerate(range(0, rows, CHUNK)):
        x, y, group = drawn(min(CHUNK, rows - start), columns, number)
        frame = pd.DataFrame(x, columns=[f"x{place}" for place in range(columns)])
        frame = frame.assign(label=np.where(y, "yes", "no"), group=np.where(group, "a", "b"))
        frame.to_csv(path, mode="a" if start else "w", header=not start, index=False, float_format="%.3f")


def reference(rows: int, columns: int, seeds: int) -> None:
    """Print the processor seconds of logistic regressions on the matrix, and the peak of the resident memory."""
    from sklearn.linear_model import LogisticRegression

    parts = [drawn(min(CHUNK, rows - start), columns, number) for number, start in enumerate(range(0, rows, CHUNK))]
    x, y = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    began = time.process_time()
    for _ in range(seeds):
        LogisticRegression().fit(x, y)
    print(json.dumps([time.process_time() - began, peak_of(os.getpid())]))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="where the CSV is kept for the next time")
    parser.add_argument("--default", action="store_true", help="the blocks of conf/ as they are")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="counterpoise-million-") as temporary:
        file = (options.folder or Path(temporary)) / f"rows_{options.rows}_{options.columns}.csv"
        if not file.exists():
            write(file, options.rows, options.columns)
        project = copy_of_the_project(Path(temporary) / "project")
        settings = {"compute": SETTINGS["compute"]} if options.default else SETTINGS
        (project / "conf" / "local" / "parameters.yml").write_text(
            yaml.safe_dump({"seeds": options.seeds, "tracking": False, **settings})
        )
        command = [sys.executable, "-m", "counterpoise", "init", file, "--label", "label", "--sensitive", "group"]
        init = measured(command, project)
        child = [sys.executable, __file__, "--child", repr(time.time()), "phases.json", "--pipelines=frontier_own"]
        ran = measured(child, project)
        phases = json.loads((project / "phases.json").read_text())
        sizes = map(str, (options.rows, options.columns, options.seeds))
        alone = measured([sys.executable, __file__, "--reference", *sizes], project)
    fits, fits_memory = json.loads(alone.output.splitlines()[-1])
    matrix = options.rows * options.columns * np.dtype(np.float32).itemsize
    rows = [["counterpoise init", f"{init.processor:.1f}", f"{init.memory / 1e9:.2f}"]]
    rows += [[name, f"{seconds:.1f}", f"{peak / 1e9:.2f}"] for name, (seconds, peak) in phases.items()]
    rows += [
        ["kedro run", f"{ran.processor:.1f}", f"{ran.memory / 1e9:.2f}"],
        [f"{options.seeds} LogisticRegression", f"{fits:.1f}", f"{fits_memory / 1e9:.2f}"],
        [f"kedro run / LogisticRegression (goal <= {GOAL_TIME})", f"{ran.processor / fits:.1f}", ""],
        [f"peak / matrix (goal < {GOAL_MEMORY})", "", f"{ran.memory / matrix:.1f}"],
    ]
    size = f"{options.rows:,} rows, {options.columns} columns, {options.seeds} seeds"
    show(f"{size}; the matrix has {matrix / 1e9:.2f} GB", ["phase", "processor s", "peak, GB"], rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run_here(Path(sys.argv[3]).with_name("clock.json"), sys.argv[4:], Meter(float(sys.argv[2]), Path(sys.argv[3])))
    elif sys.argv[1:2] == ["--reference"]:
        reference(*map(int, sys.argv[2:]))
    else:
        main()
