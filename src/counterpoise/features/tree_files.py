"""Boosted trees that come trained: a model file is read, and its columns are looked up in an encoded table.

trees = read_trees_file(Path("data/01_raw/churn/churn.txt"))
sources = match_columns(trees, feature_names(samples), source="churn.txt")
text = onto(trees, sources, len(columns)).text()      # the same model, on the encoded table
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from counterpoise.errors import InputError, reason, shown
from counterpoise.nn.tree_text import Codes, Ensemble, Filled, Source, parse, with_leaves_of
from counterpoise.nn.xgboost_json import json_with_leaves_of, parse_json

ENCODED = "encoded"
"""Instead of names: the model's columns are those of the encoded table, in its order."""

UBJSON = re.compile(rb"\{[LliIU]")
"""How XGBoost's binary files begin: a mapping, then the length of its first key."""

LISTED = 5
"""How many columns a sentence names."""

LARGEST = 2**30
"""Bytes of a model file: a gibibyte, some ten million leaves."""

Value = str | bool | int | float


def read_trees_file(path: Path) -> Ensemble:
    """Read a model of boosted trees.

    Raises:
        InputError: there is no such file, it is no text, or no model of two classes (`nn.tree_text.parse`).
    """
    if not path.is_file():
        beside = sorted(file.name for file in path.parent.glob("*")) if path.parent.is_dir() else []
        raise InputError(f"{path}: no such file, expected a model of boosted trees (the folder has {beside or 'none'})")
    if (size := path.stat().st_size) > LARGEST:
        raise InputError(f"{path}: has {size:,} bytes, expected at most {LARGEST:,}")
    text = _text_of(path)
    return parse_json(text, str(path)) if _is_json(text) else parse(text, str(path))


def written_back(path: Path, model: Ensemble, repaired: Ensemble) -> str:
    """Return a file of trees with the leaf values of what `onto` made of its model, after a repair.

    It is in the form of the file: LightGBM's text, or XGBoost's JSON.
    """
    text = _text_of(path)
    return json_with_leaves_of(text, repaired) if _is_json(text) else with_leaves_of(model, repaired).text()


def _is_json(text: str) -> bool:
    return text.lstrip().startswith("{")


def _text_of(path: Path) -> str:
    """Return the text of a file of trees; of XGBoost's UBJSON its JSON, which XGBoost makes of it."""
    try:
        content = path.read_bytes()
        return _json_of(path) if UBJSON.match(content) else content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise InputError(
            f"{path}: is no text (a pickle?), expected what `save_model` of LightGBM or XGBoost (.json) writes"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)})") from None


def _json_of(path: Path) -> str:
    try:
        xgboost = importlib.import_module("xgboost")
    except ImportError:
        raise InputError(
            f"{path}: needs the package 'xgboost', expected it from `pip install counterpoise[xgboost]`, or the model "
            "saved as .json"
        ) from None
    try:
        return bytes(xgboost.Booster(model_file=str(path)).save_raw("json")).decode()
    except xgboost.core.XGBoostError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}), expected a model of XGBoost") from None


