"""The lineage of one run, worked out from the graph before its nodes run, and what is said of it."""

from __future__ import annotations

import hashlib
import json
import platform
import threading
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kedro.framework.project import pipelines
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Node, Pipeline
from pydantic import TypeAdapter

import counterpoise
from counterpoise import atomic
from counterpoise.artifacts.artifact import Artifact
from counterpoise.artifacts.datasets import RawFolder, path_of
from counterpoise.artifacts.lineage import Origin, Record, Recorder, merged, source_digest
from counterpoise.config.parameters import Parameters
from counterpoise.errors import InputError
from counterpoise.experiments import Experiment
from counterpoise.features.files import contents_digest
from counterpoise.hooks.slices import Command
from counterpoise.pipelines.assemble import artifact, blocks

LIBRARIES = ("counterpoise", "kedro", "mlflow", "numpy", "pandas", "scikit-learn", "torch")
PARAMS = "params:"
RAW = "__raw"
"""How the names of folders of raw files end; other folders are caches, addressed by what they hold."""

STATUS = "status.js"
"""The file beside a report that says of which lineage the results in its folder are now."""


class Lineage:
    """The lineage of one run: of all its nodes, before they run.

    Args:
        commit: the commit of the project, see `preflight.git_commit`.
    """

    def __init__(
        self, parameters: Parameters, pipeline: Pipeline, catalog: DataCatalog, command: Command, commit: str
    ) -> None:
        self.parameters, self.pipeline, self.catalog, self.command = parameters, pipeline, catalog, command
        self.reader = threading.local()
        """The inputs of the node that loads at present; nodes may run side by side in threads."""
        self.run = {"command": str(command), "environment": command.environment, "git_commit": commit, **software()}
        self.artifacts = {
            name: dataset for name in sorted(pipeline.datasets()) if isinstance(dataset := _of(catalog, name), Artifact)
        }
        self._records: dict[str, tuple[int | None, Record | None]] = {}
        self._raw: dict[str, str | None] = {}
        self.recorder = Recorder(
            run=self.run,
            values=self.value,
            raw=self.raw,
            record_of=self.record_of,
            origins=self.origins,
            inputs={output: self._artifacts_read_by(node) for node in pipeline.nodes for output in node.outputs},
            remedy=self.remedy,
        )
        for name, dataset in self.artifacts.items():
            dataset.follow(name, self.recorder)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to take part in the run: Kedro sends it with each node."""
        return self.__dict__ | {"reader": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.reader = threading.local()

    @cached_property
    def origins(self) -> dict[str, Origin]:
        """What each output of the run's nodes is made from."""
        origins: dict[str, Origin] = {}
        for node in self.pipeline.nodes:  # in order
            before = [origin for name in node.inputs if (origin := origins.get(name) or self.record_of(name))]
            parameters, raw = merged(before)
            blocks_read = [name.removeprefix(PARAMS) for name in node.inputs if name.startswith(PARAMS)]
            parameters |= {path: self.value(path) for path in blocks_read}
            raw |= {name: digest for name in node.inputs if name.endswith(RAW) and (digest := self.raw(name))}
            origins |= {output: Origin(node.name, parameters, raw) for output in node.outputs}
        return origins

    def _artifacts_read_by(self, node: Node) -> tuple[str, ...]:
        return tuple(name for name in dict.fromkeys(node.inputs) if name in self.artifacts)

    def value(self, path: str) -> Any:
        """Return a block of the parameters as plain JSON values; raises KeyError if there is none at `path`."""
        return _PLAIN.dump_python(self.parameters.at(path), mode="json")

    def raw(self, name: str) -> str | None:
        """Return the digest of what a folder of raw files holds, None if it is not there."""
        if name not in self._raw:
            dataset = _of(self.catalog, name)
            self._raw[name] = dataset.identity(self._contents) if isinstance(dataset, RawFolder) else None
        return self._raw[name]

    def _contents(self, folder: Path) -> str:
        names = sorted(
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        )
        index = path_of(self.catalog.get("feature_cache"))
        assert index is not None  # a RawFolder is local
        return contents_digest(folder, names, index)

    def record_of(self, name: str) -> Record | None:
        """Return the record of an artifact as it lies on disk, None if there is none."""
        dataset = self.artifacts.get(name) or _of(self.catalog, name)
        if not isinstance(dataset, Artifact):
            return None
        try:
            written = dataset.recorded_at()
            if written is None or self._records.get(name, (None, None))[0] != written:
                self._records[name] = (written, dataset.record())
        except DatasetError:  # a versioned one of which there is no version yet
            return None
        return self._records[name][1]

    def _readable_record(self, name: str) -> Record | None:
        """Return the record of an artifact that this run may replace; one that is damaged is as good as none."""
        try:
            return self.record_of(name)
        except InputError:
            return None

    def require_inputs(self) -> None:
        """Raise InputError unless what earlier runs have left was made as this run would make it.

        What is not there is not for the lineage to say: see `counterpoise.hooks.slices`.
        """
        for name in sorted(self.pipeline.inputs() & self.artifacts.keys()):
            if self.artifacts[name].is_there():
                self.artifacts[name].verify()

    def remedy(self, name: str, cause: str | None) -> str:
        """Return the command that makes an artifact anew.

        Args:
            cause: the block of parameters or the raw files that changed, whose readers are the first nodes to run;
                None for the node that makes the artifact.
        """
        graph = self._graph
        stale = {name} | (self.pipeline.inputs() if cause else set())  # others may be stale for the same cause
        outputs = sorted(stale & graph.all_outputs())
        ancestors = graph.to_outputs(*outputs) if outputs else Pipeline([])
        wanted = {f"{PARAMS}{cause}", cause}
        readers = [node for node in ancestors.nodes if wanted & set(node.inputs)] if cause else []
        first = readers or [node for node in ancestors.nodes if name in node.outputs]
        after: set[str] = set()
        chosen = []
        for node in first:  # what runs after another of them runs anyway
            if node.name not in after:
                chosen.append(node.name)
                after |= {other.name for other in graph.from_nodes(node.name).nodes}
        everything = {node.name for node in graph.nodes} <= after
        return self.command.from_nodes([] if everything else chosen)

    @cached_property
    def _graph(self) -> Pipeline:
        """All nodes of the pipelines that are run in part."""
        try:
            return sum((pipelines[name] for name in self.command.names), Pipeline([]))
        except KeyError:  # a pipeline that is run without being registered
            return self.pipeline

    def settings(self, experiment: Experiment) -> dict[str, Any]:
        """Return the parameters that an experiment's artifacts were made with, under the names its stages use."""
        origins: list[Origin] = [origin for name, origin in self.origins.items() if name in self.artifacts]
        origins += [record for name in self.pipeline.inputs() if (record := self.record_of(name))]
        parameters, _ = merged(origins)
        return blocks(parameters, experiment)

    def described(self) -> dict[str, Any]:
        """Return what a report says of where its numbers come from, for the node that loads at present."""
        names = getattr(self.reader, "inputs", None) or self.pipeline.inputs()
        records = {
            name: record
            for name in names
            if name in self.artifacts and (record := self.recorder.records.get(name) or self.record_of(name))
        }
        runs = list(_distinct(run for record in records.values() for run in record.runs if run != self.run))
        runs.append(self.run)
        seeds = [record.parameters["seeds"] for record in records.values() if "seeds" in record.parameters]
        return {
            "git_commit": _joined(run["git_commit"] for run in runs),
            "environment": _joined(run["environment"] for run in runs),
            "seeds": seeds[0] if seeds else self.value("seeds"),
            "command": str(self.command),
            "commands": list(_distinct(run["command"] for run in runs)),
            "partial": self.command.partial or len(runs) > 1,
            "run_id": self.run_id,
            "code": _joined(run["code"][:_SHORT] for run in runs),
            "versions": {
                name: _joined(run["versions"][name] for run in runs if name in run["versions"])
                for name in self.run["versions"]
            },
            "artifacts": {name: record.digest for name, record in sorted(records.items())},
        }

    @cached_property
    def run_id(self) -> str:
        """The same for runs of the same command, code, parameters and raw data; other runs have another."""
        parameters, raw = merged(self.origins.values())
        text = json.dumps([self.run, parameters, raw], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_SHORT]

    def announce(self, name: str) -> None:
        """Write the status file beside an experiment's report before one of the files there changes."""
        dataset = self.artifacts.get(name)
        report = path_of(_of(self.catalog, artifact(name.partition("__")[0], "report_html")))
        path = path_of(dataset)
        if dataset is None or report is None or path is None or report.parent not in path.parents:
            return
        status = {
            other: record.digest
            for other, beside in self.artifacts.items()
            if (place := path_of(beside)) is not None
            and report.parent in place.parents
            and (record := self.recorder.records.get(other) or self._readable_record(other)) is not None
        }
        if (draft := self.recorder.draft(name)) is not None:
            status[name] = draft.digest
        text = f"window.counterpoiseStatus = {json.dumps(status, sort_keys=True)};\n"
        atomic.write_bytes(report.with_name(STATUS), text.encode())


@cache
def software() -> dict[str, Any]:
    """Return the digest of this package's source and the versions of what it stands on; a process runs one of each."""
    versions = {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
    return {"code": source_digest(Path(counterpoise.__file__).parent), "versions": versions}


def _of(catalog: DataCatalog, name: str) -> Any:
    """Return the dataset of that name, None if the catalog has no entry or pattern for it."""
    return None if name.startswith(PARAMS) or name == "parameters" else catalog.get(name)


def _distinct(items: Iterable[Any]) -> Iterator[Any]:
    seen: list[Any] = []
    for item in items:
        if item not in seen:
            seen.append(item)
            yield item


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(_distinct(texts))


_PLAIN: TypeAdapter[Any] = TypeAdapter(Any)
_SHORT = 12  # hexadecimal digits of a digest that a reader sees
