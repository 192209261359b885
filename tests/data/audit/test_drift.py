"""Drift, beside scipy's own tests and the index written out."""

from __future__ import annotations

from itertools import pairwise

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


def test_the_stability_index_of_numbers_is_over_tenths_of_the_reference() -> None:
    edges = [-np.inf, *np.quantile(REFERENCE["income"], np.arange(1, 10) / 10), np.inf]
    p, q = (
        np.array([side["income"].between(low, high, inclusive="right").mean() for low, high in pairwise(edges)])
        for side in (REFERENCE, NEW)
    )
    assert p == pytest.approx(0.1)
    expected = ((q - p) * np.log(q / p)).sum()
    assert drift(REFERENCE, NEW).set_index("column").at["income", "psi"] == pytest.approx(expected, rel=1e-12)


def test_an_empty_bin_counts_as_half_a_row_in_the_index() -> None:
    before, after = (pd.DataFrame({"c": ["a"] * rows + ["b"] * (10 - rows)}) for rows in (8, 10))
    expected = (1.0 - 0.8) * np.log(1.0 / 0.8) + (0.05 - 0.2) * np.log(0.05 / 0.2)
    for one, other in ((before, after), (after, before)):
        assert drift(one, other)["psi"].tolist() == pytest.approx([expected])


def test_beyond_the_hundred_most_frequent_categories_all_are_one() -> None:
    """In three rows of each table a hundred, once in one of them forty others."""
    frequent = [f"f{number}" for number in range(100)] * 3
    before, after = ([*frequent, *(f"{side}{number}" for number in range(20))] for side in "xy")
    after += ["f0"] * 30
    found = drift(pd.DataFrame({"c": before}), pd.DataFrame({"c": after}))
    cells = [[*[3] * 100, 20], [33, *[3] * 99, 20]]
    chi2, p, *_ = stats.chi2_contingency(cells, correction=False)
    assert found.loc[0, ["statistic", "p"]].tolist() == pytest.approx([chi2, p], rel=1e-9)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_column_without_values_in_one_table_has_no_test(swapped: bool) -> None:
    tables = [pd.DataFrame({"a": [1.0, 2.0, 3.0]}), pd.DataFrame({"a": [np.nan, np.nan]})]
    found = drift(*(tables[::-1] if swapped else tables))
    assert found[["statistic", "p", "p_holm"]].isna().all(axis=None)
    assert found["psi"].item() > 1


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
