"""How names and numbers are written, in one place, so that figures, tables, report, card and console agree."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from statistics import median
from typing import Any, Final

from counterpoise.catalogue import BY_NAME, METHODS
from counterpoise.fairness import METRICS

# What an experiment is about, first; the order in which metrics appear everywhere.
LAST: Final = "_last"
"""At the end of a variant's name: the model of the last epoch, where the name without it is that of the best epoch."""
HEADLINE_METRICS: Final = ("err", "delta_eo", "delta_dp")

METHOD_PLACES: Final = {method.name: place for place, method in reversed([*enumerate(METHODS)])}
"""Method → its place in tables and legends; of two rows with one name the first counts."""

# The parts of an experiment whose names are not already what a reader calls them.
PART_TITLES: Final[Mapping[str, str]] = {"adam": "Adam", "sgd": "SGD"}
# What is frozen, within a sentence.
BASE_TITLES: Final[Mapping[str, str]] = {
    "perceptron": "a perceptron",
    "boosted": "boosted trees",
    "linear": "a linear model",
    "frozen": "a frozen backbone",
}
# What stands for a metric in a sentence or at the head of a column, where its title would be too long.
METRIC_SYMBOLS: Final[Mapping[str, str]] = {
    "err": "error",
    "auc": "AUC",
    "f1": "F1",
    "delta_eo": "ΔEO",
    "delta_dp": "ΔDP",
    "spd": "SPD",
    "eod": "EOD",
    "aod": "AOD",
    "conflicting_accuracy": "bias-conflicting accuracy",
}
PART_SEPARATOR: Final = "/"
"""Between the part of an experiment and the rest of a variant's name: `eo_0.1/win_r2_a0.5`."""
NOT_AVAILABLE: Final = "n/a"
_PERCENT_DECIMALS: Final = 2
_FRACTION_DECIMALS: Final = 3
_SMALLEST_P: Final = 0.001
_SHORT_SECONDS: Final = 10
_MINUTE: Final = 60
_HOUR: Final = 3600
_LEVEL_DIGITS: Final = 12  # of a level in percent; more are rounding


def metric_symbol(metric: str) -> str:
    """The short form of a metric within a sentence: `delta_eo` → ΔEO, `worst_group_accuracy` → worst-group accuracy."""
    if metric in METRIC_SYMBOLS or metric not in METRICS:
        return METRIC_SYMBOLS.get(metric, metric)
    title = METRICS[metric].title
    return title[:1].lower() + title[1:]


def is_signed(metric: str) -> bool:
    """Whether the size of a metric is what should be low, and its sign only says whom it favours."""
    return metric in METRICS and METRICS[metric].lower_is_better is None


def gap_symbol(metric: str) -> str:
    """The short form of a bias: the metric, or its absolute value if it is signed."""
    return f"|{metric_symbol(metric)}|" if is_signed(metric) else metric_symbol(metric)


def shortfall_symbol(metric: str) -> str:
    """The short form of what a tolerance bounds, `fairness.shortfall`: |SPD|, 1 − worst-group accuracy, error / 100."""
    if metric_unit(metric) == "%":
        return f"{metric_symbol(metric)} / 100"
    short_of_one = metric in METRICS and METRICS[metric].perfect == 1
    return f"1 − {metric_symbol(metric)}" if short_of_one else gap_symbol(metric)


def metric_unit(metric: str) -> str:
    """`"%"` or `""`."""
    return METRICS[metric].unit if metric in METRICS else ""


def difference_axis(metric: str) -> str:
    """The title of an axis of differences; a difference of percentages is in points."""
    return f"difference in {gap_symbol(metric)}{' (percentage points)' if metric_unit(metric) == '%' else ''}"


def metric_label(metric: str) -> str:
    """The title of an axis or the head of a column: the short form, capitalised, with its unit."""
    name, unit = capital(metric_symbol(metric)), metric_unit(metric)
    return f"{name} ({unit})" if unit else name


def gap_label(metric: str) -> str:
    """The same for the absolute value of a signed metric: what claims compare."""
    return gap_symbol(metric) if is_signed(metric) else metric_label(metric)


def method_title(method: str) -> str:
    """The name of a method as a reader knows it."""
    return BY_NAME[method].title if method in BY_NAME else method.replace("_", " ").capitalize()


