"""Parts of experiments: the settings that a row overrides, merged over the experiment's blocks.

Kedro hands a node what stands at one path. So the block that a part reads is written out under
`parts.<experiment>.<key of the part>.<kind>`, after the environments and --params are merged: an override of the
experiment's block reaches all of its parts. The same path in a file or in --params overrides that of one part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from counterpoise.config.experiments import Place, every
from counterpoise.errors import InputError, shown, suggest
from counterpoise.experiments import BLOCKS, Experiment

KIND = "kind"
"""The key that says which of several dataclasses a setting is."""


def merged(block: Any, changes: Any) -> Any:
    """Return a block in which changes replace what they name, at any depth; a setting of another kind is replaced."""
    if not isinstance(block, Mapping) or not isinstance(changes, Mapping):
        return changes
    if KIND in changes and KIND in block and changes[KIND] != block[KIND]:
        return changes
    return {**block, **{key: merged(block.get(key), value) for key, value in changes.items()}}


def with_parts(parameters: dict[str, Any], place: Place = lambda _: "conf") -> dict[str, Any]:
    """Return the parameters and, under `parts`, the blocks that the parts of the experiments read.

    Args:
        place: where the value at a path is written, for sentences.

    Raises:
        InputError: a row of `experiments` is wrong; `parts` names an experiment, a part or a kind of block that no row
            overrides.
    """
    divided = {experiment.name: experiment for experiment in every(parameters, place) if _overrides(experiment)}
    written = _named(parameters.get("parts") or {}, "parts", divided)
    expanded: dict[str, dict[str, dict[str, Any]]] = {}
    for name, experiment in divided.items():
        path = f"parts.{name}"
        of_parts = _named(written.get(name, {}), path, [part.key for part in experiment.parts])
        for part in experiment.parts:
            changes = _named(of_parts.get(part.key, {}), f"{path}.{part.key}", part.overrides)
            for kind, settings in part.overrides.items():
                blocks = parameters.get(BLOCKS[kind])
                shared = blocks.get(getattr(experiment, kind)) if isinstance(blocks, Mapping) else None
                if isinstance(shared, Mapping):  # else the error is about the experiment's block
                    change = changes.get(kind, {})
                    _require_mapping(change, f"{path}.{part.key}.{kind}")
                    block = merged(merged(shared, settings), change)
                    expanded.setdefault(name, {}).setdefault(part.key, {})[kind] = block
    return parameters | {"parts": expanded} if expanded else parameters


def _overrides(experiment: Experiment) -> bool:
    return any(part.overrides for part in experiment.parts)


def _named(block: Any, path: str, names: Iterable[str]) -> dict[str, Any]:
    """Return a block with texts as keys, all of them among the names; YAML reads a part called 99 as a number."""
    _require_mapping(block, path)
    named: dict[str, Any] = {}
    for name, value in block.items():
        if str(name) not in names:
            raise InputError(f"conf: unknown parameter {shown(str(name))} in {path!r}{suggest(name, names)}")
        named = merged(named, {str(name): value})
    return named


def _require_mapping(block: Any, path: str) -> None:
    if not isinstance(block, Mapping):
        raise InputError(f"conf: parameter {path!r} is {shown(block)}, expected names with settings")
