"""Parameters of what an experiment is held against: claims to test, and published numbers to print beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Literal

from pydantic import Field, model_validator

from counterpoise.config.data import Settings
from counterpoise.errors import shown, suggest

Bindings = dict[str, tuple[Any, Any]]
"""What a name in braces stands for: a value, and the word for it in sentences."""


class Claim(Settings):
    """A sentence of a paper that can be tested: on `metric`, `left` is `claimed` than `right`."""

    claim: str
    metric: str
    left: dict[str, Any]
    right: dict[str, Any]
    claimed: Literal["lower", "higher", "equal"]


class Published(Settings):
    """Where a variant's published numbers stand in the table of reported results.

    metrics: our name of a metric → the paper's, where it has another: `mean_bias: bias`.
    """

    variant: str
    paper: str
    table: str
    method: str
    setting: str = ""
    dataset: str | None = None
    model: str | None = None
    metrics: dict[str, str] = Field(default={})


class Evidence(Settings):
    """What an experiment is held against: claims to test, numbers to print beside the measured ones, remarks.

    What differs only in a metric, a rank or a name is written once: `each: {rank: [1, 8]}` makes one claim or published
    number for each value, the last name varies fastest, and `{rank}` stands for the value in all texts. Values with
    words for them, `{metric: {err: error}}`, are called so in sentences. `of` lists several that vary together.

    An experiment of several `parts` is held against its claims and published numbers part by part: each is one for
    every part, or for those that it lists under `for`. Its variants are then the part's, its sentence begins with the
    part's name, and `{part}` stands for it. Parts may be a mapping to an `each` of their own. A claim whose variants
    say of which part they are (`{variant: part/method}`) compares parts, and is one.
    """

    parts: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    published: tuple[Published, ...] = ()
    notes: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _multiply_out(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        shared = value.get("each", {})
        parts = value.get("parts") or {}
        parts = parts if isinstance(parts, Mapping) else {part: {} for part in parts}
        items = {kind: list(value.get(kind, ())) for kind in ("claims", "published")}
        for kind, listed in items.items():
            for item in filter(_is_block, listed):
                if unknown := [part for part in item.get("for", ()) if part not in parts]:
                    raise ValueError(f"{kind}: for is {unknown}{suggest(str(unknown[0]), parts)}")
            together = [item for item in listed if not parts or _compares(item, parts)]
            by_part = [item for item in listed if item not in together]
            items[kind] = [
                _of_part(single, part)
                for part, varied in parts.items()
                for item in by_part
                if part in item.get("for", parts)
                for single in _multiplied(
                    {"each": shared, "of": [{"each": varied, "of": [item]}]}, {"part": (part, part)}
                )
            ]
            items[kind] += _multiplied({"each": shared, "of": together}, {})
        return {key: item for key, item in value.items() if key != "each"} | items | {"parts": list(parts)}


def _is_block(item: Any) -> bool:
    return isinstance(item, Mapping)


def _compares(item: Any, parts: Mapping[str, Any]) -> bool:
    """Whether a claim's variants name parts themselves; what is no block is for pydantic to refuse."""
    if not _is_block(item):
        return True
    sides = [item[name].get("variant", "") for name in ("left", "right") if _is_block(item.get(name))]
    return any(str(side).startswith(f"{part}/") for side in sides for part in parts)


def _multiplied(item: Any, bindings: Bindings) -> Iterator[Any]:
    """Yield a claim or published number for every combination of the values under `each`."""
    if not _is_block(item):
        yield item
        return
    each = item.get("each", {})
    choices = []
    for name, values in each.items() if _is_block(each) else [("", each)]:
        if not name or not isinstance(values, list | Mapping):
            raise ValueError(f"each has {shown(values)}, expected names with a list of values: {{rank: [1, 2]}}")
        choices.append(list(values.items() if isinstance(values, Mapping) else zip(values, values, strict=True)))
    for combination in product(*choices):
        bound = bindings | dict(zip(each, combination, strict=True))
        if "of" in item:
            for inner in item["of"]:
                yield from _multiplied(inner, bound)
        else:
            yield {key: _filled(value, bound, key) for key, value in item.items() if key not in {"each", "for"}}


def _filled(value: Any, bindings: Bindings, key: str) -> Any:
    """Return a value in which every name in braces is replaced: by its word in the sentence of a claim."""
    if _is_block(value):
        return {inner: _filled(text, bindings, inner) for inner, text in value.items()}
    if not isinstance(value, str):
        return value
    for name, (bound, word) in bindings.items():
        if value == f"{{{name}}}":
            return bound  # a number stays one
        value = value.replace(f"{{{name}}}", str(word if key == "claim" else bound))
    return value


def _of_part(item: Any, part: str) -> Any:
    """Return a claim or a published number as that of a part."""
    if not _is_block(item):
        return item
    renamed = dict(item)
    for name in ("left", "right"):
        if name in renamed:
            renamed[name] = _of_part(renamed[name], part)
    if "variant" in renamed:
        renamed["variant"] = f"{part}/{renamed['variant']}"
    if "claim" in renamed:
        renamed["claim"] = f"{part[:1].upper()}{part[1:]}: {renamed['claim']}"
    return renamed
