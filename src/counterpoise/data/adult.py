"""UCI Adult ("Census Income"): does a person earn more than 50,000 dollars a year?

Becker and Kohavi (1996), UCI Machine Learning Repository, doi:10.24432/C5XW20, CC BY 4.0. 45,222 of the 48,842 persons
have no missing value; those are the rows that `read` returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from counterpoise.data.delimited import complete_rows, read_delimited, require_numbers
from counterpoise.data.files import verify
from counterpoise.errors import InputError

#: The columns of both files, in order, as `adult.names` spells them; `income` is the one it leaves unnamed.
COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
    "income",
)
CONTINUOUS = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
INCOMES = ("<=50K", ">50K")

#: SHA-256 of the files as UCI publishes them. `read` compares them only when asked: generated files differ.
CHECKSUMS = {
    "adult.data": "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
    "adult.test": "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
}
SOURCE = (
    "get adult.data and adult.test from the UCI Machine Learning Repository (dataset 2, doi:10.24432/C5XW20) "
    "and put them into this folder"
)


def read(
    folder: Path, *, checksums: Mapping[str, str] | None = None, left_out: list[pd.DataFrame] | None = None
) -> pd.DataFrame:
    """Read the complete persons of `adult.data`, then of `adult.test`.

    Args:
        checksums: file name → SHA-256, for instance `CHECKSUMS`; None asks only that the files exist.
        left_out: gets the rows that miss a value, if it is given.

    Returns:
        One row per person, `COLUMNS` as columns (int64 where `CONTINUOUS`, else str); `income` is one of `INCOMES`.

    Raises:
        InputError: a file is missing, truncated or altered.
    """
    verify(folder, {**dict.fromkeys(CHECKSUMS), **(checksums or {})}, source=SOURCE)
    return pd.concat([_read_file(folder / name, left_out) for name in CHECKSUMS], ignore_index=True)


def _read_file(path: Path, left_out: list[pd.DataFrame] | None) -> pd.DataFrame:
    raw = read_delimited(path, COLUMNS, missing=["?"], comment="|")
    raw["income"] = raw["income"].astype("str").str.removesuffix(".")  # only the test file's labels end in a dot
    table = require_numbers(complete_rows(raw, str(path), left_out), CONTINUOUS, str(path))
    income = table["income"]
    unknown = income[~income.isin(INCOMES)]
    if not unknown.empty:
        raise InputError(
            f"{path}: column 'income' has {unknown.iloc[0]!r} in {len(unknown):,} rows, "
            f"expected {' or '.join(map(repr, INCOMES))}"
        )
    return table
