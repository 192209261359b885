"""Tables 1 to 6 of Zhang, Gao and Huang (ECCV 2022) with their uncertainty, and what they omit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from counterpoise.catalogue import BY_NAME
from counterpoise.fairness import LEVEL, paired_difference
from counterpoise.reporting import published
from counterpoise.reporting._outcomes import (
    ACCURACIES,
    LAST,
    REPAIR_KEYS,
    objective_of,
    outcomes,
    title_of,
    with_part,
)
from counterpoise.reporting.context import Table
from counterpoise.reporting.published import PublishedResult
from counterpoise.reporting.tables import written_mean
from counterpoise.reporting.wording import (
    NOT_AVAILABLE,
    capital,
    difference,
    epoch_chosen,
    gap_label,
    gap_symbol,
    interval_title,
    is_missing,
    median_and_range,
    metric_label,
    metric_symbol,
    number,
    part_title,
    reported,
    split_part,
)

OUT_OF_BOUND: Final = "\u00a0✗"
"""After a performance whose bias is above the tolerance: the paper strikes such a number out."""
PRUNED: Final = "pruned"
_UNLEARNED: Final = 0.9  # of the target's variance: a critic with such an error knows little more than the mean
_LEARNED: Final = 0.5  # below: it accounts for more than half of the variance

Objectives = Mapping[str, Mapping[str, Any]]
Selectors = Sequence[Mapping[str, Any]]


def paper_table(
    metrics: pd.DataFrame,
    objectives: Objectives,
    *,
    repairs: pd.DataFrame | None = None,
    published_rows: Selectors = (),
) -> Table:
    """Tables 1 to 6 in the paper's form: one row per method, performance and bias for each part, the paper's beside.

    Args:
        metrics: long frame as in `tables.summary`; see `_outcomes.outcomes`.
        objectives: part → `bias, performance, tolerance, margin`.
        repairs: frame with `REPAIR_KEYS`, for the share of weights that was pruned; drawn only where the paper prints
            one (Table 6).
        published_rows: selectors of `published.select`. The paper's bounds, such as `<0.05`, are shown too.

    Raises:
        InputError: a missing column, objective or metric, or a selector that fits nothing.
    """
    reached = outcomes(metrics, objectives)
    reached = reached[~reached["last"]]
    paper = published.printed(published_rows)
    pruned = _pruned_by_variant(repairs)
    parts = list(dict.fromkeys(reached["part"]))
    cells: dict[str, list[str]] = {title: [] for title in dict.fromkeys(reached["title"])}
    columns = ["Method"]
    for part in parts:
        objective = objective_of(part, objectives)
        of_part = reached[reached["part"] == part]
        shown = [key for key in ACCURACIES if key == objective["performance"] or of_part[key].notna().any()]
        if objective["performance"] == "accuracy":
            shown = ["accuracy"]
        variants = dict(zip(of_part["title"], of_part["variant"], strict=True))
        with_pruned = any((variant, PRUNED) in paper for variant in variants.values())
        head = f"{capital(part_title(part))}: " if part else ""
        columns += [f"{head}{metric_label(key)}" for key in shown] + [f"{head}{gap_label(objective['bias'])}"]
        columns += [f"{head}Pruned"] if with_pruned else []
        for title, row in cells.items():
            rows = of_part[of_part["title"] == title]
            variant = variants.get(title, "")
            printed_bias = paper.get((variant, objective["bias"]))
            ours, theirs = _mark(rows["bias"], objective), _printed_mark(printed_bias, objective)
            means = {key: written_mean(rows[key], key, ours) for key in shown}
            row += [_beside(mean, paper.get((variant, key)), key, theirs) for key, mean in means.items()]
            row.append(_beside(written_mean(rows["bias"], objective["bias"]), printed_bias, objective["bias"]))
            if with_pruned:
                share = pruned.get(variant, pd.Series(dtype="float64"))
                row.append(_beside(written_mean(share, PRUNED), paper.get((variant, PRUNED)), PRUNED))
    return Table(
        title="Repairs in the paper's form",
        note="Test split: mean ± standard deviation over the seeds; in brackets what the paper prints. "
        f"{OUT_OF_BOUND.strip()}: the mean bias is above the tolerance; the paper strikes such models out. A mean "
        "below the tolerance does not imply that each seed is. A bias is the mean of the seeds' absolute values, so "
        "a fair model does not measure 0. Where the table has both plain and balanced accuracy, the paper prints one "
        "number and does not say which of them it is.",
        columns=columns,
        rows=[(title, *row) for title, row in cells.items()],
    )


def repair_tables(
    metrics: pd.DataFrame,
    repairs: pd.DataFrame,
    objectives: Objectives,
    *,
    noise_floors: Mapping[str, Mapping[str, float]] | None = None,
) -> list[Table]:
    """One table per part: what each repair reached on test, where the tolerance held, and how its model was chosen.

    Args:
        metrics: long frame as in `tables.summary`; see `_outcomes.outcomes`.
        repairs: one row per variant and seed with `REPAIR_KEYS`: `phi`, `performance` and signed `bias` on the rows it
            was chosen on, its `threshold`, the chosen `epoch` of `epochs`, the `pruned` share of the weights, and
            whether a prediction `needs_group`. Nulls where a method has no such thing.
        objectives: part → `bias, performance, tolerance, margin`.
        noise_floors: variant → metric → the bias that a perfectly fair model would measure.

    Raises:
        InputError: a missing column, objective or metric.
    """
    measured = outcomes(metrics, objectives)
    measured = measured[~measured["last"]]
    chosen = with_part(repairs, REPAIR_KEYS, "repairs")
    tables = []
    for part in dict.fromkeys(measured["part"]):
        objective = objective_of(part, objectives)
        performance, bias, tolerance = objective["performance"], objective["bias"], objective["tolerance"]
        of_part = measured[measured["part"] == part]
        floors = {variant: (noise_floors or {}).get(variant, {}).get(bias) for variant in of_part["variant"]}
        with_floor = any(not is_missing(floor) for floor in floors.values())
        other = [key for key in ACCURACIES if key != performance and of_part[key].notna().any()]
        rows = []
        for variant, reached in of_part.groupby("variant", sort=False):
            selected = chosen[chosen["variant"] == variant]
            rows.append(
                (
                    str(reached["title"].iloc[0]),
                    written_mean(reached["performance"], performance, _mark(reached["bias"], objective)),
                    *(written_mean(reached[key], key) for key in other),
                    written_mean(reached["bias"], bias),
                    *([number(floors[str(variant)], bias)] if with_floor else []),
                    _share(reached["within"]),
                    _remarks(str(reached["method"].iloc[0]), selected),
                    written_mean(selected["performance"], performance),
                    written_mean(selected["bias"].abs(), bias),
                    epoch_chosen(selected["epoch"], selected["epochs"]),
                    median_and_range(selected["threshold"]),
                    written_mean(selected["pruned"], PRUNED),
                )
            )
        bound = tolerance - objective["margin"]
        tables.append(
            Table(
                title=f"Repairs: {part_title(part)}" if part else "Repairs",
                note=f"Φ is the {metric_symbol(performance)} of models with {gap_symbol(bias)} < {bound:g} on the rows "
                f"they were chosen on, and 0 for the others; the tolerance on test is {tolerance:g}, and the seeds "
                f"that meet it are counted. {OUT_OF_BOUND.strip()}: the mean is above it. Epoch and threshold: median, "
                "in brackets the range over the seeds. Pruned: share of the weights that are zero."
                + (" Floor: what a perfectly fair model would measure on as many rows." if with_floor else ""),
                columns=(
                    "Method",
                    metric_label(performance),
                    *map(metric_label, other),
                    gap_label(bias),
                    *(["Floor"] if with_floor else []),
                    f"Within {tolerance:g}",
                    "Remarks",
                    f"{metric_label(performance)}, chosen on",
                    f"{gap_label(bias)}, chosen on",
                    "Epoch",
                    "Threshold",
                    "Pruned",
                ),
                rows=rows,
            )
        )
    return tables


def last_epoch_table(
    metrics: pd.DataFrame, repairs: pd.DataFrame, objectives: Objectives, *, level: float = LEVEL
) -> Table:
    """Compare the model of the best epoch with that of the last, on test, paired by seed.

    Arguments and errors as in `repair_tables`, `level` is that of the intervals; methods without a variant
    `<method>_last` are left out.
    """
    reached = outcomes(metrics, objectives)
    chosen = with_part(repairs, REPAIR_KEYS, "repairs")
    with_parts = any(reached["part"])
    rows = []
    for variant in dict.fromkeys(reached.loc[~reached["last"], "variant"]):
        best = reached[reached["variant"] == variant].set_index("seed")
        last = reached[reached["variant"] == f"{variant}{LAST}"].set_index("seed").reindex(best.index)
        if last["variant"].isna().all():
            continue
        objective = objective_of(best["part"].iloc[0], objectives)
        selected = chosen[chosen["variant"] == variant]
        rows.append(
            (
                str(best["title"].iloc[0]),
                *([capital(part_title(best["part"].iloc[0]))] if with_parts else []),
                epoch_chosen(selected["epoch"], selected["epochs"]),
                _count(selected["epoch"] <= 1, selected["epoch"].notna()),
                *_both(best["performance"], last["performance"], objective["performance"], level),
                *_both(best["bias"], last["bias"], objective["bias"], level),
                _share(best["within"]),
                _share(last["within"]),
            )
        )
    return Table(
        title="The best epoch beside the last",
        note="The epoch with the best Φ is chosen. If it is the first one, there was little fine-tuning, and the mask "
        "is nearly the only change of a pruned network. Differences are best − last on test, paired by seed, with "
        f"their {interval_title(level)}s; performance and bias are those of the tables above.",
        columns=(
            "Method",
            *(["Part"] if with_parts else []),
            "Epoch chosen",
            "First chosen",
            "Performance, best",
            "Performance, last",
            "Difference",
            "|bias|, best",
            "|bias|, last",
            "Difference in |bias|",
            "Within, best",
            "Within, last",
        ),
        rows=rows,
    )


def critic_table(repairs: pd.DataFrame) -> Table:
    """Whether the critic has learned: its squared error divided by the variance of its target, in the last epoch.

    Args:
        repairs: as in `repair_tables`; methods without a critic have a null `critic_ratio`, and the two models of a
            training have the same.

    Raises:
        InputError: a missing column.
    """
    frame = with_part(repairs, REPAIR_KEYS, "repairs")
    with_parts = any(frame["part"])
    judged = frame[frame["critic_ratio"].notna()]
    rows = []
    for variant in dict.fromkeys(name.removesuffix(LAST) for name in judged["variant"]):
        seeds = judged[judged["variant"].isin([variant, f"{variant}{LAST}"])].drop_duplicates("seed")
        rows.append(
            (
                title_of(split_part(variant)[1], seeds["method"].iloc[0]),
                *([capital(part_title(seeds["part"].iloc[0]))] if with_parts else []),
                median_and_range(seeds["critic_ratio"]),
                _reading(float(seeds["critic_ratio"].median())),
            )
        )
    return Table(
        title="Quality of the critic",
        note="A critic predicts the bias of a batch. The table has its mean squared error in the last epoch, "
        f"divided by the variance of the bias; a constant prediction would reach 1. A ratio above {_UNLEARNED:g} means "
        "that the critic taught the network almost nothing about bias. Median, in brackets the range over the seeds.",
        columns=("Method", *(["Part"] if with_parts else []), "Error / variance", "Reading"),
        rows=rows,
    )


def _beside(ours: str, paper: PublishedResult | None, metric: str, mark: str = "") -> str:
    """Our number, then the paper's number or bound in brackets."""
    if paper is None:
        return ours
    return f"{ours} ({paper.bound or reported(paper.value, paper.std, metric)}{mark})"


