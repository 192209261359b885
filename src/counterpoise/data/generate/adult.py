"""Invented persons in the exact layout of the raw Adult files: what tests and `--env=smoke` run on.

The income is learnable (education, hours, marriage, age) and more frequent among men beyond what those explain, so that
a classifier has something to learn and a repair something to repair. No row of the real data is in here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise import atomic
from counterpoise.data.adult import CHECKSUMS, COLUMNS, INCOMES
from counterpoise.data.files import sha256
from counterpoise.errors import InputError

#: Fewer rows leave a (class, group) cell without a row for each part of a split.
MIN_ROWS = 400

_TRAINING_SHARE = 2 / 3  # UCI's own division into adult.data and adult.test
_MALE_SHARE = 2 / 3
_MARRIED_SHARE = 0.5
_MISSING_SHARE = 0.04  # of rows; such a row misses one or both of the columns below, as in the real files
_MAY_MISS = ("workclass", "occupation", "native-country")

#: education → education-num, from `adult.names`' coding.
_EDUCATION = {"11th": 7, "HS-grad": 9, "Some-college": 10, "Bachelors": 13, "Masters": 14, "Doctorate": 16}
_EDUCATION_SHARES = (0.10, 0.34, 0.26, 0.19, 0.08, 0.03)
_CATEGORIES = {
    "workclass": (("Private", "Self-emp-not-inc", "Local-gov", "State-gov"), (0.74, 0.10, 0.09, 0.07)),
    "occupation": (
        ("Adm-clerical", "Craft-repair", "Exec-managerial", "Prof-specialty", "Other-service"),
        (0.20, 0.20, 0.20, 0.20, 0.20),
    ),
    "race": (("White", "Black", "Asian-Pac-Islander", "Other"), (0.83, 0.11, 0.04, 0.02)),
    "native-country": (("United-States", "Mexico", "Philippines", "Germany"), (0.90, 0.05, 0.03, 0.02)),
}

# Income: log-odds per unit of each cause, and the intercept that leaves about a quarter above 50K.
_INTERCEPT = -3.9
_LOG_ODDS = {"education": 0.55, "hours": 0.06, "age": 0.03, "married": 1.8, "male": 1.0, "skilled": 0.8}


def write_adult(folder: Path, rows: int = 1500, seed: int = 0) -> None:
    """Write `adult.data` and `adult.test` with `rows` invented persons; the same arguments give the same bytes.

    Args:
        folder: made if it is missing. Files that it holds from an earlier call are replaced, each in one step.
        rows: persons in both files together, at least `MIN_ROWS`.

    Raises:
        InputError: `rows` is too small, or the folder holds the original files, which are not overwritten.
    """
    if rows < MIN_ROWS:
        raise InputError(f"rows: found {rows}, expected at least {MIN_ROWS} generated persons")
    for name, original in CHECKSUMS.items():
        if (folder / name).is_file() and sha256(folder / name) == original:
            raise InputError(
                f"{folder / name}: this is UCI's original file, expected another folder for generated data"
            )
    persons = _persons(rows, np.random.default_rng(seed))
    training = round(rows * _TRAINING_SHARE)
    atomic.write_bytes(folder / "adult.data", _lines(persons[:training]).encode())
    atomic.write_bytes(folder / "adult.test", ("|1x3 Cross validator\n" + _lines(persons[training:], end=".")).encode())


def _persons(rows: int, generator: np.random.Generator) -> pd.DataFrame:
    male = generator.random(rows) < _MALE_SHARE
    married = generator.random(rows) < _MARRIED_SHARE
    age = generator.integers(18, 75, rows)
    hours = np.clip(generator.normal(np.where(male, 42, 37), 10).round().astype(int), 5, 80)
    education = generator.choice(list(_EDUCATION), rows, p=_EDUCATION_SHARES)
    education_num = np.array([_EDUCATION[name] for name in education])
    drawn = {name: generator.choice(values, rows, p=shares) for name, (values, shares) in _CATEGORIES.items()}

    causes = {
        "education": education_num - 10,
        "hours": hours - 40,
        "age": age - 40,
        "married": married,
        "male": male,
        "skilled": np.isin(drawn["occupation"], ("Exec-managerial", "Prof-specialty")),
    }
    log_odds = _INTERCEPT + sum(_LOG_ODDS[name] * cause for name, cause in causes.items())
    rich = generator.random(rows) < 1 / (1 + np.exp(-log_odds))
    persons = pd.DataFrame(
        {
            "age": age,
            "fnlwgt": generator.integers(20_000, 400_000, rows),
            "education": education,
            "education-num": education_num,
            "marital-status": np.where(married, "Married-civ-spouse", "Never-married"),
            "relationship": np.where(married, np.where(male, "Husband", "Wife"), "Not-in-family"),
            "sex": np.where(male, "Male", "Female"),
            "capital-gain": np.where(
                generator.random(rows) < np.where(rich, 0.2, 0.04), generator.integers(1, 15_000, rows), 0
            ),
            "capital-loss": np.where(generator.random(rows) < 0.05, generator.integers(1, 2_500, rows), 0),
            "hours-per-week": hours,
            "income": np.where(rich, INCOMES[1], INCOMES[0]),
            **drawn,
        }
    )
    missing = generator.random(rows) < _MISSING_SHARE
    for row, column in zip(np.flatnonzero(missing), generator.choice(_MAY_MISS, int(missing.sum())), strict=True):
        persons.loc[row, column] = "?"
    return persons[list(COLUMNS)]


def _lines(persons: pd.DataFrame, end: str = "") -> str:
    """The raw layout: ", " between fields, `end` after the label, a blank last line."""
    lines = [", ".join(map(str, person)) + end for person in persons.itertuples(index=False)]
    return "\n".join([*lines, "", ""])
