"""COMPAS: is a defendant of Broward County, Florida, charged again within two years of being scored?

Angwin, Larson, Mattu and Kirchner, "Machine Bias", ProPublica (2016). `read` keeps the 6,172 of 7,214 defendants that
ProPublica's own analysis keeps, and of the 53 columns those that were known when the defendant was scored: who it is
and the record of offences. Names, dates, case numbers and the text of the charge are left out, and so is all that is
COMPAS's answer (scores) or came afterwards (custody, new charges, what the label is made of).

A known defect of the file: defendants who were charged again were kept after the date at which the others were cut off,
so that its rate of new charges, 45.5% of the rows kept, is too high (Barenstein, "ProPublica's COMPAS Data Revisited",
2019).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from counterpoise.data.delimited import complete_rows, read_delimited, require_numbers
from counterpoise.data.files import verify
from counterpoise.errors import InputError, suggest

FILE = "compas-scores-two-years.csv"

FEATURES = (
    "age",
    "age_cat",
    "sex",
    "race",
    "juv_fel_count",
    "juv_misd_count",
    "juv_other_count",
    "priors_count",
    "c_charge_degree",
)
LABEL = "two_year_recid"
COUNTS = ("age", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count", LABEL)

#: SHA-256 of the file as ProPublica publishes it. `read` compares it only when asked: generated files differ.
CHECKSUMS = {FILE: "c451db85908b2f7fef1d83203bedf6b71ecda0d5af468d82ae62178f91d0cc7d"}
SOURCE = f"`kedro run --pipelines=fetch_compas` gets {FILE} from github.com/propublica/compas-analysis"

#: A charge further from the screening than this is probably not the one that the score was made for.
MAX_DAYS = 30

_DAYS, _RECIDIVIST, _DEGREE, _SCORE = "days_b_screening_arrest", "is_recid", "c_charge_degree", "score_text"
_FILTERED_BY = (_DAYS, _RECIDIVIST, _DEGREE, _SCORE)
_TWICE = ("decile_score", "priors_count")  # columns that the file holds two times, with the same values

_log = logging.getLogger(__name__)


def read(
    folder: Path, *, checksums: Mapping[str, str] | None = None, left_out: list[pd.DataFrame] | None = None
) -> pd.DataFrame:
    """Read the defendants that ProPublica's analysis keeps, in the file's order.

    Args:
        checksums: file name → SHA-256, for instance `CHECKSUMS`; None asks only that the file exists.
        left_out: gets the rows that miss a value, if it is given.

    Returns:
        One row per defendant, `FEATURES` and `LABEL` as columns (int64 where `COUNTS`, else str).

    Raises:
        InputError: the file is missing, truncated or altered, or a column is missing or holds other values than the
            published file can hold.
    """
    path = folder / FILE
    verify(folder, {FILE: None, **(checksums or {})}, source=SOURCE)
    everybody = read_delimited(path, missing=[""], repeated=_TWICE)
    for name in (*FEATURES, LABEL, *_FILTERED_BY):
        if name not in everybody:
            raise InputError(f"{path}: the column {name!r} is missing or renamed{suggest(name, everybody.columns)}")
    screened = _screened_for_this_charge(everybody, path)
    table = require_numbers(complete_rows(screened[[*FEATURES, LABEL]], str(path), left_out), COUNTS, str(path))
    unknown = table.loc[~table[LABEL].isin([0, 1]), LABEL]
    if not unknown.empty:
        raise InputError(f"{path}: column {LABEL!r} has {unknown.iloc[0]} in {len(unknown):,} rows, expected 0 or 1")
    return table


def _screened_for_this_charge(everybody: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Keep whom ProPublica keeps ("How We Analyzed the COMPAS Recidivism Algorithm", 2016, and its notebook).

    Left out: a charge more than `MAX_DAYS` from the screening, an unknown outcome (−1), ordinary traffic offences (O),
    no score.
    """
    complete = everybody.dropna(subset=list(_FILTERED_BY))
    complete = require_numbers(complete, (_DAYS, _RECIDIVIST), str(path))
    near = complete[_DAYS].abs() <= MAX_DAYS
    screened = complete[near & (complete[_RECIDIVIST] != -1) & (complete[_DEGREE] != "O") & (complete[_SCORE] != "N/A")]
    if screened.empty:
        raise InputError(
            f"{path}: none of {len(everybody):,} rows passes ProPublica's filter (|{_DAYS}| ≤ {MAX_DAYS}, "
            f"{_RECIDIVIST} not -1, {_DEGREE} not 'O', {_SCORE} not 'N/A'), expected at least one"
        )
    _log.info("%s: ProPublica's filter keeps %d of %d rows", path, len(screened), len(everybody))
    return screened
