"""Impact ratios beside the rules' own words, in exact fractions, and beside what other libraries compute."""

from __future__ import annotations

from fractions import Fraction
from math import comb
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.errors import InputError
from counterpoise.fairness import wilson
from counterpoise.fairness.impact import (
    COLUMNS,
    UNKNOWN,
    fisher_exact,
    impact,
    katz,
    lowest,
    two_proportion_z,
)

EXACT = 1e-12


@pytest.fixture(scope="module")
def sample() -> dict[str, Any]:
    """People of two attributes, a few of them unknown, a rare category among them; scores with ties."""
    random = np.random.default_rng(11)
    n = 3_000
    sex = random.choice(["women", "men"], n).astype(object)
    race = random.choice(["a", "b", "c"], n, p=[0.6, 0.39, 0.01]).astype(object)
    sex[random.random(n) < 0.03] = None
    score = np.round(random.random(n) + 0.1 * (sex == "men") + 0.1 * (race == "a"), 2)
    return {"selected": score > 0.7, "sensitive": pd.DataFrame({"sex": sex, "race": race}), "score": score}


@pytest.fixture(scope="module")
def table(sample: dict[str, Any]) -> pd.DataFrame:
    return impact(**sample)


def people_of(sample: dict[str, Any], attribute: str) -> pd.Series:
    """Return everybody's category in the rules' words: crossed ones joined, missing ones unknown."""
    names = attribute.split(" × ")
    columns = sample["sensitive"][names]
    joined = columns[names[0]] if len(names) == 1 else columns[names[0]] + " × " + columns[names[1]]
    return joined.where(columns.notna().all(axis=1), UNKNOWN)


def by_hand(sample: dict[str, Any], attribute: str, events: np.ndarray) -> tuple[dict[str, Fraction], Fraction]:
    """Return exact rates by category, and the highest among those that are known."""
    categories = people_of(sample, attribute)
    rates = {
        name: Fraction(int(events[(categories == name).to_numpy()].sum()), int((categories == name).sum()))
        for name in categories.unique()
    }
    return rates, max(rate for name, rate in rates.items() if name != UNKNOWN)


