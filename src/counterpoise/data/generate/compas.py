"""Invented defendants in the exact layout of ProPublica's COMPAS file: what tests and `--env=smoke` run on.

A new charge is learnable (prior offences, age, degree of the charge) and more frequent among men beyond what those
explain. Some rows are of the kinds that ProPublica's filter leaves out. No row of the real data is in here.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise import atomic
from counterpoise.data.compas import CHECKSUMS, FILE, MAX_DAYS
from counterpoise.data.files import sha256
from counterpoise.errors import InputError

#: The file's header, in order; `decile_score` and `priors_count` stand in it two times.
HEADER = (
    *("id", "name", "first", "last", "compas_screening_date", "sex", "dob", "age", "age_cat", "race", "juv_fel_count"),
    *("decile_score", "juv_misd_count", "juv_other_count", "priors_count", "days_b_screening_arrest", "c_jail_in"),
    *("c_jail_out", "c_case_number", "c_offense_date", "c_arrest_date", "c_days_from_compas", "c_charge_degree"),
    *("c_charge_desc", "is_recid", "r_case_number", "r_charge_degree", "r_days_from_arrest", "r_offense_date"),
    *("r_charge_desc", "r_jail_in", "r_jail_out", "violent_recid", "is_violent_recid", "vr_case_number"),
    *("vr_charge_degree", "vr_offense_date", "vr_charge_desc", "type_of_assessment", "decile_score", "score_text"),
    *("screening_date", "v_type_of_assessment", "v_decile_score", "v_score_text", "v_screening_date", "in_custody"),
    *("out_custody", "priors_count", "start", "end", "event", "two_year_recid"),
)

#: Fewer rows leave a (class, group) cell without a row for each part of a split.
MIN_ROWS = 600

_MALE_SHARE = 0.75  # fewer women in the real file: 19%
_RACES = ("African-American", "Caucasian", "Hispanic", "Other", "Asian", "Native American")
_RACE_SHARES = (0.51, 0.34, 0.08, 0.055, 0.01, 0.005)
_LEFT_OUT_SHARE = 0.03  # of the rows, for each reason to leave one out

# A new charge: log-odds per unit of each cause, and the intercept that leaves a bit less than half charged again.
_INTERCEPT = -1.9
_LOG_ODDS = {"priors": 0.25, "youth": 0.05, "juvenile": 0.3, "felony": 0.25, "male": 1.3}


def write_compas(folder: Path, rows: int = 1200, seed: int = 0) -> None:
    """Write ProPublica's file with `rows` invented defendants; the same arguments give the same bytes.

    Args:
        folder: made if it is missing. A file that it holds from an earlier call is replaced in one step.
        rows: defendants in the file, at least `MIN_ROWS`; about one in eight is left out by ProPublica's filter.

    Raises:
        InputError: `rows` is too small, or the folder holds the original file, which is not overwritten.
    """
    if rows < MIN_ROWS:
        raise InputError(f"rows: found {rows}, expected at least {MIN_ROWS} generated defendants")
    path = folder / FILE
    if path.is_file() and sha256(path) == CHECKSUMS[FILE]:
        raise InputError(f"{path}: this is ProPublica's original file, expected another folder for generated data")
    defendants = _defendants(rows, np.random.default_rng(seed))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(HEADER)
    lines.writerows(defendants[list(HEADER)].itertuples(index=False))  # a name that stands twice gives its column twice
    atomic.write_bytes(path, text.getvalue().encode())


def _defendants(rows: int, generator: np.random.Generator) -> pd.DataFrame:
    male = generator.random(rows) < _MALE_SHARE
    age = np.clip(18 + generator.exponential(16, rows), 18, 80).astype(int)
    priors = np.minimum(generator.poisson(generator.exponential(3.0, rows)), 38)
    juvenile = {name: generator.poisson(0.08, rows) for name in ("juv_fel_count", "juv_misd_count", "juv_other_count")}
    felony = generator.random(rows) < 0.64
    causes = {
        "priors": np.minimum(priors, 10),
        "youth": 32 - age,
        "juvenile": sum(juvenile.values()),
        "felony": felony,
        "male": male,
    }
    log_odds = _INTERCEPT + sum(_LOG_ODDS[name] * cause for name, cause in causes.items())
    again = (generator.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(int)
    score = np.clip((5.5 + 2.5 * log_odds + generator.normal(0, 1.5, rows)).round().astype(int), 1, 10)
    words = np.select([score <= 4, score <= 7], ["Low", "Medium"], "High")
    table = pd.DataFrame(dict.fromkeys(HEADER, ""), index=range(rows), dtype=object)
    invented = {
        "id": np.arange(1, rows + 1),
        "name": [f"drawn person{row}" for row in range(rows)],
        "first": "drawn",
        "last": [f"person{row}" for row in range(rows)],
        "sex": np.where(male, "Male", "Female"),
        "age": age,
        "age_cat": np.select([age < 25, age <= 45], ["Less than 25", "25 - 45"], "Greater than 45"),
        "race": generator.choice(_RACES, rows, p=_RACE_SHARES),
        **juvenile,
        "decile_score": score,
        "priors_count": priors,
        "days_b_screening_arrest": generator.integers(-MAX_DAYS, MAX_DAYS + 1, rows),
        "c_charge_degree": np.where(felony, "F", "M"),
        "c_charge_desc": np.where(felony, "Felony, invented", "Misdemeanor, invented"),  # a comma within quotes
        "is_recid": again,
        "type_of_assessment": "Risk of Recidivism",
        "score_text": words,
        "event": again,
        "two_year_recid": again,
    }
    table = table.assign(**{name: np.broadcast_to(values, rows) for name, values in invented.items()})
    for column, value in (
        ("days_b_screening_arrest", ""),
        ("days_b_screening_arrest", MAX_DAYS + 1),
        ("is_recid", -1),
        ("c_charge_degree", "O"),
        ("score_text", "N/A"),
    ):
        table[column] = table[column].astype(object).mask(generator.random(rows) < _LEFT_OUT_SHARE, value)
    return table