def frontier_title(method: str) -> str:
    """The name of a method's whole grid, where `method_title` names one model of it."""
    return (method in BY_NAME and BY_NAME[method].bank_title) or method_title(method)


def method_phrase(method: str) -> str:
    """The name of a method within a sentence."""
    return (method in BY_NAME and BY_NAME[method].phrase) or method_title(method)


def part_title(part: str) -> str:
    """The name of a part of an experiment: `eo_0.1` → EO 0.1, `mlp3` → MLP-3, `adam` → Adam, `biased` → biased."""
    if constrained := re.fullmatch(r"(eo|dp)_([\d.]+)", part):
        return f"{constrained[1].upper()} {constrained[2]}"
    if network := re.fullmatch(r"mlp(\d+)", part):
        return f"MLP-{network[1]}"
    return PART_TITLES.get(part, part.replace("_", " "))


def split_part(variant: str) -> tuple[str, str]:
    """A variant's part, empty if it has none, and its name within the part."""
    part, _, name = variant.rpartition(PART_SEPARATOR)
    return part, name


def split_method(name: str) -> tuple[str, str]:
    """The method at the head of a variant's name within its part, and the rest: `win_r2_a0.5` → win, r2_a0.5.

    Names of methods have underscores themselves, so the longest that fits is taken; an empty one if none does.
    """
    fitting = [method for method in BY_NAME if name == method or name.startswith(f"{method}_")]
    method = max(fitting, key=len, default="")
    return method, name.removeprefix(method).removeprefix("_") if method else name


def join_part(part: str, name: str) -> str:
    """The full name of a variant, from which `split_part` tells the two again."""
    return f"{part}{PART_SEPARATOR}{name}" if part else name


def variant_titles(variants: Mapping[str, str]) -> dict[str, str]:
    """Variant → title of its method (`variants`: variant → method), with its own name where the method has several."""
    of_the_method = Counter(variants.values())
    return {
        variant: method_title(method) if of_the_method[method] == 1 else f"{method_title(method)}: {variant}"
        for variant, method in variants.items()
    }


def is_missing(value: Any) -> bool:
    """True for None, NaN and pandas' NA."""
    return value is None or not isinstance(value, Real) or math.isnan(value)


def number(value: Any, metric: str = "", *, signed: bool = False) -> str:
    """Write a measured value with the decimals of its metric, a true minus sign, and `n/a` where there is none."""
    return _fixed(value, _decimals(metric), signed=signed)


def plus_minus(mean: Any, std: Any, metric: str = "") -> str:
    """Write mean ± standard deviation; the mean alone where there is no deviation, as for one seed."""
    return _with_deviation(mean, std, _decimals(metric))


def reported(value: Any, std: Any, metric: str = "") -> str:
    """Write a paper's number with all the digits that the paper printed, at least as many as ours have."""
    printed = [len(repr(float(part)).partition(".")[2]) for part in (value, std) if not is_missing(part)]
    return _with_deviation(value, std, max(_decimals(metric), *printed, 0))


def level_title(level: float) -> str:
    """Write a confidence level: 0.95 → 95%, 0.999 → 99.9%."""
    return f"{100 * level:.{_LEVEL_DIGITS}g}%"


def interval_title(level: float) -> str:
    """The name of an interval in a sentence, a table's head or a legend: 0.95 → 95% interval."""
    return f"{level_title(level)} interval"


def interval(low: Any, high: Any, metric: str = "", *, signed: bool = False) -> str:
    """Write a confidence interval."""
    if is_missing(low) or is_missing(high):
        return NOT_AVAILABLE
    return f"{number(low, metric, signed=signed)} to {number(high, metric, signed=signed)}"


def with_interval(value: Any, low: Any, high: Any) -> str:
    """Write a value and in brackets its interval, where it has one: `0.213 (0.190 to 0.240)`."""
    return number(value) if is_missing(value) or is_missing(low) else f"{number(value)} ({interval(low, high)})"


def percent(share: Any) -> str:
    """Write a share of rows: 0.213 → 21.3%."""
    return NOT_AVAILABLE if is_missing(share) else f"{share:.1%}"


