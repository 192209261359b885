"""Is the paper's claim there? Each claim is a paired comparison over the seeds; all of them share one correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from counterpoise.errors import InputError, suggest
from counterpoise.fairness import LEVEL, paired_difference, verdicts
from counterpoise.reporting.tables import METRICS_KEYS, test_rows
from counterpoise.reporting.wording import is_signed, shortened

CLAIM_COLUMNS: Final = ("claim", "metric", "difference", "ci_low", "ci_high", "p", "p_holm", "verdict")
CLAIM_KEYS: Final = ("claim", "metric", "left", "right", "claimed")
_SHOWN: Final = 160  # characters of a claim, a selector or a list that a message shows
DIRECTIONS: Final = ("lower", "higher", "equal")


def evaluate(metrics: pd.DataFrame, claims: Sequence[Mapping[str, Any]], *, level: float = LEVEL) -> pd.DataFrame:
    """Test every claim on the test split, left minus right, paired by seed.

    Of a signed metric (`spd`, `eod`, `aod`) absolute values are compared, seed by seed: a claim is about how large a
    bias is, not about whom it favours.

    Args:
        metrics: long frame as in `tables.summary`.
        claims: mappings with `claim` (a sentence), `metric`, `left` and `right` (selectors: column of `metrics` →
            value, each of which must leave exactly one variant), and `claimed`: `lower`, `higher` or `equal`.
        level: of the intervals; a claim is decided at 1 − level after Holm's correction over all the claims given.

    Returns:
        Frame with columns `CLAIM_COLUMNS`, in the order of `claims`.

    Raises:
        InputError: naming the claim: a missing or unknown key, a selector that leaves none or several variants, or
            variants that were not run on the same seeds.
    """
    test = test_rows(metrics)
    pairs = [paired_values(test, claim) for claim in claims]
    results = [paired_difference(left, right, level=level) for left, right in pairs]
    judged = verdicts(results, [claim["claimed"] for claim in claims], level=level)
    statistics = [(result.difference, result.ci_low, result.ci_high, result.p) for result in results]
    records = [
        (str(claim["claim"]), str(claim["metric"]), *numbers, *verdict)
        for claim, numbers, verdict in zip(claims, statistics, judged, strict=True)
    ]
    texts = dict.fromkeys(("claim", "metric", "verdict"), "str")  # also where there are no claims
    numbers = dict.fromkeys(("difference", "ci_low", "ci_high", "p", "p_holm"), "float64")
    return pd.DataFrame(records, columns=list(CLAIM_COLUMNS)).astype(texts | numbers)


def paired_values(test: pd.DataFrame, claim: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The per-seed values [R] of a claim's two sides, aligned by seed; absolute ones of a signed metric.

    See `evaluate` for what is refused.
    """
    where = f"claim {shortened(str(claim.get('claim', dict(claim))), _SHOWN)!r}"
    for key in CLAIM_KEYS:
        if key not in claim:
            raise InputError(f"{where}: the key {key!r} is missing (expected: {', '.join(CLAIM_KEYS)}).")
    if claim["claimed"] not in DIRECTIONS:
        raise InputError(f"{where}: 'claimed' is {claim['claimed']!r}{suggest(claim['claimed'], DIRECTIONS)}.")
    rows = test[test["metric"] == claim["metric"]]
    if rows.empty:
        names = sorted(test["metric"].unique())
        raise InputError(f"{where}: the metric {claim['metric']!r} was not measured{suggest(claim['metric'], names)}.")
    if is_signed(claim["metric"]):
        rows = rows.assign(value=rows["value"].abs())
    left, right = (_select(rows, claim[side], f"{where}, {side} side") for side in ("left", "right"))
    if set(left.index) != set(right.index):
        raise InputError(
            f"{where}: the sides have different seeds (left {shortened(str(sorted(left.index)), _SHOWN)}, "
            f"right {shortened(str(sorted(right.index)), _SHOWN)}), "
            "expected the same seeds to pair."
        )
    return left.to_numpy(np.float64), right.loc[left.index].to_numpy(np.float64)


def _select(rows: pd.DataFrame, selector: Mapping[str, Any], where: str) -> pd.Series:
    """The values of the one variant that `selector` leaves, indexed by seed."""
    selectable = ["method", "variant", *(column for column in rows.columns if column not in METRICS_KEYS)]
    chosen = np.ones(len(rows), dtype=bool)
    for column, wanted in selector.items():
        if column not in selectable:
            raise InputError(f"{where}: there is no column {column!r} to select by{suggest(column, selectable)}.")
        matches = rows[column].isna() if wanted is None else (rows[column] == wanted).fillna(False)
        chosen &= matches.to_numpy(dtype=bool)
    variants = sorted(rows.loc[chosen, "variant"].unique())
    if len(variants) != 1:
        names = shortened(", ".join(variants), _SHOWN) or "none"
        chosen_by = shortened(str(dict(selector)), _SHOWN)
        raise InputError(f"{where}: the selector {chosen_by} leaves {len(variants)} variants ({names}), expected one.")
    return rows[chosen].set_index("seed")["value"].sort_index()
