"""Faults of scheduled retraining: `python benchmarks/faults/retrain.py [--kills 20] [--only kills] [--write FILE]`.

A project of its own, on generated rows: the first partition makes a champion, the second one is retrained without a
fault, which gives what is expected. Then, again and again from the state before the second partition, something goes
wrong. Right means: the run ends in one sentence, the champion of history and registry is the one before or the one
after, no document is half-written, and the next run completes with the same decision, model, report and list of
partitions, one run and one version for each model, the aliases those of the history, nothing RUNNING.

| trial | what goes wrong |
|---|---|
| kills | SIGKILL within each stage in turn, at a random moment of it |
| disk | the system refuses every write from the beginning of a stage on, or beyond so many bytes of a file |
| partitions | a file is damaged, has a new group, lacks a column, has few rows, has the rows of another one |
| clock | all that the first retraining has written is dated a year ahead, as if the clock were moved back since |
| schedulers | two runs begin within seconds |
| server | MLflow's server is killed during `promote`, back after the run; `sync_tracking` or the next run completes |
| database | PostgreSQL behind MLflow's server is gone for a minute from the beginning of `promote` on |
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sqlite3
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from retraining_scene import SPOILED, STAGES, SYNC, WEEKS, Command, Expected, Project, differences, prepare, project
from scene import Ended, Kind, tell
from services import Tracking, tracking

LOCAL, SERVER = ("kills", "disk", "partitions", "clock", "schedulers"), ("server", "database")
HEAD = "| fault of a retraining | tried | right | wrong |\n|---|---|---|---|"
BEGIN = "<!-- begin: python benchmarks/faults/retrain.py -->"
NO_SPACE = 1
"""Bytes of a file from which on nothing is written."""
LIMITS = (1, 16, 64, 256, 1024)
"""Kilobytes of a file beyond which nothing is written."""
YEAR = timedelta(days=366)
GONE_SECONDS = 60


def untouched(place: Project, expected: Expected) -> str:
    """Return what is wrong with champion or documents after a fault, nothing if they are those before or after it."""
    champions = place.champions()
    if champions not in (expected.before, expected.champions):
        return f"champions {champions}"
    if bad := place.half_written():
        return f"half written: {bad}"
    alias = place.champion_alias()
    return "" if alias in (expected.before[-1], champions[-1]) else f"the alias is {alias}, champions {champions}"


def completes(place: Project, expected: Expected) -> str:
    """Run again; return what is wrong, nothing if the outcome is the expected one."""
    again = place.run()
    if again.status:
        return f"the next run ended with {again.status}: {again.output[-300:]}"
    return differences(expected.outcome, place.outcome())


def synced(place: Project, expected: Expected) -> str:
    """Run `sync_tracking` twice; return what is wrong, nothing if the first completes what there is to complete."""
    first, second = place.run(SYNC), place.run(SYNC)
    if (first.status, second.status) != (0, 0) or "Nothing to log" not in second.output:
        return f"sync_tracking: {first.output[-300:]} and then {second.output[-300:]}"
    return differences(expected.outcome, place.outcome())


def said(run: Ended) -> str:
    """Return what is wrong with how a run ended: nothing if it ended well, or in one sentence."""
    if run.status == 0:
        return ""
    sentences = sum(line.startswith("Error: ") for line in run.output.splitlines())
    right = run.status == 1 and sentences == 1 and "Traceback" not in run.output
    return "" if right else f"status {run.status}: {run.output[-600:]}"


def killed(times: int, place: Project, expected: Expected) -> Kind:
    """Kill within each stage in turn."""
    kind, draw = Kind("kill -9 within a stage"), random.Random(0)
    for number in range(times):
        place.reset()
        place.arrive(WEEKS[1])
        stage = list(STAGES)[number % len(STAGES)]
        run = place.start()
        place.wait_for(stage, run)
        time.sleep(draw.uniform(0, place.durations[stage]))
        had_ended = not run.is_alive
        run.kill()
        reached = "had ended" if had_ended else [name for name in STAGES if place.begun(name, run.since)][-1]
        _count(kind, f"in {reached}", untouched(place, expected) or completes(place, expected))
    return kind


def full(place: Project, expected: Expected) -> Kind:
    """Let the disk be full from a stage on, or for files of some size."""
    kind = Kind("disk full")
    for case in (*STAGES, *LIMITS):
        place.reset()
        place.arrive(WEEKS[1])
        run = place.start()
        if isinstance(case, str):
            place.wait_for(case, run)
        size = NO_SPACE if isinstance(case, str) else case * 1024
        with suppress(ProcessLookupError):  # it has ended
            resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (size, size))
        ended = run.ended()
        wrong = said(ended) or untouched(place, expected) or completes(place, expected)
        _count(kind, f"{case}, status {ended.status}", wrong)
    return kind


def spoilt(rows: pd.DataFrame, first: pd.DataFrame) -> dict[str, tuple[Callable[[Path], object], str]]:
    """Return kinds of unusable partitions: what writes one, and what is said of it."""

    def table(changed: pd.DataFrame) -> Callable[[Path], object]:
        return lambda path: changed.to_csv(path, index=False)

    return {
        "damaged": (lambda path: path.write_bytes(b'age,"workclass\n1,2\xff'), SPOILED),
        "a new group": (table(rows.assign(sex="Unknown")), "new group 'Unknown'"),
        "a missing column": (table(rows.drop(columns="sex")), "'sex' is missing"),
        "few rows": (table(rows.head(20)), "labelled rows, expected at least 100"),
        "the same rows": (table(first), f"has the same rows as adult-{WEEKS[0]}"),
    }


def partitions(place: Project, expected: Expected) -> Kind:
    """Let an unusable partition arrive alone, and then beside a good one."""
    kind = Kind("a partition that cannot be used, alone and beside a good one")
    rows, first = (pd.read_csv(place.generated(week)) for week in reversed(WEEKS))
    for what, (write, sentence) in spoilt(rows, first).items():
        place.reset()
        write(place.inbox / f"{SPOILED}.csv")
        _count(kind, what, _put_aside(place, expected, sentence))
    return kind


def _put_aside(place: Project, expected: Expected, sentence: str) -> str:
    run = place.run()
    if run.status != 1 or said(run) or sentence not in run.output or SPOILED not in run.output:
        return f"alone: {run.output[-600:]}"
    if wrong := untouched(place, expected):
        return wrong
    if place.champions() != expected.before:
        return "alone: the champion has changed"
    place.arrive(WEEKS[1])
    run = place.run()
    aside = [line for line in run.output.splitlines() if line.startswith("put aside")]
    if run.status or len(aside) != 1 or sentence not in aside[0]:
        return f"beside a good one: {run.output[-600:]}"
    outcome = place.outcome()
    outcome["ledger"].pop(SPOILED)
    outcome["report"]["batch"]["quarantined"].clear()
    if wrong := differences(expected.outcome, outcome):
        return wrong
    again = place.run()
    said_again = again.status == 0 and f"1 put aside until their files change: {SPOILED}" in again.output
    return "" if said_again else f"the run after it: {again.output[-300:]}"


def clock(place: Project, expected: Expected) -> Kind:
    """Date all that is there a year ahead."""
    kind = Kind("clock moved back by a year between two retrainings")
    place.reset()
    history = place.data / "retrain" / "history.jsonl"
    record = json.loads(history.read_text())
    record["at"] = (datetime.fromisoformat(record["at"]) + YEAR).isoformat()
    history.write_text(json.dumps(record) + "\n")
    milliseconds = int(YEAR.total_seconds() * 1000)
    with sqlite3.connect(place.path / "mlflow.db") as database:
        database.execute("UPDATE runs SET start_time = start_time + ?, end_time = end_time + ?", (milliseconds,) * 2)
        for table in ("model_versions", "registered_models"):
            database.execute(f"UPDATE {table} SET creation_time = creation_time + ?", (milliseconds,))
    for path in (place.path, *place.path.rglob("*")):
        if not path.is_symlink():
            ahead = path.stat().st_mtime + YEAR.total_seconds()
            os.utime(path, (ahead, ahead))
    place.arrive(WEEKS[1])
    _count(kind, "a year", completes(place, expected) or untouched(place, expected))
    return kind


def schedulers(times: int, place: Project, expected: Expected) -> Kind:
    """Start two runs within the time that one takes."""
    kind, draw = Kind("two schedulers at once"), random.Random(1)
    for number in range(times):
        place.reset()
        place.arrive(WEEKS[1])
        one, pause = place.start(), draw.uniform(0, expected.seconds) if number else 0.0
        time.sleep(pause)
        runs = [run.ended() for run in (one, place.start())]
        idle, decided = (sum(text in run.output for run in runs) for text in ("Nothing to do", "decision   "))
        wrong = "" if [run.status for run in runs] == [0, 0] else " ".join(run.output[-300:] for run in runs)
        wrong = wrong or ("" if (idle, decided) == (1, 1) else f"{decided} have decided, {idle} had nothing to do")
        _count(kind, f"{pause:.1f} s apart", wrong or differences(expected.outcome, place.outcome()))
    return kind


def stopped_server(times: int, place: Project, expected: Expected, services: Tracking) -> Kind:
    """Kill the tracking server within the stage that registers, and start it again after the run."""
    kind, draw = Kind("tracking server killed during promote, back after the run"), random.Random(2)
    for number in range(times):
        retraining = _in_promote(place, draw, patience_seconds=3, timeout_seconds=3)
        services.server.stop()
        run = retraining.ended()
        services.server.start()
        alias = "new" if place.champion_alias() == expected.champions[-1] else "old"
        wrong = said(run) or untouched(place, expected)
        if completed_by_sync := number % 2 == 0:
            wrong = wrong or synced(place, expected)
        wrong = wrong or completes(place, expected)
        _count(kind, f"status {run.status}, alias {alias}, sync_tracking: {completed_by_sync}", wrong)
    return kind


def lost_database(times: int, place: Project, expected: Expected, services: Tracking) -> Kind:
    """Stop PostgreSQL for a minute within the stage that registers."""
    kind, draw = Kind(f"database of the tracking server gone for {GONE_SECONDS} s during promote"), random.Random(3)
    for _ in range(times):
        retraining = _in_promote(place, draw)
        services.database.stop()
        time.sleep(GONE_SECONDS)
        services.database.start()
        run = retraining.ended()
        wrong = said(run) or untouched(place, expected) or completes(place, expected)
        _count(kind, f"status {run.status}", wrong)
    return kind


def _in_promote(place: Project, draw: random.Random, **settings: Any) -> Command:
    """Start a retraining, wait for a moment of the stage that registers, and return it."""
    place.reset()
    place.configure(**settings)
    place.arrive(WEEKS[1])
    run = place.start()
    place.wait_for("promote", run)
    time.sleep(draw.uniform(0, place.durations["promote"]))
    return run


def _count(kind: Kind, case: str, wrong: str) -> None:
    kind.count(not wrong, f"{case}: {wrong}")
    print(f"  {kind.name}, {case}: {wrong or 'right'}", file=sys.stderr, flush=True)


def local(kills: int, chosen: Collection[str]) -> Iterator[Kind]:
    """Yield the faults of a project that logs to a database of its own."""
    with project() as place:
        expected = prepare(place)
        print(f"  undisturbed: {expected.seconds:.1f} s, {place.durations}", file=sys.stderr, flush=True)
        trials: dict[str, Callable[[], Kind]] = {
            "kills": lambda: killed(kills, place, expected),
            "disk": lambda: full(place, expected),
            "partitions": lambda: partitions(place, expected),
            "clock": lambda: clock(place, expected),
            "schedulers": lambda: schedulers(max(1, kills // 4), place, expected),
        }
        yield from (trial() for name, trial in trials.items() if name in chosen)


def on_server(kills: int, chosen: Collection[str]) -> Iterator[Kind]:
    """Yield the faults of a tracking server on PostgreSQL."""
    with project() as place, tracking(place.root / "server") as services:
        place.services = services
        expected = prepare(place)
        if "server" in chosen:
            yield stopped_server(max(1, kills // 2), place, expected, services)
        if "database" in chosen:
            yield lost_database(max(1, kills // 5), place, expected, services)


def main() -> None:
    """Run the trials, print their lines as they end, and fail if one of them was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", default=",".join((*LOCAL, *SERVER)))
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    chosen = options.only.split(",")
    kinds = (
        kind
        for names, trials in ((LOCAL, local), (SERVER, on_server))
        if set(names) & set(chosen)
        for kind in trials(options.kills, chosen)
    )
    raise SystemExit(tell(kinds, HEAD, BEGIN, options.write))


if __name__ == "__main__":
    main()
