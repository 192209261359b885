"""Rows of groups that are neither learnt from nor compared: the exported model scores them, and the report counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise.artifacts.serving import Servable
from counterpoise.config.parameters import Dataset, Report
from counterpoise.data.encode import class_codes, names_apart
from counterpoise.fairness.statistics import wilson
from counterpoise.pipelines.data_split.left_out import with_groups
from counterpoise.pipelines.data_split.nodes import read_divided
from counterpoise.pipelines.shared.served import complete, predictions

BINARY = 2
COLUMNS = (
    *("group", "rows", "scored", "selected", "selection_rate", "selection_low", "selection_high"),
    *("labelled", "errors", "error_rate", "error_low", "error_high"),
)


def score_apart(raw: Path, dataset: Dataset, report: Report, model: Servable) -> pd.DataFrame:
    """Return `COLUMNS`, a row for each group that is scored only, the largest first; no row without such groups.

    `selected`: predicted to be of class 1, null of more than two classes. `scored`: rows that miss no value the model
    needs. Rates are of those, the errors' of those with a label, and have Wilson's intervals. No model has learnt from
    any of these rows, nor was one chosen by them.
    """
    if not dataset.scored_only:
        return pd.DataFrame(columns=list(COLUMNS))
    assert model.folder is not None
    _, _, rows = read_divided(raw, dataset)
    usable = complete(rows, [model])
    scored = rows[usable]
    y = class_codes(scored[dataset.label], dataset.positive, dataset.classes)
    prediction = predictions(model.folder, scored, dataset.classes)
    names = names_apart(with_groups(rows, dataset)[dataset.sensitive])
    counted = pd.DataFrame(
        {
            "group": names[usable].to_numpy(),
            "scored": 1,
            "selected": prediction == 1 if len(dataset.classes) == BINARY else np.nan,
            "labelled": y >= 0,
            "errors": (y >= 0) & (y != prediction),
        }
    )
    frame = counted.groupby("group").sum(min_count=1).reindex(names.value_counts().index).fillna(0)
    frame.insert(0, "rows", names.value_counts())
    if len(dataset.classes) != BINARY:
        frame["selected"] = np.nan
    for rate, events, trials in (("selection", "selected", "scored"), ("error", "errors", "labelled")):
        numerator, denominator = (frame[name].to_numpy(dtype=np.float64) for name in (events, trials))
        frame[f"{rate}_rate"] = numerator / np.where(denominator > 0, denominator, np.nan)
        low, high = wilson(np.nan_to_num(numerator), denominator, level=report.level)
        unknown = np.isnan(numerator)
        frame[f"{rate}_low"], frame[f"{rate}_high"] = np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)
    return frame.rename_axis("group").reset_index()[list(COLUMNS)]
