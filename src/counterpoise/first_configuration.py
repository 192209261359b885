"""`counterpoise init`: from a file that nobody has described to a commented block of parameters and two experiments."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from kedro.framework.project import settings
from kedro.utils import find_kedro_project
from pandas.api import types

from counterpoise import atomic
from counterpoise.config.experiments import NAME
from counterpoise.data.crossing import band_names, cross, joined_name
from counterpoise.data.delimited import Notation
from counterpoise.data.encode import REST
from counterpoise.data.inspection import Column, counts, inspect, rare_in_a_group, read_as_it_is, require_value
from counterpoise.data.values import name_of
from counterpoise.errors import InputError, shown
from counterpoise.experiments import RAW_FOLDERS

AFFIRMATIVE = ("yes", "true", "1", "good", "positive", "approved", "accepted", "repaid", "passed", "pass")
"""Labels that are taken for class 1 if the user names none."""

TEST_SHARE = 0.2
ENOUGH = 30
"""Rows of the test part that a group needs for its gaps to say something."""

LEAST_IN_CELL = 10
"""Rows of one class and group without which not every part gets some."""

MOST_VALUES = 10
"""A sensitive column of more different numbers is divided into bands."""

MANY_GAPS = 0.5
"""The share of missing values from which a column is left out rather than the rows."""

MISSING_CATEGORY = "(missing)"

SHOWN = 5
"""Groups that a comment or a list names one by one."""


@dataclass(frozen=True)
class Request:
    """What the user says: the file, its label and sensitive columns, and a name for the data set.

    sensitive: a column, or several whose values are joined to groups. positive: the label that is class 1, as a text.
    drop: columns that are no features. force: overwrite.
    """

    file: Path
    label: str
    sensitive: tuple[str, ...]
    name: str = "own"
    positive: str | None = None
    drop: tuple[str, ...] = ()
    force: bool = False


def initialise(request: Request) -> list[str]:
    """Write `conf/local/parameters_<name>.yml`, copy the file among the raw data, and say what was seen.

    Raises:
        InputError: the file, a column or a name cannot be used, or there is a configuration of this name.
    """
    project = Path(find_kedro_project(Path.cwd()) or Path.cwd())
    conf = project / settings.CONF_SOURCE
    target = conf / "local" / f"parameters_{request.name}.yml"
    raw = _raw_folder(conf, request.name)
    if target.exists() and not request.force:
        raise InputError(f"{_short(target)}: is there already, expected a new --name, or --force to write it anew")
    table, notation = read_as_it_is(request.file)
    request = replace(request, sensitive=_names(request.sensitive, table))
    columns = inspect(table, request.label, request.sensitive, request.drop)
    text = describe(request, table, columns, notation)
    folder = project / raw / request.name
    copy = folder / request.file.name
    if copy.resolve() != request.file.resolve():
        if copy.exists() and not request.force:
            raise InputError(f"{_short(copy)}: is there already, expected a new --name, or --force to replace it")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(request.file, copy)
    target.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(target, text.encode())
    experiments = yaml.safe_load(text)["experiments"]
    return [
        f"{request.file.name}: {len(table):,} rows, {len(columns)} columns{_written_as(notation)}",
        *(f"  {column.name}: {_seen(column)}" for column in columns),
        f"written: {_short(target)}, and a copy of the file in {_short(folder)}. Look it through, then",
        *(f"  kedro run --pipelines={experiment}" for experiment in (f"audit_{request.name}", *experiments)),
    ]


def _names(names: Sequence[str], table: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns of `--sensitive`, where `a,b` stands for two unless a column is called so."""
    return tuple(
        part.strip() for name in names for part in ([name] if name in table else name.split(",")) if part.strip()
    )


def _raw_folder(conf: Path, name: str) -> str:
    """Return the folder of raw files, and refuse names that mean something else."""
    if not NAME.fullmatch(name):
        raise InputError(f"--name: {shown(name)} has other signs than letters, digits and single underscores")
    arguments = settings.CONFIG_LOADER_ARGS | {"default_run_env": "base"}
    loader = settings.CONFIG_LOADER_CLASS(conf_source=str(conf), env="base", **arguments)
    taken = {*(loader["parameters"].get("datasets") or {}), *RAW_FOLDERS.values()}
    if name in taken:
        raise InputError(f"--name: there is a data set {shown(name)} in {conf.name}/base, expected another name")
    return str(loader["globals"]["raw"])