@pytest.mark.parametrize("attribute", ["sex", "race", "sex × race"])
class TestTheRulesDefinitions:
    def test_selection_rates_and_impact_ratios(
        self, sample: dict[str, Any], table: pd.DataFrame, attribute: str
    ) -> None:
        rates, highest = by_hand(sample, attribute, sample["selected"])
        rows = table[table["attribute"] == attribute].set_index("category")
        assert set(rows.index) == set(rates)
        for name, rate in rates.items():
            assert abs(rows.at[name, "selection_rate"] - float(rate)) < EXACT
            if name == UNKNOWN:
                assert np.isnan(rows.at[name, "impact_ratio"])
            else:
                assert abs(rows.at[name, "impact_ratio"] - float(rate / highest)) < EXACT
                assert rows.at[name, "below_four_fifths"] == (rate / highest < Fraction(4, 5))

    def test_scoring_rates_are_above_the_median_of_everyone(
        self, sample: dict[str, Any], table: pd.DataFrame, attribute: str
    ) -> None:
        ordered = np.sort(sample["score"])
        median = (ordered[len(ordered) // 2 - 1] + ordered[len(ordered) // 2]) / 2
        rates, highest = by_hand(sample, attribute, sample["score"] > median)
        rows = table[table["attribute"] == attribute].set_index("category")
        for name, rate in rates.items():
            assert abs(rows.at[name, "scoring_rate"] - float(rate)) < EXACT
            assert name == UNKNOWN or abs(rows.at[name, "scoring_impact_ratio"] - float(rate / highest)) < EXACT

    def test_tests_against_the_most_selected(self, sample: dict[str, Any], table: pd.DataFrame, attribute: str) -> None:
        stats = pytest.importorskip("scipy.stats")
        rows = table[(table["attribute"] == attribute) & (table["category"] != UNKNOWN)]
        top = rows.loc[rows["selection_rate"].idxmax()]
        for row in rows[rows["category"] != top["category"]].itertuples():
            cells = np.array([[row.selected, row.people - row.selected], [top.selected, top.people - top.selected]])
            assert row.fisher_p == pytest.approx(stats.fisher_exact(cells).pvalue, rel=1e-9, abs=EXACT)
            chi2, p, *_ = stats.chi2_contingency(cells, correction=False)  # z² is Pearson's χ²
            assert row.z**2 == pytest.approx(chi2, rel=1e-9)
            assert row.z_p == pytest.approx(p, rel=1e-9)
            assert row.z < 0
            assert row.ratio_low < row.impact_ratio < row.ratio_high


def test_everybody_is_counted_once_per_attribute(sample: dict[str, Any], table: pd.DataFrame) -> None:
    assert list(table.columns) == list(COLUMNS)
    sums = table.groupby("attribute")[["people", "selected", "share"]].sum()
    assert (sums["people"] == len(sample["score"])).all()
    assert (sums["selected"] == sample["selected"].sum()).all()
    assert sums["share"].to_numpy() == pytest.approx(1)


def test_a_rare_category_is_shown_and_may_be_left_out_of_the_ratios() -> None:
    """Ten people of whom all are selected set the highest rate; without them the largest category does."""
    category = np.repeat(["many", "more", "few"], [490, 500, 10])
    selected = np.concatenate([np.arange(490) < 196, np.arange(500) < 250, np.ones(10, dtype=bool)])
    rows = impact(selected, pd.DataFrame({"group": category})).set_index("category")
    assert rows["small"].to_dict() == {"few": True, "many": False, "more": False}
    assert rows["impact_ratio"].to_dict() == pytest.approx({"few": 1.0, "many": 0.4, "more": 0.5})
    without = rows["impact_ratio_without_small"]
    assert np.isnan(without["few"])
    assert (without["many"], without["more"]) == pytest.approx((0.8, 1.0))
    assert rows["scoring_rate"].isna().all()


def test_a_category_of_exactly_two_percent_is_not_small() -> None:
    for few, small in ((20, False), (19, True)):
        category = np.repeat(["many", "few"], [1000 - few, few])
        rows = impact(np.arange(1000) % 2 == 0, pd.DataFrame({"group": category})).set_index("category")
        assert rows.at["few", "small"] == small
        assert np.isnan(rows.at["few", "impact_ratio_without_small"]) == small


def test_of_equal_rates_the_larger_category_is_the_one_compared_with() -> None:
    category = np.repeat(["a", "b", "c"], [10, 40, 20])
    selected = np.concatenate([np.arange(size) < size / 2 for size in (10, 40)] + [np.arange(20) < 5])
    rows = impact(selected, pd.DataFrame({"group": category})).set_index("category")
    assert rows["impact_ratio"].to_dict() == {"a": 1.0, "b": 1.0, "c": 0.5}
    for column in ("ratio_low", "fisher_p", "z"):
        assert rows[column].isna().to_dict() == {"a": False, "b": True, "c": False}
    assert rows.at["c", "fisher_p"] == fisher_exact(5, 20, 20, 40)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_intervals_are_wilsons_and_katzs_of_the_level(sample: dict[str, Any], level: float) -> None:
    rows = impact(**sample, level=level)
    for events, rate, ratio in (
        ("selected", "rate", "ratio"),
        ("above_median", "scoring_rate", "scoring_ratio"),
    ):
        of_people = rows["people"].to_numpy(dtype=float)
        counted = rows[events].to_numpy(dtype=float)
        for end, expected in zip(("low", "high"), wilson(counted, of_people, level=level), strict=True):
            np.testing.assert_allclose(rows[f"{rate}_{end}"], expected)
        for _, one in rows[rows["category"] != UNKNOWN].groupby("attribute"):
            share = (one[events] / one["people"]).to_numpy(dtype=float)
            top, others = one.iloc[share.argmax()], one[np.arange(len(one)) != share.argmax()]
            columns = (others[name].to_numpy(dtype=float) for name in (events, "people"))
            ends = katz(*columns, float(top[events]), float(top["people"]), level=level)
            for end, expected in zip(("low", "high"), ends, strict=True):
                np.testing.assert_allclose(others[f"{ratio}_{end}"].astype(float), expected)
                assert np.isnan(top[f"{ratio}_{end}"])


def test_the_lowest_ratio_of_each_attribute(table: pd.DataFrame) -> None:
    for ratio in ("impact_ratio", "scoring_impact_ratio"):
        rows = lowest(table, ratio)
        assert rows["attribute"].tolist() == ["sex", "race", "sex × race"]
        assert rows[ratio].tolist() == table.groupby("attribute", sort=False)[ratio].min().tolist()


def test_exactly_four_fifths_is_not_below() -> None:
    selected = np.concatenate([np.arange(100) < 48, np.arange(100) < 60])
    rows = impact(selected, pd.DataFrame({"group": np.repeat(["a", "b"], 100)}))
    assert rows["below_four_fifths"].tolist() == [False, False]
    selected[47] = False
    assert impact(selected, pd.DataFrame({"group": np.repeat(["a", "b"], 100)}))["below_four_fifths"].tolist() == [
        True,
        False,
    ]


def test_nobody_selected_has_no_ratio() -> None:
    rows = impact(np.zeros(6, dtype=bool), pd.DataFrame({"group": list("aabbbb")}))
    assert rows["impact_ratio"].isna().all()
    assert rows["below_four_fifths"].isna().all()
    assert (rows["selection_rate"] == 0).all()
    assert lowest(rows).empty


def test_three_attributes_cross_by_twos_and_all_together() -> None:
    columns = pd.DataFrame({"a": list("xxyy") * 4, "b": list("uv") * 8, "c": list("p" * 8 + "q" * 8)})
    selected = np.arange(16) % 3 == 0
    rows = impact(selected, columns)
    attributes = rows["attribute"].unique().tolist()
    assert attributes == ["a", "b", "c", "a × b", "a × c", "b × c", "a × b × c"]
    for attribute in attributes:
        joined = columns[attribute.split(" × ")].agg(" × ".join, axis=1)
        found = rows[rows["attribute"] == attribute].set_index("category")
        assert found["people"].to_dict() == joined.value_counts().to_dict()
        assert (
            found["selected"].to_dict() == joined[selected].value_counts().reindex(found.index, fill_value=0).to_dict()
        )
    columns.loc[0, "c"] = None
    everything = impact(selected, columns).set_index(["attribute", "category"])
    assert everything.at[("a × b × c", UNKNOWN), "people"] == 1, "who is unknown in one is so in the crossing"


@pytest.mark.parametrize("counts", [(3, 10, 9, 12), (0, 7, 5, 9), (7, 7, 5, 9), (50, 400, 90, 500), (0, 4, 0, 9)])
def test_fishers_test_is_the_sum_of_exact_probabilities(counts: tuple[int, int, int, int]) -> None:
    a, m, b, n = counts
    ways = {k: comb(m, k) * comb(n, a + b - k) for k in range(max(0, a + b - n), min(m, a + b) + 1)}
    exact = Fraction(sum(way for way in ways.values() if way <= ways[a]), sum(ways.values()))
    assert abs(fisher_exact(a, m, b, n) - float(exact)) < EXACT
    assert fisher_exact(b, n, a, m) == pytest.approx(fisher_exact(a, m, b, n), rel=1e-10)


@pytest.mark.parametrize(
    "counts", [(5_000, 90_000, 5_300, 91_000), (70_000, 90_000, 71_200, 91_000), (9, 90_000, 2, 99)]
)
def test_fishers_test_of_many_people_is_scipys(counts: tuple[int, int, int, int]) -> None:
    stats = pytest.importorskip("scipy.stats")
    a, m, b, n = counts
    assert fisher_exact(a, m, b, n) == pytest.approx(stats.fisher_exact([[a, m - a], [b, n - b]]).pvalue, rel=1e-6)


def test_katzs_interval_of_a_known_table() -> None:
    """Of 20 in 100 and 40 in 100: ln ½ ± 1.96 √(0.05 − 0.01 + 0.025 − 0.01)."""
    low, high = katz(np.array([20.0]), np.array([100.0]), 40.0, 100.0)
    margin = 1.959963984540054 * np.sqrt(0.055)
    assert (low[0], high[0]) == pytest.approx((0.5 * np.exp(-margin), 0.5 * np.exp(margin)), rel=1e-12)
    assert np.isnan(katz(np.array([0.0]), np.array([10.0]), 4.0, 10.0)).all()


def test_z_of_no_difference() -> None:
    assert two_proportion_z(0, 5, 0, 7) == (0.0, 1.0)
    assert two_proportion_z(5, 10, 50, 100) == (0.0, 1.0)
    assert two_proportion_z(2, 10, 50, 100)[0] == -two_proportion_z(50, 100, 2, 10)[0]


@pytest.mark.parametrize(
    ("selected", "groups", "score", "message"),
    [
        ([True], ["a", "b"], None, "1 decisions have 2 rows"),
        ([], [], None, "no person"),
        ([True, False], ["a", "b"], [0.5, np.nan], "1 scores are not numbers"),
    ],
)
def test_bad_input(selected: list[bool], groups: list[str], score: list[float] | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        impact(
            np.array(selected, dtype=bool),
            pd.DataFrame({"group": groups}),
            None if score is None else np.array(score),
        )
