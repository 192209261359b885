"""Parameters of repairs: which methods an experiment runs, and the settings of each.

A method's settings are the dataclass that its function declares (`counterpoise.methods`). It is read from the block
that the dataclass names, after the blocks of the dataclasses that it extends, and before one of the method's own name:
`adversarial: {epochs: 90}` is for all methods that fine-tune adversarially, `noise_graft: {epochs: 50}` for one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator
from pydantic_core import InitErrorDetails

from counterpoise.bounds import Bounded, types_of
from counterpoise.catalogue import Family, Method, methods_of
from counterpoise.config.data import Settings
from counterpoise.config.parts import KIND, merged
from counterpoise.errors import shown, suggest
from counterpoise.methods.repair import settings_class

FAMILIES: tuple[Family, ...] = ("weights", "gates")
"""Families of methods that are run on whole networks."""


class Repairs(Settings):
    """Methods, and beside them blocks of their settings; see `settings`.

    accept_vanilla: go on with a network that has learnt nothing but the bias.
    """

    model_config = ConfigDict(extra="allow")

    methods: tuple[str, ...] = Field(min_length=1)
    accept_vanilla: bool = False

    @model_validator(mode="before")
    @classmethod
    def _checked(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            check_blocks({key: block for key, block in value.items() if key not in cls.model_fields})
        return value

    @model_validator(mode="after")
    def _complete(self) -> Repairs:
        rows = methods_of(*FAMILIES)
        for name in self.methods:
            if name not in rows:
                raise ValueError(f"methods: {name!r} is unknown{suggest(name, rows)}")
            for other in rows[name].after:
                if other not in self.methods:
                    raise ValueError(f"methods: {name!r} comes after {other!r}, expected it among them")
        self.settings(None)
        return self

    def settings(self, epochs: int | None) -> dict[str, Any]:
        """Return the settings of each method by name; None of those that have none.

        Args:
            epochs: if given, stands in for all numbers of epochs.
        """
        rows = methods_of(*FAMILIES)
        return {name: self._of(rows[name], epochs) for name in self.methods}

    def _of(self, method: Method, epochs: int | None) -> Any:
        if (kind := settings_class(method)) is None:
            return None
        values = merged(self._values(kind), self._block(method.name))
        settings = _validated(kind, values)
        return settings if epochs is None else shortened(settings, epochs)

    @staticmethod
    def further_blocks() -> dict[str, type[Any]]:
        """Return the dataclass of each block of settings that may stand beside the methods."""
        return block_classes()

    @property
    def blocks(self) -> dict[str, Any]:
        """The blocks of settings as they stand in conf/."""
        return self.__pydantic_extra__ or {}

    def _block(self, name: str) -> Mapping[str, Any]:
        """Return a block of settings; an empty one changes nothing."""
        block: Mapping[str, Any] = self.blocks.get(name) or {}
        return block

    def _values(self, kind: Any) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for base in reversed(kind.__mro__):
            values = merged(values, self._block(vars(base).get("block", "")))
        for part in fields(kind):
            inner = types_of(kind)[part.name]
            if isinstance(inner, type) and issubclass(inner, Bounded):
                values[part.name] = merged(self._values(inner), values.get(part.name, {}))
        return values


def shortened(settings: Any, epochs: int) -> Any:
    """Return settings with another number of epochs, wherever they have one."""
    changes = {
        part.name: epochs if part.name == "epochs" else shortened(getattr(settings, part.name), epochs)
        for part in fields(settings)
        if part.name == "epochs" or is_dataclass(getattr(settings, part.name))
    }
    return replace(settings, **changes)


@cache
def block_classes() -> dict[str, Any]:
    """Return the dataclass of every block of settings that there may be: of each class, and of each method."""
    classes: dict[str, Any] = {}
    for method in methods_of(*FAMILIES).values():
        if (kind := settings_class(method)) is not None:
            classes |= dict(_blocks_within(kind)) | {method.name: kind}
    return classes | {name: kind for name, kind in classes.items() if vars(kind).get("block") == name}


def _blocks_within(kind: Any) -> Iterator[tuple[str, type[Any]]]:
    yield from ((vars(base)["block"], base) for base in kind.__mro__ if "block" in vars(base))
    for inner in types_of(kind).values():
        if isinstance(inner, type) and issubclass(inner, Bounded):
            yield from _blocks_within(inner)


@cache
def _model() -> type[BaseModel]:
    blocks: dict[str, Any] = {name: (kind, None) for name, kind in block_classes().items()}
    return create_model("Blocks", __base__=Settings, **blocks)


def check_blocks(blocks: Mapping[str, Any]) -> None:
    """Check blocks of settings, each by its dataclass.

    Raises:
        ValidationError: a key or value that a dataclass does not have; of a setting of several kinds, for the one that
            is chosen.
    """
    try:
        _model().model_validate({name: _with_kinds(name, block) for name, block in blocks.items()})
    except ValidationError as error:
        lines = [line for line in error.errors(include_url=False) if _is_chosen(line["loc"], blocks)]
        raise ValidationError.from_exception_data("settings", [_without_class(line) for line in lines]) from None


def _with_kinds(name: str, block: Any) -> Any:
    """Raise ValueError if a setting of several kinds names none of them."""
    if isinstance(block, Mapping) and name in block_classes():
        for key, kinds in _kinds(block_classes()[name]).items():
            setting = block.get(key)
            if isinstance(setting, Mapping) and (kind := setting.get(KIND)) is not None and kind not in kinds:
                raise ValueError(f"{name}.{key}.{KIND} is {shown(kind)}{suggest(str(kind), kinds)}")
    return block


@cache
def _kinds(settings: Any) -> dict[str, dict[str, Any]]:
    """Return, of each setting that may be of several dataclasses, these by kind; that of the default first."""
    kinds = {}
    for part in fields(settings):
        hint = types_of(settings)[part.name]
        options = get_args(hint) if get_origin(hint) is Union or type(hint).__name__ == "UnionType" else ()
        if options and all(is_dataclass(option) for option in options):
            default = part.default_factory() if callable(part.default_factory) else part.default
            ordered = sorted(options, key=lambda option: not isinstance(default, option))
            kinds[part.name] = {option.kind: option for option in ordered}
    return kinds


def _is_chosen(location: tuple[int | str, ...], blocks: Mapping[str, Any]) -> bool:
    if len(location) < 3:
        return True
    name, key, choice = (str(part) for part in location[:3])
    kinds = _kinds(block_classes()[name]).get(key)
    if kinds is None:
        return True
    setting = blocks[name][key]
    chosen = setting.get(KIND, next(iter(kinds))) if isinstance(setting, Mapping) else next(iter(kinds))
    return bool(kinds[chosen].__name__ == choice)


def _without_class(line: Any) -> InitErrorDetails:
    location = line["loc"]
    if len(location) > 2 and _kinds(block_classes()[str(location[0])]).get(str(location[1])) is not None:
        location = (*location[:2], *location[3:])
    return InitErrorDetails(type=line["type"], loc=location, input=line["input"], ctx=line.get("ctx", {}))


def _validated(kind: Any, values: Mapping[str, Any]) -> Any:
    chosen = dict(values)
    for key, kinds in _kinds(kind).items():
        if isinstance(setting := chosen.get(key), Mapping):
            chosen[key] = _validated(kinds[setting.get(KIND, next(iter(kinds)))], setting)
    try:
        wrapper: Any = _wrapper(kind)
        return wrapper.model_validate({"settings": chosen}).settings
    except ValidationError as error:  # each block is right, but not what they say together
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


@cache
def _wrapper(kind: Any) -> type[BaseModel]:
    return create_model("Block", __base__=Settings, settings=(kind, ...))
