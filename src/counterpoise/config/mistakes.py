"""The first mistake of a validation in one sentence: which key, what was found, and what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from counterpoise.bounds import types_of
from counterpoise.errors import LONGEST, one_line, shown, suggest

UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}
"""What pydantic calls a key that a model, or a dataclass, does not have."""
MISSING = {"missing", "missing_argument"}
"""What pydantic calls a key that is not there and has to be."""


def sentence_of(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the sentence on the first mistake in what was to become a model.

    Where a block misses a key and has another that it cannot have, the latter is most often the former, mistyped.
    """
    first, *others = error.errors(include_url=False)
    if first["type"] in MISSING:
        unknown = [other for other in others if other["type"] in UNKNOWN and other["loc"][:-1] == first["loc"][:-1]]
        first = next(iter(unknown), first)
    location = [str(part) for part in first["loc"]]
    key = one_line(".".join(location), LONGEST)
    if first["type"] in UNKNOWN:
        parent = ".".join(location[:-1])
        inside = f" in {parent!r}" if parent else ""
        keys = _keys(model, location[:-1])
        return f"conf: unknown parameter {shown(location[-1])}{inside}{suggest(location[-1], keys)}"
    if first["type"] in MISSING:
        return f"conf: parameter {key!r} is missing"
    value = first["input"]
    content = f" is {shown(value)}" if isinstance(value, str | int | float | bool | list | tuple | None) else ""
    if first["type"] == "literal_error" and isinstance(value, str):
        options = [option.strip(" '") for option in str(first["ctx"]["expected"]).replace(" or ", ", ").split(",")]
        return f"conf: parameter {key!r}{content}{suggest(value, options)}"
    reason = one_line(first["msg"].removeprefix("Value error, "))
    return f"conf: parameter {key!r}{content}: {reason[0].lower()}{reason[1:]}"


def _keys(model: type[BaseModel], location: list[str]) -> list[str]:
    """Return the keys that the block at a location may have, in any of its forms."""
    blocks: list[Any] = [model]
    for part in location:
        # Where a block has no such key, the part is a name within a mapping of blocks.
        blocks = [inner for block in blocks for inner in _blocks(_fields(block).get(part, block))]
    return [name for block in blocks for name in _fields(block)]


def _blocks(annotation: Any) -> list[Any]:
    """Return the blocks that a type is made of: itself, or those that it may be or hold."""
    return [annotation] if _fields(annotation) else [b for inner in get_args(annotation) for b in _blocks(inner)]


def _fields(block: Any) -> Mapping[str, Any]:
    """Return the types of a block's keys; none of what is no block."""
    if isinstance(block, type) and issubclass(block, BaseModel):
        further: Mapping[str, Any] = getattr(block, "further_blocks", dict)()
        return {name: field.annotation for name, field in block.model_fields.items()} | dict(further)
    return types_of(block) if isinstance(block, type) and is_dataclass(block) else {}
