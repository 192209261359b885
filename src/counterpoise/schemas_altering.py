"""What the tables of repaired networks look like; see `counterpoise.schemas`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series


def _text() -> Any:
    return pa.Field(str_length={"min_value": 1}, coerce=True)


def _share(**checks: Any) -> Any:
    return pa.Field(in_range={"min_value": 0, "max_value": 1}, coerce=True, **checks)


class Repairs(pa.DataFrameModel):
    """`repairs.parquet`: how each model was chosen: its figures on D_val, at the threshold and epoch chosen there."""

    method: Series[str] = _text()
    variant: Series[str] = _text()
    seed: Series[np.int64] = pa.Field(ge=0)
    threshold: Series[float] = _share(nullable=True)
    epoch: Series[pd.Int64Dtype] = pa.Field(nullable=True, coerce=True, ge=1)
    epochs: Series[pd.Int64Dtype] = pa.Field(nullable=True, coerce=True, ge=1)
    phi: Series[float] = _share(nullable=True)
    performance: Series[float] = _share(nullable=True)
    bias: Series[float] = pa.Field(nullable=True, coerce=True, in_range={"min_value": -1, "max_value": 1})
    chosen_on: Series[np.int64] = pa.Field(ge=1)
    pruned: Series[float] = _share(nullable=True)
    critic_ratio: Series[float] = pa.Field(nullable=True, coerce=True, ge=0)
    needs_group: Series[bool]

    class Config:
        strict = True
        ordered = True
        unique = ["variant", "seed"]  # noqa: RUF012

    @pa.dataframe_check(error="an epoch is one of the epochs")
    def epoch_is_one_of_them(cls, repairs: pd.DataFrame) -> pd.Series:  # noqa: N805
        return (repairs["epoch"] <= repairs["epochs"]).fillna(value=True).astype(bool)


class RepairCurves(pa.DataFrameModel):
    """`curves.parquet`: figures of every epoch of every training."""

    variant: Series[str] = _text()
    seed: Series[np.int64] = pa.Field(ge=0)
    epoch: Series[np.int64] = pa.Field(ge=1)
    figure: Series[str] = _text()
    value: Series[float] = pa.Field(nullable=True, coerce=True)

    class Config:
        strict = True
        ordered = True
        unique = ["variant", "seed", "epoch", "figure"]  # noqa: RUF012


class PrunedLayers(pa.DataFrameModel):
    """`pruned_layers.parquet`: the share of each layer's weights that each discovery prunes."""

    mask: Series[str] = _text()
    layer: Series[str] = _text()
    position: Series[np.int64] = pa.Field(ge=0)
    seed: Series[np.int64] = pa.Field(ge=0)
    pruned: Series[float] = _share()
    part: Series[str] | None = _text()

    class Config:
        strict = True


class MaskAgreement(pa.DataFrameModel):
    """`mask_agreement.parquet`: intersection over union of what the masks of two seeds prune, and what chance gives."""

    mask: Series[str] = _text()
    left: Series[np.int64] = pa.Field(ge=0, coerce=True)
    right: Series[np.int64] = pa.Field(ge=0, coerce=True)
    iou: Series[float] = _share(nullable=True)
    chance: Series[float] = _share(nullable=True)
    part: Series[str] | None = _text()

    class Config:
        strict = True


class Costs(pa.DataFrameModel):
    """`costs.parquet`: what pruned networks need, and need without what is wholly pruned (`_compact`).

    Latencies: milliseconds for a pass of `batch` rows on one thread. `difference`: the largest between the outputs of
    the two on `compared` test rows.
    """

    method: Series[str] = _text()
    variant: Series[str] = _text()
    seed: Series[np.int64] = pa.Field(ge=0)
    parameters: Series[np.int64] = pa.Field(ge=1)
    parameters_compact: Series[np.int64] = pa.Field(ge=1)
    nonzero: Series[np.int64] = pa.Field(ge=0)
    nonzero_compact: Series[np.int64] = pa.Field(ge=0)
    macs: Series[np.int64] = pa.Field(ge=1)
    macs_compact: Series[np.int64] = pa.Field(ge=1)
    latency: Series[float] = pa.Field(gt=0)
    latency_compact: Series[float] = pa.Field(gt=0)
    latency_ratio: Series[float] = pa.Field(gt=0)
    batch: Series[np.int64] = pa.Field(ge=1)
    difference: Series[float] = pa.Field(ge=0)
    compared: Series[np.int64] = pa.Field(ge=1)

    class Config:
        strict = True
        ordered = True
        unique = ["variant", "seed"]  # noqa: RUF012

    @pa.dataframe_check(error="nothing is added by cutting out")
    def cutting_only_saves(cls, costs: pd.DataFrame) -> pd.Series:  # noqa: N805
        return (costs["parameters_compact"] <= costs["parameters"]) & (costs["macs_compact"] <= costs["macs"])
