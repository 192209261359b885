"""Tables 1 to 6 of the altering paper (Zhang, Gao and Huang, ECCV 2022) with their uncertainty, and what they omit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from counterpoise.fairness import LEVEL, paired_difference, summarize
from counterpoise.reporting import published
from counterpoise.reporting._outcomes import (
    ACCURACIES,
    CONTROLS,
    LAST,
    REPAIR_KEYS,
    objective_of,
    outcomes,
    title_of,
    with_part,
)
from counterpoise.reporting.context import Table
from counterpoise.reporting.published import PublishedResult
from counterpoise.reporting.wording import (
    NOT_AVAILABLE,
    difference,
    epoch_kept,
    gap_label,
    gap_symbol,
    interval_title,
    is_missing,
    median_and_range,
    metric_label,
    metric_symbol,
    number,
    part_title,
    plus_minus,
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


def altering_tables(
    metrics: pd.DataFrame,
    repairs: pd.DataFrame,
    objectives: Objectives,
    *,
    published_rows: Selectors = (),
    noise_floors: Mapping[str, Mapping[str, float]] | None = None,
    level: float = LEVEL,
) -> list[Table]:
    """All tables of an experiment on repairs, without those that would be empty (arguments: those of the others)."""
    made = [
        paper_table(metrics, objectives, repairs=repairs, published_rows=published_rows),
        *repair_tables(metrics, repairs, objectives, noise_floors=noise_floors),
        last_epoch_table(metrics, repairs, objectives, level=level),
        critic_table(repairs),
    ]
    return [table for table in made if table.rows]


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
    found = outcomes(metrics, objectives)
    found = found[~found["last"]]
    paper = published.printed(published_rows)
    pruned = _pruned_by_variant(repairs)
    parts = list(dict.fromkeys(found["part"]))
    cells: dict[str, list[str]] = {title: [] for title in dict.fromkeys(found["title"])}
    columns = ["Method"]
    for part in parts:
        objective = objective_of(part, objectives)
        own = found[found["part"] == part]
        shown = [key for key in ACCURACIES if key == objective["performance"] or own[key].notna().any()]
        if objective["performance"] == "accuracy":
            shown = ["accuracy"]
        variants = dict(zip(own["title"], own["variant"], strict=True))
        with_pruned = any((variant, PRUNED) in paper for variant in variants.values())
        head = f"{_head(part)}: " if part else ""
        columns += [f"{head}{metric_label(key)}" for key in shown] + [f"{head}{gap_label(objective['bias'])}"]
        columns += [f"{head}Pruned"] if with_pruned else []
        for title, row in cells.items():
            rows = own[own["title"] == title]
            variant = variants.get(title, "")
            printed_bias = paper.get((variant, objective["bias"]))
            ours, theirs = _mark(rows["bias"], objective), _printed_mark(printed_bias, objective)
            row += [_beside(_mean(rows[key], key, ours), paper.get((variant, key)), key, theirs) for key in shown]
            row.append(_beside(_mean(rows["bias"], objective["bias"]), printed_bias, objective["bias"]))
            if with_pruned:
                share = pruned.get(variant, pd.Series(dtype="float64"))
                row.append(_beside(_mean(share, PRUNED), paper.get((variant, PRUNED)), PRUNED))
    return Table(
        title="Repairs in the paper's form",
        note="Test split: mean ± standard deviation over the seeds; in brackets what the paper prints. "
        f"{OUT_OF_BOUND.strip()}: the mean bias is above the tolerance; the paper strikes such models out. What holds "
        "for a mean need not hold for each seed. A bias is the mean of its size in each seed, so a fair model does not "
        "measure 0. Where plain and balanced accuracy both stand here, the paper prints one number without "
        "saying which of them it is.",
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
    found = outcomes(metrics, objectives)
    found = found[~found["last"]]
    chosen = with_part(repairs, REPAIR_KEYS, "repairs")
    tables = []
    for part in dict.fromkeys(found["part"]):
        objective = objective_of(part, objectives)
        performance, bias, tolerance = objective["performance"], objective["bias"], objective["tolerance"]
        own = found[found["part"] == part]
        floors = {variant: (noise_floors or {}).get(variant, {}).get(bias) for variant in own["variant"]}
        with_floor = any(not is_missing(floor) for floor in floors.values())
        other = [key for key in ACCURACIES if key != performance and own[key].notna().any()]
        rows = []
        for variant, reached in own.groupby("variant", sort=False):
            selected = chosen[chosen["variant"] == variant]
            rows.append(
                (
                    str(reached["title"].iloc[0]),
                    _mean(reached["performance"], performance, _mark(reached["bias"], objective)),
                    *(_mean(reached[key], key) for key in other),
                    _mean(reached["bias"], bias),
                    *([number(floors[str(variant)], bias)] if with_floor else []),
                    _share(reached["within"]),
                    _remarks(str(reached["method"].iloc[0]), selected),
                    _mean(selected["performance"], performance),
                    _mean(selected["bias"].abs(), bias),
                    epoch_kept(selected["epoch"], selected["epochs"]),
                    median_and_range(selected["threshold"]),
                    _mean(selected["pruned"], PRUNED),
                )
            )
        bound = tolerance - objective["margin"]
        tables.append(
            Table(
                title=f"Repairs: {part_title(part)}" if part else "Repairs",
                note=f"Φ is the {metric_symbol(performance)} of models with {gap_symbol(bias)} < {bound:g} on the rows "
                f"they were chosen on, and 0 for the others; the tolerance on test is {tolerance:g}, and the seeds "
                f"that keep it are counted. {OUT_OF_BOUND.strip()}: the mean is above it. Epoch and threshold: median, "
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
    """What choosing the epoch is worth: the model of the best epoch beside that of the last, on test, paired by seed.

    Arguments and errors as in `repair_tables`, `level` is that of the intervals; methods without a variant
    `<method>_last` are left out.
    """
    found = outcomes(metrics, objectives)
    chosen = with_part(repairs, REPAIR_KEYS, "repairs")
    with_parts = any(found["part"])
    rows = []
    for variant in dict.fromkeys(found.loc[~found["last"], "variant"]):
        best = found[found["variant"] == variant].set_index("seed")
        last = found[found["variant"] == f"{variant}{LAST}"].set_index("seed").reindex(best.index)
        if last["variant"].isna().all():
            continue
        objective = objective_of(best["part"].iloc[0], objectives)
        selected = chosen[chosen["variant"] == variant]
        rows.append(
            (
                str(best["title"].iloc[0]),
                *([_head(best["part"].iloc[0])] if with_parts else []),
                epoch_kept(selected["epoch"], selected["epochs"]),
                _count(selected["epoch"] <= 1, selected["epoch"].notna()),
                *_both(best["performance"], last["performance"], objective["performance"], level),
                *_both(best["bias"], last["bias"], objective["bias"], level),
                _share(best["within"]),
                _share(last["within"]),
            )
        )
    return Table(
        title="The best epoch beside the last",
        note="The epoch with the best Φ is kept; where that is the first one, little was fine-tuned, and of a pruned "
        "network the mask is nearly all that is new. Differences are best − last on test, paired by seed, with their "
        f"{interval_title(level)}s; performance and bias are those of the tables above.",
        columns=(
            "Method",
            *(["Part"] if with_parts else []),
            "Epoch kept",
            "First kept",
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
    """Has the critic learned? Its squared error over the variance of what it predicts, in the last epoch.

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
        own = judged[judged["variant"].isin([variant, f"{variant}{LAST}"])].drop_duplicates("seed")
        rows.append(
            (
                title_of(split_part(variant)[1], own["method"].iloc[0]),
                *([_head(own["part"].iloc[0])] if with_parts else []),
                median_and_range(own["critic_ratio"]),
                _reading(float(own["critic_ratio"].median())),
            )
        )
    return Table(
        title="Quality of the critic",
        note="A critic that sees a batch predicts that batch's bias. Its mean squared error in the last epoch over the "
        f"variance of the bias: 1 is what predicting the mean would reach, so that a ratio above {_UNLEARNED:g} says "
        "that the network was fine-tuned almost without a word about bias. Median, in brackets the range over the "
        "seeds.",
        columns=("Method", *(["Part"] if with_parts else []), "Error / variance", "Reading"),
        rows=rows,
    )