def difference(comparison: Any, metric: str = "") -> str:
    """Write what has `difference, ci_low, ci_high`, such as a `PairedDifference`: `−0.019 (−0.021 to −0.017)`."""
    spread = interval(comparison.ci_low, comparison.ci_high, metric, signed=True)
    return f"{number(comparison.difference, metric, signed=True)} ({spread})"


def median_and_range(values: Iterable[Any], write: Callable[[float], str] = number) -> str:
    """Write the median of the values that are not missing, and in brackets their range: `12 (3 to 40)`."""
    numbers = [float(value) for value in values if not is_missing(value)]
    if not numbers:
        return NOT_AVAILABLE
    low, middle, high = (write(value) for value in (min(numbers), median(numbers), max(numbers)))
    return middle if low == high else f"{middle} ({low} to {high})"


def epoch_chosen(epochs: Iterable[Any], lengths: Iterable[Any]) -> str:
    """Write which epochs were chosen, of how many: `12 (3 to 40) of 90`."""
    chosen, totals = median_and_range(epochs, "{:g}".format), [value for value in lengths if not is_missing(value)]
    return f"{chosen} of {max(totals):g}" if totals and chosen != NOT_AVAILABLE else chosen


def p_value(p: Any, *, named: bool = False) -> str:
    """Write a p-value, `p = 0.012` if `named`; below one in a thousand its digits mean nothing."""
    if is_missing(p):
        return f"p {NOT_AVAILABLE}" if named else NOT_AVAILABLE
    if p < _SMALLEST_P:
        return f"p < {_SMALLEST_P}" if named else f"< {_SMALLEST_P}"
    return f"p = {p:.3f}" if named else f"{p:.3f}"


def duration(seconds: float, *, rough: bool = False) -> str:
    """Write a time: `0.4 s`, `42 s`, `5 min 12 s`, `2 h 5 min`; if `rough`, of minutes alone no seconds."""
    total = round(seconds)
    if seconds < _SHORT_SECONDS and not rough:
        return f"{max(seconds, 0):.1f} s"
    if total < _MINUTE:
        return f"{max(total, 1)} s"
    if total >= _HOUR:
        hours, minutes = divmod(round(total / _MINUTE), _MINUTE)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    minutes, rest = divmod(total, _MINUTE)
    if rough:
        return f"{round(total / _MINUTE)} min"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def shortened(text: str, width: int) -> str:
    """Text of at most `width` characters on one line: of what is longer the middle is left out, both ends stay."""
    line = " ".join(text.split())
    if len(line) <= width:
        return line
    tail = max(width - 1, 0) // 2
    return f"{line[: max(width - 1, 0) - tail]}…{line[len(line) - tail :]}"


def capital(words: str) -> str:
    """Begin a sentence: the first letter as a capital, the others as they are."""
    return words[:1].upper() + words[1:]


def enumerate_words(words: Iterable[str], conjunction: str = "and") -> str:
    """Join words as a sentence does: `a, b and c`."""
    *first, last = list(words) or [""]
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def metric_order(metrics: Iterable[str]) -> list[str]:
    """Headline metrics first, then the glossary's order, then the rest by name."""
    places = {metric: place for place, metric in enumerate(dict.fromkeys([*HEADLINE_METRICS, *METRICS]))}
    return sorted(set(metrics), key=lambda metric: (places.get(metric, len(places)), metric))


def method_order(methods: Iterable[str]) -> list[str]:
    """Each method once: those with a title in their order, then the rest as they come."""
    return sorted(dict.fromkeys(methods), key=lambda method: METHOD_PLACES.get(method, len(METHOD_PLACES)))


def _decimals(metric: str) -> int:
    return _PERCENT_DECIMALS if metric_unit(metric) == "%" else _FRACTION_DECIMALS


def _fixed(value: Any, decimals: int, *, signed: bool = False) -> str:
    if is_missing(value):
        return NOT_AVAILABLE
    text = f"{float(value):{'+' if signed else ''}.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def _with_deviation(mean: Any, std: Any, decimals: int) -> str:
    if is_missing(mean) or is_missing(std):
        return _fixed(mean, decimals)
    return f"{_fixed(mean, decimals)} ± {_fixed(std, decimals)}"
