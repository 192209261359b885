"""Parameters of what an experiment is held against: claims to test, and published numbers to print beside ours."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from counterpoise.config.data import Settings
from counterpoise.errors import suggest


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

    An experiment of several `parts` is held against its claims and published numbers part by part: each is one for
    every part, or for those that it lists under `for`. Its variants are then the part's, its sentence begins with the
    part's name, and `{part}` in a setting stands for it. A claim whose variants say of which part they are
    (`{variant: part/method}`) compares parts, and is one.
    """

    parts: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    published: tuple[Published, ...] = ()
    notes: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _part_by_part(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not value.get("parts"):
            return value
        parts: list[str] = value["parts"]
        each: dict[str, list[dict[str, Any]]] = {}
        for kind in ("claims", "published"):
            items = [item for item in value.get(kind, ()) if isinstance(item, dict)]
            for item in items:
                if unknown := [part for part in item.get("for", ()) if part not in parts]:
                    raise ValueError(f"{kind}: for is {unknown}{suggest(str(unknown[0]), parts)}")
            between = [item for item in items if _compares(item, parts)]
            within = [item for item in items if item not in between]
            each[kind] = [_of_part(item, part) for part in parts for item in within if part in item.get("for", parts)]
            each[kind] += between
        return value | each


def _compares(item: dict[str, Any], parts: list[str]) -> bool:
    """Whether a claim's variants name parts themselves."""
    sides = [item[name].get("variant", "") for name in ("left", "right") if isinstance(item.get(name), dict)]
    return any(str(side).startswith(f"{part}/") for side in sides for part in parts)


def _of_part(item: dict[str, Any], part: str) -> dict[str, Any]:
    """Return a claim or a published number as that of a part."""
    own = {name: value for name, value in item.items() if name != "for"}
    for name in ("left", "right"):
        if name in own:
            own[name] = _of_part(own[name], part)
    if "variant" in own:
        own["variant"] = f"{part}/{own['variant']}"
    if "claim" in own:
        own["claim"] = f"{part[:1].upper()}{part[1:]}: {own['claim']}"
    if "setting" in own:
        own["setting"] = own["setting"].replace("{part}", part)
    return own