def _mean(values: pd.Series, metric: str, mark: str = "") -> str:
    """Mean ± deviation of what is there, marked; `n/a` where nothing is."""
    found = summarize(values.to_numpy(np.float64, na_value=np.nan))
    written = plus_minus(float(found.mean), float(found.std), metric)
    return written if written == NOT_AVAILABLE else f"{written}{mark}"


def _beside(ours: str, paper: PublishedResult | None, metric: str, mark: str = "") -> str:
    """The paper's number, or its bound, in brackets behind ours."""
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
    """In how many seeds the tolerance holds; a seed whose bias is unknown does not count."""
    return _count(within.fillna(False), within.notna())


def _count(hits: pd.Series, known: pd.Series) -> str:
    return f"{int(hits[known].sum())} of {int(known.sum())}" if known.any() else NOT_AVAILABLE


def _both(best: pd.Series, last: pd.Series, metric: str, level: float) -> tuple[str, str, str]:
    """Best, last, and their difference paired by seed, with its interval."""
    found = paired_difference(best.to_numpy(np.float64), last.to_numpy(np.float64), level=level)
    return _mean(best, metric), _mean(last, metric), difference(found, metric)


def _remarks(method: str, selected: pd.DataFrame) -> str:
    """What a reader has to know before comparing a repair with another."""
    missed = int((selected["phi"] == 0).sum())
    remarks = ["control"] if method in CONTROLS else []
    remarks += ["needs the group"] if selected["needs_group"].any() else []
    remarks += [f"Φ = 0 in {missed} of {len(selected)}"] if missed else []
    return "; ".join(remarks)


def _reading(ratio: float) -> str:
    if is_missing(ratio):
        return NOT_AVAILABLE
    return "not learned" if ratio > _UNLEARNED else "learned in part" if ratio > _LEARNED else "learned"


def _head(part: str) -> str:
    title = part_title(part)
    return title[:1].upper() + title[1:]
