"""Invented persons with the columns of docs/data.md's law, credit and German tables: what `--env=smoke` runs on.

The favourable class is learnable from a few columns and more frequent in one group beyond what those explain. No row of
the real data is in here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise.data.generate.folders import write_once
from counterpoise.errors import InputError

#: Fewer rows leave a (class, group) cell without a row for each part of a split.
MIN_ROWS = 400

_VERSION = 1  # of the drawings
_GAP = 1.0  # log-odds between the groups that no column explains


def _write(
    name: str, draw: Callable[[int, np.random.Generator], pd.DataFrame], folder: Path, *, rows: int = 900, seed: int = 0
) -> None:
    """Write a file of `rows` invented persons.

    Raises:
        InputError: `rows` is too small, or the folder holds other files.
    """
    if rows < MIN_ROWS:
        raise InputError(f"rows: found {rows}, expected at least {MIN_ROWS} generated persons")

    def write(into: Path) -> None:
        table = draw(rows, np.random.default_rng(seed))
        (into / name).write_text(table.to_csv(index=False, lineterminator="\n"), encoding="utf-8")

    write_once(folder, write, drawn_by=f"{__name__}: {name}", version=_VERSION, rows=rows, seed=seed)


def _favourable(log_odds: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return generator.random(len(log_odds)) < 1 / (1 + np.exp(-log_odds))


def _students(rows: int, generator: np.random.Generator) -> pd.DataFrame:
    others = ("Amerindian", "Asian", "Black", "Hispanic", "Mexican", "Other", "Puertorican")
    white = generator.random(rows) < 0.7
    score, grade, first_year = generator.normal(0, 1, (3, rows))
    passed = _favourable(0.4 + score + 0.8 * first_year + 0.3 * grade + _GAP * white, generator)
    return pd.DataFrame(
        {
            "LSAT": np.clip(37 + 5 * score, 11, 48).round(1),
            "UGPA": np.clip(3.2 + 0.4 * grade, 0, 4.2).round(1),
            "ZFYA": (0.9 * first_year).round(2),
            "Race": np.where(white, "White", generator.choice(others, rows)),
            "Sex": generator.choice(("female", "male"), rows),
            "pass_bar": np.where(passed, "yes", "no"),
        }
    )


def _card_holders(rows: int, generator: np.random.Generator) -> pd.DataFrame:
    woman = generator.random(rows) < 0.6
    tendency = generator.normal(0, 1, rows)
    months = (0, 2, 3, 4, 5, 6)
    delays = {f"PAY_{m}": np.clip(tendency + generator.normal(0, 1, rows), -2, 8).astype(int) for m in months}
    limit = generator.integers(1, 51, rows)  # in units of 10,000
    bills = {f"BILL_AMT{m}": (limit * generator.integers(0, 10_000, rows)).astype(float) for m in range(1, 7)}
    paid = {f"PAY_AMT{m}": generator.integers(0, 10_000, rows).astype(float) for m in range(1, 7)}
    repaid = _favourable(0.3 - 1.5 * tendency + 0.02 * limit + _GAP * woman, generator)
    table = {
        "ID": np.arange(1, rows + 1),
        "LIMIT_BAL": 10_000.0 * limit,
        "SEX": np.where(woman, "female", "male"),
        "AGE": generator.integers(21, 76, rows),
        **delays,
        **bills,
        **paid,
        "EDUCATION": generator.choice(
            ("graduate", "university", "high school", "other"), rows, p=(0.35, 0.45, 0.15, 0.05)
        ),
        "MARRIAGE": generator.choice(("married", "single", "other"), rows, p=(0.45, 0.5, 0.05)),
        "default": np.where(repaid, "no", "yes"),
    }
    return pd.DataFrame(table)


def _loans(rows: int, generator: np.random.Generator) -> pd.DataFrame:
    def codes(attribute: int, *numbers: int) -> np.ndarray:
        return generator.choice([f"A{attribute}{number}" for number in numbers], rows)

    man = generator.random(rows) < 0.65
    status = generator.integers(1, 5, rows)
    duration = generator.integers(4, 73, rows)
    integers = partial(generator.integers, size=rows)
    good = _favourable(0.6 * (status - 2.5) - 0.04 * (duration - 35) + _GAP * man, generator)
    table = {
        "status": np.array([f"A1{number}" for number in status]),
        "duration": duration,
        "credit_history": codes(3, 0, 1, 2, 3, 4),
        "purpose": codes(4, 0, 1, 2, 3, 4, 5, 6, 8, 9),
        "amount": integers(250, 18_500),
        "savings": codes(6, 1, 2, 3, 4, 5),
        "employment": codes(7, 1, 2, 3, 4, 5),
        "installment_rate": integers(1, 5),
        "debtors": codes(10, 1, 2, 3),
        "residence_since": integers(1, 5),
        "property": codes(12, 1, 2, 3, 4),
        "age": integers(19, 76),
        "installment_plans": codes(14, 1, 2, 3),
        "housing": codes(15, 1, 2, 3),
        "existing_credits": integers(1, 5),
        "job": codes(17, 1, 2, 3, 4),
        "liable": integers(1, 3),
        "telephone": codes(19, 1, 2),
        "foreign_worker": codes(20, 1, 2),
        "credit": np.where(good, "good", "bad"),
        "sex": np.where(man, "male", "female"),
    }
    return pd.DataFrame(table)


write_law = partial(_write, "law.csv", _students)
write_credit = partial(_write, "credit.csv", _card_holders)
write_german = partial(_write, "german.csv", _loans)
