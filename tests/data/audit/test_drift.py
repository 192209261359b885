"""Drift, beside scipy's own tests and the index written out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from counterpoise.data.audit import drift
from counterpoise.errors import InputError


def table(n: int, seed: int, shift: float = 0.0, first: float = 0.5) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "income": random.normal(shift, 1, n),
            "place": random.choice(["a", "b", "c"], n, p=[first, 0.9 - first, 0.1]),
            "same": "x",
        }
    )


REFERENCE, NEW = table(900, 0), table(700, 1, 0.4, 0.3)


def test_statistics_are_those_of_the_named_tests() -> None:
    found = drift(REFERENCE, NEW).set_index("column")
    distance = stats.ks_2samp(REFERENCE["income"], NEW["income"]).statistic
    assert found.at["income", "statistic"] == pytest.approx(distance, rel=1e-12)
    terms = np.arange(1, 101)
    scaled = distance * np.sqrt(900 * 700 / 1600)
    series = 2 * ((-1.0) ** (terms - 1) * np.exp(-2 * terms**2 * scaled**2)).sum()  # Kolmogorov's distribution
    assert found.at["income", "p"] == pytest.approx(series, rel=1e-9)
    cells = np.array([side["place"].value_counts().sort_index() for side in (REFERENCE, NEW)])
    chi2, p, *_ = stats.chi2_contingency(cells, correction=False)
    assert found.loc["place", ["statistic", "p"]].tolist() == pytest.approx([chi2, p], rel=1e-9)
    assert found.at["same", "p"] == 1.0
    assert found["kind"].to_dict() == {"income": "number", "place": "category", "same": "category"}


def test_the_stability_index_is_the_sum_over_categories() -> None:
    p, q = (side["place"].value_counts(normalize=True).sort_index().to_numpy() for side in (REFERENCE, NEW))
    expected = ((q - p) * np.log(q / p)).sum()
    found = drift(REFERENCE, NEW).set_index("column")["psi"]
    assert found["place"] == pytest.approx(expected, rel=1e-12)
    assert found["same"] == 0
    assert found["income"] > 0.1


def test_holm_is_over_the_columns() -> None:
    found = drift(REFERENCE, table(700, 2))
    ordered = found.sort_values("p")
    assert (ordered["p_holm"] >= ordered["p"]).all()
    assert ordered["p_holm"].iloc[0] == pytest.approx(min(1, 3 * ordered["p"].iloc[0]))


def test_a_table_has_not_drifted_from_itself() -> None:
    found = drift(REFERENCE, REFERENCE)
    assert found[["statistic", "psi"]].abs().max().max() == 0
    assert (found["p"] == 1).all()


def test_missing_values_are_a_category_and_a_bin() -> None:
    gaps = REFERENCE.assign(
        income=REFERENCE["income"].where(np.arange(900) % 3 > 0), place=REFERENCE["place"].where(np.arange(900) % 3 > 0)
    )
    found = drift(REFERENCE, gaps).set_index("column")
    assert found.at["income", "psi"] > 0.25
    assert found.at["income", "p"] > 0.5, "those that are there are distributed as before"
    assert found.at["place", "p"] < 1e-10


def test_only_shared_columns_are_compared() -> None:
    assert drift(REFERENCE, NEW.drop(columns="place").assign(more=1))["column"].tolist() == ["income", "same"]


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (NEW.rename(columns=str.upper), "share no column"),
        (NEW.head(0), "the new table has no rows"),
        (NEW.assign(income="high"), "'income' holds numbers in the reference and other values"),
    ],
)
def test_bad_input(new: pd.DataFrame, message: str) -> None:
    with pytest.raises(InputError, match=message):
        drift(REFERENCE, new)
