"""From per-seed metrics and predictions to the tables of the report: mean, deviation, interval, the paper's number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
import pandas as pd

from counterpoise.errors import InputError, suggest
from counterpoise.fairness import LEVEL, summarize
from counterpoise.reporting import published
from counterpoise.reporting._frames import require_columns, rows_of
from counterpoise.reporting.wording import METHOD_PLACES, NOT_AVAILABLE, metric_order, plus_minus

METRICS_KEYS: Final = ("method", "variant", "seed", "split", "metric", "value")
SETTINGS: Final = ("alpha", "rank", "constraint", "strength")
_INTERVAL_COLUMNS: Final = ("mean", "std", "ci_low", "ci_high", "n")
SUMMARY_COLUMNS: Final = ("method", "variant", "metric", *_INTERVAL_COLUMNS, "reported", "reported_std")
GROUP_RATE_COLUMNS: Final = ("method", "variant", "group", "label", "rate", *_INTERVAL_COLUMNS)
TEST: Final = "test"
_POSITIVE: Final = 1


def summary(
    metrics: pd.DataFrame,
    published_rows: Sequence[Mapping[str, Any]] = (),
    *,
    level: float = LEVEL,
    correction: float | None = None,
) -> pd.DataFrame:
    """Summarize the test metrics of every variant over the seeds, with the paper's number beside ours.

    Args:
        metrics: long frame with `METRICS_KEYS` and any of `SETTINGS` (null where a variant has none).
        published_rows: selectors of `published.select`, one per variant that the paper reports.
        level: of the intervals `ci_low` to `ci_high`.
        correction: n_test / n_train, to widen the intervals by Nadeau and Bengio (2003); none by default.

    Returns:
        Frame with columns `SUMMARY_COLUMNS`, ordered by method, settings and metric whatever the order of the
        input; the parts of an experiment stay in theirs.
        `n` counts the seeds that have a value; `reported` is NaN where the paper prints none.

    Raises:
        InputError: no test rows, a seed twice, or a published selector for a variant that was not run.
    """
    test = test_rows(metrics)
    variants = variant_order(test)
    reported = published.select(published_rows)
    for name in reported["variant"].unique():
        if name not in variants:
            raise InputError(f"published selector: the variant {name!r} was not run{suggest(name, variants)}.")
    paper = {(row.variant, row.metric): (row.reported, row.reported_std) for row in rows_of(reported)}

    by_seed = test.sort_values("seed", kind="stable").groupby(["variant", "metric"])["value"]
    values: dict[Any, np.ndarray] = {key: replicates.to_numpy(np.float64) for key, replicates in by_seed}
    records = []
    for variant, method in variants.items():
        for metric in metric_order(metric for name, metric in values if name == variant):
            numbers = _interval(values[variant, metric], level, correction)
            records.append((method, variant, metric, *numbers, *paper.get((variant, metric), (np.nan, np.nan))))
    return pd.DataFrame(records, columns=list(SUMMARY_COLUMNS))


def group_rates(
    predictions: pd.DataFrame, *, classes: int, level: float = LEVEL, correction: float | None = None
) -> pd.DataFrame:
    """What each group receives from each variant on the test split: the table behind every gap.

    Args:
        predictions: frame with `method, variant, seed, split, y, s, prediction` (integer codes for the last three).
        classes: k; with two classes the rates are those of class 1, else of each class against the rest.
        level, correction: as in `summary`.

    Returns:
        Frame with columns `GROUP_RATE_COLUMNS`; `rate` is `accuracy` (label null), `selection_rate` P(ŷ=c),
        `true_positive_rate` P(ŷ=c | y=c) or `false_positive_rate` P(ŷ=c | y≠c), each within the group. A seed whose
        condition never occurs is NaN and does not count in `n`.
    """
    test = predictions[predictions["split"] == TEST]
    if test.empty:
        raise InputError(f"predictions: no rows of the split {TEST!r}, expected at least one.")
    y, prediction = test["y"].to_numpy(), test["prediction"].to_numpy()
    labels = [_POSITIVE] if classes == 2 else list(range(classes))
    indicators: dict[tuple[str, Any], np.ndarray] = {("accuracy", pd.NA): (prediction == y).astype(np.float64)}
    for label in labels:
        selected = (prediction == label).astype(np.float64)
        indicators["selection_rate", label] = selected
        indicators["true_positive_rate", label] = np.where(y == label, selected, np.nan)
        indicators["false_positive_rate", label] = np.where(y != label, selected, np.nan)

    order = {variant: place for place, variant in enumerate(variant_order(test))}
    keys = ["method", "variant", "s", "seed"]
    records = []
    for (rate, label), indicator in indicators.items():
        per_seed = test[keys].assign(value=indicator).groupby(keys, sort=True)["value"].mean()
        for key, replicates in per_seed.groupby(level=keys[:-1]):
            numbers = _interval(replicates.to_numpy(np.float64), level, correction)
            records.append((*cast(tuple[str, str, int], key), label, rate, *numbers))
    frame = pd.DataFrame(records, columns=list(GROUP_RATE_COLUMNS)).astype({"label": "Int64"})
    place = frame["variant"].map(order)
    return (
        frame.assign(place=place)
        .sort_values(["place", "group"], kind="stable", ignore_index=True)
        .drop(columns="place")
    )


def intervals(frame: pd.DataFrame, keys: Sequence[str], column: str, *, level: float) -> pd.DataFrame:
    """Mean, deviation and interval of a column over the rows that agree in `keys`, in order of appearance.

    Returns:
        Frame with `keys`, then `mean, std, ci_low, ci_high, n`.
    """
    groups = frame.groupby(list(keys), sort=False, dropna=False)[column]
    records = [
        (*cast(tuple[Any, ...], key), *_interval(rows.to_numpy(np.float64), level, None)) for key, rows in groups
    ]
    return pd.DataFrame(records, columns=[*keys, *_INTERVAL_COLUMNS])


def written_mean(values: pd.Series, metric: str = "", mark: str = "") -> str:
    """Mean ± deviation of the values that are not missing, marked; `n/a` where all are."""
    statistics = summarize(values.to_numpy(np.float64, na_value=np.nan))
    written = plus_minus(float(statistics.mean), float(statistics.std), metric)
    return written if written == NOT_AVAILABLE else f"{written}{mark}"


def test_rows(metrics: pd.DataFrame) -> pd.DataFrame:
    """The rows of the test split, checked: the columns are there, and no seed occurs twice.

    Raises:
        InputError: a missing column, no test rows, or a repeated (variant, metric, seed).
    """
    require_columns(metrics, METRICS_KEYS, "metrics")
    test = metrics[metrics["split"] == TEST]
    if test.empty:
        splits = ", ".join(sorted(map(str, metrics["split"].unique()))) or "none"
        raise InputError(f"metrics: no rows of the split {TEST!r} (found: {splits}).")
    repeated = test[test.duplicated(["variant", "metric", "seed"])]
    if not repeated.empty:
        row = repeated.iloc[0]
        raise InputError(
            f"metrics: the variant {row['variant']!r} has more than one {row['metric']!r} for seed {row['seed']}, "
            "expected one value per seed."
        )
    return test


def variant_order(frame: pd.DataFrame) -> dict[str, str]:
    """Variants with their methods: part by part, the known methods first, then by settings, then by name.

    Raises:
        InputError: one variant name for two methods.
    """
    settings = [column for column in SETTINGS if column in frame.columns]
    parts = ["part"] if "part" in frame.columns else []
    order = {part: place for place, part in enumerate(dict.fromkeys(frame["part"]))} if parts else {}
    rows = frame[["method", "variant", *settings, *parts]].drop_duplicates()

    def place(row: Any) -> tuple[Any, ...]:
        chosen = [getattr(row, column) for column in settings]
        nulls_first = [(False, "") if pd.isna(value) else (True, value) for value in chosen]
        first = order[row.part] if parts else 0
        return (first, METHOD_PLACES.get(row.method, len(METHOD_PLACES)), row.method, nulls_first, row.variant)

    methods: dict[str, str] = {}
    for row in sorted(rows_of(rows), key=place):
        if methods.setdefault(row.variant, row.method) != row.method:
            raise InputError(
                f"metrics: the variant {row.variant!r} belongs to the methods {methods[row.variant]!r} and "
                f"{row.method!r}, expected one method per variant."
            )
    return methods


def _interval(replicates: np.ndarray, level: float, correction: float | None) -> tuple[float, float, float, float, int]:
    result = summarize(replicates, level=level, correction=correction)
    return float(result.mean), float(result.std), float(result.ci_low), float(result.ci_high), int(result.n)
