"""Every key that conf/ may hold, as one page: written from the classes that check it, so that it cannot fall behind.

python -m counterpoise.config.reference > docs/reference.md
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from inspect import cleandoc
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, RootModel

from counterpoise.config.parameters import Parameters
from counterpoise.config.repairs import Repairs, block_classes
from counterpoise.experiments import BLOCKS

ANY_NAME = "<name>"

_SIGNS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}
_WORDS: Mapping[Any, str] = {bool: "`true`, `false`", int: "a whole number", float: "a number", str: "a text"}
_LIMITS = {Ge: "ge", Gt: "gt", Le: "le", Lt: "lt"}

COMMON = {
    "alphas": "α: how strongly the groups are neutralized",
    "architecture": "which of them",
    "batch_size": "rows of a step",
    "claim": "the sentence",
    "claimed": "what it says of the left side beside the right one",
    "constraint": "whose gap is penalised: `dp` demographic parity, `eo` equalized odds",
    "constraints": "whose gaps are penalised: `dp` demographic parity, `eo` equalized odds",
    "critic_lr": "learning rate of what reads the group",
    "dataset": "of the table",
    "end": "the last temperature",
    "epochs": "passes over the rows",
    "estimators": "what peers stand on",
    "factor": "from one epoch to the next",
    "feature_fraction": "share of the features that each tree may use",
    "first": "the first temperature",
    "fused": "one kernel for the step; see docs/architecture.md",
    "kernel": "edge of the filters",
    "kind": "which of them",
    "lambda_l2": "L2 penalty of leaf values",
    "learning_rate": "of the boosting",
    "leaves": "of a tree; several are tried on validation rows",
    "left": "settings of the variants on the left",
    "lr": "learning rate",
    "max_iter": "iterations",
    "method": "in the published table",
    "methods": "which are run, by their names in the catalogue",
    "metric": "of the contract",
    "min_data_in_leaf": "rows of a leaf, at least",
    "mlflow": "the folder of the model",
    "model": "in the published table",
    "module": "`package.module:function`",
    "momentum": "of stochastic gradient descent",
    "name": "which of them",
    "neutralizers": "how the groups' importances become one",
    "notes": "sentences that the report ends with",
    "num_leaves": "leaves of a tree, at most",
    "paper": "in the published table",
    "parts": "of the experiment, where it has several",
    "patience": "how many that do no better are waited for",
    "pooled": "whether features are averaged over the image",
    "program": "the file",
    "ranks": "of the factors",
    "right": "settings of the variants on the right",
    "rounds": "trees, at most",
    "schedule": "of the learning rate",
    "scheme": "which of them",
    "setting": "in the published table",
    "sklearn": "the file",
    "strength": "λ, of the penalty",
    "strengths": "λ, of the penalties",
    "strides": "of each layer",
    "table": "in the published table",
    "temperature": "the temperature",
    "title": "the question, in reports",
    "tolerances": "what is asked for",
    "trees": "the file",
    "variant": "ours",
    "view": "the figure that shows its parts side by side",
    "warmup": "share of the steps in which the learning rate rises",
    "weight": "of the penalty",
    "weight_decay": "L2 penalty",
    "weights": "of a pretrained network",
    "width": "units of a hidden layer, or filters of the first one",
    "widths": "units or filters of each hidden layer",
}
"""What keys mean that mean the same wherever they stand; a class's own docstring comes first."""

_INTRODUCTION = """\
# All keys

Every key that `conf/**/parameters*.yml` may hold, written from the classes that check them
(`python -m counterpoise.config.reference`). Defaults are those of the classes; `conf/base` may say otherwise.
[Configuration](configuration.md) says how files and environments go together, [Your own data](own-data.md) which keys
one usually changes. `<name>` is a name of your choice, under which an experiment's row finds the block.
"""


@dataclass(frozen=True)
class Key:
    """One key: its name, what it takes, its default as YAML would have it (None if there is none), its meaning."""

    name: str
    takes: str
    default: str | None
    meaning: str


@dataclass(frozen=True)
class Block:
    """Keys of one class, and the class's own first sentence."""

    path: str
    summary: str
    keys: tuple[Key, ...]


def blocks() -> list[Block]:
    """Return the blocks in the order of `Parameters`, nested ones after what holds them."""
    seen: dict[Any, str] = {}
    top = "What every experiment reads, and the names of all other blocks."
    every = list(_blocks("", Parameters, seen, top))
    for name, kind in sorted(block_classes().items()):
        if vars(kind).get("block") == name:  # a block of a method's own name takes the same keys as its class's
            every += _blocks(f"repairs.{ANY_NAME}.{name}", kind, seen)
    return every


def page() -> str:
    """Return the page in Markdown."""
    parts = [_INTRODUCTION]
    rows = {path: kind for kind, path in BLOCKS.items()}
    for block in blocks():
        head = block.path.split(".")[0]
        is_choice = head in rows and block.path.count(".") == 1
        chosen = f" An experiment's row chooses it as `{rows[head]}`." if is_choice else ""
        parts.append(f"\n## {f'`{block.path}`' if block.path else 'At the top'}\n\n{block.summary}{chosen}\n")
        if block.keys:
            parts.append("| key | takes | default | meaning |\n|---|---|---|---|")
        for key in block.keys:
            default = "" if key.default is None else f"`{key.default}`"
            parts.append(f"| `{key.name}` | {_cell(key.takes)} | {_cell(default)} | {_cell(key.meaning)} |")
    return "\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _blocks(path: str, kind: Any, seen: dict[Any, str], summary: str | None = None) -> Iterator[Block]:
    """Yield the block of a class and those within it; a class that was seen before is only referred to."""
    if kind in seen:
        yield Block(path, f"As `{seen[kind]}`.", ())
        return
    seen[kind] = path
    first, meanings = _documented(kind)
    keys, nested = [], []
    for name, hint, default in _fields(kind):
        inner = list(_classes(hint))
        place = f"{path}.{name}" if path else name
        meaning = meanings.get(name) or _row_meaning(path, name) or COMMON.get(name, "")
        keys.append(Key(name, _takes(hint), default, meaning or ("below" if inner else "")))
        several = len(inner) > 1
        nested += [
            ((f"{place}.{ANY_NAME}" if by_name else place) + (_kind_of(one) if several else ""), one)
            for one, by_name in inner
        ]
    yield Block(path, summary or first, tuple(keys))
    for place, one in nested:
        if "parts." not in place:  # the same blocks once more
            yield from _blocks(place, one, seen)


