"""A project that retrains on generated rows: a champion is there, and a second partition has not arrived yet."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import yaml
from scene import PATIENCE, QUIET, REPOSITORY, Ended
from services import Tracking

WEEKS = ("2026-03-02", "2026-03-09")
SPOILED = "adult-2026-03-05"
"""A partition between the two."""

SETTINGS = {
    "model_name": "income",
    "method": "tl",
    "min_rows": 100,
    "held_out": 0.5,
    "gate": {"error_margin": 0.5, "group_margin": 0.6, "tolerances": {"delta_dp": 0.9}, "patience": 1},
}
RETRAIN, SYNC = "retrain", "sync_tracking"
"""Pipelines that are run."""
ROWS = 600

WORK = "retrain/work"
STAGES = {
    "start": None,
    "training": f"{WORK}/training/rows.parquet",
    "evaluate": f"{WORK}/challenger/MLmodel",
    "decide": f"{WORK}/evaluation.json",
    "report": f"{WORK}/decision.json",
    "promote": f"{WORK}/report.json",
    "ledger": f"{WORK}/registered.json",
}
"""What a stage begins after: the last file of the one before it."""


class Command:
    """`kedro run --pipelines=…` in a process of its own, forked from one that has imported the libraries.

    Attributes:
        since: when it began, of `time.time`.
    """

    def __init__(self, pipeline: str, folder: Path, environment: dict[str, str]) -> None:
        receiver, sender = FORKS.Pipe(duplex=False)
        self.since = time.time()
        self.process = FORKS.Process(target=_run, args=(pipeline, str(folder), environment, sender))
        self.process.start()
        sender.close()
        self._said: list[bytes] = []
        self._reader = Thread(target=self._read, args=(receiver,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.is_alive()

    def ended(self) -> Ended:
        """Wait for it."""
        self.process.join(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.process.exitcode is not None
        return Ended(self.process.exitcode, b"".join(self._said).decode(errors="replace"))

    def kill(self) -> None:
        """Kill it (SIGKILL)."""
        self.process.kill()
        self.process.join()

    def _read(self, receiver: Any) -> None:
        with receiver:
            while block := os.read(receiver.fileno(), 1 << 16):
                self._said.append(block)


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        *("kedro.framework.cli.cli", "kedro.framework.session", "kedro_datasets.partitions.partitioned_dataset"),
        *("mlflow.pyfunc", "mlflow.tracking", "torch", "plotly.graph_objects", "sklearn.metrics"),
        *("counterpoise.cli", "counterpoise.hooks.session", "counterpoise.pipelines.retrain.pipeline"),
    ]
)


def _run(pipeline: str, folder: str, environment: dict[str, str], sender: Any) -> None:
    from kedro.framework.cli.cli import main

    os.setsid()
    for descriptor in (1, 2):
        os.dup2(sender.fileno(), descriptor)
    sender.close()
    os.chdir(folder)
    os.environ.update(QUIET | environment)
    sys.argv = ["kedro", "run", f"--pipelines={pipeline}", "--env=smoke"]
    main()


@dataclass
class Project:
    """A project in a temporary folder, and a copy of it from before the second partition.

    Attributes:
        services: the tracking server that runs are logged to; None: the project's own database.
        durations: of the stages, in seconds, in a run without a fault.
    """

    root: Path
    services: Tracking | None = None
    durations: dict[str, float] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where runs are logged."""
        return f"sqlite:///{self.path / 'mlflow.db'}" if self.services is None else self.services.server.address

    @property
    def path(self) -> Path:
        return self.root / "project"

    @property
    def data(self) -> Path:
        return self.path / "data" / "smoke"

    @property
    def inbox(self) -> Path:
        return self.path / "data" / "01_raw" / "partitions"

    def generated(self, week: str) -> Path:
        """Return the file of a partition before it arrives."""
        return self.root / "generated" / f"adult-{week}.csv"

    def arrive(self, week: str) -> None:
        """Let a partition arrive."""
        shutil.copy(self.generated(week), self.inbox)

    def start(self, pipeline: str = RETRAIN) -> Command:
        """Start a retraining, or another pipeline."""
        return Command(pipeline, self.path, {"MLFLOW_TRACKING_URI": self.address})

    def run(self, pipeline: str = RETRAIN) -> Ended:
        """Run a retraining, or another pipeline, to its end."""
        return self.start(pipeline).ended()

    def keep(self) -> None:
        """Make this the state that `reset` goes back to."""
        shutil.copytree(self.path, self.root / "before", symlinks=True)
        if self.services is not None:
            self.services.keep()

    def reset(self) -> None:
        """Go back to the state before the second partition."""
        shutil.rmtree(self.path)
        shutil.copytree(self.root / "before", self.path, symlinks=True)
        if self.services is not None:
            self.services.reset()

    def configure(self, **tracking: Any) -> None:
        """Change settings of tracking."""
        base = yaml.safe_load((self.path / "conf" / "base" / "mlflow.yml").read_text())
        (self.path / "conf" / "smoke" / "mlflow.yml").write_text(yaml.safe_dump(base | tracking))

    def marker(self, stage: str) -> Path | None:
        file = STAGES[stage]
        return None if file is None else self.data / file

    def begun(self, stage: str, since: float) -> bool:
        """Whether a stage of a run that was started at a time (of `time.time`) has begun."""
        marker = self.marker(stage)
        if marker is None:
            return True
        try:
            return marker.stat().st_mtime > since
        except OSError:
            return False

    def wait_for(self, stage: str, run: Command) -> None:
        """Wait until a stage begins, or the run has ended."""
        while run.is_alive and not self.begun(stage, run.since):
            time.sleep(0.003)

    def champions(self) -> list[str]:
        """Return the champion after each record of the history."""
        lines = (self.data / "retrain" / "history.jsonl").read_text().splitlines()
        return [json.loads(line)["champion"] for line in lines]

    def half_written(self) -> list[str]:
        """Return documents that are not complete."""
        bad = []
        for path in self.data.rglob("*.json*"):
            names = path.relative_to(self.data).parts
            if path.suffix not in (".json", ".jsonl") or any(name.startswith(".") for name in names):
                continue
            try:
                for text in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
                    json.loads(text)
            except ValueError:
                bad.append(str(path))
        return bad

    def client(self) -> Any:
        """Return a client of MLflow, which remembers nothing of the files that `reset` has replaced."""
        from mlflow.tracking import MlflowClient

        if self.services is not None:
            return MlflowClient(self.services.server.address)
        folder = Path(tempfile.mkdtemp(dir=self.root))
        for file in self.path.glob("mlflow.db*"):
            shutil.copy(file, folder)
        return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")

    def outcome(self) -> dict[str, Any]:
        """Return all that must not depend on a fault."""
        records = [json.loads(line) for line in (self.data / "retrain" / "history.jsonl").read_text().splitlines()]
        report = json.loads((self.data / "08_reporting" / "retrain" / WEEKS[1] / "report.json").read_text())
        for document in (*records, report["decision"]):
            document.pop("at")
        client = self.client()
        runs = client.search_runs([client.get_experiment_by_name("counterpoise").experiment_id])
        versions = client.search_model_versions("name = 'income'")
        model_of = {str(version.version): version.tags["counterpoise.model"] for version in versions}
        aliases = client.get_registered_model("income").aliases
        return {
            "records": records,
            "report": report,
            "ledger": json.loads((self.data / "retrain" / "partitions.json").read_text()),
            "running": [run.info.run_name for run in runs if run.info.status == "RUNNING"],
            "finished": sorted(run.info.run_name for run in runs if run.info.status == "FINISHED"),
            "runs": sorted(run.info.run_name for run in runs),
            "versions": sorted(model_of.values()),
            "aliases": {alias: model_of[str(number)] for alias, number in aliases.items()},
            "half_written": self.half_written(),
        }

    def champion_alias(self) -> str:
        """Return the model that the registry calls champion."""
        version = self.client().get_model_version_by_alias("income", "champion")
        return str(version.tags["counterpoise.model"])


