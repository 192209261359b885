"""What `counterpoise init` proposes for the groups: values of sensitive columns, bands of numbers, few rows apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import yaml
from pandas.api import types

from counterpoise.data.crossing import band_names, cross, joined_name
from counterpoise.data.encode import REST
from counterpoise.data.inspection import alike, counts
from counterpoise.data.values import name_of

TEST_SHARE = 0.2
ENOUGH = 30
"""Rows of the test part that a group needs for its gaps to say something."""

LEAST_IN_CELL = 10
"""Rows of one class and group without which not every part gets some."""

MOST_VALUES = 10
"""A sensitive column of more different numbers is divided into bands."""

UNPRINTABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What ends a line of YAML, or may not stand in it."""
_EXPONENT = re.compile("[-+]?[0-9_.]+[eE][-+]?[0-9]+")  # a number for OmegaConf, a text for YAML

SHOWN = 5
"""Groups that a comment or a list names one by one."""


def crossed_groups(table: pd.DataFrame, sensitive: Sequence[str]) -> tuple[pd.DataFrame, dict[str, list[int | float]]]:
    """Return the table with a column of the groups' values, and of several sensitive columns the bands of numbers."""
    if len(sensitive) == 1:
        return table, {}
    bands = {name: _bands(table[name].dropna()) for name in sensitive if in_bands(table[name])}
    return cross(table, sensitive, bands), bands


def in_bands(column: pd.Series) -> bool:
    """Whether numbers are divided into bands to become groups."""
    return is_number(column) and column.nunique() > MOST_VALUES


def group_lines(table: pd.DataFrame, sensitive: Sequence[str], label: str) -> list[str]:
    """Return the lines that describe the groups, with the rows of each."""
    lines: list[str] = []
    table, bands = crossed_groups(table, sensitive)
    if bands:
        lines = [
            "    # Numbers: where each band but the first begins; thirds of the rows",
            f"    bands: {as_yaml(bands)}",
        ]
    column = table[joined_name(sensitive)]
    present = column.dropna()
    apart: list[Any] = [None] if column.isna().any() else []
    if apart:
        lines += [
            f"    # {column.isna().sum():,} rows have no group: scored and counted, neither learnt from nor compared",
            "    # (missing_category among the options would make them a group)",
        ]
    if in_bands(present):
        edges = _bands(present)
        names = band_names(edges)
        places = np.digitize(present.to_numpy(dtype=np.float64), edges)
        in_band = np.bincount(places, minlength=len(names)).tolist()
        return [
            *lines,
            "    # Numbers: where each group but the first begins; thirds of the rows, change them",
            f"    bands: {as_yaml(edges)}",
            f"    groups: {as_yaml(names)}  # rows: {', '.join(f'{number:,}' for number in in_band)}",
            f"    group_names: {as_yaml(names)}",
            *_compared_lines(in_band, table[label].nunique()),
            *_apart_lines(apart),
        ]
    rows = counts(column)
    lines += [
        f"    # {', '.join(map(name_of, same))} seem to be the same: join them, [a, b] is one group"
        for same in alike(list(rows))
    ]
    cells = pd.crosstab(column, table[label]).reindex(columns=list(counts(table[label])), fill_value=0)
    rarest = dict(zip(cells.index.tolist(), cells.min(axis=1).tolist(), strict=True))
    small = [value for value in rows if rows[value] * TEST_SHARE < ENOUGH or rarest[value] < LEAST_IN_CELL]
    rare = [value for value in rows if rarest[value] < LEAST_IN_CELL]
    bounds = f"fewer than {ENOUGH} rows to test on, or {LEAST_IN_CELL} of a class"
    if len(rows) - len(small) < 2 and rare and len(rows) - len(rare) > 1:
        small = rare  # all gaps say little, but a run ends only where a class is too rare
        bounds = f"fewer than {LEAST_IN_CELL} rows of a class"
    large = [value for value in rows if value not in small]
    between = "; " if len(sensitive) > 1 else ", "
    counted = between.join(f"{name_of(value)} {number:,}" for value, number in rows.items())
    lines.append(f"    # rows: {counted}")
    joined = between.join(map(name_of, small[:SHOWN]))
    joined += f"{between}and {len(small) - SHOWN} more" if len(small) > SHOWN else ""
    groups: list[Any] = list(rows)
    names = [name_of(value) for value in rows]
    sizes = list(rows.values())
    joined_cells = cells.loc[small].sum()
    enough = joined_cells.sum() * TEST_SHARE >= ENOUGH and joined_cells.min() >= LEAST_IN_CELL
    if small and len(large) > 1 and not (enough and len(small) > 1):
        lines.append(f"    # {joined}: {bounds}; scored and counted, neither learnt from nor compared")
        groups, names, apart = large, [*map(name_of, large)], [*apart, *small]
        sizes = [rows[value] for value in large]
    elif len(small) > 1 and large:
        lines.append(f"    # {joined}: {bounds}; taken together")
        other = "all others" if "other" in {name_of(value).casefold() for value in large} else "other"
        rest = small if len(small) <= SHOWN else REST
        groups, names = [*large, rest], [*map(name_of, large), other]
        sizes = [*(rows[value] for value in large), sum(rows[value] for value in small)]
    elif small:
        lines += [
            f"    # {joined}: {bounds}: gaps say little, and a class that is too rare ends the run",
            "    # join groups by hand: [a, b] is one",
        ]
    return [
        *lines,
        f"    groups: {as_yaml(groups)}",
        f"    group_names: {as_yaml(names)}",
        *_compared_lines(sizes, cells.shape[1]),
        *_apart_lines(apart),
    ]