def _row_meaning(path: str, name: str) -> str:
    """Return what a key of an experiment's row chooses."""
    return f"the name of a block of `{BLOCKS[name]}`" if path.startswith("experiments") and name in BLOCKS else ""


def _kind_of(kind: Any) -> str:
    """Return what tells a block from others that may stand in its place: ` (scheme: aligned)`."""
    for name, hint, _ in _fields(kind):
        if get_origin(hint) is Literal:
            return f" ({name}: {', '.join(map(_written, get_args(hint)))})"
    return next((f" (with {name})" for name, _, default in _fields(kind) if default is None), "")


def _fields(kind: Any) -> Iterator[tuple[str, Any, str | None]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            hint = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
            required = field.is_required()
            yield name, hint, None if required else _written(field.get_default(call_default_factory=True))
        return
    annotated = get_type_hints(kind, include_extras=True)
    for part in fields(kind):
        default = part.default if part.default is not MISSING else part.default_factory
        if default is not MISSING and callable(default):
            default = default()
        yield part.name, annotated[part.name], None if default is MISSING else _written(default)


def _classes(hint: Any, *, by_name: bool = False) -> Iterator[tuple[Any, bool]]:
    """Yield the classes of settings within a type, and whether each stands under a name of the user's."""
    if isinstance(hint, type) and not get_args(hint):
        if is_dataclass(hint) or (issubclass(hint, BaseModel) and not issubclass(hint, RootModel)):
            yield hint, by_name
        return
    origin = get_origin(hint)
    for place, inner in enumerate(get_args(hint)):
        if origin is Annotated and place:
            return
        if origin is Literal:
            return
        yield from _classes(inner, by_name=by_name or (isinstance(origin, type) and issubclass(origin, Mapping)))


def _takes(hint: Any) -> str:
    """Return in words what a key takes."""
    if isinstance(hint, TypeVar):
        return "a value"
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = " and ".join(text for one in arguments[1:] for text in _bounds(one))
        return _takes(arguments[0]) + (f" {bounds}" if bounds else "")
    if origin is Literal:
        return ", ".join(f"`{_written(value)}`" for value in arguments)
    if origin in (Union, types.UnionType):
        plain = {str, int, float, bool} <= set(arguments)
        rest = [one for one in arguments if not plain or one not in (str, int, float, bool)]
        return " or ".join(dict.fromkeys([*(["a value"] if plain else []), *map(_takes, rest)]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"blocks by name: {_takes(arguments[1])}"
    if origin in (list, tuple, set, frozenset, Sequence):
        inner = dict.fromkeys(_takes(one) for one in arguments if one is not ...)
        return f"a list: {', '.join(inner)}"
    if hint in (None, type(None)):
        return "null"
    if isinstance(hint, type):
        if issubclass(hint, Repairs) or is_dataclass(hint) or issubclass(hint, BaseModel):
            return "a number or a list" if issubclass(hint, RootModel) else "a block"
        return _WORDS.get(hint, hint.__name__)
    return "a value"


def _bounds(one: Any) -> Iterator[str]:
    if isinstance(one, MinLen):
        yield f"(at least {one.min_length})"
    for kind, name in _LIMITS.items():
        if isinstance(one, kind):
            yield f"{_SIGNS[kind]} {_number(getattr(one, name))}"
    for inner in getattr(one, "metadata", ()):  # pydantic's Field
        yield from _bounds(inner)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _written(value: Any) -> str:
    if is_dataclass(value) or isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, tuple | list | frozenset):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_written(inner)}" for key, inner in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _documented(kind: Any) -> tuple[str, dict[str, str]]:
    """Return the first paragraph of a class's docstring, and what it says of each field: `name: …`, `a, b: …`."""
    names = {name for name, _, _ in _fields(kind)}
    meanings: dict[str, str] = {}
    docstring = next((one.__doc__ for one in kind.__mro__ if one.__doc__ and one is not object), "")
    text = cleandoc(docstring if not docstring.startswith(f"{kind.__name__}(") else "")
    for base in reversed(kind.__mro__[:-1]):
        inherited = cleandoc(base.__doc__ or "")
        flat = re.sub(r"\s+", " ", inherited)
        marks = [
            (match.start(), match.end(), [name.strip() for name in match.group(1).split(",")])
            for match in re.finditer(r"(?:(?<=^)|(?<=[.:;)] ))([a-zA-Z_]\w*(?:, [a-zA-Z_]\w*)*): ", flat)
        ]
        marks = [mark for mark in marks if set(mark[2]) <= names]
        for (_, end, mentioned), following in zip(marks, [*marks[1:], None], strict=bool(marks)):
            said = flat[end : following[0] if following else len(flat)].strip()
            said = re.split(r" (?:Raises|Returns|Attributes|Args): ", said)[0].strip()
            meanings |= dict.fromkeys(mentioned, said)
    return re.sub(r"\s+", " ", text.split("\n\n")[0]).strip(), meanings


if __name__ == "__main__":
    print(page(), end="")
