"""The answer of a frontier: what the choice costs and buys, what it is read beside, and what to beware of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64
from torch import Tensor

from counterpoise.catalogue import BASES, BY_NAME, CHOSEN, CONSTANT, UNREPAIRED, methods_of
from counterpoise.errors import InputError
from counterpoise.fairness import Compared, shortfall, underlying_bias
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.reporting._frames import cells, require_columns, rows_of
from counterpoise.reporting.wording import (
    BASE_TITLES,
    enumerate_words,
    is_missing,
    method_phrase,
    number,
    shortfall_symbol,
)

MODEL_KEYS: Final = ("family", "seed", "needs_group", "validation_err", "validation_bias", "test_err", "test_bias")
"""What is known of every model that stands beside the choice; validation is what the choice was made by."""
GRID_KEYS: Final = ("method", "base", "constraint")
"""Models that agree in these are of one grid of strengths and weight decays."""
BARELY_SMALLER: Final = 0.975
"""A mean bound of more than this share of the tolerance is not worth a sentence."""

OF_CHANCE: Final = 0.5
"""From this share of the tolerance on, a noise floor is a reason to say what a gap is without chance."""
GRID_SETTINGS: Final = {"strength": "strength", "weight_decay": "weight decay"}
RARE: Final = 0.02
"""A choice whose predictions but for this share are one class is nearly constant."""
MAJORITY: Final = 0.5
_BEYOND_IS_UNREPAIRED: Final = {True: "smallest", False: "largest"}
"""Whether a model is penalised → the end of its strengths beyond which there is no penalty; no bound, of rules."""
A_RANGE: Final = 3
"""Fewer values of a setting have no inside, so that none of them is an edge."""
WIDE: Final = 10.0
"""Strengths of different seeds that lie further apart than this factor differ much."""


def limits_of(selection: pd.DataFrame) -> tuple[str, float]:
    """Return the criterion of a choice and its tolerance.

    Raises:
        InputError: a missing column, or more than one criterion or tolerance.
    """
    require_columns(selection, ("criterion", "tolerance"), "selection")
    limits = selection[["criterion", "tolerance"]].drop_duplicates()
    if len(limits) > 1:
        raise InputError(f"selection: {len(limits)} pairs of criterion and tolerance, expected one.")
    return next(((str(row.criterion), float(row.tolerance)) for row in rows_of(limits)), ("bias", np.nan))


def base_of(selection: pd.DataFrame) -> str:
    """Return the family that stands for the unrepaired base: its own, or where there is none the pretrained head."""
    return UNREPAIRED if UNREPAIRED in set(selection["family"]) else BASES["heads"]


def models(selection: pd.DataFrame, predictions: pd.DataFrame, compared: Compared = None) -> pd.DataFrame:
    """What every family chose in every seed, with the constant predictor and the unrepaired base in any case.

    A reference that was not chosen among the others is measured by its predictions, or by the majority class of the
    test rows for everyone; then only on test, and validation is null.

    Args:
        selection: one row per family and seed, with `MODEL_KEYS`, `criterion` and `tolerance`.
        predictions: `variant, seed, split, y, s, prediction`, counted where there is a column `rows`.

    Returns:
        Frame with `MODEL_KEYS`.

    Raises:
        InputError: a missing column, or more than one criterion or tolerance.
    """
    require_columns(selection, MODEL_KEYS, "selection")
    require_columns(predictions, ("variant", "seed", "split", "y", "s", "prediction"), "predictions")
    criterion, _ = limits_of(selection)
    frames = [selection[list(MODEL_KEYS)]]
    test = predictions[predictions["split"] == "test"]
    families, base = set(selection["family"]), base_of(selection)
    if CONSTANT not in families and len(test):
        first = test[test["variant"] == test["variant"].iloc[0]]
        majority = first["seed"].map(_most(first, "y"))
        frames.append(_measured(CONSTANT, first.assign(prediction=majority), criterion, compared))
    if base not in families and base in set(test["variant"]):
        frames.append(_measured(base, test[test["variant"] == base], criterion, compared))
    return pd.concat([frame for frame in frames if len(frame)], ignore_index=True) if len(frames) > 1 else frames[0]


def headline(chosen: pd.DataFrame, selection: pd.DataFrame) -> str:
    """What the choice costs and buys on test beside the unrepaired base, means over the seeds; empty without them."""
    criterion, tolerance = limits_of(selection)
    before, after = _means(chosen, base_of(selection)), _means(chosen, CHOSEN)
    if before is None or after is None:
        return ""
    bound = f"{shortfall_symbol(criterion)} ≤ {tolerance:g}"
    return f"Under {bound}, the choice {_exchange(before, after, criterion, 'test')} on test."


def findings(
    chosen: pd.DataFrame,
    selection: pd.DataFrame,
    frontier: pd.DataFrame,
    predictions: pd.DataFrame,
    noise_floor: Mapping[str, float],
    class_names: Sequence[str],
    compared: Compared = None,
) -> tuple[str, ...]:
    """Which model was chosen, what it came to on validation, and what to beware of.

    Args:
        chosen: `models`.
        selection: with the settings of what was chosen, as far as they are known: `variant, method, base, constraint,
            strength, weight_decay`.
        frontier: `method, variant` and the same settings of every model.
        predictions: as of `models`.
        noise_floor: metric → what a perfectly fair model would measure on test.
        class_names: of the codes in predictions.
    """
    criterion, tolerance = limits_of(selection)
    choices = selection[selection["family"] == CHOSEN]
    if "variant" in choices:
        choices = choices[choices["variant"].notna()]
    if choices.empty:
        return ()
    before, after = _means(chosen, base_of(selection)), _means(chosen, CHOSEN)
    sentences = [sentence for sentence in (_undefined(class_names), _which(choices)) if sentence]
    if after is not None and not is_missing(after["validation_err"]):
        if before is not None and not is_missing(before["validation_err"]):
            sentences.append(f"As judged on validation, it {_exchange(before, after, criterion, 'validation')}.")
        else:
            sentences.append(
                f"As judged on validation, its error is {number(after['validation_err'], 'err')}% and its "
                f"{shortfall_symbol(criterion)} {number(after['validation_bias'])}."
            )
    sentences += _without_chance(chosen, selection, predictions, noise_floor.get(criterion), compared)
    sentences += _bound(choices, criterion, tolerance)
    if "certified" in choices and choices["certified"].notna().any():
        certified = int(choices["certified"].fillna(False).sum())
        sentences.append(
            f"Certified {_in_seeds(certified, len(choices))}: there the tolerance holds on new data with the "
            "probability that selection.certify asks for; elsewhere validation rows are too few to certify any model."
        )
    cautions = (
        _near_constant(chosen, predictions, class_names),
        _below_floor(criterion, tolerance, noise_floor.get(criterion)),
        _on_the_edge(choices, frontier),
        _rarely_held(choices, criterion, tolerance),
        _scattered(choices),
    )
    return (*sentences, *(sentence for sentence in cautions if sentence))


def _measured(family: str, predictions: pd.DataFrame, criterion: str, compared: Compared) -> pd.DataFrame:
    """Error and bias on test of one model in each seed."""
    can_differ = criterion in COUNT_METRICS and predictions["s"].max() > 0
    records = []
    for seed, counts in _counts(predictions).items():
        bias = (
            float(shortfall(criterion, COUNT_METRICS[criterion](counts, compared=compared))) if can_differ else np.nan
        )
        records.append((family, seed, False, np.nan, np.nan, float(COUNT_METRICS["err"](counts)), bias))
    return pd.DataFrame(records, columns=list(MODEL_KEYS))


def _counts(predictions: pd.DataFrame) -> dict[Any, Int64[Tensor, "G k k"]]:
    """Count one model's predictions in each seed."""
    groups = int(predictions["s"].max()) + 1
    classes = int(max(predictions["y"].max(), predictions["prediction"].max())) + 1
    counts = {}
    for seed, rows in predictions.groupby("seed", sort=True):
        counted = cells(rows, ["s", "y", "prediction"])
        of_seed = torch.zeros(max(groups, 2), max(classes, 2), max(classes, 2), dtype=torch.int64)
        of_seed[tuple(counted[["s", "y", "prediction"]].to_numpy().T)] = torch.tensor(counted["rows"].to_numpy())
        counts[seed] = of_seed
    return counts


