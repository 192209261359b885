"""How one block of parameters is laid over another, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KIND = "kind"
"""The key that says which of several dataclasses a setting is."""


def merged(block: Any, changes: Any) -> Any:
    """Return a block in which changes replace what they name, at any depth; a setting of another kind is replaced."""
    if not isinstance(block, Mapping) or not isinstance(changes, Mapping) or _is_another_kind(block, changes):
        return changes
    return {**block, **{key: merged(block.get(key), value) for key, value in changes.items()}}


def _is_another_kind(block: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    return KIND in changes and KIND in block and changes[KIND] != block[KIND]
