"""Which columns give the sensitive attribute away: each alone, and all of them together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
from jaxtyping import Float, Float64, Int64
from pandas.api import types

from counterpoise.errors import InputError

TOGETHER = "all columns together"
"""The name of the row for all columns."""

MOST_ROWS = 20_000
"""Rows beyond which a sample is taken."""

SEED = 0
"""Of that sample and of the folds."""

FOLDS = 3
MOST_BINS = 20
"""Bins of a number, or categories of a column, that are told apart; rarer categories are one."""

ROUNDS, LEAVES = 40, 15
"""Size of the boosted trees that read all columns together."""


def proxies(features: pd.DataFrame, group: pd.Series, *, most_rows: int = MOST_ROWS, seed: int = SEED) -> pd.DataFrame:
    """Return how well columns tell the group of a row, as areas under the ROC curve, the strongest column first.

    A column alone predicts by the shares of the groups in its bins (`bins`), all columns together by boosted trees;
    both learn from two folds and predict the third, so that a column of many values gains nothing from the rows it was
    counted on. Of more than two groups, the mean of the areas of each group against the rest (macro average).

    Args:
        features: the columns, without the sensitive one; of any kind, values may be missing.
        group: of each row; rows without one are left out.
        most_rows: of more rows a random sample is used.

    Returns:
        `column, auc, rows`: 0.5 says nothing of the group, 1 all; `TOGETHER` comes first. Areas are NaN where no group
        has rows in every fold.

    Raises:
        InputError: there are fewer than two groups, or the arguments have different lengths.
    """
    if len(features) != len(group):
        raise InputError(f"audit: {len(features):,} rows have {len(group):,} groups, expected one each")
    codes, names = pd.factorize(group, sort=True)
    if len(names) < 2:
        raise InputError(f"audit: there are {len(names)} groups, expected two at least to look for proxies of")
    generator = np.random.default_rng(seed)
    rows = np.flatnonzero(codes >= 0)
    if len(rows) > most_rows:
        rows = np.sort(generator.choice(rows, most_rows, replace=False))
    s, table = codes[rows].astype(np.int64), features.iloc[rows]
    fold = _folds(s, generator)
    areas = {str(name): _alone(bins(table[name], MOST_BINS), s, fold, len(names)) for name in table}
    frame = pd.DataFrame({"column": list(areas), "auc": list(areas.values())})
    frame = frame.sort_values("auc", ascending=False, kind="stable", na_position="last")
    together = pd.DataFrame({"column": [TOGETHER], "auc": [_together(table, s, fold, len(names))]})
    return pd.concat([together, frame], ignore_index=True).assign(rows=len(rows))


def bins(column: pd.Series, most: int) -> pd.Series:
    """Return a column as at most `most` ordered categories, and one more for rare or for missing values.

    A number falls into bins of as many rows each, named by their ends; of categories the most frequent stay.
    """
    values = column.reset_index(drop=True)
    if types.is_numeric_dtype(values) and not types.is_bool_dtype(values):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        if len(np.unique(numbers[~np.isnan(numbers)])) > most:
            return _filled(_intervals(numbers, most))
    texts = values.astype(object).map(_written, na_action="ignore")
    frequent = texts.value_counts().index[:most].tolist()
    order = sorted(frequent, key=_number_or_text)
    further = [OTHER] if texts.nunique() > most else []
    grouped = texts.where(texts.isin(frequent) | texts.isna(), OTHER) if further else texts
    return _filled(pd.Series(pd.Categorical(grouped, categories=[*order, *further])))


OTHER, MISSING = "(other)", "(missing)"


def _written(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number_or_text(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def _intervals(numbers: Float64[np.ndarray, "n"], most: int) -> pd.Series:
    there = numbers[~np.isnan(numbers)]
    edges = np.unique(np.quantile(there, np.linspace(0, 1, most + 1)[1:-1]))
    edges = edges[edges < there.max()]
    places = np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="left"))
    names = [f"to {edges[0]:g}", *(f"{low:g} to {high:g}" for low, high in pairwise(edges))]
    names.append(f"above {edges[-1]:g}")
    unique = names if len(set(names)) == len(names) else [f"{number + 1}: {name}" for number, name in enumerate(names)]
    return pd.Series(pd.Categorical.from_codes(places.astype(np.int64), pd.Index(unique)))


def _filled(categories: pd.Series) -> pd.Series:
    return categories.cat.add_categories([MISSING]).fillna(MISSING) if categories.isna().any() else categories


def _folds(s: Int64[np.ndarray, "n"], generator: np.random.Generator) -> Int64[np.ndarray, "n"]:
    """Return each row's fold; every group is spread evenly over them."""
    order = generator.permutation(len(s))
    order = order[np.argsort(s[order], kind="stable")]
    fold = np.empty(len(s), dtype=np.int64)
    fold[order] = np.arange(len(s)) % FOLDS
    return fold


