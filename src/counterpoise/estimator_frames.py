"""Tables of the library class: every model it trained, and what each group receives from the one it chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int
from torch import Tensor

from counterpoise.catalogue import CHOSEN
from counterpoise.fairness import Compared, non_dominated
from counterpoise.methods.selection.candidates import Candidates
from counterpoise.methods.selection.measuring import AXES

BINARY = 2
_SETTINGS = ("base", "method", "constraint", "strength", "weight_decay", "threshold")


def frontier_frame(
    candidates: Candidates, judged: Mapping[str, Float64[Tensor, "R V"]], criterion: str, place: int
) -> pd.DataFrame:
    """Return a row for each model: settings, error and biases as judged, `dominated`, and whether it is the chosen one.

    Args:
        place: of the chosen model.
    """
    frame = pd.DataFrame(
        [{"variant": name} | {key: model.get(key) for key in _SETTINGS} for name, model in candidates.settings.items()]
    )
    for name in dict.fromkeys(("err", *AXES, criterion)):
        frame[name] = judged[name].mean(dim=0).numpy()
    points = torch.stack([judged["err"].mean(dim=0), judged[criterion].mean(dim=0)], dim=1)
    frame["dominated"] = ~non_dominated(points).numpy()
    frame[CHOSEN] = np.arange(len(frame)) == place
    return frame


def rates_frame(
    decided: Int[Tensor, "n"],
    y: Int[Tensor, "n"],
    s: Int[Tensor, "n"],
    groups: Sequence[Any],
    classes: Sequence[Any],
    compared: Compared,
) -> pd.DataFrame:
    """Return a row for each group, of more than two classes for each group and class: its rows and its rates."""
    binary = len(classes) == BINARY
    records = []
    for group, name in enumerate(groups):
        members = s == group
        for code, label in enumerate(classes):
            if binary and not code:
                continue
            selected = decided == code
            record = {"group": name} | ({} if binary else {"class": label})
            record |= {"rows": int(members.sum()), "compared": compared is None or group in compared}
            for rate, among in (("selected", members), ("true_positive", members & (y == code))):
                record[rate] = _share(selected, among)
            records.append(record | {"false_positive": _share(selected, members & (y != code))})
    return pd.DataFrame(records)


def _share(selected: Tensor, among: Tensor) -> float:
    return float(selected[among].double().mean())