def _without_chance(
    chosen: pd.DataFrame, selection: pd.DataFrame, predictions: pd.DataFrame, floor: float | None, compared: Compared
) -> list[str]:
    """Say what the gap on test is without chance, before and after, where chance is not small beside the tolerance."""
    criterion, tolerance = limits_of(selection)
    after = _means(chosen, CHOSEN)
    if floor is None or not floor > OF_CHANCE * tolerance or after is None or criterion not in COUNT_METRICS:
        return []
    test = predictions[predictions["split"] == "test"]
    sizes = []
    for family in (base_of(selection), CHOSEN):
        rows = test[test["variant"] == family]
        if rows.empty or rows["s"].max() == 0:
            return []
        counts = torch.stack(list(_counts(rows).values())).unsqueeze(1)
        sizes.append(float(underlying_bias(criterion, counts, compared=compared)[0]))
    if any(map(is_missing, sizes)):
        return []
    return [
        f"Without what chance adds on test parts of this size, {shortfall_symbol(criterion)} on test is "
        f"{number(sizes[0])} before and {number(sizes[1])} after (all seeds together)."
    ]


def _most(predictions: pd.DataFrame, name: str) -> pd.Series:
    """Return each seed's most frequent value of a column; ties go to the smallest."""
    counts = cells(predictions, ["seed", name])
    return counts.loc[counts.groupby("seed")["rows"].idxmax()].set_index("seed")[name]


