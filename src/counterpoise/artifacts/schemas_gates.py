"""What the tables of unbiased sub-networks look like; see `counterpoise.artifacts.schemas`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series


def _share() -> Any:
    return pa.Field(nullable=True, coerce=True, in_range={"min_value": 0, "max_value": 1})


class Extractions(pa.DataFrameModel):
    """`extractions.parquet`: how each model was found, and what is left of the bias on the test rows."""

    method: Series[str] = pa.Field(str_length={"min_value": 1}, coerce=True)
    variant: Series[str] = pa.Field(str_length={"min_value": 1}, coerce=True)
    seed: Series[np.int64] = pa.Field(ge=0)
    alpha: Series[float] = pa.Field(nullable=True, coerce=True)
    rank: Series[pd.Int64Dtype] = pa.Field(nullable=True, coerce=True, ge=1)
    epoch: Series[pd.Int64Dtype] = pa.Field(nullable=True, coerce=True, ge=1)
    epochs: Series[pd.Int64Dtype] = pa.Field(nullable=True, coerce=True, ge=1)
    sparsity: Series[float] = _share()
    information: Series[float] = pa.Field(coerce=True, in_range={"min_value": -1e-6, "max_value": 1 + 1e-6})
    leakage: Series[float] = _share()
    conflicting_accuracy: Series[float] = _share()
    unbiased_average: Series[float] = _share()

    class Config:
        strict = True
        unique = ["variant", "seed"]  # noqa: RUF012