def describe(request: Request, table: pd.DataFrame, columns: Sequence[Column], notation: Notation) -> str:
    """Return the file of parameters: the block of the data set and its experiments, with a reason for each proposal."""
    rare = [label for label, rows in counts(table[request.label]).items() if rows < LEAST_IN_CELL]
    if len(counts(table[request.label])) - len(rare) < 2:
        raise InputError(
            f"--label: column {shown(request.label)} has fewer than two classes of {LEAST_IN_CELL} rows, expected more"
        )
    table = table[~table[request.label].isin(rare)]
    crossed, _ = _crossed(table, request)
    groups = crossed[joined_name(request.sensitive)]
    if not _in_bands(groups):
        rare += rare_in_a_group(table[request.label], groups, fewest=LEAST_IN_CELL, large=ENOUGH / TEST_SHARE)
    table = table[~table[request.label].isin(rare)]
    classes, positive, class_lines = _classes(request, table[request.label])
    group_lines = _groups(table, request)
    sensitive = request.sensitive[0] if len(request.sensitive) == 1 else list(request.sensitive)
    no_feature = {request.label, *request.sensitive}
    dropped = _dropped(columns, request, len(table))
    kept = table.drop(columns=list(dropped))
    options, gaps = _options(request, kept, notation)
    if rare:
        options["exclude"] = {request.label: rare}
        gaps.append(f"exclude: classes with fewer than {LEAST_IN_CELL} rows, in all or in a large group, are left out")
    lines = [
        f"# Written by `counterpoise init` from {request.file.name}.",
        f"# {len(table):,} rows, {len(columns)} columns{_written_as(notation)}. Change what is wrong; every key is",
        "# described in docs/own-data.md.",
        "datasets:",
        f"  {request.name}:",
        f"    title: {_yaml(request.file.stem)}",
        "    reader: table",
        f"    options: {_yaml(options)}",
        *(f"    # {line}" for line in gaps),
        f"    origin: {_yaml('where these data come from: for the report')}",
        "",
        f"    label: {_yaml(request.label)}",
        *class_lines,
        f"    positive: {_yaml(positive)}{'' if positive is not None else '  # the classes are the labels'}",
        f"    classes: {_yaml(classes)}  # labels, or names for them: that of the positive one second",
        "",
        f"    sensitive: {_yaml(sensitive)}  # is no feature unless you add keep_sensitive: true",
        *group_lines,
        "",
        "    # What is no feature, and why; take a line out to use the column.",
        *(
            ["    drop:", *(f"      - {_yaml(name)}  # {reason}" for name, reason in dropped.items())]
            if dropped
            else ["    drop: []"]
        ),
        *_as_categories(columns, dropped, request),
        *_rare_together(kept.drop(columns=[request.label, *request.sensitive])),
        "    # The features:",
        *(
            f"    #   {column.name}: {_seen(column)}"
            for column in columns
            if column.name not in {*dropped, *no_feature}
        ),
        "    # 60% learn (pretrain and train), 20% validate, 20% test; stratified by class and group.",
        "    split:",
        "      fractions: {pretrain: 0.4, task: 0.6}",
        "      task: {train: 0.2, validation: 0.2, test: 0.2}",
        "",
        "experiments:",
        *_experiments(request, classes),
    ]
    return "\n".join(lines) + "\n"


def _crossed(table: pd.DataFrame, request: Request) -> tuple[pd.DataFrame, dict[str, list[int | float]]]:
    """Return the table with a column of the groups' values, and of several sensitive columns the bands of numbers."""
    if len(request.sensitive) == 1:
        return table, {}
    bands = {name: _bands(table[name].dropna()) for name in request.sensitive if _in_bands(table[name])}
    return cross(table, request.sensitive, bands), bands


def _in_bands(column: pd.Series) -> bool:
    """Whether numbers are divided into bands to become groups."""
    return _is_number(column) and column.nunique() > MOST_VALUES