def _alone(column: pd.Series, s: Int64[np.ndarray, "n"], fold: Int64[np.ndarray, "n"], groups: int) -> float:
    places = column.cat.codes.to_numpy(dtype=np.int64)
    counts = np.zeros((FOLDS, len(column.cat.categories), groups))
    np.add.at(counts, (fold, places, s), 1.0)
    prior = counts.sum(axis=(0, 1)) / counts.sum()
    areas = []
    for held_out in range(FOLDS):
        learnt = counts.sum(axis=0) - counts[held_out]
        rates = (learnt + prior) / (learnt.sum(axis=1, keepdims=True) + 1)
        areas.append([area(rates[:, g], counts[held_out, :, g], counts[held_out].sum(axis=1)) for g in range(groups)])
    return _macro(areas)


def _together(table: pd.DataFrame, s: Int64[np.ndarray, "n"], fold: Int64[np.ndarray, "n"], groups: int) -> float:
    if not table.shape[1]:
        return np.nan
    x, categorical = _matrix(table)
    areas = []
    for held_out in range(FOLDS):
        test = fold == held_out
        scores = _boosted(x[~test], s[~test], x[test], categorical, groups)
        areas.append([area(scores[:, g], (s[test] == g).astype(float), np.ones(test.sum())) for g in range(groups)])
    return _macro(areas)


def _matrix(table: pd.DataFrame) -> tuple[Float[np.ndarray, "n D"], list[int]]:
    """Return numbers as they are and anything else as codes, and which columns are codes."""
    columns, categorical = [], []
    for place, name in enumerate(table):
        column = table[name]
        if types.is_numeric_dtype(column):
            columns.append(column.to_numpy(dtype=np.float64, na_value=np.nan))
        else:
            columns.append(bins(column, 200).cat.codes.to_numpy(dtype=np.float64))
            categorical.append(place)
    return np.stack(columns, axis=1), categorical


def _boosted(
    x: Float[np.ndarray, "n D"],
    s: Int64[np.ndarray, "n"],
    further: Float[np.ndarray, "m D"],
    categorical: list[int],
    groups: int,
) -> Float64[np.ndarray, "m G"]:
    import lightgbm

    objective = {"objective": "binary"} if groups == 2 else {"objective": "multiclass", "num_class": groups}
    settings = {"num_leaves": LEAVES, "learning_rate": 0.2, "num_threads": 1, "verbosity": -1, "seed": 0}
    settings |= {"deterministic": True, "force_row_wise": True, "max_bin": 63}
    data = lightgbm.Dataset(
        x, label=s, categorical_feature=categorical, params=objective | settings, free_raw_data=False
    )
    scores = np.asarray(lightgbm.train(objective | settings, data, num_boost_round=ROUNDS).predict(further))
    return np.stack([1 - scores, scores], axis=1) if groups == 2 else scores


def area(score: Float[np.ndarray, "K"], events: Float[np.ndarray, "K"], rows: Float[np.ndarray, "K"]) -> float:
    """Return the area under the ROC curve of scores that stand for `rows`, `events` of which are of the group."""
    places = np.unique(score, return_inverse=True)[1]
    hits, all_rows = np.bincount(places, weights=events), np.bincount(places, weights=rows)
    misses = all_rows - hits
    if not hits.sum() or not misses.sum():
        return np.nan
    below = np.cumsum(misses) - misses
    return float((hits * (below + misses / 2)).sum() / (hits.sum() * misses.sum()))


def _macro(areas: list[list[float]]) -> float:
    """Return the mean over groups of the mean over folds; of two groups both areas are the same."""
    each = np.array(areas)
    there = ~np.isnan(each)
    if not there.any():
        return np.nan
    by_group = [each[there[:, g], g].mean() for g in range(each.shape[1]) if there[:, g].any()]
    return float(np.mean(by_group))


def strongest(proxies: pd.DataFrame, most: int) -> Iterator[str]:
    """Yield the columns that alone tell most of the group, at most so many; those with an area of 0.5 are none."""
    alone = proxies[(proxies["column"] != TOGETHER) & (proxies["auc"] > 0.5)]
    yield from alone["column"].head(most)
