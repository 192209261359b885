"""A year of weekly retraining on Adult, whose labels turn unfair: every decision of the gate against the truth.

    python benchmarks/retraining_year.py FOLDER [--weeks 52] [--drift-from 9] [--step 0.03] [--most 0.6]

A fifth of Adult's 45,222 complete rows is the reference, the others arrive in weekly partitions. From the week
`--drift-from` on, a share of the men who earned less is written as having earned more, which grows by `--step` a week:
what is learned from such labels selects men more and more often. Each week the nodes of the pipeline `retrain` run that
lead to a decision (partitions, the experiment's training, export, evaluation, gate; no pages, no registry), by Kedro's
sequential runner in this process, in the project FOLDER/project. What the monitor says each week, before the week's
decision, is computed at the end, by the function of its node, and so is the report of the last week. A second start
goes on after the last week that was decided.

The truth about each challenger is measured on all rows that no training sees, of all weeks, with their labels as they
were before: its ΔDP, which labels have no part in, and its error. Beside the gate's decisions stand those of point
rules (`retraining_simulation`), each with the champions that it would have made itself: challengers do not depend on
who is champion.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from processes import QUIET, copy_of_the_project
from retraining_simulation import POINT_RULES

from counterpoise.config.loader import ConfigLoader
from counterpoise.config.parameters import Parameters, check
from counterpoise.data.adult import COLUMNS, read
from counterpoise.data.partitions import is_held_out
from counterpoise.settings import CONFIG_LOADER_ARGS

FIRST = date(2025, 3, 3)
"""Of the first week, a Monday."""

DATA = "params:datasets.adult"

REFERENCE_SHARE = 0.2
"""Of all rows, the ones that the experiment has before the first week."""

REFUSED = 3
"""Status of a retraining whose gate has refused."""

EMPTY_AUDIT: dict[str, Any] = {
    "drift": [],
    "new_values": [],
    "small_cells": [],
    "label_rates": {"reference": [], "new": []},
    "group_shares": {"reference": [], "new": []},
}
"""Of weeks whose page is not looked at."""

HELD_OUT = 0.4
TOLERANCE = 0.3
"""Of ΔDP, for the gate and for point rules."""

SETTINGS: dict[str, Any] = {
    "seeds": 1,
    "tracking": False,
    "pretrain": {"epochs": 10, "batch_size": 256, "optimizer": {"name": "adam", "lr": 0.005}},
    "finetune": {"epochs": 5},
    "variants": {"win": {"methods": ["tl"]}},
    "report": {"leakage": False},
    "datasets": {"adult": {"checksums": None, "title": "UCI Adult in weeks, labels of men drift"}},
    "retraining": {
        "experiment": "win_adult",
        "model_name": "income",
        "method": "tl",
        "held_out": HELD_OUT,
        "window": 26,
        "gate": {"error_margin": 0.03, "group_margin": 0.06, "tolerances": {"delta_dp": TOLERANCE}, "patience": 1},
        "monitor": {"error_margin": 0.03, "tolerances": {"delta_dp": TOLERANCE}},
    },
}


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


def live_through(project: Path, parts: Sequence[pd.DataFrame]) -> None:
    """Run all weeks that have not been decided on."""
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project
    from kedro.io import MemoryDataset
    from kedro.runner import SequentialRunner

    arriving = project / "data" / "01_raw" / "partitions"
    arriving.mkdir(parents=True, exist_ok=True)
    os.chdir(project)
    bootstrap_project(project)
    from counterpoise import registered
    from counterpoise.pipeline_registry import register_pipelines

    registered.read(environment=None)
    pipeline = register_pipelines()["retrain"].to_outputs("retrain__history_after")
    log = project / "weeks.jsonl"
    done = len(log.read_text().splitlines()) if log.exists() else 0
    with KedroSession.create(project_path=project) as session:
        catalog = session.load_context().catalog  # type: ignore[attr-defined]
        for name in pipeline.all_outputs() - {"retraining__raw"}:
            if name.startswith("retraining__"):
                catalog[name] = MemoryDataset(copy_mode="assign")
        catalog["retrain__registry"] = MemoryDataset(None, copy_mode="assign")
        for number, rows in enumerate(parts[done:], start=done + 1):
            week = (FIRST + timedelta(weeks=number - 1)).isoformat()
            rows[list(COLUMNS)].to_csv(arriving / f"adult-{week}.csv", index=False)
            began, used = time.monotonic(), time.process_time()
            SequentialRunner().run(pipeline, catalog)
            entry = {name: catalog.load(f"retrain__{name}") for name in ("decision", "evaluation", "batch")}
            catalog.save("retrain__ledger_after", {**catalog.load("retrain__ledger"), **entry["batch"]["entries"]})
            entry |= {"week": week, "audit": _audit(catalog) if number == len(parts) else {}}
            with log.open("a") as file:
                file.write(json.dumps(entry) + "\n")
            seconds = f"{time.monotonic() - began:.0f} s, of a processor {time.process_time() - used:.1f} s"
            print(f"{number}: {entry['decision']['verdict']}, {seconds}", flush=True)


def _audit(catalog: Any) -> dict[str, Any]:
    from counterpoise.pipelines.retrain.partitions import audit_partitions

    return audit_partitions(*(catalog.load(name) for name in ("retrain__rows", "retrain__batch", DATA)))


def parameters_of(project: Path) -> Parameters:
    """Return the project's parameters."""
    loader = ConfigLoader(str(project / "conf"), env="local", **CONFIG_LOADER_ARGS | {"default_run_env": "local"})
    return check(loader["parameters"])


