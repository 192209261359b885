"""A year of weekly retraining on Adult, whose labels turn unfair: every decision of the gate against the truth.

    python benchmarks/retraining_year.py FOLDER [--weeks 52] [--drift-from 15] [--step 0.02] [--most 0.5]

A tenth of Adult's 45,222 complete rows is the reference, the others arrive in weekly partitions. From the week
`--drift-from` on, a share of the men who earned less is written as having earned more, which grows by `--step` a week:
what is learned from such labels selects men more and more often. Each week the monitor and then the retraining run as
the commands do (`counterpoise run --pipelines=…`), in a process that is forked after the imports, in the project
FOLDER/project. A second start goes on after the last week that was decided.

The truth about each challenger is measured on all rows that no training sees, of all weeks, with their labels as they
were before: its ΔDP, which labels have no part in, and its error. Beside the gate's decisions stand those of point
rules (`retraining_simulation`), each with the champions that it would have made itself: challengers do not depend on
who is champion.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from processes import QUIET, copy_of_the_project
from retraining_simulation import POINT_RULES

from counterpoise.data.adult import COLUMNS, read
from counterpoise.data.partitions import is_held_out

FIRST = date(2025, 3, 3)
"""Of the first week, a Monday."""

REFERENCE_SHARE = 0.1
"""Of all rows, the ones that the experiment has before the first week."""

HELD_OUT = 0.4
TOLERANCE = 0.3
"""Of ΔDP, for the gate and for point rules."""

SETTINGS = {
    "seeds": 1,
    "variants": {"win": {"methods": ["tl"]}},
    "report": {"leakage": False},
    "datasets": {"adult": {"checksums": None, "title": "UCI Adult in weeks, labels of men drift"}},
    "retraining": {
        "experiment": "win_adult",
        "model_name": "income",
        "method": "tl",
        "held_out": HELD_OUT,
        "window": 26,
        "gate": {"error_margin": 0.01, "group_margin": 0.03, "tolerances": {"delta_dp": TOLERANCE}, "patience": 1},
        "monitor": {"error_margin": 0.02, "tolerances": {"delta_dp": TOLERANCE}},
    },
}
IMPORTS = ("torch", "pandas", "mlflow.pyfunc", "mlflow.tracking", "sklearn.linear_model", "plotly.graph_objects")
IMPORTS += ("kedro.framework.cli.cli", "kedro_datasets.partitions", "counterpoise.hooks", "counterpoise.cli")


@dataclass(frozen=True)
class Drift:
    """From which week, from 1, labels turn; by which share more each week; and the largest share."""

    begin: int
    step: float
    most: float

    def share(self, week: int) -> float:
        """Return the share of the men who earned less that are written as having earned more."""
        return min(self.most, self.step * max(0, week - self.begin + 1))


def weeks(table: pd.DataFrame, *, number: int, drift: Drift, seed: int) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Return the reference, and the rows of each week as they arrive."""
    generator = np.random.default_rng(seed)
    shuffled = table.iloc[generator.permutation(len(table))].reset_index(drop=True)
    size = int(len(shuffled) * REFERENCE_SHARE)
    parts = []
    for week, part in enumerate(np.array_split(np.arange(size, len(shuffled)), number), start=1):
        rows = shuffled.iloc[part].copy()
        turned = generator.random(len(rows)) < drift.share(week)
        rows.loc[turned & (rows["sex"] == "Male").to_numpy(), "income"] = ">50K"
        parts.append(rows)
    return shuffled.iloc[:size], parts


def write_reference(folder: Path, reference: pd.DataFrame) -> None:
    """Write rows as Adult's two files."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = reference[list(COLUMNS)]
    rows.iloc[200:].to_csv(folder / "adult.data", index=False, header=False)
    tested = rows.head(200).assign(income=rows["income"].head(200) + ".")
    (folder / "adult.test").write_text("|1x3 Cross validator\n" + tested.to_csv(index=False, header=False))


def ran(project: Path, pipeline: str) -> int:
    """Run a pipeline as the command does, in a process that has all imports already; return its status."""
    child = os.fork()
    if not child:
        status = 70
        try:
            os.chdir(project)
            with (project / "log.txt").open("a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            from counterpoise.__main__ import main

            main(["run", f"--pipelines={pipeline}"])
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        finally:
            sys.stdout.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def live_through(project: Path, parts: Sequence[pd.DataFrame]) -> None:
    """Run all weeks that have not been decided on."""
    for module in IMPORTS:
        import_module(module)
    arriving = project / "data" / "01_raw" / "partitions"
    arriving.mkdir(parents=True, exist_ok=True)
    log = project / "weeks.jsonl"
    done = len(log.read_text().splitlines()) if log.exists() else 0
    for number, rows in enumerate(parts[done:], start=done + 1):
        day = (FIRST + timedelta(weeks=number - 1)).isoformat()
        rows[list(COLUMNS)].to_csv(arriving / f"adult-{day}.csv", index=False)
        began = time.monotonic()
        monitor = ran(project, "monitor") if number > 1 else None
        retrain = ran(project, "retrain")
        seconds = time.monotonic() - began
        if retrain not in (0, 3) or monitor not in (None, 0, 3):
            raise SystemExit(f"week {number}: monitor ended with {monitor}, retrain with {retrain}")
        entry = {"week": day, "monitor": monitor, "retrain": retrain, "seconds": seconds}
        with log.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        print(entry, flush=True)


def truths(project: Path, table: pd.DataFrame, models: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return each model's ΔDP and error on the rows that no training sees, with their first labels."""
    from counterpoise.pipelines.retrain.evaluation import predictions

    rows = table[list(COLUMNS)]
    rows = rows[is_held_out(rows, "income", HELD_OUT)].reset_index(drop=True)
    y, men = (rows["income"] == ">50K").to_numpy(), (rows["sex"] == "Male").to_numpy()
    result = {}
    for model in models:
        said = predictions(project / "data" / "retrain" / "models" / model, rows, ["<=50K", ">50K"])
        result[model] = (abs(float(said[men].mean() - said[~men].mean())), float((said != y).mean()))
    print(f"truth: {len(rows):,} rows")
    return result


