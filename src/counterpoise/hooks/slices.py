"""The command that starts a run, and which nodes it runs: pipelines, options that choose among nodes, what these read.

Kedro would say what is wrong in one later, in errors of its code.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.pipeline import CircularDependencyError, ConfirmNotUniqueError, OutputNotUniqueError

from counterpoise.artifacts.artifact import Artifact
from counterpoise.artifacts.datasets import path_of
from counterpoise.errors import InputError, one_line, shown, suggest
from counterpoise.registered import declared_by
from counterpoise.tracking import flat

SLICES = {
    "tags": "--tags",
    "from_nodes": "--from-nodes",
    "to_nodes": "--to-nodes",
    "node_names": "--nodes",
    "from_inputs": "--from-inputs",
    "to_outputs": "--to-outputs",
    "namespaces": "--namespaces",
}
"""What makes a run a partial one: its name in Kedro's description of a run, and on the command line."""


class Command:
    """The command that starts a run, as a user would type it.

    Args:
        run_params: Kedro's description of the run.
        environment: `base` for none.
        experiments: what it runs where no pipeline is named.
        conf_source: where the configuration is, unless it is the project's own `conf`.
    """

    def __init__(
        self,
        run_params: Mapping[str, Any],
        environment: str,
        experiments: Iterable[str],
        conf_source: str | None = None,
    ) -> None:
        self.names = list(run_params.get("pipeline_names") or []) or list(experiments)
        self.environment, self.conf_source = environment, conf_source
        self.overrides = dict(run_params.get("runtime_params") or {})
        self.missing_only = bool(run_params.get("only_missing_outputs"))
        self.versions = dict(run_params.get("load_versions") or {})
        self.slices = {name: list(run_params.get(name) or []) for name in SLICES}
        runner = re.findall(r"\w*Runner", str(run_params.get("runner") or ""))
        self.runner = runner[-1] if runner else "SequentialRunner"

    @property
    def partial(self) -> bool:
        """Whether the run may leave out nodes of its pipelines."""
        return self.missing_only or any(self.slices.values())

    def complete(self) -> list[str]:
        """Return the words of a run of all nodes with the same parameters."""
        words = ["kedro", "run"]
        if self.environment not in {"base", "local"}:
            words.append(f"--env={self.environment}")
        if self.conf_source is not None:
            words.append(f"--conf-source={self.conf_source}")
        if self.names:
            words.append(f"--pipelines={','.join(self.names)}")
        if params := ",".join(f"{key}={_written(value)}" for key, value in flat(self.overrides)):
            words.append(f"--params={params}")
        return words

    def from_nodes(self, nodes: Iterable[str]) -> str:
        """Return the command that runs these nodes and all after them."""
        chosen = ",".join(nodes)
        return shlex.join([*self.complete(), *([f"--from-nodes={chosen}"] if chosen else [])])

    def __str__(self) -> str:
        words = self.complete()
        words += [f"{option}={','.join(self.slices[name])}" for name, option in SLICES.items() if self.slices[name]]
        if self.versions:
            words.append("--load-versions=" + ",".join(f"{name}:{of}" for name, of in self.versions.items()))
        if self.runner != "SequentialRunner":
            words.append(f"--runner={self.runner}")
        if self.missing_only and not self.overrides.get("reuse"):
            words.append("--only-missing-outputs")
        return shlex.join(words)


def _written(value: Any) -> str:
    """Return a value as it is given to --params."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


DEFAULT_NAME = "__default__"
"""Kedro's name of the pipeline that runs if none is named."""


def combined(names: Sequence[str]) -> Pipeline:
    """Return the registered pipelines of these names as one; the default for no name.

    Raises:
        InputError: there is no pipeline of a name, or several cannot run together.
    """
    pipelines.set_requested(list(names) or None)  # as Kedro's session does, so that they are put together once
    wanted = list(dict.fromkeys(names)) or [DEFAULT_NAME]
    for name in wanted:
        if name not in pipelines:
            pipelines.set_requested(None)
            raise InputError(f"there is no pipeline {shown(name)}{_elsewhere(name) or suggest(name, pipelines)}")
    _require_one_turn(wanted)
    parts = [pipelines[name] for name in wanted]
    try:
        return sum(parts, Pipeline([]))
    except (ValueError, OutputNotUniqueError, ConfirmNotUniqueError, CircularDependencyError) as error:
        counts = Counter(node.name for part in parts for node in part.nodes)
        twice = sorted(node for node, count in counts.items() if count > 1)
        further = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
        reason = f"they share the node {shown(twice[0])}{further}" if twice else one_line(str(error))
        raise InputError(
            f"the pipelines {', '.join(wanted)} cannot run together ({reason}), expected one for each run"
        ) from error


