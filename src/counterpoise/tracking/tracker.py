"""One tracked run: a parent, and a child for each method.

Not kedro-mlflow: it cannot log one child run per method, and it adds 1.5 s to every Kedro command, measured in
docs/performance.md. MLflow is imported when a run is tracked and not before: it takes seconds.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from counterpoise.errors import InputError
from counterpoise.tracking import contents, unlogged
from counterpoise.tracking.addresses import TrackingSettings
from counterpoise.tracking.contents import Results
from counterpoise.tracking.store import PARENT, Entry, Store

AGAIN = "start the server again, or run with --params tracking=off"
COMPLETE = "the results are complete on disk, only their record in MLflow is not"


class Tracker:
    """Logs one `kedro run`. It connects when it is made; `start` opens the run, `log` or `give_up` closes it."""

    def __init__(self, settings: TrackingSettings) -> None:
        """Connect, and mark what runs of this machine that were killed have left open.

        Raises:
            InputError: the server or database cannot be reached.
        """
        self.settings = settings
        self.store = Store(settings, settings.group)
        self.client, self.experiment = self.store.client, self.store.experiment
        self.process = os.getpid()
        self.open = False
        with suppress(InputError), self.store.answering(AGAIN):  # another's run is no reason to end this one
            self.store.patiently(self.store.end_abandoned)

    def start(self, name: str, runs: Sequence[Mapping[str, Any]]) -> None:
        """Open the parent run and log what it is made from.

        Raises:
            InputError: the server or database no longer answers.
        """
        if self.settings.group:  # each of the commands is partial, all of them together are not
            runs = [{**run, "lineage": {**run["lineage"], "partial": False}} for run in runs]
        self.name, self.runs = name, runs
        self.tags = {key: self.settings.conceal(value) for key, value in contents.tags_of(runs).items()}
        self.children: list[str] = []
        self.rejected: list[Entry] = []
        self.error: BaseException | None = None
        note = {"mlflow.note.content": self.settings.conceal(contents.description(runs))}
        called = self.settings.conceal(contents.run_name(name, runs))
        entries: list[Entry] = [
            {"do": "create_run", "run": PARENT, "name": called, "tags": self.tags | note, "start": _now()},
            {"do": "log_batch", "run": PARENT, "params": contents.params_of(runs)},
        ]
        self.open = True
        try:
            with self.store.answering(AGAIN):
                for entry in entries:
                    self.store.patiently(lambda entry=entry: self.store.apply(entry))  # type: ignore[misc]
        except BaseException:
            self.give_up()
            raise

    def log(self, results: Iterable[Mapping[str, Any]], files: Iterable[Path]) -> None:
        """Log the results of one or more experiments and their files, and close the run.

        Args:
            results: for each experiment the arguments of `log_results`.
            files: files and folders; those that exist are attached.

        Raises:
            InputError: the server did not take all of it; what the run wrote to disk is complete, and so is, together
                with what was logged, the record that the sentence names.
        """
        described = [self.log_results(**result) for result in results]
        self.log_files(files)
        note = self.settings.conceal(contents.description(self.runs, described))
        self._send([{"do": "log_batch", "run": PARENT, "tags": {"mlflow.note.content": note}}])
        self.finish("FINISHED")
        if self.error is not None:
            folder = f"{self.name}-{time.strftime('%Y%m%d-%H%M%S')}-{self.process}"
            record = unlogged.keep(self.rejected, self.store, folder)
            missing = f"{unlogged.described(self.rejected)}, kept in {record}"
            with self.store.answering(f"{COMPLETE}: what is missing there is {missing}; {unlogged.REMEDY} logs it"):
                raise self.error

    def log_results(
        self,
        metrics: pd.DataFrame,
        summary: pd.DataFrame | None = None,
        data_summary: Mapping[str, Any] | None = None,
        *,
        datasets: Sequence[Mapping[str, str]] = (),
        prefix: str = "",
        **further: Any,
    ) -> Results:
        """Log each method's metrics to a child run of its own, and the headline metrics to the parent.

        Args:
            metrics, summary, data_summary, further: the fields of `Results`.
            datasets: what MLflow is told of the data (`contents.dataset`).
            prefix: of the names of children and of the parent's metrics, if the run has several experiments.
        """
        result = Results(metrics, summary, data_summary or {}, **further)
        digest = {"data_digest": str(result.data_summary["digest"])} if "digest" in result.data_summary else {}
        now, table = _now(), result.table()
        entries: list[Entry] = [
            {
                "do": "log_batch",
                "run": PARENT,
                "metrics": contents.parent_metrics(result, now, prefix),
                "tags": digest | ({"headline_variant": result.subject} if result.subject else {}),
            }
        ]
        if datasets:
            entries.append({"do": "log_inputs", "run": PARENT, "datasets": [dict(dataset) for dataset in datasets]})
        for method, rows in table.groupby("method", sort=False):
            run = f"{prefix}{method}"
            variants = list(rows["variant"].unique())
            tags = self.tags | digest | {"method": str(method)}
            headline = result.headline.get(str(method))
            if headline is not None and len(variants) > 1:
                tags |= {
                    "headline_variant": headline,
                    "mlflow.note.content": f"Metrics without a variant's name are those of `{headline}`.",
                }
            params = {"method": str(method), "variants": ", ".join(variants)[: contents.PARAM_LENGTH]}
            logged = contents.method_metrics(result, str(method), now)
            entries += [
                {"do": "create_run", "run": run, "name": run, "tags": tags, "start": now},
                {"do": "log_batch", "run": run, "metrics": logged, "params": params},
            ]
            self.children.append(run)
        self._send(entries)
        return result

    def log_files(self, paths: Iterable[Path]) -> None:
        """Attach models and reports to the parent run; a folder, such as an exported model, as a folder of its name.

        An exported model also becomes one of MLflow's own, an output of the run. Files of one name, of the parts of an
        experiment, go into folders of their parts.
        """
        present = [path for path in paths if path.exists()]
        names = Counter(path.name for path in present)
        entries: list[Entry] = []
        for path in present:
            folders = [
                {".safetensors": "models"}.get(path.suffix),
                "figures" if path.parent.name == "figures" else None,
            ]
            if names[path.name] > 1:
                folders.append(path.parent.parent.name if path.parent.name == "figures" else path.parent.name)
            if path.is_dir():
                folders.append(path.name)
            folder = "/".join(name for name in folders if name) or None
            entries.append({"do": "log_file", "run": PARENT, "path": str(path), "folder": folder})
            if (path / "MLmodel").is_file():
                model = contents.model(path)
                entries.append({"do": "log_model", "run": PARENT, "path": str(path), "time": _now(), **model})
        self._send(entries)

    def give_up(self, status: str = "FAILED") -> None:
        """Close a run that failed or was stopped; the reason is what the user must read, so no error is raised."""
        if self.open:
            self.store.be_brief()
            self.finish(status)

    def finish(self, status: str) -> None:
        """Close the children and the parent."""
        now = _now()
        runs = [run for run in (*self.children, PARENT) if run in self.store.ids or status == "FINISHED"]
        self._send([{"do": "end_run", "run": run, "status": status, "end": now} for run in runs])
        self.open = False

    def _send(self, entries: list[Entry]) -> None:
        with self.store.answering(COMPLETE):
            rejected, error = self.store.send(entries)
        self.rejected += rejected
        self.error = self.error or error


def _now() -> int:
    """The time in MLflow's unit, milliseconds."""
    return int(time.time() * 1000)