def newest(document: Mapping[str, Any]) -> np.ndarray:
    """Return the challenger's counts [G, k, k] on the newest partition's held-out rows."""
    return np.asarray(document["evaluation"]["confusion"]["challenger"])[-1]


def accuracy(counts: np.ndarray) -> float:
    return float(np.trace(counts.sum(0)) / counts.sum())


def delta_dp(counts: np.ndarray) -> float:
    selected = counts[:, :, 1].sum(1) / counts.sum((1, 2))
    return float(abs(selected[0] - selected[1]))


def by_points(
    project: Path, parts: Sequence[pd.DataFrame], documents: Sequence[Mapping[str, Any]], change: float
) -> list[bool]:
    """Return what a point rule decides each week, on the week's held-out rows, about its own champion."""
    from counterpoise.pipelines.retrain.evaluation import predictions

    promoted, champion = [True], documents[0]["decision"]["challenger"]
    for document, part in zip(documents[1:], parts[1:], strict=False):
        rows = part[list(COLUMNS)].reset_index(drop=True)
        rows = rows[is_held_out(rows, "income", HELD_OUT)].reset_index(drop=True)
        y = (rows["income"] == ">50K").to_numpy()
        said = predictions(project / "data" / "retrain" / "models" / champion, rows, ["<=50K", ">50K"])
        counts = newest(document)
        is_better = accuracy(counts) - float((said == y).mean()) >= change
        promoted.append(is_better and delta_dp(counts) <= TOLERANCE)
        champion = document["decision"]["challenger"] if promoted[-1] else champion
    return promoted


def report(project: Path, table: pd.DataFrame, parts: Sequence[pd.DataFrame], drift: Drift) -> None:
    """Print the decisions beside the truth, as Markdown."""
    folder = project / "data" / "08_reporting" / "retrain"
    documents = [json.loads(path.read_text()) for path in sorted(folder.glob("*/report.json"))]
    lived = [json.loads(line) for line in (project / "weeks.jsonl").read_text().splitlines()]
    models = [document["decision"]["challenger"] for document in documents]
    truth = truths(project, table, models)
    decided = {"gate": [document["decision"]["verdict"] in ("start", "promote") for document in documents]}
    decided |= {rule: by_points(project, parts, documents, change) for rule, change in POINT_RULES.items()}
    seconds = [entry["seconds"] for entry in lived]
    print(f"seconds a week: median {np.median(seconds):.0f}, {min(seconds):.0f} to {max(seconds):.0f}\n")
    print("| week | labels turned | true ΔDP | true error | ΔDP measured (bound) | monitor | " + " | ".join(decided))
    print("|" + "---|" * (6 + len(decided)))
    for place, (document, entry) in enumerate(zip(documents, lived, strict=True)):
        bias = document["evaluation"]["measured"]["challenger"]["biases"][0]
        gap, error = truth[models[place]]
        words = ["promoted" if promoted[place] else "refused" for promoted in decided.values()]
        alarm = {None: "", 0: "no alarm", 3: "alarm"}[entry["monitor"]]
        print(
            f"| {place + 1} | {drift.share(place + 1):.0%} | {gap:.3f} | {error:.1%} | {bias['estimate']:.3f} "
            f"({bias['bound']:.3f}) | {alarm} | " + " | ".join(words) + " |"
        )
    is_bad = np.array([truth[model][0] > TOLERANCE for model in models])
    print(f"\n| decided by | bad models promoted, of {is_bad.sum()} | others refused, of {(~is_bad).sum()} "
          "| largest true ΔDP of a champion | true error of the last champion |")  # fmt: skip
    print("|---|---|---|---|---|")
    for name, promoted in decided.items():
        taken = np.array(promoted)
        champions = [model for model, was in zip(models, promoted, strict=True) if was]
        print(
            f"| {name} | {(taken & is_bad).sum()} | {(~taken & ~is_bad).sum()} | "
            f"{max(truth[model][0] for model in champions):.3f} | {truth[champions[-1]][1]:.1%} |"
        )


def main() -> None:
    """Live through the year and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--raw", type=Path, default=Path("data/01_raw/adult"))
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--drift-from", type=int, default=15)
    parser.add_argument("--step", type=float, default=0.02)
    parser.add_argument("--most", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.update(QUIET)
    table, drift = read(options.raw), Drift(options.drift_from, options.step, options.most)
    reference, parts = weeks(table, number=options.weeks, drift=drift, seed=options.seed)
    project = options.folder / "project"
    if not project.exists():
        copy_of_the_project(project)
        write_reference(project / "data" / "01_raw" / "adult", reference)
        (project / "conf" / "local" / "parameters.yml").write_text(yaml.safe_dump(SETTINGS))
    live_through(project, parts)
    report(project, table, parts, drift)


if __name__ == "__main__":
    main()