def _elsewhere(name: str) -> str | None:
    if (environment := declared_by(name)) is None:
        return None
    return f" in this environment (conf/{environment} declares it, for itself alone; what stands in conf/base all have)"


def _require_one_turn(names: Sequence[str]) -> None:
    """Raise InputError if one pipeline reads files that another one writes without Kedro's knowing of it."""
    from counterpoise.pipeline_registry import turn

    first, last = min(names, key=turn), max(names, key=turn)
    if turn(first) != turn(last):
        raise InputError(
            f"the pipelines {', '.join(names)} cannot run together ({last} reads what {first} writes), expected two "
            f"runs, {first} first"
        )


def chosen(pipeline: Pipeline, options: Mapping[str, Any]) -> Pipeline:
    """Return the part of a pipeline that the options of `kedro run` choose.

    Raises:
        InputError: an option names what the pipeline does not have, or no node is in all that they name.
    """
    nodes = [node.name for node in pipeline.nodes]
    artifacts = {name for name in pipeline.datasets() if not name.startswith(("params:", "parameters"))}
    datasets = sorted(artifacts | {name.partition("@")[0] for name in artifacts})  # @ reads it in another way
    candidates: dict[str, tuple[str, list[str]]] = {
        "node_names": ("node", nodes),
        "from_nodes": ("node", nodes),
        "to_nodes": ("node", nodes),
        "from_inputs": ("data set", datasets),
        "to_outputs": ("data set", datasets),
        "tags": ("tag", sorted({tag for node in pipeline.nodes for tag in node.tags})),
        "namespaces": ("namespace", _namespaces(pipeline)),
    }
    for option, (kind, names) in candidates.items():
        for name in options.get(option) or ():
            if name not in names and not (kind == "data set" and name in pipeline.datasets()):
                flag = "--nodes" if option == "node_names" else f"--{option.replace('_', '-')}"
                raise InputError(f"{flag}: the pipeline has no {kind} {shown(name)}{suggest(name, names)}")
    filters = {option: options.get(option) or None for option in candidates if option != "namespaces"}
    try:
        return pipeline.filter(**filters, node_namespaces=options.get("namespaces") or None)
    except ValueError as error:
        raise InputError("the options leave no node to run, expected at least one that all of them choose") from error


def _namespaces(pipeline: Pipeline) -> list[str]:
    """Return all namespaces, the outer ones of nested ones too."""
    namespaces = set()
    for node in pipeline.nodes:
        parts = node.namespace.split(".") if node.namespace else []
        namespaces |= {".".join(parts[: depth + 1]) for depth in range(len(parts))}
    return sorted(namespaces)


class Inputs:
    """Ends a run before its first node if it begins after a stage whose results are not there."""

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        if not run_params.get("only_missing_outputs"):  # of nodes that Kedro then leaves out nothing is read
            require_inputs(pipeline, catalog, run_params)


def require_inputs(pipeline: Pipeline, catalog: DataCatalog, run_params: Mapping[str, Any]) -> None:
    """Raise InputError for what `pipeline` reads, other nodes make, and no run has made yet."""
    names = run_params.get("pipeline_names") or [DEFAULT_NAME]
    inputs = sorted(name for name in pipeline.inputs() if not name.startswith("params:") and name != "parameters")
    missing = [name for name in inputs if not _is_there(catalog, name)]
    if not missing:
        return
    for owners in (names, list(pipelines)):
        makers = {
            output: (owner, node.name) for owner in owners for node in pipelines[owner].nodes for output in node.outputs
        }
        for name in missing:
            if name not in makers:
                continue
            owner, maker = makers[name]
            path = path_of(catalog.get(name))
            state = f"{path}: is not there yet" if path else f"{name}: is not kept in a file"
            wanted = [other for other in missing if makers.get(other, ("", ""))[0] == owner] if path else []
            command = _command(owner, wanted, run_params)
            raise InputError(f"{state}, expected what the node {maker!r} makes; run {command}")
    for name in missing:
        if name not in catalog:
            raise InputError(f"{shown(name)} is in no catalog file, and no pipeline makes it, expected an entry for it")


def _is_there(catalog: DataCatalog, name: str) -> bool:
    """Whether there is something to read, whatever made it: what must not be used is refused when it is read.

    `exists` of an artifact asks for more within a run, that this version of the code would make it.
    """
    dataset = catalog.get(name)
    return dataset.is_there() if isinstance(dataset, Artifact) else catalog.exists(name)


def _command(owner: str, outputs: Sequence[str], run_params: Mapping[str, Any]) -> str:
    """Return the command that makes these outputs of a pipeline, all of them if none is named."""
    described = {
        "pipeline_names": [owner] if owner != DEFAULT_NAME else [],
        "runtime_params": run_params.get("runtime_params"),
        "to_outputs": outputs,
    }
    return str(Command(described, run_params.get("env") or "base", []))
