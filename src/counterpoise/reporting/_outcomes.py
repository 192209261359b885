"""What every repair reached on the test split, seed by seed: the frame behind the tables, figures and words on repairs.

An experiment without parts has one part with an empty name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from counterpoise.catalogue import BY_NAME
from counterpoise.errors import InputError, suggest
from counterpoise.reporting._frames import require_columns
from counterpoise.reporting.tables import test_rows, variant_order
from counterpoise.reporting.wording import LAST as LAST
from counterpoise.reporting.wording import method_title, split_part

REPAIR_KEYS: Final = (
    "method",
    "variant",
    "seed",
    "threshold",
    "epoch",
    "epochs",
    "phi",
    "performance",
    "bias",
    "chosen_on",
    "pruned",
    "critic_ratio",
    "needs_group",
)
OBJECTIVE_KEYS: Final = ("bias", "performance", "tolerance", "margin")
ACCURACIES: Final = ("balanced_accuracy", "accuracy")


def outcomes(metrics: pd.DataFrame, objectives: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row per variant and seed, measured on the test split; parts and variants in their order everywhere.

    Args:
        metrics: long frame as in `tables.summary`, with variants named `<part>/<variant>` where there are parts.
        objectives: part → what a repair is judged by: `bias` and `performance` (metrics), `tolerance`, and `margin`.

    Returns:
        Frame with `part, name, variant, method, title, last, seed, performance, bias` (absolute), the columns
        `ACCURACIES` (NaN where not measured), and `within` (boolean: bias ≤ tolerance; null where it is unknown).

    Raises:
        InputError: a part without an objective, an objective that lacks a key, or a metric that was not measured.
    """
    test = test_rows(metrics)
    order = variant_order(test)
    values = test.pivot(index=["variant", "seed"], columns="metric", values="value")
    frames = []
    for variant, method in order.items():
        part, name = split_part(variant)
        objective = objective_of(part, objectives)
        measured = values.loc[variant]
        for key in ("performance", "bias"):
            if objective[key] not in measured.columns:
                names = list(measured.columns)
                raise InputError(
                    f"metrics: {objective[key]!r} of {variant!r} was not measured{suggest(objective[key], names)}."
                )
        bias = measured[objective["bias"]].abs()
        frame = pd.DataFrame(
            {
                "part": part,
                "name": name,
                "variant": variant,
                "method": method,
                "title": title_of(name, method),
                "last": is_last(name),
                "seed": measured.index,
                "performance": measured[objective["performance"]].to_numpy(np.float64),
                "bias": bias.to_numpy(np.float64),
                **{key: measured[key].to_numpy(np.float64) if key in measured else np.nan for key in ACCURACIES},
                "within": (bias <= objective["tolerance"]).astype("boolean").mask(bias.isna()).to_numpy(),
            }
        )
        frames.append(frame.astype({"within": "boolean"}))
    return pd.concat(frames, ignore_index=True)


def objective_of(part: str, objectives: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """What the repairs of a part are judged by (see `outcomes` for what is refused)."""
    if part not in objectives:
        raise InputError(f"objectives: the part {part!r} is missing{suggest(part, objectives)}.")
    for key in OBJECTIVE_KEYS:
        if key not in objectives[part]:
            raise InputError(f"objectives: the key {key!r} of the part {part!r} is missing.")
    return objectives[part]


def with_part(frame: pd.DataFrame, keys: Sequence[str], where: str) -> pd.DataFrame:
    """A frame of repairs, checked for its columns, whose `part` is read from the variants' names or empty.

    Raises:
        InputError: naming the frame by `where`: a missing column.
    """
    require_columns(frame, keys, where)
    if "variant" in frame:
        parts = [split_part(variant) for variant in frame["variant"]]
        return frame.assign(part=[part for part, _ in parts], name=[name for _, name in parts])
    return frame if "part" in frame else frame.assign(part="")


def is_last(name: str) -> bool:
    """Whether a variant is the model of the last epoch."""
    return name.endswith(LAST)


def style_of(name: str, method: str) -> str:
    """The key of a repair's colour and symbol: what it is called itself, if that is known, or its method."""
    base = name.removesuffix(LAST)
    return base if base in BY_NAME else method


def title_of(name: str, method: str) -> str:
    """The name of a repair as a reader knows it: teachers have different names, the model of the last epoch says so."""
    title = method_title(style_of(name, method))
    return f"{title}, last epoch" if is_last(name) else title