def _compared_lines(sizes: Sequence[int], classes: int) -> list[str]:
    """Compare all groups where fewer than two are sure to have enough test rows, whose number is rounded by class."""
    if sum(size * TEST_SHARE >= ENOUGH + classes for size in sizes) > 1:
        return []
    return [
        f"    # Fewer than two groups have {ENOUGH} rows to test on: all are compared, and gaps are mostly chance",
        "    min_test_rows: 0",
    ]


def _apart_lines(values: Sequence[Any]) -> list[str]:
    return [f"    scored_only: {as_yaml(list(values))}"] if values else []


def _bands(numbers: pd.Series) -> list[int | float]:
    """Return where thirds of the rows begin, whole ones of whole numbers; halves if they fall together."""
    values = numbers.to_numpy(dtype=np.float64)
    is_whole = bool((values % 1 == 0).all())
    cuts = [float(np.quantile(values, share)) for share in (1 / 3, 2 / 3)]
    rounded: list[int | float] = sorted({round(cut) if is_whole else float(f"{cut:.3g}") for cut in cuts})
    return [cut for cut in rounded if values.min() < cut <= values.max()] or [float(np.median(values))]


def is_number(column: pd.Series) -> bool:
    return bool(types.is_numeric_dtype(column) and not types.is_bool_dtype(column))


class _Dumper(yaml.SafeDumper):
    """Writes each text on one line, and numpy's scalars as Python's."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if UNPRINTABLE.search(text) else "'" if _EXPONENT.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
_Dumper.add_multi_representer(np.generic, lambda dumper, value: dumper.represent_data(value.item()))


def as_yaml(value: object) -> str:
    """Return a value as it stands on one line of a file that OmegaConf reads."""
    text = yaml.dump(
        _escaped(value),
        Dumper=_Dumper,
        default_flow_style=True,
        width=float("inf"),
        allow_unicode=True,
        sort_keys=False,
    )
    return str(text).removesuffix("\n").removesuffix("\n...")


def _escaped(value: object) -> object:
    """Return texts as they have to be written to be none of OmegaConf's references; keys are none."""
    if isinstance(value, str):
        return value.replace("${", r"\${")
    if isinstance(value, Mapping):
        return {key: _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list | tuple) else value
