"""What a run leaves in MLflow, written through `MlflowClient`.

Not kedro-mlflow: it cannot log one child run per method, and it adds 1.5 s to every Kedro command, measured in
docs/performance.md. MLflow is imported when a run is tracked and not before: it takes seconds.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from counterpoise.errors import InputError

PER_SEED_VARIANTS = 16
"""A method with more variants than this logs their means only; the metrics file has every seed."""

SQLITE = "sqlite:///"

PARAM_LENGTH = 500
"""The longest parameter value that every MLflow store takes."""


@dataclass(frozen=True)
class TrackingSettings:
    """conf/<env>/mlflow.yml, with the environment variable MLFLOW_TRACKING_URI in the place of its URI if it is set."""

    uri: str
    experiment: str
    timeout_seconds: int
    artifacts: str | None = None  # where a new experiment's files go; None leaves it to the server

    @classmethod
    def read(cls, configuration: Mapping[str, Any], project: Path) -> TrackingSettings:
        """Read the configuration; a SQLite database and its files lie in the project, wherever the run was started."""
        known = {"tracking_uri", "experiment", "timeout_seconds"}
        if set(configuration) != known:
            found = ", ".join(sorted(configuration))
            raise InputError(f"conf/mlflow.yml has the keys {found}, expected {', '.join(sorted(known))}")
        uri = os.environ.get("MLFLOW_TRACKING_URI") or str(configuration["tracking_uri"])
        artifacts = None
        if uri.startswith(SQLITE):
            database = project / uri.removeprefix(SQLITE)
            uri, artifacts = f"{SQLITE}{database}", (database.parent / "mlruns").as_uri()
        return cls(uri, str(configuration["experiment"]), int(configuration["timeout_seconds"]), artifacts)


class Tracker:
    """One tracked run: a parent, and a child for each method."""

    def __init__(self, settings: TrackingSettings) -> None:
        """Connect.

        Raises:
            InputError: the server or database cannot be reached.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        self.settings = settings
        with self._answering("start the server, set MLFLOW_TRACKING_URI, or run with --params tracking=off"):
            self.client = MlflowClient(tracking_uri=settings.uri)
            found = self.client.get_experiment_by_name(settings.experiment)
            self.experiment = (
                found.experiment_id if found else self.client.create_experiment(settings.experiment, settings.artifacts)
            )

    def start(self, name: str, runs: Sequence[Mapping[str, Any]]) -> None:
        """Open the parent run and log what it is made from."""
        lineage = runs[0]["lineage"]
        self.tags = {
            "mlflow.source.name": lineage["command"],
            "mlflow.source.git.commit": lineage["git_commit"].split(" ")[0],
            "git_commit": lineage["git_commit"],
            "environment": lineage["environment"],
        }
        self.children: dict[str, str] = {}
        settings = {key: value for run in runs for key, value in flat(run["settings"])}
        with self._answering("start the server again, or run with --params tracking=off"):
            self.parent = self.client.create_run(self.experiment, run_name=name, tags=self.tags).info.run_id
            self._log(self.parent, params=settings)

    def log(self, results: Iterable[Mapping[str, Any]], files: Iterable[Path]) -> None:
        """Log the results of one or more experiments and their files, and close the run.

        Args:
            results: for each experiment the arguments of `log_results`.
            files: files and folders; those that exist are attached.

        Raises:
            InputError: the server no longer answers; what the run wrote to disk is complete.
        """
        with self._answering("the results are complete on disk, only their record in MLflow is not"):
            for result in results:
                self.log_results(**result)
            self.log_files(files)
            self.finish("FINISHED")

    def log_results(self, metrics: pd.DataFrame, summary: pd.DataFrame, data_summary: Mapping[str, Any]) -> None:
        """Log each method's per-seed metrics (step = seed), means and deviations to a child run of its own."""
        self.client.set_tag(self.parent, "data_digest", data_summary["digest"])
        for method, results in summary.groupby("method", sort=False):
            variants = list(results["variant"].unique())
            child = self._child(str(method), data_summary["digest"])

            def key(variant: str, metric: str, several: bool = len(variants) > 1) -> str:
                return f"{variant}/{metric}" if several else metric

            values: list[tuple[str, float, int]] = []
            for variant, metric, mean, std in results[["variant", "metric", "mean", "std"]].to_numpy().tolist():
                values += [(key(variant, f"{metric}_mean"), mean, 0), (key(variant, f"{metric}_std"), std, 0)]
            if len(variants) <= PER_SEED_VARIANTS:
                per_seed = metrics.loc[metrics["method"] == method, ["variant", "metric", "value", "seed"]]
                values += [
                    (key(variant, metric), value, seed) for variant, metric, value, seed in per_seed.to_numpy().tolist()
                ]
            values = [entry for entry in values if math.isfinite(entry[1])]
            self._log(child, metrics=values, params={"method": method, "variants": ", ".join(variants)})

    def log_files(self, paths: Iterable[Path]) -> None:
        """Attach models and reports to the parent run; a folder, such as an exported model, as a folder of its name."""
        for path in filter(Path.exists, paths):
            if path.is_dir():
                self.client.log_artifacts(self.parent, str(path), path.name)
                continue
            folder = {".safetensors": "models"}.get(path.suffix)
            if path.parent.name == "figures":
                folder = "figures"
            self.client.log_artifact(self.parent, str(path), folder)

    def give_up(self) -> None:
        """Close a run that failed; its own error is what the user must read, so one of the server's is not raised."""
        with suppress(InputError), self._answering("the run failed before"):
            self.finish("FAILED")

    def finish(self, status: str) -> None:
        """Close the parent and its children."""
        for run in [*self.children.values(), self.parent]:
            self.client.set_terminated(run, status)

    @contextmanager
    def _answering(self, remedy: str) -> Iterator[None]:
        """Turn a server or database that does not answer into one sentence."""
        from mlflow.exceptions import MlflowException

        try:
            with _impatient(self.settings.timeout_seconds):
                yield
        except (MlflowException, OSError) as error:
            reason = str(error).splitlines()[0][:200]
            raise InputError(f"MLflow at {self.settings.uri} cannot be reached ({reason}): {remedy}") from None

    def _child(self, method: str, digest: str) -> str:
        tags = {**self.tags, "mlflow.parentRunId": self.parent, "method": method, "data_digest": digest}
        self.children[method] = self.client.create_run(self.experiment, run_name=method, tags=tags).info.run_id
        return self.children[method]

    def _log(
        self, run: str, *, metrics: Sequence[tuple[str, float, int]] = (), params: Mapping[str, Any] | None = None
    ) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        logged = [Metric(allowed(key), float(value), now, int(step)) for key, value, step in metrics]
        settings = [Param(allowed(key), str(value)[:PARAM_LENGTH]) for key, value in (params or {}).items()]
        for start in range(0, max(len(logged), 1), _METRICS_PER_CALL):
            self.client.log_batch(run, metrics=logged[start : start + _METRICS_PER_CALL])
        for start in range(0, len(settings), _PARAMS_PER_CALL):
            self.client.log_batch(run, params=settings[start : start + _PARAMS_PER_CALL])


_METRICS_PER_CALL, _PARAMS_PER_CALL = 1000, 100  # MLflow's limits on one batch


def allowed(key: str) -> str:
    """Return `key` with `_` for each sign that MLflow does not take in one: of a part that is called '99.5%', say."""
    return re.sub(r"[^\w\-. :/]", "_", key)


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yield the leaves of nested settings under dotted names."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{name}.")
        else:
            yield name, value


@contextmanager
def _impatient(seconds: int) -> Iterator[None]:
    """Make MLflow's HTTP client give up after `seconds`, once; its own defaults wait for minutes."""
    wanted = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update({name: value for name, value in wanted.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