def _classes(request: Request, column: pd.Series) -> tuple[list[str], object, list[str]]:
    """Return the classes, the positive label (None of more than two), and comments with their rows."""
    rows = counts(column)
    labels = list(rows)
    counted = ", ".join(f"{name_of(label)} {number:,}" for label, number in rows.items())
    lines = [f"    # rows: {counted}"]
    if missing := int(column.isna().sum()):
        lines.append(f"    # {missing:,} rows have no label and are left out")
    if len(labels) != 2:
        if request.positive is not None:
            raise InputError(
                f"--positive: column {shown(request.label)} has {len(labels)} classes, expected it only for 2"
            )
        return [name_of(label) for label in labels], None, lines
    if request.positive is not None:
        positive = require_value(request.positive, column, "--positive")
    else:
        likely = [label for label in labels if name_of(label).casefold() in AFFIRMATIVE]
        positive = likely[0] if len(likely) == 1 else labels[1]
        lines.append("    # Nobody has said which label is class 1: this is a guess (--positive says it)")
    (other,) = [label for label in labels if label != positive]
    return [name_of(other), name_of(positive)], positive, lines


def _groups(table: pd.DataFrame, request: Request) -> list[str]:
    """Return the lines that describe the groups, with the rows of each."""
    lines: list[str] = []
    table, bands = _crossed(table, request)
    if bands:
        lines = [
            "    # Numbers: where each band but the first begins; thirds of the rows",
            f"    bands: {_yaml(bands)}",
        ]
    column = table[joined_name(request.sensitive)]
    present = column.dropna()
    missing = [f"    # {column.isna().sum():,} rows have no group and are left out"] if column.isna().any() else []
    if _in_bands(present):
        edges = _bands(present)
        names = band_names(edges)
        sizes = np.bincount(np.digitize(present.to_numpy(dtype=np.float64), edges), minlength=len(names))
        return [
            *missing,
            "    # Numbers: where each group but the first begins; thirds of the rows, change them",
            f"    bands: {_yaml(edges)}",
            f"    groups: {_yaml(names)}  # rows: {', '.join(f'{number:,}' for number in sizes)}",
            f"    group_names: {_yaml(names)}",
        ]
    rows = counts(column)
    cells = pd.crosstab(column, table[request.label]).reindex(columns=list(counts(table[request.label])), fill_value=0)
    rarest = dict(zip(cells.index.tolist(), cells.min(axis=1).tolist(), strict=True))
    small = [value for value in rows if rows[value] * TEST_SHARE < ENOUGH or rarest[value] < LEAST_IN_CELL]
    large = [value for value in rows if value not in small]
    between = "; " if len(request.sensitive) > 1 else ", "
    counted = between.join(f"{name_of(value)} {number:,}" for value, number in rows.items())
    lines += [*missing, f"    # rows: {counted}"]
    joined = between.join(map(name_of, small[:SHOWN]))
    joined += f"{between}and {len(small) - SHOWN} more" if len(small) > SHOWN else ""
    bounds = f"fewer than {ENOUGH} rows to test on, or {LEAST_IN_CELL} of a class"
    groups: list[Any] = list(rows)
    names = [name_of(value) for value in rows]
    if len(small) > 1 and large:
        lines.append(f"    # {joined}: {bounds}; taken together")
        other = "all others" if "other" in {name_of(value).casefold() for value in large} else "other"
        rest = small if len(small) <= SHOWN else REST
        groups, names = [*large, rest], [*map(name_of, large), other]
    elif small:
        lines += [
            f"    # {joined}: {bounds}: gaps say little, and a class that is too rare ends the run",
            "    # join groups by hand: [a, b] is one",
        ]
    return [*lines, f"    groups: {_yaml(groups)}", f"    group_names: {_yaml(names)}"]


def _bands(numbers: pd.Series) -> list[int | float]:
    """Return where thirds of the rows begin, whole ones of whole numbers; halves if they fall together."""
    values = numbers.to_numpy(dtype=np.float64)
    is_whole = bool((values % 1 == 0).all())
    cuts = [float(np.quantile(values, share)) for share in (1 / 3, 2 / 3)]
    rounded: list[int | float] = sorted({round(cut) if is_whole else float(f"{cut:.3g}") for cut in cuts})
    return [cut for cut in rounded if values.min() < cut <= values.max()] or [float(np.median(values))]


def _dropped(columns: Sequence[Column], request: Request, rows: int) -> dict[str, str]:
    """Return the columns that are proposed to be left out, with the reasons."""
    reasons = {}
    for column in columns:
        if column.name in {request.label, *request.sensitive}:
            continue
        if column.reason is not None:
            reasons[column.name] = column.reason
        elif column.missing > MANY_GAPS * rows:
            reasons[column.name] = f"{column.missing:,} of {rows:,} values are missing"
    return reasons