def _means(chosen: pd.DataFrame, family: str) -> pd.Series | None:
    rows = chosen[chosen["family"] == family]
    return None if rows["test_err"].isna().all() else rows[list(MODEL_KEYS[3:])].abs().mean()


def _exchange(before: pd.Series, after: pd.Series, criterion: str, part: str) -> str:
    """`costs 0.56 points of error (15.60% → 16.16%) and takes ΔEO from 0.190 to 0.059`."""
    old, new = (round(float(values[f"{part}_err"]), 2) for values in (before, after))
    points = number(abs(new - old), "err")
    errors = f"({number(old, 'err')}% → {number(new, 'err')}%)"
    cost = f"costs {points} points of error {errors}" if new > old else f"saves {points} points of error {errors}"
    if new == old:
        cost = f"leaves the error at {number(old, 'err')}%"
    gaps = [float(values[f"{part}_bias"]) for values in (before, after)]
    if any(map(is_missing, gaps)):
        return f"{cost}; {shortfall_symbol(criterion)} cannot be measured"
    verb = "takes" if gaps[1] <= gaps[0] else "raises"
    return f"{cost} and {verb} {shortfall_symbol(criterion)} from {number(gaps[0])} to {number(gaps[1])}"


def _kinds(choices: pd.DataFrame) -> pd.Series:
    """What each choice is, in words: `WIN on boosted trees under a penalty on EO`."""
    return pd.Series([_kind(row) for row in choices.to_dict("records")], index=choices.index)


def _kind(row: Mapping[Any, Any]) -> str:
    values = {name: value for name, value in row.items() if not pd.isna(value)}
    words = [method_phrase(str(values["method"]))] if "method" in values else [str(values.get("variant", "a model"))]
    if "base" in values:
        words.append(f"on {BASE_TITLES.get(str(values['base']), str(values['base']))}")
    if "constraint" in values:
        constraint = str(values["constraint"]).upper()
        words.append(f"under a penalty on {constraint}" if _is_penalised(values) else f"for {constraint}")
    return " ".join(words)


def _is_penalised(row: Mapping[Any, Any]) -> bool:
    """Whether a model's strength is that of a penalty; a rule's is a bound."""
    method = BY_NAME.get(row.get("method", ""))
    return method is not None and method.penalised


def _which(choices: pd.DataFrame) -> str:
    counts = _kinds(choices).value_counts()
    if len(choices) == 1:
        return f"Chosen: {counts.index[0]}."
    listed = enumerate_words(f"{kind} in {count}" for kind, count in counts.items())
    return f"Chosen, of {len(choices)} seeds: {listed}."


def _undefined(class_names: Sequence[str]) -> str:
    """Say what is not there with more than two classes."""
    if len(class_names) <= 2:
        return ""
    peers = enumerate_words([method_phrase(name) for name, row in methods_of("peers").items() if row.binary])
    return (
        f"With {len(class_names)} classes, heads under penalties, decision thresholds and the peers {peers} are not "
        "defined; compared are the bases as they are, rules in bias scores and the peers that are."
    )


def _bound(choices: pd.DataFrame, criterion: str, tolerance: float) -> list[str]:
    """Say under which bound models were chosen, if that is not the tolerance."""
    if "bound" not in choices or not choices["bound"].mean() < BARELY_SMALLER * tolerance:
        return []
    return [
        f"The luckiest of many models look fairer than they are: for a choice to keep {shortfall_symbol(criterion)} ≤ "
        f"{tolerance:g} on rows that have not chosen it, what is judged had to be within "
        f"{number(choices['bound'].mean())} (mean of the seeds)."
    ]


