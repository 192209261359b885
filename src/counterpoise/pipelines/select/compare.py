"""Compare methods by the bank's models: hypervolumes, and the effect of importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from counterpoise.config.parameters import Report
from counterpoise.fairness import Claimed, PairedDifference, hypervolume, non_dominated, paired_difference, verdicts
from counterpoise.pipelines.select.candidates import OURS, PLAIN
from counterpoise.pipelines.select.measuring import AXES, JUDGED
from counterpoise.pipelines.shared.heads import CHOSEN


def compare(grid: pd.DataFrame, report: Report) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return hypervolumes, their paired differences to ours, and whether importance helps at equal rank and penalty."""
    wide = grid.pivot_table(
        index=["seed", "method", "variant"], columns=["split", "metric"], values="value", sort=False, dropna=False
    )
    areas = _hypervolumes(wide, _reference(grid))
    return areas, _against_ours(areas, report), _importance(grid, report)


def _reference(grid: pd.DataFrame) -> pd.Series[float]:
    """Return the unpenalised heads' mean error and biases on test: of the dense ones, if there are any."""
    plain = grid[(grid["split"] == "test") & grid["constraint"].isna() & (grid["threshold"] == 0)]
    method = next(name for name in OURS if name in set(plain["method"]))
    return plain[plain["method"] == method].groupby("metric")["value"].mean()


def _hypervolumes(wide: pd.DataFrame, reference: pd.Series[float]) -> pd.DataFrame:
    """Return `method, seed, bias, hypervolume`: what a method's models dominate on test, chosen on validation.

    The models are those that no other one of their method dominates by what the choice is made by. The box they are
    measured in ends at 1.5 times `reference`, the error and bias of unpenalised heads.
    """
    areas = []
    for bias in AXES:
        corner = torch.tensor([1.5 * reference["err"], 1.5 * reference[bias]], dtype=torch.float64)
        for seed, of_seed in wide.groupby(level="seed", sort=False):
            methods = of_seed.index.get_level_values("method")
            groups = {CHOSEN: methods.isin(OURS)} | {name: methods == name for name in dict.fromkeys(methods)}
            for name, mask in groups.items():
                models = of_seed[mask]
                judged = torch.tensor(models[JUDGED][["err", bias]].to_numpy())
                best = models[non_dominated(judged).numpy()]
                area = hypervolume(torch.tensor(best["test"][["err", bias]].to_numpy()), corner)
                areas.append({"method": name, "seed": seed, "bias": bias, "hypervolume": float(area)})
    return pd.DataFrame(areas)


def _against_ours(areas: pd.DataFrame, report: Report) -> pd.DataFrame:
    """Return ours minus each other method's hypervolume, paired by seed, all p-values corrected together."""
    differences = {}
    for bias, of_bias in areas.groupby("bias", sort=False):
        table = of_bias.pivot(index="seed", columns="method", values="hypervolume")
        for name in table.columns.drop(CHOSEN):
            differences[bias, CHOSEN, name] = _difference(table[CHOSEN], table[name], report)
    return _judged(differences, ["bias", "left", "right"], "higher", report)


def _importance(grid: pd.DataFrame, report: Report) -> pd.DataFrame:
    """Compare heads that start from weighted factors with the others at equal rank and penalty, on test.

    The mean over all penalties, paired by seed.
    """
    test = grid[(grid["split"] == "test") & grid["method"].isin(OURS) & (grid["threshold"] == 0)]
    keys = ["seed", "metric", "constraint", "strength", "weight_decay"]
    values = {
        (method, rank): of_rank.groupby(keys, dropna=False)["value"].mean()
        for (method, rank), of_rank in test.groupby(["method", "rank"], dropna=False)
    }
    differences = {}
    *others, weighted = OURS
    for (method, rank), ours in values.items():
        if method != weighted:
            continue
        for other in reversed(others):
            theirs = [v for (name, r), v in values.items() if name == other and (name == PLAIN or r == rank)]
            for metric in ("err", *AXES):
                if theirs:
                    difference = (ours - theirs[0]).xs(metric, level="metric").groupby(level="seed").mean()
                    differences[weighted, other, rank, metric] = _difference(difference, 0 * difference, report)
    return _judged(differences, ["left", "right", "rank", "metric"], "lower", report)


def _difference(left: pd.Series, right: pd.Series, report: Report) -> PairedDifference:
    return paired_difference(left.to_numpy(np.float64), right.to_numpy(np.float64), level=report.level)


def _judged(
    pairs: Mapping[tuple[Any, ...], PairedDifference], named: Sequence[str], claimed: Claimed, report: Report
) -> pd.DataFrame:
    """Return a row for each comparison (its names → the difference), with the verdict on what is claimed of all."""
    judged = verdicts(list(pairs.values()), [claimed] * len(pairs), level=report.level)
    return pd.DataFrame(
        [
            (*names, paired.difference, paired.ci_low, paired.ci_high, paired.p, *verdict)
            for (names, paired), verdict in zip(pairs.items(), judged, strict=True)
        ],
        columns=[*named, "difference", "ci_low", "ci_high", "p", "p_holm", "verdict"],
    )
