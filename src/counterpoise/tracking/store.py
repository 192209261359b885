"""MLflow's client behind a list of entries: what is logged is said first, sent with patience, and kept if it fails.

An entry is plain JSON: what to do, and its arguments. Runs go by names of ours ("parent", a method) until the store has
given them ids, so that entries which a server would not take can be sent again from a file (`replay`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from uuid import uuid4

from counterpoise.errors import InputError
from counterpoise.tracking import faults, processes
from counterpoise.tracking.addresses import TrackingSettings
from counterpoise.tracking.databases import has_running, require_database

T = TypeVar("T")
Entry = dict[str, Any]
"""`{"do": <a method of Store>, …}` with that method's arguments."""

FIRST_PAUSE_SECONDS, GROWTH = 0.2, 2.0
"""Before a request is tried again; each further pause is longer."""

METRICS_PER_CALL, ITEMS_PER_CALL = 1000, 100
"""MLflow's limits on one batch: of metrics, and of parameters or tags."""

PARENT = "parent"
"""Our name of the parent run."""

KEY = "counterpoise.key"
"""Tag of a run: what it is found by when it is not certain whether a server has made it."""


class Store:
    """A place where runs are logged, and the ids that it has given to the runs of this process."""

    def __init__(self, settings: TrackingSettings, key: str | None = None) -> None:
        """Connect, and make the database and the experiment if they are not there.

        Args:
            key: under which runs may be there already, which are then opened again; a new one by default.

        Raises:
            InputError: the server or database cannot be used.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # it would print the password of the address
        from mlflow.tracking import MlflowClient

        self.settings, self.ids = settings, dict[str, str]()
        self.key, self.attempted, self.resuming = key or uuid4().hex, set[str](), key is not None
        self.reached = self.gone = False
        with self.answering("start the server, set MLFLOW_TRACKING_URI, or run with --params tracking=off"):
            if settings.database is not None:
                require_database(settings.database, settings.artifacts or "")
            self.client = MlflowClient(tracking_uri=settings.uri)
            self.experiment = self.patiently(self._find_experiment)

    def _find_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        for _ in range(2):
            if experiment := self.client.get_experiment_by_name(self.settings.experiment):
                if experiment.lifecycle_stage == "deleted":
                    raise InputError(
                        f"MLflow at {self.settings.shown}: the experiment {self.settings.experiment!r} was deleted: "
                        "restore it (`mlflow experiments restore`), or name another one in conf/mlflow.yml"
                    )
                return str(experiment.experiment_id)
            try:
                return self.client.create_experiment(self.settings.experiment, self.settings.artifacts)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":  # by another run, at the same time
                    raise
        raise InputError(f"MLflow at {self.settings.shown} neither has nor makes {self.settings.experiment!r}")

    @contextmanager
    def answering(self, remedy: str) -> Iterator[None]:
        """Turn whatever a server, a database, a driver or a store of files raises into one sentence."""
        try:
            with faults.quiet():
                yield
        except InputError:
            raise
        except Exception as error:
            raise InputError(faults.sentence(error, self.settings, remedy)) from None

    def patiently(self, request: Callable[[], T]) -> T:
        """Make a request, again and again if the server is slow, busy or gone for a moment.

        A server that was never reached is given up at once.
        """
        deadline, pause = time.monotonic() + self.settings.patience_seconds, FIRST_PAUSE_SECONDS
        while True:
            try:
                with _waiting(self.settings.patience_seconds if self.reached else self.settings.timeout_seconds):
                    answer = request()
            except Exception as error:
                was_reached, self.reached = self.reached, self.reached or not faults.is_unreachable(error)
                first_answer_was_slow = not was_reached and faults.is_slow(error)
                late = time.monotonic() + pause > deadline and not first_answer_was_slow
                if not self.reached or late or not faults.is_transient(error):
                    raise
            else:
                self.reached = True
                return answer
            time.sleep(pause)
            pause *= GROWTH

    def reopen(self, key: str) -> None:
        """Log under a key of the caller's from here on: runs that were begun under it before are completed."""
        self.key, self.resuming, self.ids = key, True, {}

    def be_brief(self) -> None:
        """Try only once from here on: the run has failed, or the process must end."""
        self.settings = replace(self.settings, patience_seconds=self.settings.timeout_seconds)

    def send(self, entries: Iterable[Entry]) -> tuple[list[Entry], BaseException | None]:
        """Log entries in order; return those that the store did not take, and the first error.

        What one entry does wrong is its own affair; once the store no longer answers, the rest is not tried.
        """
        rejected: list[Entry] = []
        first: BaseException | None = None
        for entry in entries:
            if self.gone or (entry["do"] != "create_run" and entry["run"] not in self.ids):
                rejected.append(entry)
                continue
            try:
                self.patiently(lambda entry=entry: self.apply(entry))  # type: ignore[misc]
            except Exception as error:
                rejected.append(entry)
                first = first or error
                self.gone = faults.is_transient(error)
        return rejected, first

    def apply(self, entry: Entry) -> None:
        """Log one entry."""
        arguments = dict(entry)
        getattr(self, arguments.pop("do"))(**arguments)

    # What an entry can do -----------------------------------------------------------------------------------------

    def create_run(self, run: str, name: str, tags: Mapping[str, str], start: int) -> None:
        """Open the parent, or a child of it; the one that an earlier attempt has made, if there is one."""
        tags = {**tags, KEY: f"{self.key}/{run}"}
        if run != PARENT:
            tags["mlflow.parentRunId"] = self.ids[PARENT]
        if (self.resuming or run in self.attempted) and (earlier := self._find_run(tags[KEY])):
            self.ids[run] = earlier
            self.client.update_run(earlier, status="RUNNING")
            self.log_batch(run, tags=tags)
            return
        self.attempted.add(run)
        self.ids[run] = self.client.create_run(self.experiment, start, dict(tags), name).info.run_id

    def _find_run(self, key: str) -> str | None:
        """Return the id of the run that was made under a key, None if there is none."""
        runs = self.client.search_runs([self.experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
        return str(runs[0].info.run_id) if runs else None

    def log_batch(
        self,
        run: str,
        metrics: list[list[Any]] | None = None,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log metrics (key, value, time in ms, step), parameters and tags, in as few requests as MLflow allows."""
        from mlflow.entities import Metric, Param, RunTag

        points = [Metric(*metric) for metric in metrics or []]
        texts = [Param(key, value) for key, value in (params or {}).items()]
        labels = [RunTag(key, value) for key, value in (tags or {}).items()]
        while points or texts or labels:
            room = ITEMS_PER_CALL
            self.client.log_batch(self.ids[run], points[:METRICS_PER_CALL], texts[:room], labels[:room])
            points, texts, labels = points[METRICS_PER_CALL:], texts[room:], labels[room:]

    def log_inputs(self, run: str, datasets: list[dict[str, str]]) -> None:
        """Log the data that the run is about; each is the arguments of MLflow's `Dataset`."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        used = InputTag("mlflow.data.context", "training")
        self.client.log_inputs(self.ids[run], [DatasetInput(Dataset(**dataset), [used]) for dataset in datasets])

    def log_file(self, run: str, path: str, folder: str | None) -> None:
        """Attach a file, or a folder with what is in it."""
        if Path(path).is_dir():
            self.client.log_artifacts(self.ids[run], path, folder)
        else:
            self.client.log_artifact(self.ids[run], path, folder)

    def log_model(
        self, run: str, name: str, path: str, params: Mapping[str, str], metrics: Mapping[str, float], time: int
    ) -> None:
        """Make a model of MLflow's of an exported folder, with its numbers, as an output of the run.

        One that an earlier attempt has begun is completed.
        """
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric
        from mlflow.models import Model

        source = self.ids[run]
        model = self._begun_model(name, source)
        if model is None:
            model = self.client.create_logged_model(self.experiment, name, source, params=dict(params))
        if model.status != LoggedModelStatus.READY:
            try:
                self.client.log_model_artifacts(model.model_id, path)
                description = Model.load(path)
                description.model_id, description.run_id = model.model_id, source
                self._log_description(model.model_id, description)
                self.client.finalize_logged_model(model.model_id, "READY")
            except BaseException:
                with suppress(Exception):
                    self.client.finalize_logged_model(model.model_id, "FAILED")
                raise
        outputs = getattr(self.client.get_run(source).outputs, "model_outputs", None) or []
        if model.model_id not in [output.model_id for output in outputs]:
            self.client.log_outputs(source, [LoggedModelOutput(model.model_id, step=0)])
        points = [
            Metric(f"model/{key}", value, time, 0, model_id=model.model_id, run_id=source)
            for key, value in metrics.items()
        ]
        self.client.log_batch(source, metrics=points)

    def _begun_model(self, name: str, source: str) -> Any:
        """Return the model of this name that a run has, unless it failed; None if there is none."""
        from mlflow.entities import LoggedModelStatus

        condition = f"source_run_id = '{source}' AND name = '{name}'"
        models = self.client.search_logged_models([self.experiment], condition)
        return next((model for model in models if model.status != LoggedModelStatus.FAILED), None)

    def _log_description(self, model: str, description: Any) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "MLmodel"
            description.save(path)
            self.client.log_model_artifact(model, str(path))

    def end_run(self, run: str, status: str, end: int) -> None:
        """Close a run."""
        self.client.set_terminated(self.ids[run], status, end)

    # What others have left ----------------------------------------------------------------------------------------

    def end_abandoned(self) -> int:
        """Mark as KILLED what processes of this machine that no longer live have left RUNNING; return how many."""
        if self.settings.database is not None and not has_running(self.settings.database):
            return 0
        condition = f"attributes.status = 'RUNNING' AND tags.`{processes.HOST}` = '{processes.host()}'"
        abandoned, token = [], None
        while True:
            page = self.client.search_runs([self.experiment], condition, max_results=1000, page_token=token)
            local = self.settings.database is not None
            abandoned += [run.info.run_id for run in page if processes.has_ended(run.data.tags, local=local)]
            if not (token := page.token):
                break
        for run in abandoned:
            self.client.set_terminated(run, "KILLED")
        return len(abandoned)


@contextmanager
def _waiting(seconds: int) -> Iterator[None]:
    """Make MLflow's HTTP client wait so long, once: how often to try is decided here. The user's settings win."""
    wanted = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update({name: value for name, value in wanted.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
