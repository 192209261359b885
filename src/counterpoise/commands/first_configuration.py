"""`counterpoise init`: from a file that nobody has described to a commented block of parameters and two experiments."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from kedro.framework.project import settings
from kedro.utils import find_kedro_project
from pandas.api import types

from counterpoise import atomic
from counterpoise.commands.first_groups import (
    ENOUGH,
    LEAST_IN_CELL,
    MOST_VALUES,
    TEST_SHARE,
    UNPRINTABLE,
    as_yaml,
    crossed_groups,
    group_lines,
    in_bands,
    is_number,
)
from counterpoise.config.experiments import NAME
from counterpoise.data.crossing import joined_name
from counterpoise.data.delimited import Notation
from counterpoise.data.first_reading import leading_zeros, read_as_it_is
from counterpoise.data.inspection import Column, counts, inspect, rare_in_a_group, require_value
from counterpoise.data.values import MISSING, name_of
from counterpoise.errors import InputError, shown
from counterpoise.experiments import RAW_FOLDERS

AFFIRMATIVE = (
    *("yes", "y", "true", "t", "1", "good", "positive", "approved", "accepted", "granted", "repaid", "passed", "pass"),
    *("hired", "admitted", "selected", "invited", "promoted", "eligible", "paid"),
    *("ja", "oui", "sí", "si", "sì", "sim", "tak", "да", "evet", "はい", "是"),
)
"""Labels that are taken for class 1 if the user names none."""

MANY_GAPS = 0.5
"""The share of missing values from which a column is left out rather than the rows."""

MISSING_CATEGORY = "(missing)"


@dataclass(frozen=True)
class Request:
    """What the user says: the file, its label and sensitive columns, and a name for the data set.

    sensitive: a column, or several whose values are joined to groups. positive: the label that is class 1, as a text.
    drop: columns that are no features. sheet: of a workbook that has several. force: overwrite.
    """

    file: Path
    label: str
    sensitive: tuple[str, ...]
    name: str = "own"
    positive: str | None = None
    drop: tuple[str, ...] = ()
    sheet: str | None = None
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
    parts = [part.strip() for name in request.sensitive for part in name.split(",")]
    table, notation, gaps = read_as_it_is(
        request.file, {request.label, *request.sensitive, *parts}, sheet=request.sheet
    )
    request = replace(request, sensitive=_names(request.sensitive, table))
    codes = leading_zeros(request.file, table, notation)
    columns = inspect(table, request.label, request.sensitive, request.drop, codes)
    text = describe(request, table, columns, notation, gaps)
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
        f"{request.file.name}: {len(table):,} rows, {len(columns)} columns{_written_as(notation, gaps)}",
        *(f"  {column.name}: {_seen(column)}{_mixed(column)}" for column in columns),
        f"written: {_short(target)}, and a copy of the file in {_short(folder)}. Look it through, then",
        *(f"  kedro run --pipelines={experiment}" for experiment in (f"audit_{request.name}", *experiments)),
    ]


def _names(names: Sequence[str], table: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns of `--sensitive`, where `a,b` stands for two unless a column is called so."""
    parts = (part.strip() for name in names for part in ([name] if name in table else name.split(",")))
    return tuple(dict.fromkeys(part for part in parts if part))


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