def differences(expected: dict[str, Any], outcome: dict[str, Any]) -> str:
    """Return which entries differ, for a line on what went wrong."""
    return ", ".join(f"{key}: {str(outcome[key])[:200]}" for key in expected if outcome[key] != expected[key])


@contextmanager
def project() -> Iterator[Project]:
    """Lay out a project into which no partition has arrived."""
    from counterpoise.data.adult import read
    from counterpoise.data.generate.adult import write_adult

    with tempfile.TemporaryDirectory(prefix="counterpoise-retrain-") as folder:
        place = Project(Path(folder))
        (place.path / "src").mkdir(parents=True)  # Kedro insists on the folder
        shutil.copytree(REPOSITORY / "conf", place.path / "conf", ignore=shutil.ignore_patterns("local"))
        (place.path / "conf" / "local").mkdir()
        for name in ("pyproject.toml", ".telemetry"):
            shutil.copy(REPOSITORY / name, place.path / name)
        parameters = place.path / "conf" / "smoke" / "parameters.yml"
        settings = yaml.safe_load(parameters.read_text())
        settings |= {"seeds": 1, "retraining": SETTINGS, "variants": {"win": {"methods": ["tl"]}}}
        parameters.write_text(yaml.safe_dump(settings))
        place.inbox.mkdir(parents=True)
        for number, week in enumerate(WEEKS, start=1):
            write_adult(place.root / "generated" / week, rows=ROWS, seed=number)
            read(place.root / "generated" / week).to_csv(place.generated(week), index=False)
        yield place


@dataclass(frozen=True)
class Expected:
    """What a retraining without a fault leaves.

    Attributes:
        champions: after each record of the history, `before` the second partition and after it.
    """

    outcome: dict[str, Any]
    before: list[str]
    champions: list[str]
    seconds: float


def prepare(place: Project) -> Expected:
    """Make the first champion and keep that state; retrain on the second partition without a fault."""
    place.arrive(WEEKS[0])
    _require_success(place.run())
    place.keep()
    before = place.champions()
    place.arrive(WEEKS[1])
    run, moments = place.start(), dict[str, float]()
    while run.is_alive:
        for stage in STAGES:
            if stage not in moments and place.begun(stage, run.since):
                moments[stage] = time.time() - run.since
        time.sleep(0.003)
    _require_success(run.ended())
    seconds = time.time() - run.since
    ends = [*list(moments.values())[1:], seconds]
    place.durations = {
        stage: max(0.0, end - moment) for (stage, moment), end in zip(moments.items(), ends, strict=True)
    }
    return Expected(place.outcome(), before, place.champions(), seconds)


def _require_success(run: Ended) -> None:
    if run.status:
        sys.exit(f"A retraining without a fault ended with {run.status}: {run.output[-1000:]}")
