"""What the tables of repaired networks look like; see `counterpoise.artifacts.schemas`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from counterpoise.artifacts.schema_fields import Table, code, number, share, text


class Repairs(Table):
    """`repairs.parquet`: how each model was chosen, and what was measured of it.

    threshold, phi, performance, bias: on `dval`, at the threshold and epoch chosen there. sparsity: the share of gates
    that are closed; information, leakage, conflicting_accuracy, unbiased_average: on the test rows, of the bias.
    """

    method: Series[str] = text(coerce=True)
    variant: Series[str] = text(coerce=True)
    seed: Series[np.int64] = code()
    epoch: Series[pd.Int64Dtype] = number(nullable=True, ge=1)
    epochs: Series[pd.Int64Dtype] = number(nullable=True, ge=1)
    needs_group: Series[bool]
    alpha: Series[float] = number(nullable=True)
    rank: Series[pd.Int64Dtype] = number(nullable=True, ge=1)
    threshold: Series[float] = share(nullable=True)
    phi: Series[float] = share(nullable=True)
    performance: Series[float] = share(nullable=True)
    bias: Series[float] = number(nullable=True, in_range={"min_value": -1, "max_value": 1})
    chosen_on: Series[pd.Int64Dtype] = number(nullable=True, ge=1)
    pruned: Series[float] = share(nullable=True)
    critic_ratio: Series[float] = number(nullable=True, ge=0)
    sparsity: Series[float] = share(nullable=True)
    information: Series[float] = number(nullable=True, in_range={"min_value": -1e-6, "max_value": 1 + 1e-6})
    leakage: Series[float] = share(nullable=True)
    conflicting_accuracy: Series[float] = share(nullable=True)
    unbiased_average: Series[float] = share(nullable=True)

    class Config:
        unique = ["variant", "seed"]  # noqa: RUF012

    @pa.dataframe_check(error="an epoch is one of the epochs")
    def epoch_is_one_of_them(cls, repairs: pd.DataFrame) -> pd.Series:  # noqa: N805
        return (repairs["epoch"] <= repairs["epochs"]).fillna(value=True).astype(bool)


class RepairCurves(Table):
    """`curves.parquet`: figures of every epoch of every training."""

    variant: Series[str] = text(coerce=True)
    seed: Series[np.int64] = code()
    epoch: Series[np.int64] = code(ge=1)
    figure: Series[str] = text(coerce=True)
    value: Series[float] = number(nullable=True)

    class Config:
        unique = ["variant", "seed", "epoch", "figure"]  # noqa: RUF012


class PrunedLayers(pa.DataFrameModel):
    """`pruned_layers.parquet`: the share of each layer's weights that each discovery prunes."""

    mask: Series[str] = text(coerce=True)
    layer: Series[str] = text(coerce=True)
    position: Series[np.int64] = code()
    seed: Series[np.int64] = code()
    pruned: Series[float] = share()
    part: Series[str] | None = text(coerce=True)

    class Config:
        strict = True


class MaskAgreement(pa.DataFrameModel):
    """`mask_agreement.parquet`: intersection over union of what the masks of two seeds prune, and what chance gives."""

    mask: Series[str] = text(coerce=True)
    left: Series[np.int64] = number(ge=0)
    right: Series[np.int64] = number(ge=0)
    iou: Series[float] = share(nullable=True)
    chance: Series[float] = share(nullable=True)
    part: Series[str] | None = text(coerce=True)

    class Config:
        strict = True


class Costs(Table):
    """`costs.parquet`: what pruned networks need, and need without what is wholly pruned (`_compact`).

    Latencies: milliseconds for a pass of `batch` rows on one thread. `difference`: the largest between the outputs of
    the two on `compared` test rows.
    """

    method: Series[str] = text(coerce=True)
    variant: Series[str] = text(coerce=True)
    seed: Series[np.int64] = code()
    parameters: Series[np.int64] = code(ge=1)
    parameters_compact: Series[np.int64] = code(ge=1)
    nonzero: Series[np.int64] = code()
    nonzero_compact: Series[np.int64] = code()
    macs: Series[np.int64] = code(ge=1)
    macs_compact: Series[np.int64] = code(ge=1)
    latency: Series[float] = number(gt=0)
    latency_compact: Series[float] = number(gt=0)
    latency_ratio: Series[float] = number(gt=0)
    batch: Series[np.int64] = code(ge=1)
    difference: Series[float] = number(ge=0)
    compared: Series[np.int64] = code(ge=1)

    class Config:
        unique = ["variant", "seed"]  # noqa: RUF012

    @pa.dataframe_check(error="nothing is added by cutting out")
    def cutting_only_saves(cls, costs: pd.DataFrame) -> pd.Series:  # noqa: N805
        return (costs["parameters_compact"] <= costs["parameters"]) & (costs["macs_compact"] <= costs["macs"])