def _options(request: Request, kept: pd.DataFrame, notation: Notation) -> tuple[dict[str, Any], list[str]]:
    """Return the reader's options, and comments on rows with gaps."""
    options: dict[str, Any] = {"files": request.file.name}
    standard = Notation(separator=None)
    for key in ("decimal", "thousands", "encoding"):
        if getattr(notation, key) != getattr(standard, key):
            options[key] = getattr(notation, key)
    features = kept.drop(columns=[request.label, *request.sensitive])
    comments = []
    texts = [
        name for name in features if isinstance(features[name].dtype, pd.StringDtype) and features[name].isna().any()
    ]
    if texts:
        options["missing_category"] = dict.fromkeys(texts, MISSING_CATEGORY)
        comments.append("missing_category: a missing text is a category of its own; without it, the row is left out")
    numbers = [name for name in features if features[name].isna().any() and _is_number(features[name])]
    if numbers:
        options["impute"] = numbers
        comments.append(
            "impute: a missing number is the median, and a feature says so; without it, the row is left out"
        )
    further = [name for name in kept if kept[name].isna().any() and name not in {*texts, *numbers}]
    if further:
        listed = ", ".join(f"{name} ({int(kept[name].isna().sum()):,})" for name in further)
        rows = int(kept[further].isna().any(axis=1).sum())
        comments.append(f"{rows:,} of {len(kept):,} rows miss one of these and are left out: {listed}")
    return options, comments


def _is_number(column: pd.Series) -> bool:
    return bool(types.is_numeric_dtype(column) and not types.is_bool_dtype(column))


def _as_categories(columns: Sequence[Column], dropped: Mapping[str, str], request: Request) -> list[str]:
    """Return a line with columns of few whole numbers, which may be codes of categories."""
    few = [
        column.name
        for column in columns
        if column.kind == "number"
        and 2 < column.different <= MOST_VALUES
        and column.name not in {*dropped, request.label, *request.sensitive}
    ]
    if not few:
        return []
    return [f"    # categories: {_yaml(few)}  # numbers, unless they are codes: then take the # away"]


def _rare_together(features: pd.DataFrame) -> list[str]:
    """Return a line that takes rare categories together, where a column has several."""
    rare = {
        name: int((features[name].value_counts() < LEAST_IN_CELL).sum())
        for name in features
        if not types.is_numeric_dtype(features[name])
    }
    if not (several := {name: number for name, number in rare.items() if number > 1}):
        return []
    listed = ", ".join(f"{name} ({number})" for name, number in several.items())
    return [f"    rare_categories: {LEAST_IN_CELL}  # categories of fewer rows are one; of these columns: {listed}"]


def _experiments(request: Request, classes: Sequence[str]) -> list[str]:
    name, subject = request.name, request.label
    rules_alone = f"    # Of {len(classes)} classes: rules in bias scores, without penalised heads and thresholds"
    return [
        f"  frontier_{name}:",
        f"    title: {_yaml(f'How fair can a classifier of {subject} be, and at what price?')}",
        f"    dataset: {name}",
        "    frontier: own  # a lighter grid than `tables`, which takes three times as long",
        "    peers: own     # and without the peers that need hundreds of fits",
        *([rules_alone] if len(classes) > 2 else []),
        f"  win_{name}:",
        f"    title: {_yaml(f'Does WIN make a fine-tuned classifier of {subject} fairer?')}",
        f"    dataset: {name}",
        "    network: mlp2",
        "    variants: win",
    ]


def _seen(column: Column) -> str:
    examples = ", ".join(name_of(value) for value in column.examples)
    examples = examples if len(examples) <= 40 else examples[:39] + "…"
    parts = [f"{column.kind}, {column.different:,} values ({examples})" if column.different else column.kind]
    if column.missing:
        parts.append(f"{column.missing:,} missing")
    if column.reason:
        parts.append(f"not a feature: {column.reason}")
    return "; ".join(parts).replace("\n", " ")


def _written_as(notation: Notation) -> str:
    standard = Notation(separator=None)
    said = {key: getattr(notation, key) for key in ("decimal", "thousands", "encoding")}
    return "".join(f", {key} {value}" for key, value in said.items() if value != getattr(standard, key))


def _yaml(value: object) -> str:
    """Return a value as it stands on one line of YAML."""
    if isinstance(value, np.generic):
        value = value.item()
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False)
    return str(text).removesuffix("\n").removesuffix("\n...")


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
