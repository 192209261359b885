"""What the tables of a run look like; the catalog's `validator: counterpoise.schemas.<name>` checks on load and save.

The output tables are a contract that other tools read: these columns, in this order, and no other. Counts and codes
must already be whole (turning 0.5 into 0 would hide a mistake); measured numbers may come as any float and are widened
to float64; a setting that a variant does not have, or a number that is not known, is null, never 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

_PARTS = ["pretrain", "train", "validation", "test"]
_VERDICTS = ["supported", "contradicted", "not distinguishable"]


def _text(**checks: Any) -> Any:
    return pa.Field(str_length={"min_value": 1}, **checks)


def _code(**checks: Any) -> Any:
    return pa.Field(**{"ge": 0, **checks})


def _number(**checks: Any) -> Any:
    return pa.Field(coerce=True, **checks)


def _finite(values: pd.Series) -> pd.Series:
    return values.isna() | np.isfinite(values)


class AdultTable(pa.DataFrameModel):
    """The complete rows of UCI Adult, as `counterpoise.data.adult` reads them.

    The ranges are those of the published data (`adult.names` and the census' top codes).
    """

    age: Series[np.int64] = pa.Field(in_range={"min_value": 17, "max_value": 90})
    workclass: Series[str] = _text()
    fnlwgt: Series[np.int64] = pa.Field(gt=0)
    education: Series[str] = _text()
    education_num: Series[np.int64] = pa.Field(alias="education-num", in_range={"min_value": 1, "max_value": 16})
    marital_status: Series[str] = _text(alias="marital-status")
    occupation: Series[str] = _text()
    relationship: Series[str] = _text()
    race: Series[str] = _text()
    sex: Series[str] = pa.Field(isin=["Female", "Male"])
    capital_gain: Series[np.int64] = pa.Field(alias="capital-gain", in_range={"min_value": 0, "max_value": 99_999})
    capital_loss: Series[np.int64] = pa.Field(alias="capital-loss", in_range={"min_value": 0, "max_value": 4_356})
    hours_per_week: Series[np.int64] = pa.Field(alias="hours-per-week", in_range={"min_value": 1, "max_value": 99})
    native_country: Series[str] = _text(alias="native-country")
    income: Series[str] = pa.Field(isin=["<=50K", ">50K"])

    class Config:
        strict = True
        ordered = True
        coerce = False


class Samples(pa.DataFrameModel):
    """What every experiment starts from: float32 features, or the path of an image; the class `y`; the group `s`."""

    features: Series[np.float32] | None = pa.Field(alias=r"^(?!(?:image|y|s)$)", regex=True)
    image: Series[str] | None = _text()
    y: Series[np.int64] = _code()
    s: Series[np.int64] = _code()

    class Config:
        strict = True

    @pa.dataframe_check(error="either an image column or features")
    def features_or_image(cls, samples: pd.DataFrame) -> bool:  # noqa: N805
        return ("image" in samples) != bool(len(samples.columns.difference(["image", "y", "s"])))

    @pa.dataframe_check(error="finite features")
    def finite_features(cls, samples: pd.DataFrame) -> bool:  # noqa: N805
        return bool(np.isfinite(samples.select_dtypes("float32").to_numpy()).all())


class Metrics(pa.DataFrameModel):
    """`metrics.parquet`: one row per variant, seed, part and metric, with the variant's settings."""

    method: Series[str] = _text()
    variant: Series[str] = _text()
    seed: Series[np.int64] = _code()
    split: Series[str] = pa.Field(isin=_PARTS)
    metric: Series[str] = _text()
    value: Series[float] = _number(nullable=True)
    alpha: Series[float] = _number(nullable=True, in_range={"min_value": 0, "max_value": 1})
    rank: Series[pd.Int64Dtype] = _number(nullable=True, ge=1)
    constraint: Series[str] = _text(nullable=True, coerce=True)
    strength: Series[float] = _number(nullable=True, ge=0)

    part: Series[str] | None = _text()

    class Config:
        strict = True
        ordered = True
        unique = ["method", "variant", "seed", "split", "metric"]  # noqa: RUF012

    @pa.check("value", "strength", error="finite or null")
    def finite(cls, values: pd.Series) -> pd.Series:  # noqa: N805
        return _finite(values)


class Predictions(pa.DataFrameModel):
    """`predictions.parquet`: one row per variant, seed and sample; `row` indexes `samples`."""

    method: Series[str] = _text()
    variant: Series[str] = _text()
    seed: Series[np.int64] = _code()
    split: Series[str] = pa.Field(isin=_PARTS)
    row: Series[np.int64] = _code()
    y: Series[np.int64] = _code()
    s: Series[np.int64] = _code()
    score: Series[float] = _number()
    prediction: Series[np.int64] = _code()

    class Config:
        strict = True
        ordered = True
        unique = ["method", "variant", "seed", "row"]  # noqa: RUF012

    @pa.check("score", error="finite")
    def finite(cls, values: pd.Series) -> pd.Series:  # noqa: N805
        return _finite(values)


class Summary(pa.DataFrameModel):
    """`summary.csv`: mean, standard deviation and 95% interval over `n` seeds, and what the paper reports."""

    method: Series[str] = _text()
    variant: Series[str] = _text()
    metric: Series[str] = _text()
    mean: Series[float] = _number(nullable=True)
    std: Series[float] = _number(nullable=True, ge=0)
    ci_low: Series[float] = _number(nullable=True)
    ci_high: Series[float] = _number(nullable=True)
    n: Series[np.int64] = _code()
    reported: Series[float] = _number(nullable=True)
    reported_std: Series[float] = _number(nullable=True, ge=0)

    class Config:
        strict = True
        ordered = True
        unique = ["method", "variant", "metric"]  # noqa: RUF012

    @pa.dataframe_check(error="ci_low ≤ mean ≤ ci_high")
    def mean_lies_in_its_interval(cls, summary: pd.DataFrame) -> pd.Series:  # noqa: N805
        return _ordered(summary["ci_low"], summary["mean"], summary["ci_high"])


class Claims(pa.DataFrameModel):
    """`claims.csv`: one row per claim: the paired difference, its interval, both p-values, and the verdict."""

    claim: Series[str] = _text()
    metric: Series[str] = _text()
    difference: Series[float] = _number(nullable=True)
    ci_low: Series[float] = _number(nullable=True)
    ci_high: Series[float] = _number(nullable=True)
    p: Series[float] = _number(nullable=True, in_range={"min_value": 0, "max_value": 1})
    p_holm: Series[float] = _number(nullable=True, in_range={"min_value": 0, "max_value": 1})
    verdict: Series[str] = pa.Field(isin=_VERDICTS)

    class Config:
        strict = True
        ordered = True

    @pa.dataframe_check(error="ci_low ≤ difference ≤ ci_high")
    def difference_lies_in_its_interval(cls, claims: pd.DataFrame) -> pd.Series:  # noqa: N805
        return _ordered(claims["ci_low"], claims["difference"], claims["ci_high"])

    @pa.dataframe_check(error="p ≤ p_holm")
    def correction_only_raises(cls, claims: pd.DataFrame) -> pd.Series:  # noqa: N805
        return _ordered(claims["p"], claims["p"], claims["p_holm"])


def _ordered(low: pd.Series, middle: pd.Series, high: pd.Series) -> pd.Series:
    """Row by row, low ≤ middle ≤ high up to rounding; a null is in nobody's way."""
    slack = 1e-9 * (1 + middle.abs())
    return ~((low > middle + slack) | (middle > high + slack))
