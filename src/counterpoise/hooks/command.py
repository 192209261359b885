"""The command that starts a run, as a user would type it, from Kedro's description of the run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

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