def write_report(project: Path, documents: Sequence[Mapping[str, Any]]) -> Path:
    """Write the report of the last week that was decided, with the trends of all."""
    from counterpoise.pipelines.retrain.pages import write_pages
    from counterpoise.retraining.history import from_lines

    parameters = parameters_of(project)
    assert parameters.retraining is not None
    past, files = dict[str, Any](), dict[str, str]()
    history = from_lines((project / "data" / "retrain" / "history.jsonl").read_text().splitlines())
    for document in documents:
        parts = {name: document[name] for name in ("decision", "evaluation", "batch")}
        audit = document["audit"] or EMPTY_AUDIT
        files, past[document["week"]] = write_pages(
            **parts, audit=audit, past=past, history=history, retraining=parameters.retraining,
            dataset=parameters.datasets["adult"], run={"lineage": {}},
        )  # fmt: skip
    path = project / "data" / "08_reporting" / "retrain" / next(iter(files))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(files[f"{documents[-1]['week']}/report.html"])
    return path


def alarms(project: Path, documents: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return which quantities the monitor raises an alarm about each week, before the week's decision."""
    from counterpoise.pipelines.monitor.nodes import watch_champion
    from counterpoise.retraining.history import from_lines

    parameters = parameters_of(project)
    assert parameters.retraining is not None
    data = project / "data"
    history = from_lines((data / "retrain" / "history.jsonl").read_text().splitlines())
    raised: list[list[str]] = [[]]
    for place in range(1, len(documents)):
        names = [f"adult-{document['week']}" for document in documents[: place + 1]]
        _, said = watch_champion(
            {name: data / "01_raw" / "partitions" / f"{name}.csv" for name in names},
            history[:place],
            {document["week"]: document for document in documents[:place]},
            data / "retrain" / "models",
            data / "01_raw" / "adult",
            parameters.datasets["adult"],
            parameters.retraining,
            None,
        )
        raised.append([watched["name"] for watched in said["watches"] if watched["alarm_since"]])
    return raised


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
    documents = [json.loads(line) for line in (project / "weeks.jsonl").read_text().splitlines()]
    models = [document["decision"]["challenger"] for document in documents]
    truth = truths(project, table, models)
    decided = {"gate": [document["decision"]["verdict"] in ("start", "promote") for document in documents]}
    decided |= {rule: by_points(project, parts, documents, change) for rule, change in POINT_RULES.items()}
    raised = alarms(project, documents)
    print(f"report: {write_report(project, documents)}\n")
    print(
        "| week | labels turned | true ΔDP | true error | ΔDP measured (bound) | monitor | "
        + " | ".join(decided)
        + " |"
    )
    print("|" + "---|" * (6 + len(decided)))
    for place, document in enumerate(documents):
        bias = document["evaluation"]["measured"]["challenger"]["biases"][0]
        gap, error = truth[models[place]]
        words = ["promoted" if promoted[place] else "refused" for promoted in decided.values()]
        alarm = ", ".join(raised[place])
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
    parser.add_argument("--drift-from", type=int, default=9)
    parser.add_argument("--step", type=float, default=0.03)
    parser.add_argument("--most", type=float, default=0.6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.update(QUIET)
    table, drift = read(options.raw.resolve()), Drift(options.drift_from, options.step, options.most)
    reference, parts = weeks(table, number=options.weeks, drift=drift, seed=options.seed)
    project = options.folder.resolve() / "project"
    if not project.exists():
        copy_of_the_project(project)
        write_reference(project / "data" / "01_raw" / "adult", reference)
        (project / "conf" / "local" / "parameters.yml").write_text(yaml.safe_dump(SETTINGS))
    live_through(project.resolve(), parts)
    report(project, table, parts, drift)


if __name__ == "__main__":
    main()
