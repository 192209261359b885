"""Compare methods by the areas that their models dominate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from counterpoise.catalogue import CHOSEN, CONSTANT, UNREPAIRED
from counterpoise.config.parameters import Report
from counterpoise.fairness import Claimed, PairedDifference, hypervolume, non_dominated, paired_difference, verdicts
from counterpoise.methods.frontier import BIAS_SCORES, HEADS, LEAVES
from counterpoise.methods.selection.measuring import AXES, JUDGED

OURS = (LEAVES, HEADS, BIAS_SCORES, UNREPAIRED)


def compare(grid: pd.DataFrame, report: Report) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return hypervolumes, and their paired differences to ours."""
    wide = grid[grid["method"] != CONSTANT].pivot_table(
        index=["seed", "method", "variant"], columns=["split", "metric"], values="value", sort=False, dropna=False
    )
    areas = _hypervolumes(wide, _reference(grid))
    return areas, _against_ours(areas, report)


def _reference(grid: pd.DataFrame) -> pd.Series[float]:
    """Return the mean error and biases on test of the unrepaired base that is judged to err least."""
    unrepaired = grid[grid["method"] == UNREPAIRED]
    judged = unrepaired[(unrepaired["split"] == JUDGED) & (unrepaired["metric"] == "err")]
    best = judged.groupby("variant")["value"].mean().idxmin()
    test = unrepaired[(unrepaired["split"] == "test") & (unrepaired["variant"] == best)]
    return test.groupby("metric")["value"].mean()


def _hypervolumes(wide: pd.DataFrame, reference: pd.Series[float]) -> pd.DataFrame:
    """Return `method, seed, bias, hypervolume`: what a method's models dominate on test, chosen on validation.

    The models are those that no other one of their method dominates by what the choice is made by. The box they are
    measured in ends at 1.5 times `reference`, the error and bias of the unrepaired model.
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
            sides = (table[side].to_numpy(np.float64) for side in (CHOSEN, name))
            differences[bias, CHOSEN, name] = paired_difference(*sides, level=report.level)
    return _judged(differences, ["bias", "left", "right"], "higher", report)


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
