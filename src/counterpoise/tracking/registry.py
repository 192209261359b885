"""Champion and challengers in MLflow's model registry: one run and one version for each retraining, two aliases.

The history of retrainings is the truth; what is here follows it, and may be repeated: a run or a version that is there
is not made again, and an alias is set to what the history says.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from counterpoise.errors import InputError
from counterpoise.tracking import processes
from counterpoise.tracking.addresses import TrackingSettings
from counterpoise.tracking.contents import TAG_LENGTH
from counterpoise.tracking.store import PARENT, Store
from counterpoise.tracking.unlogged import REMEDY as SYNC

T = TypeVar("T")

MODEL = "counterpoise.model"
"""Tag of a run and of a version: the name of the model in the history."""

CHAMPION, CHALLENGER = "champion", "challenger"
"""Aliases."""

FOLDER = "model"
"""Of the exported model among the files of a run."""

REMEDY = f"the decision is recorded, and `{SYNC}` or the next retraining brings MLflow up to it"


class ModelRegistry:
    """The versions of one registered model; it connects when it is first needed."""

    def __init__(self, settings: TrackingSettings, name: str) -> None:
        self.settings, self.name = settings, name
        self._store: Store | None = None

    def connect(self) -> None:
        """Reach the store before hours of training; one that was reached is waited for later.

        Raises:
            InputError: the server or database cannot be used.
        """
        _ = self.store

    @property
    def store(self) -> Store:
        """The connection; when it is made, runs that killed processes have left open are marked KILLED.

        Raises:
            InputError: the server or database cannot be used.
        """
        if self._store is None:
            self._store = Store(self.settings)
            with self._store.answering(REMEDY):
                self._store.patiently(self._store.end_abandoned)
        return self._store

    def record(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Log a retraining as a run and register its model as a version, unless that was done; return both.

        Args:
            entry: `model`, its name in the history; `folder` of the exported model; `title` of the run; `at`, the time
                of the decision (ISO 8601), which is the run's; `tags`, of run and version; `params`; `metrics`;
                `files`, further ones.

        Raises:
            InputError: the server or database no longer answers.
        """
        with self.store.answering(REMEDY):
            self._require_registered()
            version = self._version(entry["model"])
            if version is None:
                run = self._finished_run(entry["model"]) or self._log(entry)
                tags = {MODEL: entry["model"], **_short(entry["tags"])}
                source = f"{run.info.artifact_uri}/{FOLDER}"
                version = self._ask(  # looks first: the answer to an earlier try may have been lost
                    lambda: (
                        self._find_version(entry["model"])
                        or self.store.client.create_model_version(self.name, source, run.info.run_id, tags=tags)
                    )
                )
            return {"name": self.name, "version": int(version.version), "run": version.run_id}

    def point(self, champion: str, challenger: str | None) -> dict[str, int]:
        """Make the aliases those of the history; return alias → version, of the models that are registered.

        Args:
            challenger: the model that was decided on last; None, or the champion, where there is none beside it.
        """
        with self.store.answering(REMEDY):
            self._require_registered()
            present = self._aliases()
            wanted = {CHAMPION: champion, CHALLENGER: None if challenger == champion else challenger}
            aliases = {}
            for alias, model in wanted.items():
                version = None if model is None else self._version(model)
                if version is not None:
                    aliases[alias] = int(version.version)
                    if present.get(alias) != aliases[alias]:
                        number = str(version.version)
                        self._ask(
                            lambda alias=alias, number=number: self.store.client.set_registered_model_alias(  # type: ignore[misc]
                                self.name, alias, number
                            )
                        )
                elif alias in present and alias == CHALLENGER:
                    self._ask(lambda: self.store.client.delete_registered_model_alias(self.name, CHALLENGER))
            return aliases

    def aliases(self) -> dict[str, int]:
        """Return alias → version as the registry has them at present, none of a model that it does not know."""
        with self.store.answering(REMEDY):
            return self._aliases() if self._ask(self._is_registered) else {}

    def _aliases(self) -> dict[str, int]:
        registered = self._ask(lambda: self.store.client.get_registered_model(self.name))
        return {alias: int(version) for alias, version in registered.aliases.items()}

    def fetch(self, model: str, folder: Path) -> None:
        """Put a registered model into a folder.

        Raises:
            InputError: it is not registered, its files are gone, or the server or database does not answer.
        """
        with self.store.answering("put the model back, or roll back to one that is there"), TemporaryDirectory() as to:
            version = self._version(model)
            if version is None:
                raise InputError(f"MLflow at {self.settings.shown}: {self.name} has no version of the model {model}")
            require_files(version)
            path = self._ask(lambda: self.store.client.download_artifacts(version.run_id, FOLDER, to))
            shutil.copytree(path, folder)

    def _ask(self, request: Callable[[], T]) -> T:
        return self.store.patiently(request)

    def _require_registered(self) -> None:
        from mlflow.exceptions import MlflowException

        def register() -> None:
            try:
                self.store.client.create_registered_model(self.name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise

        if not self._ask(self._is_registered):
            self._ask(register)

    def _is_registered(self) -> bool:
        return bool(self.store.client.search_registered_models(f"name = '{self.name}'"))

    def _version(self, model: str) -> Any:
        return self._ask(lambda: self._find_version(model))

    def _find_version(self, model: str) -> Any:
        """Return the version of a model of the history, None if it is not registered; of two the earlier one."""
        versions = self.store.client.search_model_versions(f"name = '{self.name}'")
        of_model = [version for version in versions if version.tags.get(MODEL) == model]
        return min(of_model, key=lambda version: int(version.version), default=None)

    def _finished_run(self, model: str) -> Any:
        """Return the run of a model whose version was not registered any more, None if there is none."""
        condition = f"tags.`{MODEL}` = '{model}' AND attributes.status = 'FINISHED'"
        runs = self._ask(lambda: self.store.client.search_runs([self.store.experiment], condition, max_results=1))
        return runs[0] if runs else None

    def _log(self, entry: Mapping[str, Any]) -> Any:
        """Log one run, or complete the one that an earlier attempt has begun; one that fails is closed as FAILED."""
        store, at = self.store, int(datetime.fromisoformat(entry["at"]).timestamp() * 1000)
        tags = {MODEL: entry["model"], **_short(entry["tags"]), **processes.this_process()}
        store.reopen(f"{self.name}/{entry['model']}/{_digest(entry)}")
        self._ask(lambda: store.create_run(PARENT, entry["title"], tags, at))
        try:
            points = [[key, value, at, 0] for key, value in entry["metrics"].items()]
            self._ask(lambda: store.log_batch(PARENT, points, entry["params"]))
            self._ask(lambda: store.log_file(PARENT, str(entry["folder"]), FOLDER))
            for file in entry.get("files", ()):
                self._ask(lambda file=file: store.log_file(PARENT, str(file), None))  # type: ignore[misc]
        except BaseException:
            store.be_brief()
            with suppress(Exception):
                self._ask(lambda: store.end_run(PARENT, "FAILED", at))
            raise
        self._ask(lambda: store.end_run(PARENT, "FINISHED", at))
        return self._ask(lambda: store.client.get_run(store.ids[PARENT]))


def require_files(version: Any) -> None:
    """Raise InputError if the files of a version belong on this machine and are not there.

    Args:
        version: MLflow's `ModelVersion`.
    """
    place = urlsplit(version.source)
    if place.scheme == "file" and not (folder := Path(unquote(place.path))).is_dir():
        raise InputError(
            f"{folder}: there is no such folder, expected the files of version {version.version} of {version.name}: "
            "put the folder of artifacts back (`mlruns`, beside MLflow's database)"
        )


def _digest(entry: Mapping[str, Any]) -> str:
    """Return the same for attempts to log the same; a store takes no other value of a parameter in the same run."""
    text = json.dumps([entry["at"], entry["params"], entry["metrics"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _short(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value[:TAG_LENGTH] for key, value in tags.items()}
