"""What the tables of a run look like; the catalog's `validator` checks each on load and save.

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

from counterpoise.artifacts.predictions import has_row_twice
from counterpoise.artifacts.schema_fields import Schema, Table, code, finite, number, share, text

_PARTS = ["pretrain", "train", "validation", "test"]
_VERDICTS = ["supported", "contradicted", "not distinguishable"]


class AdultTable(Table):
    """The complete rows of UCI Adult, as `counterpoise.data.adult` reads them.

    The ranges are those of the published data (`adult.names` and the census' top codes).
    """

    age: Series[np.int64] = pa.Field(in_range={"min_value": 17, "max_value": 90})
    workclass: Series[str] = text()
    fnlwgt: Series[np.int64] = pa.Field(gt=0)
    education: Series[str] = text()
    education_num: Series[np.int64] = pa.Field(alias="education-num", in_range={"min_value": 1, "max_value": 16})
    marital_status: Series[str] = text(alias="marital-status")
    occupation: Series[str] = text()
    relationship: Series[str] = text()
    race: Series[str] = text()
    sex: Series[str] = pa.Field(isin=["Female", "Male"])
    capital_gain: Series[np.int64] = pa.Field(alias="capital-gain", in_range={"min_value": 0, "max_value": 99_999})
    capital_loss: Series[np.int64] = pa.Field(alias="capital-loss", in_range={"min_value": 0, "max_value": 4_356})
    hours_per_week: Series[np.int64] = pa.Field(alias="hours-per-week", in_range={"min_value": 1, "max_value": 99})
    native_country: Series[str] = text(alias="native-country")
    income: Series[str] = pa.Field(isin=["<=50K", ">50K"])


class CompasTable(Table):
    """The defendants that ProPublica's analysis keeps, as `counterpoise.data.compas` reads them."""

    age: Series[np.int64] = pa.Field(in_range={"min_value": 18, "max_value": 96})
    age_cat: Series[str] = pa.Field(isin=["Less than 25", "25 - 45", "Greater than 45"])
    sex: Series[str] = pa.Field(isin=["Female", "Male"])
    race: Series[str] = text()
    juv_fel_count: Series[np.int64] = code()
    juv_misd_count: Series[np.int64] = code()
    juv_other_count: Series[np.int64] = code()
    priors_count: Series[np.int64] = code()
    c_charge_degree: Series[str] = pa.Field(isin=["F", "M"])
    two_year_recid: Series[np.int64] = pa.Field(isin=[0, 1])


class Samples(Schema):
    """What every experiment starts from: float32 features, or the path of an image; the class `y`; the group `s`.

    `official_part` is there where the source itself says which images are for testing. Beside an image, any other
    column is a further sensitive one, with codes as `s` has them (`right` in Multi-Color MNIST). `together` numbers
    what rows belong to, where `split.together` says it.
    """

    others: Series[Any] | None = pa.Field(alias=r"^(?!(?:image|official_part|y|s|together)$)", regex=True)
    image: Series[str] | None = text()
    official_part: Series[str] | None = pa.Field(isin=["train", "test"])
    y: Series[np.int64] = code()
    s: Series[np.int64] = code()
    together: Series[np.int64] | None = code()

    class Config:
        strict = True

    @pa.dataframe_check(error="either an image column, and whole numbers beside it, or float32 features")
    def features_or_image(cls, samples: pd.DataFrame) -> bool:  # noqa: N805
        others = [name for name in samples if name not in {"image", "official_part", "y", "s", "together"}]
        kinds = {samples[name].dtype for name in others}
        if "image" in samples:
            return kinds <= {np.dtype(np.int64)} and bool((samples[others] >= 0).all(axis=None))
        return kinds == {np.dtype(np.float32)}

    @pa.dataframe_check(error="finite features")
    def finite_features(cls, samples: pd.DataFrame) -> bool:  # noqa: N805
        features = samples.columns[samples.dtypes == np.float32]  # one by one: all at once are copied
        return all(np.isfinite(samples[name].to_numpy()).all() for name in features)


class Metrics(Table):
    """`metrics.parquet`: one row per variant, seed, part and metric, with the variant's settings."""

    method: Series[str] = text()
    variant: Series[str] = text()
    seed: Series[np.int64] = code()
    split: Series[str] = pa.Field(isin=_PARTS)
    metric: Series[str] = text()
    value: Series[float] = number(nullable=True)
    alpha: Series[float] = share(nullable=True)
    rank: Series[pd.Int64Dtype] = number(nullable=True, ge=1)
    constraint: Series[str] = text(nullable=True, coerce=True)
    strength: Series[float] = number(nullable=True, ge=0)

    part: Series[str] | None = text()

    class Config:
        unique = ["method", "variant", "seed", "split", "metric"]  # noqa: RUF012

    @pa.check("value", "strength", error="finite or null")
    def is_finite(cls, values: pd.Series) -> pd.Series:  # noqa: N805
        return finite(values)


class Predictions(Table):
    """`predictions.parquet`: one row per variant, seed and sample; `row` indexes `samples`.

    In memory its texts may be categories and its numbers of any size (`artifacts.predictions`).
    """

    method: Series[Any]
    variant: Series[Any]
    seed: Series[Any]
    split: Series[Any]
    row: Series[Any]
    y: Series[Any]
    s: Series[Any]
    score: Series[Any]
    prediction: Series[Any]

    @pa.check("method", "variant", "split", error="texts that are not empty")
    def are_texts(cls, values: pd.Series) -> bool:  # noqa: N805
        texts = _distinct(values)
        return isinstance(texts.dtype, pd.StringDtype) and bool((texts.str.len() > 0).all())

    @pa.check("split", error=f"one of {', '.join(_PARTS)}")
    def are_parts(cls, values: pd.Series) -> bool:  # noqa: N805
        return set(_distinct(values)) <= set(_PARTS)

    @pa.check("seed", "row", "y", "s", "prediction", error="whole numbers from 0 on")
    def are_codes(cls, values: pd.Series) -> bool:  # noqa: N805
        return values.dtype.kind in "iu" and bool((values >= 0).all())

    @pa.check("score", error="finite")
    def are_finite(cls, values: pd.Series) -> bool:  # noqa: N805
        return values.dtype.kind == "f" and bool(np.isfinite(values).all())

    @pa.dataframe_check(error="each row once for each variant and seed")
    def rows_differ(cls, predictions: pd.DataFrame) -> bool:  # noqa: N805
        return not has_row_twice(predictions)


def _distinct(values: pd.Series) -> pd.Index:
    return values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else pd.Index(values.unique())


class Summary(Table):
    """`summary.csv`: mean, standard deviation and interval over `n` seeds, and what the paper reports."""

    method: Series[str] = text()
    variant: Series[str] = text()
    metric: Series[str] = text()
    mean: Series[float] = number(nullable=True)
    std: Series[float] = number(nullable=True, ge=0)
    ci_low: Series[float] = number(nullable=True)
    ci_high: Series[float] = number(nullable=True)
    n: Series[np.int64] = code()
    reported: Series[float] = number(nullable=True)
    reported_std: Series[float] = number(nullable=True, ge=0)

    class Config:
        unique = ["method", "variant", "metric"]  # noqa: RUF012

    @pa.dataframe_check(error="ci_low ≤ mean ≤ ci_high")
    def mean_lies_in_its_interval(cls, summary: pd.DataFrame) -> pd.Series:  # noqa: N805
        return _ordered(summary["ci_low"], summary["mean"], summary["ci_high"])


class Comparisons(Table):
    """Paired differences: each lies in its interval, and the correction of its p-value only raises it."""

    @pa.dataframe_check(error="ci_low ≤ difference ≤ ci_high and p ≤ p_holm")
    def numbers_are_in_order(cls, rows: pd.DataFrame) -> pd.Series:  # noqa: N805
        inside = _ordered(rows["ci_low"], rows["difference"], rows["ci_high"])
        return inside & _ordered(rows["p"], rows["p"], rows["p_holm"])


class Claims(Comparisons):
    """`claims.csv`: one row per claim: the paired difference, its interval, both p-values, and the verdict."""

    claim: Series[str] = text()
    metric: Series[str] = text()
    difference: Series[float] = number(nullable=True)
    ci_low: Series[float] = number(nullable=True)
    ci_high: Series[float] = number(nullable=True)
    p: Series[float] = share(nullable=True)
    p_holm: Series[float] = share(nullable=True)
    verdict: Series[str] = pa.Field(isin=_VERDICTS)


class Frontier(Metrics):
    """`frontier.parquet`: error and biases of every model of the grid and of the peers; further settings beside."""

    split: Series[str] = pa.Field(isin=(*_PARTS, "judged"))
    base: Series[str] = text(nullable=True, coerce=True)
    weight_decay: Series[float] = number(nullable=True, ge=0)
    threshold: Series[float] = number(nullable=True)


class Selection(Table):
    """`selection.csv`: what each family chose on validation in each replicate, if anything, and its values on test."""

    family: Series[str] = text()
    seed: Series[np.int64] = code()
    variant: Series[str] = text(nullable=True, coerce=True)
    method: Series[str] = text(nullable=True, coerce=True)
    base: Series[str] = text(nullable=True, coerce=True)
    constraint: Series[str] = text(nullable=True, coerce=True)
    strength: Series[float] = number(nullable=True, ge=0)
    weight_decay: Series[float] = number(nullable=True, ge=0)
    model: Series[str] = text(nullable=True, coerce=True)
    threshold: Series[float] = number(nullable=True)
    own: Series[bool]
    needs_group: Series[bool]
    criterion: Series[str] = text()
    tolerance: Series[float] = number(gt=0)
    bound: Series[float] = number(nullable=True, gt=0)
    validation_err: Series[float] = number(nullable=True, ge=0)
    validation_bias: Series[float] = number(nullable=True, ge=0)
    meets: Series[bool]
    test_err: Series[float] = number(nullable=True, ge=0)
    test_bias: Series[float] = number(nullable=True, ge=0)
    holds: Series[bool]
    certified: Series[pd.BooleanDtype] = pa.Field(nullable=True, coerce=True)

    class Config:
        unique = ["family", "seed"]  # noqa: RUF012

    @pa.dataframe_check(error="meets where validation_bias ≤ tolerance, holds where test_bias is")
    def the_tolerance_decides(cls, selection: pd.DataFrame) -> pd.Series:  # noqa: N805
        meets = selection["validation_bias"] <= selection["tolerance"]
        holds = selection["test_bias"] <= selection["tolerance"]
        return (selection["meets"] == meets) & (selection["holds"] == holds)

    @pa.dataframe_check(error="a model of each choice of ours")
    def own_choices_have_models(cls, selection: pd.DataFrame) -> pd.Series:  # noqa: N805
        own = selection["own"] & selection["variant"].notna()
        return ~own | selection["model"].notna()

    @pa.dataframe_check(error="what was chosen has been measured")
    def choices_have_values(cls, selection: pd.DataFrame) -> pd.Series:  # noqa: N805
        return selection["test_err"].notna() == selection["variant"].notna()


class Tolerances(Table):
    """`tolerances.csv`: what each family's choice would come to on test under other tolerances."""

    family: Series[str] = text()
    criterion: Series[str] = text()
    tolerance: Series[float] = number(gt=0)
    seed: Series[np.int64] = code()
    meets: Series[bool]
    test_err: Series[float] = number(nullable=True, ge=0)
    test_bias: Series[float] = number(nullable=True, ge=0)

    class Config:
        unique = ["family", "criterion", "tolerance", "seed"]  # noqa: RUF012


class JudgedCounts(Table):
    """`judged_counts.parquet`: how the chosen models predict the rows that they are judged by."""

    family: Series[str] = text()
    seed: Series[np.int64] = code()
    s: Series[np.int64] = code()
    y: Series[np.int64] = code()
    prediction: Series[np.int64] = code()
    rows: Series[np.int64] = number(ge=1)

    class Config:
        unique = ["family", "seed", "s", "y", "prediction"]  # noqa: RUF012


class Hypervolumes(Table):
    """`hypervolumes.csv`: the area that each method's models dominate on test, by seed."""

    method: Series[str] = text()
    seed: Series[np.int64] = code()
    bias: Series[str] = text()
    hypervolume: Series[float] = number(ge=0)

    class Config:
        unique = ["method", "seed", "bias"]  # noqa: RUF012


class HypervolumeDifferences(Comparisons):
    """`hypervolume_differences.csv`: ours minus each other method's area, paired by seed."""

    bias: Series[str] = text(coerce=True)
    left: Series[str] = text(coerce=True)
    right: Series[str] = text(coerce=True)
    difference: Series[float] = number(nullable=True)
    ci_low: Series[float] = number(nullable=True)
    ci_high: Series[float] = number(nullable=True)
    p: Series[float] = share(nullable=True)
    p_holm: Series[float] = share(nullable=True)
    verdict: Series[str] = pa.Field(isin=_VERDICTS, coerce=True)

    class Config:
        unique = ["bias", "left", "right"]  # noqa: RUF012


def _ordered(low: pd.Series, middle: pd.Series, high: pd.Series) -> pd.Series:
    """Row by row, low ≤ middle ≤ high up to rounding; nulls are ignored."""
    slack = 1e-9 * (1 + middle.abs())
    return ~((low > middle + slack) | (middle > high + slack))