def _mark(bias: pd.Series, objective: Mapping[str, Any]) -> str:
    return OUT_OF_BOUND if bias.mean() > objective["tolerance"] else ""


def _printed_mark(bias: PublishedResult | None, objective: Mapping[str, Any]) -> str:
    """The same for the paper's bias; a bound such as `>0.05` is above the tolerance if it begins there or higher."""
    if bias is None:
        return ""
    if bias.bound:
        return OUT_OF_BOUND if bias.bound[0] == ">" and float(bias.bound[1:]) >= objective["tolerance"] else ""
    return OUT_OF_BOUND if bias.value > objective["tolerance"] else ""


def _pruned_by_variant(repairs: pd.DataFrame | None) -> dict[str, pd.Series]:
    if repairs is None:
        return {}
    frame = with_part(repairs, REPAIR_KEYS, "repairs")
    return {str(variant): shares for variant, shares in frame.groupby("variant")["pruned"]}


def _share(within: pd.Series) -> str:
    """In how many seeds the tolerance holds; a seed whose bias is missing does not count."""
    return _count(within.fillna(False), within.notna())


def _count(hits: pd.Series, valid: pd.Series) -> str:
    return f"{int(hits[valid].sum())} of {int(valid.sum())}" if valid.any() else NOT_AVAILABLE


def _both(best: pd.Series, last: pd.Series, metric: str, level: float) -> tuple[str, str, str]:
    """Best, last, and their difference paired by seed, with its interval."""
    compared = paired_difference(best.to_numpy(np.float64), last.to_numpy(np.float64), level=level)
    return written_mean(best, metric), written_mean(last, metric), difference(compared, metric)


def _remarks(method: str, selected: pd.DataFrame) -> str:
    """What a reader has to know before comparing a repair with another."""
    missed = int((selected["phi"] == 0).sum())
    remarks = ["control"] if method in BY_NAME and BY_NAME[method].control else []
    remarks += ["needs the group"] if selected["needs_group"].any() else []
    remarks += [f"Φ = 0 in {missed} of {len(selected)}"] if missed else []
    return "; ".join(remarks)


def _reading(ratio: float) -> str:
    if is_missing(ratio):
        return NOT_AVAILABLE
    return "not learned" if ratio > _UNLEARNED else "learned in part" if ratio > _LEARNED else "learned"