def describe(
    request: Request, table: pd.DataFrame, columns: Sequence[Column], notation: Notation, gaps: Sequence[str] = ()
) -> str:
    """Return the file of parameters: the block of the data set and its experiments, with a reason for each proposal.

    Args:
        gaps: texts that stand for missing values, beside the usual ones.

    Raises:
        InputError: fewer than two classes have enough rows, or no column is proposed as a feature.
    """
    rare = [label for label, rows in counts(table[request.label]).items() if rows < LEAST_IN_CELL]
    if len(counts(table[request.label])) - len(rare) < 2:
        raise InputError(
            f"--label: column {shown(request.label)} has fewer than two classes of {LEAST_IN_CELL} rows, expected more"
        )
    table = table[~table[request.label].isin(rare)]
    crossed, _ = crossed_groups(table, request.sensitive)
    groups = crossed[joined_name(request.sensitive)]
    if not in_bands(groups):
        rare += rare_in_a_group(table[request.label], groups, fewest=LEAST_IN_CELL, large=ENOUGH / TEST_SHARE)
    table = table[~table[request.label].isin(rare)]
    classes, positive, class_lines = _classes(request, table[request.label])
    table = table[table[request.label].notna()]
    lines_of_groups = group_lines(table, request.sensitive, request.label)
    sensitive = request.sensitive[0] if len(request.sensitive) == 1 else list(request.sensitive)
    no_feature = {request.label, *request.sensitive}
    dropped = _dropped(columns, request, table)
    used = table.drop(columns=list(dropped))
    if not {*used} - no_feature:
        shown_reasons = "; ".join(f"{name}: {reason}" for name, reason in dropped.items())
        raise InputError(f"{request.file}: no column is left as a feature ({shown_reasons}), expected one at least")
    options, comments = _options(request, used, notation, gaps)
    if rare:
        options["exclude"] = {request.label: rare}
        comments.append(
            f"exclude: classes with fewer than {LEAST_IN_CELL} rows, in all or in a large group, are left out"
        )
    lines = [
        f"# Written by `counterpoise init` from {request.file.name}.",
        f"# {len(table):,} rows, {len(columns)} columns{_written_as(notation, gaps)}.",
        "# Change what is wrong; every key is described in docs/own-data.md.",
        "datasets:",
        f"  {request.name}:",
        f"    title: {as_yaml(request.file.stem)}",
        "    reader: table",
        f"    options: {as_yaml(options)}",
        *(f"    # {line}" for line in [*comments, *_with_sentinels(columns, dropped, options)]),
        f"    origin: {as_yaml('where these data come from: for the report')}",
        "",
        f"    label: {as_yaml(request.label)}",
        *class_lines,
        f"    positive: {as_yaml(positive)}{'' if positive is not None else '  # the classes are the labels'}",
        f"    classes: {as_yaml(classes)}  # labels, or names for them: that of the positive one second",
        "",
        f"    sensitive: {as_yaml(sensitive)}  # is no feature unless you add keep_sensitive: true",
        *lines_of_groups,
        "",
        "    # What is no feature, and why; take a line out to use the column.",
        *(
            ["    drop:", *(f"      - {as_yaml(name)}  # {reason}" for name, reason in dropped.items())]
            if dropped
            else ["    drop: []"]
        ),
        *_as_categories(columns, dropped, request),
        *_rare_together(used.drop(columns=[request.label, *request.sensitive])),
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
        *_together(columns, request, len(table)),
        "",
        "experiments:",
        *_experiments(request, classes),
    ]
    return "\n".join(UNPRINTABLE.sub(" ", line) for line in lines) + "\n"  # which stand in comments alone


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
        likely = [label for label in labels if name_of(label).strip().casefold() in AFFIRMATIVE]
        positive = likely[0] if len(likely) == 1 else labels[1]
        lines.append("    # Nobody has said which label is class 1: this is a guess (--positive says it)")
    (other,) = [label for label in labels if label != positive]
    return [name_of(other), name_of(positive)], positive, lines


def _together(columns: Sequence[Column], request: Request, rows: int) -> list[str]:
    """Return the lines that keep rows of the same person together, or of whatever the finest such column names."""
    named = [
        column
        for column in columns
        if 1 < column.most_rows < TEST_SHARE * rows and column.name not in {request.label, *request.sensitive}
    ]
    if not named:
        return []
    finest = max(named, key=lambda column: column.different)
    return [
        f"      # Rows of the same {finest.name} stay in one part, or models are tested on those that they know; up to",
        f"      # {finest.most_rows:,} rows have the same. null if rows stand for themselves.",
        f"      together: {as_yaml(finest.name)}",
    ]


def _dropped(columns: Sequence[Column], request: Request, table: pd.DataFrame) -> dict[str, str]:
    """Return the columns that are proposed to be left out, with the reasons."""
    reasons, rows = {}, len(table)
    for column in columns:
        if column.name in {request.label, *request.sensitive}:
            continue
        missing = int(table[column.name].isna().sum()) if column.missing else 0
        if column.reason is not None:
            reasons[column.name] = column.reason
        elif missing > MANY_GAPS * rows:
            reasons[column.name] = f"{missing:,} of {rows:,} values are missing"
        elif column.kind == "category" and (most := int(table[column.name].value_counts().max())) < LEAST_IN_CELL:
            reasons[column.name] = f"{column.different:,} categories, of at most {most} rows each"
    return reasons