def _near_constant(chosen: pd.DataFrame, predictions: pd.DataFrame, class_names: Sequence[str]) -> str:
    test = predictions[(predictions["split"] == "test") & (predictions["variant"] == CHOSEN)]
    if test.empty:
        return ""
    by_seed = cells(test, ["seed", "prediction"]).groupby("seed")["rows"]
    largest = by_seed.max() / by_seed.sum()
    constant = largest[largest > 1 - RARE]
    if constant.empty:
        return ""
    counts = cells(test, ["prediction"])
    frequent = int(counts["prediction"].iloc[int(counts["rows"].argmax())])
    name = class_names[frequent] if frequent < len(class_names) else str(frequent)
    beside = _means(chosen, CONSTANT)
    error = "" if beside is None else f"; always predicting one class errs {number(beside['test_err'], 'err')}%"
    return (
        f"Beware: the choice is nearly constant {_in_seeds(len(constant), len(largest))}: it predicts {name} for "
        f"{constant.mean():.1%} of the test rows{error}."
    )


def _below_floor(criterion: str, tolerance: float, floor: float | None) -> str:
    if floor is None or is_missing(floor) or tolerance >= floor:
        return ""
    return (
        f"Beware: the tolerance {tolerance:g} is below the noise floor: a perfectly fair model would measure "
        f"{shortfall_symbol(criterion)} of about {number(floor)} on a test part of this size."
    )


def _on_the_edge(choices: pd.DataFrame, frontier: pd.DataFrame) -> str:
    """Name settings of the choice beyond which its grid has no further value, nor the model without any penalty or
    bound; 0 is no edge, since nothing is below."""
    settings = [name for name in GRID_SETTINGS if name in choices and name in frontier]
    keys = [name for name in GRID_KEYS if name in choices and name in frontier]
    if not settings or "method" not in keys:
        return ""
    grid = frontier[[*keys, *settings]].drop_duplicates()
    edges: dict[str, int] = {}
    seeds = set()
    for place, choice in choices.iterrows():
        alike = grid
        for name in keys:
            alike = alike[alike[name].isna() if pd.isna(choice[name]) else alike[name] == choice[name]]
        for name in settings:
            values = sorted({float(value) for value in alike[name].dropna() if value > 0})
            if len(values) >= A_RANGE and choice[name] in (values[0], values[-1]):
                extreme = "smallest" if choice[name] == values[0] else "largest"
                if name == "strength" and extreme == _BEYOND_IS_UNREPAIRED[_is_penalised(choice.to_dict())]:
                    continue
                of = f" on {str(choice['constraint']).upper()}" if pd.notna(choice.get("constraint")) else ""
                edge = f"{GRID_SETTINGS[name]} {choice[name]:g}{of} is the {extreme} tried"
                edges[edge] = edges.get(edge, 0) + 1
                seeds.add(place)
    if not edges:
        return ""
    listed = enumerate_words(f"{edge} ({count} of {len(choices)})" for edge, count in edges.items())
    return (
        f"Beware: the choice lies on the edge of its grid {_in_seeds(len(seeds), len(choices))}: {listed}. A wider "
        "grid may hold a better model."
    )


def _rarely_held(choices: pd.DataFrame, criterion: str, tolerance: float) -> str:
    biases = choices["test_bias"].dropna().abs()
    holds = int((biases <= tolerance).sum())
    if not len(biases) or holds >= MAJORITY * len(biases):
        return ""
    return (
        f"Beware: {shortfall_symbol(criterion)} ≤ {tolerance:g} holds on test in {holds} of {len(biases)} "
        f"seed{'s' * (len(biases) > 1)}."
    )


def _scattered(choices: pd.DataFrame) -> str:
    """Say so where no kind of model has a majority of the seeds, or their strengths are far apart."""
    if len(choices) < 3:  # of two, one always has half
        return ""
    kinds = _kinds(choices).value_counts()
    strengths = choices["strength"].dropna() if "strength" in choices else pd.Series(dtype=float)
    strengths = strengths[strengths > 0]
    reasons = []
    if kinds.iloc[0] <= MAJORITY * len(choices):
        reasons.append(f"no kind of model is chosen in more than {kinds.iloc[0]} of {len(choices)}")
    if len(strengths) and strengths.max() >= WIDE * strengths.min():
        reasons.append(f"strengths go from {strengths.min():g} to {strengths.max():g}")
    if not reasons:
        return ""
    return f"Beware: the choice differs much between seeds: {enumerate_words(reasons)}."


def _in_seeds(count: int, total: int) -> str:
    return "in the only seed" if total == 1 else f"in {count} of {total} seeds"
