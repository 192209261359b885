"""From per-seed metrics and predictions to the tables of the report: mean, deviation, interval, the paper's number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
import pandas as pd

from counterpoise.errors import InputError, suggest
from counterpoise.fairness import LEVEL, METRICS, summarize, wilson
from counterpoise.reporting import published
from counterpoise.reporting._frames import cells, require_columns, rows_of
from counterpoise.reporting.wording import METHOD_PLACES, NOT_AVAILABLE, metric_order, plus_minus

METRICS_KEYS: Final = ("method", "variant", "seed", "split", "metric", "value")
SETTINGS: Final = ("alpha", "rank", "constraint", "strength")
_INTERVAL_COLUMNS: Final = ("mean", "std", "ci_low", "ci_high", "n")
SUMMARY_COLUMNS: Final = ("method", "variant", "metric", *_INTERVAL_COLUMNS, "reported", "reported_std")
GROUP_RATE_COLUMNS: Final = ("method", "variant", "group", "label", "rate", *_INTERVAL_COLUMNS, "wilson")
RATES: Final = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")
_ANY: Final = (-np.inf, np.inf)
TEST: Final = "test"
_POSITIVE: Final = 1


def summary(
    metrics: pd.DataFrame,
    published_rows: Sequence[Mapping[str, Any]] = (),
    *,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Summarize the test metrics of every variant over the seeds, with the paper's number beside ours.

    Args:
        metrics: long frame with `METRICS_KEYS` and any of `SETTINGS` (null where a variant has none).
        published_rows: selectors of `published.select`, one per variant that the paper reports.
        level: of the intervals `ci_low` to `ci_high`, which are cut at the least and the largest value of the metric.

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
            numbers = interval_within(values[variant, metric], bounds_of(metric), level=level)
            records.append((method, variant, metric, *numbers, *paper.get((variant, metric), (np.nan, np.nan))))
    return pd.DataFrame(records, columns=list(SUMMARY_COLUMNS))


def group_rates(predictions: pd.DataFrame, *, classes: int, level: float = LEVEL) -> pd.DataFrame:
    """What each group receives from each variant on the test split: the table behind every gap.

    Args:
        predictions: frame with `method, variant, seed, split, y, s, prediction` (integer codes for the last three);
            counted where it has `rows`.
        classes: k; with two classes the rates are those of class 1, else of each class against the rest.

    Returns:
        Frame with columns `GROUP_RATE_COLUMNS`; `rate` is `accuracy` (label null), `selection_rate` P(ŷ=c),
        `true_positive_rate` P(ŷ=c | y=c) or `false_positive_rate` P(ŷ=c | y≠c), each within the group. A seed whose
        condition never occurs is NaN and does not count in `n`. Intervals are those of `rate_interval`.
    """
    test = predictions[predictions["split"] == TEST]
    if test.empty:
        raise InputError(f"predictions: no rows of the split {TEST!r}, expected at least one.")
    order = {variant: place for place, variant in enumerate(variant_order(test))}
    keys = ["method", "variant", "seed", "s"]
    counts = cells(test, [*keys, "y", "prediction"])
    frame = rates_of_counts(counts, keys[:2], classes=classes, level=level)
    place = frame["variant"].map(order)
    return (
        frame.assign(place=place)
        .sort_values(["place", "group"], kind="stable", ignore_index=True)
        .drop(columns="place")[list(GROUP_RATE_COLUMNS)]
    )


def rates_of_counts(counts: pd.DataFrame, keys: Sequence[str], *, classes: int, level: float = LEVEL) -> pd.DataFrame:
    """The rates of each group, from counted predictions.

    Args:
        counts: frame with `keys`, `seed, s, y, prediction, rows`: how many rows of group s and class y were predicted
            so; what does not occur may be absent.
        keys: columns that name a model.
        classes: as of `group_rates`.

    Returns:
        Frame with `keys`, `group, label, rate`, then `mean, std, ci_low, ci_high, n, wilson`; see `rate_interval`.
    """
    y, prediction, rows = (counts[name].to_numpy() for name in ("y", "prediction", "rows"))
    labels = [_POSITIVE] if classes == 2 else list(range(classes))
    events: dict[tuple[str, Any], tuple[np.ndarray, np.ndarray]] = {
        ("accuracy", pd.NA): (prediction == y, np.ones(len(y), dtype=bool))
    }
    for label in labels:
        selected = prediction == label
        events["selection_rate", label] = selected, np.ones(len(y), dtype=bool)
        events["true_positive_rate", label] = selected & (y == label), y == label
        events["false_positive_rate", label] = selected & (y != label), y != label
    records = []
    for (rate, label), (selected, members) in events.items():
        counted = counts[[*keys, "s", "seed"]].assign(events=rows * selected, trials=rows * members)
        per_seed = counted.groupby([*keys, "s", "seed"], sort=True)[["events", "trials"]].sum()
        for key, seeds in per_seed.groupby(level=[*keys, "s"]):
            counted_seeds = (seeds[name].to_numpy(np.float64) for name in ("events", "trials"))
            numbers = rate_interval(*counted_seeds, level=level)
            records.append((*cast(tuple[Any, ...], key), label, rate, *numbers))
    columns = [*keys, "group", "label", "rate", *_INTERVAL_COLUMNS, "wilson"]
    return pd.DataFrame(records, columns=columns).astype({"label": "Int64"})


def rate_interval(
    events: np.ndarray, trials: np.ndarray, *, level: float = LEVEL
) -> tuple[float, float, float, float, int, bool]:
    """Mean, deviation and interval of a rate over seeds, the number of seeds, and whether Wilson's interval is in it.

    It is the t-interval over the seeds where that lies within [0, 1]. Where it does not, where all seeds have 0 or 1
    and so no spread, and for a single seed, it is what lies within [0, 1] of it, joined with Wilson's interval of the
    pooled rate for as many rows as one seed has: the seeds' rows overlap, so together they are no larger sample.

    Args:
        events, trials: of each seed; a seed without trials has no rate.
    """
    there = trials > 0
    with np.errstate(invalid="ignore"):
        replicates = np.where(there, events / np.where(there, trials, np.nan), np.nan)
    result = summarize(replicates, level=level)
    mean, std, low, high = (float(value) for value in (result.mean, result.std, result.ci_low, result.ci_high))
    is_inside = low >= 0 and high <= 1 and not (std == 0 and mean in (0, 1))
    if is_inside or not there.any():
        return mean, std, low, high, int(result.n), False
    n, pooled = trials[there].mean(), events[there].sum() / trials[there].sum()
    ends = wilson(np.array(pooled * n), np.array(n), level=level)
    low = np.nanmin([ends[0], mean, np.maximum(low, 0)])
    high = np.nanmax([ends[1], mean, np.minimum(high, 1)])
    return mean, std, float(low), float(high), int(result.n), True


def intervals(frame: pd.DataFrame, keys: Sequence[str], column: str, *, level: float) -> pd.DataFrame:
    """Mean, deviation and interval of a column over the rows that agree in `keys`, in order of appearance.

    Where one of the keys is `metric`, the intervals are cut at the least and the largest value of that metric.

    Returns:
        Frame with `keys`, then `mean, std, ci_low, ci_high, n`.
    """
    groups = frame.groupby(list(keys), sort=False, dropna=False)[column]
    records = []
    for key, rows in groups:
        named = dict(zip(keys, cast(tuple[Any, ...], key), strict=True))
        bounds = bounds_of(str(named.get("metric", "")))
        numbers = interval_within(rows.to_numpy(np.float64), bounds, level=level)
        records.append((*named.values(), *numbers))
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


def interval_within(
    replicates: np.ndarray, bounds: tuple[float, float], *, level: float
) -> tuple[float, float, float, float, int]:
    """Mean, deviation, t-interval over the replicates and their number; the interval is cut at the bounds.

    A t-interval knows no bounds: of a gap near 0 it would reach below 0, where no gap can be.
    """
    result = summarize(replicates, level=level)
    low, high = (np.clip(end, *bounds) for end in (result.ci_low, result.ci_high))
    return float(result.mean), float(result.std), float(low), float(high), int(result.n)


def bounds_of(metric: str, *, absolute: bool = False) -> tuple[float, float]:
    """The least and the largest value of a metric, or if `absolute` of its size; no bounds for what is no metric."""
    low, high = METRICS[metric].bounds if metric in METRICS else _ANY
    return (max(low, 0.0), high) if absolute else (low, high)