def _options(
    request: Request, used: pd.DataFrame, notation: Notation, gaps: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the reader's options, and comments on rows with gaps."""
    options: dict[str, Any] = {"files": request.file.name}
    comments = []
    if gaps:
        options["missing"] = [*MISSING, *gaps]
        comments.append(f"missing: {as_yaml(list(gaps))} stands among numbers, for a missing value; in all columns")
    options |= {key: list(value) if key == "units" else value for key, value in _unusual(notation).items()}
    features = used.drop(columns=[request.label, *request.sensitive])
    texts = [
        name for name in features if isinstance(features[name].dtype, pd.StringDtype) and features[name].isna().any()
    ]
    if texts:
        options["missing_category"] = dict.fromkeys(texts, MISSING_CATEGORY)
        comments.append("missing_category: a missing text is a category of its own; without it, the row is left out")
    numbers = [name for name in features if features[name].isna().any() and is_number(features[name])]
    if numbers:
        options["impute"] = numbers
        comments.append(
            "impute: a missing number is the median, and a feature says so; without it, the row is left out"
        )
    further = [name for name in used if used[name].isna().any() and name not in {*texts, *numbers, *request.sensitive}]
    if further:
        listed = ", ".join(f"{name} ({int(used[name].isna().sum()):,})" for name in further)
        rows = int(used[further].isna().any(axis=1).sum())
        comments.append(f"{rows:,} of {len(used):,} rows miss one of these and are left out: {listed}")
    return options, comments


def _with_sentinels(columns: Sequence[Column], dropped: Mapping[str, str], options: Mapping[str, Any]) -> list[str]:
    """Return the options under which numbers that seem to stand for missing ones do so, and why."""
    features = {column.name: column.sentinels for column in columns if column.sentinels and column.name not in dropped}
    if not features:
        return []
    missing = {name: [sentinel.value for sentinel in sentinels] for name, sentinels in features.items()}
    impute = list(dict.fromkeys([*options.get("impute", ()), *features]))
    return [
        *(
            f"{name}: {sentinel.value} in {sentinel.rows:,} rows, all others are {sentinel.low:g} to {sentinel.high:g}"
            for name, sentinels in features.items()
            for sentinel in sentinels
        ),
        "If these stand for missing values, take this line in the place of that above:",
        f"options: {as_yaml({**options, 'missing_values': missing, 'impute': impute})}",
    ]


def _as_categories(columns: Sequence[Column], dropped: Mapping[str, str], request: Request) -> list[str]:
    """Return a line with columns of few whole numbers, which may be codes of categories."""
    features = [column for column in columns if column.name not in {*dropped, request.label, *request.sensitive}]
    few = [column.name for column in features if column.kind == "number" and 2 < column.different <= MOST_VALUES]
    lines = []
    if mixed := [column for column in features if column.mixed]:
        lines = [f"    # {column.name} {column.mixed}" for column in mixed]
        lines.append(f"    categories: {as_yaml([column.name for column in mixed])}")
    if few:
        lines.append(f"    # categories: {as_yaml(few)}  # numbers, unless they are codes: then take the # away")
    return lines


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
        f"    title: {as_yaml(f'How fair can a classifier of {subject} be, and at what price?')}",
        f"    dataset: {name}",
        "    frontier: own  # a lighter grid than `tables`, which takes three times as long",
        "    peers: own     # and without the peers that need hundreds of fits",
        *([rules_alone] if len(classes) > 2 else []),
        f"  win_{name}:",
        f"    title: {as_yaml(f'Does WIN make a fine-tuned classifier of {subject} fairer?')}",
        f"    dataset: {name}",
        "    network: mlp2",
        "    variants: win",
    ]


def _seen(column: Column) -> str:
    examples = ", ".join(name_of(value) for value in column.examples)
    examples = examples if len(examples) <= 40 else examples[:39] + "…"
    values = "value" if column.different == 1 else "values"
    parts = [f"{column.kind}, {column.different:,} {values} ({examples})" if column.different else column.kind]
    if column.missing:
        parts.append(f"{column.missing:,} missing")
    parts += [f"{sentinel.value} ({sentinel.rows:,} rows) may stand for missing" for sentinel in column.sentinels]
    if column.reason:
        parts.append(f"not a feature: {column.reason}")
    return "; ".join(parts).replace("\n", " ")


def _mixed(column: Column) -> str:
    return f"; taken as categories: {column.mixed}" if column.mixed and not column.reason else ""


def _unusual(notation: Notation) -> dict[str, Any]:
    """Return what differs from the default in how a file is written."""
    standard = vars(Notation(separator=None))
    return {key: value for key, value in vars(notation).items() if value != standard[key]}


def _written_as(notation: Notation, gaps: Sequence[str]) -> str:
    signs = _unusual(notation) | ({"missing": gaps} if gaps else {})
    return "".join(f", {key} {value if isinstance(value, str) else ' '.join(value)}" for key, value in signs.items())


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