def match_columns(
    model: Ensemble,
    columns: Sequence[str],
    *,
    source: str,
    names: Sequence[str] | Literal["encoded"] = (),
    categories: Mapping[str, Sequence[Value]] | None = None,
    indicators: Mapping[str, str] | None = None,
    absent: Mapping[str, str] | None = None,
) -> list[Source | None]:
    """Find each column of a model in an encoded table.

    A name is taken as it stands, with spaces as underscores, and with `_` for the `=` of a category's column, as
    `pandas.get_dummies` writes it. A column of categories (pandas' own, or of codes) is found in the columns of its
    categories.

    Args:
        columns: of the table: numbers under their name, `name=category` for each category.
        source: what to call the model in a sentence.
        names: of the model's columns, in its order, where it does not know them; or "encoded".
        categories: of columns that the model sees as codes 0, 1, …: the categories in the order of their codes.
        indicators: of columns whose gaps the table fills: the column that says where.
        absent: columns that are no features of the table, and why.

    Returns:
        A source for each column of the model; None for one that no split asks for, and the table does not have.

    Raises:
        InputError: a column that splits ask for is not there, or has no codes.
    """
    if names == ENCODED:  # the indicators are columns of the model's, too
        if len(model.names) != len(columns):
            raise InputError(f"{source}: has {len(model.names)} columns, expected {len(columns)}, as the encoded table")
        return list(range(len(columns)))
    if names and len(names) != len(model.names):
        raise InputError(f"{source}: has {len(model.names)} columns, expected {len(names)}, as `columns` names")
    names = [_plain(name) for name in names or model.names]
    spellings = (
        str,
        _plain,
        lambda column: _plain(column).replace("=", "_", 1),
        lambda column: _plain(column).replace("=", "_"),
        lambda column: column.removesuffix("_feature"),
    )
    places: dict[str, int] = {}
    for spelling in spellings:  # a name as it stands comes before one that is only written alike
        for place, column in enumerate(columns):
            places.setdefault(spelling(column), place)
    flags = {_plain(name): places[flag] for name, flag in (indicators or {}).items() if flag in places}
    codes = _codes_of(model, names, categories or {}, source)
    sources: list[Source | None] = []
    missing = []
    for number, name in enumerate(names):
        encoded = {
            column[len(name) + 1 :]: place
            for place, column in enumerate(columns)
            if _plain(column).startswith(f"{name}=")
        }
        origin: int | Codes | None = None
        if encoded:
            origin = _coded(encoded, codes.get(number), source, name, used=number in model.split_on)
        elif name in places:
            origin = places[name]
            if number in model.categorical and number in model.split_on:
                raise InputError(
                    f"{source}: its column {shown(name)} is one of categories, and one of numbers in the table, "
                    "expected it in `categories` of the data set"
                )
        elif number in model.split_on:
            missing.append(name)
        sources.append(origin if origin is None or name not in flags else Filled(origin, flags[name]))
    if missing:
        raise InputError(_other_columns(source, missing, names, columns, absent or {}))
    return sources


def _codes_of(
    model: Ensemble, names: Sequence[str], categories: Mapping[str, Sequence[Value]], source: str
) -> dict[int, dict[str, int]]:
    """Return, of each column of codes that is described, the code of each category by its name."""
    listed = dict(zip(model.categorical, model.pandas_categorical, strict=False))
    if model.pandas_categorical and len(model.pandas_categorical) != len(model.categorical):
        listed = {}  # a column of categories was constant, and is not recognised
    described: dict[int, Sequence[object]] = dict(listed)
    for name, values in categories.items():
        if _plain(name) not in names:
            raise InputError(f"{source}: has no column {shown(name)}, which `categories` names")
        described[list(names).index(_plain(name))] = values
    return {number: {_name(value): code for code, value in enumerate(values)} for number, values in described.items()}


def _coded(
    categories: Mapping[str, int], codes: Mapping[str, int] | None, source: str, name: str, *, used: bool
) -> Codes:
    """Return where the codes of a column of categories are in a table."""
    if codes is None and set(categories) <= {"False", "True"}:
        codes = {"False": 0, "True": 1}
    if codes is None and all(re.fullmatch(r"\d+", category) for category in categories):
        codes = {category: int(category) for category in categories}
    if codes is None:
        if not used:
            return Codes()
        raise InputError(
            f"{source}: its column {shown(name)} is one of numbers or codes, and in the table one of the categories "
            f"{', '.join(list(categories)[:LISTED])}, expected their order in `categories: {{{name}: [...]}}` of the "
            "model"
        )
    if used and not set(categories) & set(codes):
        raise InputError(
            f"{source}: its column {shown(name)} has the categories {', '.join(list(codes)[:LISTED])}, expected those "
            f"of the table: {', '.join(list(categories)[:LISTED])}"
        )
    return Codes({codes[category]: place for category, place in categories.items() if category in codes})


def _other_columns(
    source: str, missing: Sequence[str], names: Sequence[str], columns: Sequence[str], absent: Mapping[str, str]
) -> str:
    listed = ", ".join(map(shown, missing[:LISTED])) + (" and others" if len(missing) > LISTED else "")
    why = [f"{shown(name)} is {absent[name]}" for name in missing if name in absent]
    if all(re.fullmatch(r"Column_\d+|f\d+|\d+", name) for name in names):
        why.append("it was trained without names: `columns` may give them in the model's order")
    there = ", ".join(columns[:LISTED]) + (f" and {len(columns) - LISTED} more" if len(columns) > LISTED else "")
    return (
        f"{source}: {len(missing)} of its {len(names)} columns are not in the table: {listed}"
        f"{' (' + '; '.join(why) + ')' if why else ''}, expected some of {there}"
    )


def _plain(name: str) -> str:
    """Return a name as LightGBM keeps it."""
    return re.sub(r"\s", "_", name)


def _name(value: object) -> str:
    """Return the text that an encoded table has for a category."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
