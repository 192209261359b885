"""Proxies: a copy of the group says all, a coin nothing, and a column of many values nothing either."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from counterpoise.data.audit import TOGETHER, bins, proxies, strongest
from counterpoise.data.audit.proxies import _alone, _folds, area
from counterpoise.errors import InputError

ROWS = 1_200


@pytest.fixture(scope="module")
def people() -> dict[str, pd.DataFrame | pd.Series]:
    random = np.random.default_rng(5)
    group = random.choice(["a", "b"], ROWS, p=[0.7, 0.3])
    is_b = group == "b"
    half = random.random(ROWS) < 0.5
    features = pd.DataFrame(
        {
            "copy": np.where(is_b, "yes", "no"),
            "coin": random.choice(["h", "t"], ROWS),
            "identifier": [f"n{number}" for number in random.permutation(ROWS)],
            "curve": np.where(is_b, random.normal(0, 0.3, ROWS), random.choice([-1, 1], ROWS) + 0.0),
            "left": half,
            "right": np.where(is_b, half, ~half),
        }
    )
    return {"features": features, "group": pd.Series(group)}


def test_what_says_all_and_what_says_nothing(people: dict[str, pd.DataFrame | pd.Series]) -> None:
    areas = proxies(**people).set_index("column")["auc"]
    assert areas["copy"] == areas[TOGETHER] == 1.0
    assert areas["curve"] > 0.95, "no order of the numbers is presumed"
    for name in ("coin", "identifier", "left", "right"):
        assert abs(areas[name] - 0.5) < 0.06
    assert areas.index[0] == TOGETHER
    assert list(strongest(proxies(**people), 2)) == ["copy", "curve"]


def test_a_column_is_measured_on_rows_that_have_not_taught_it() -> None:
    """Of 120 categories with ten rows each, the groups of these rows are coins: told by themselves, above 0.6."""
    random = np.random.default_rng(8)
    column = pd.Series(np.repeat(np.arange(120), 10)).astype("category")
    areas = []
    for _ in range(20):
        s = random.integers(2, size=ROWS)
        areas.append(_alone(column, s, _folds(s, random), 2))
    assert abs(np.mean(areas) - 0.5) < 0.02


def test_columns_that_tell_little_are_proxies_and_those_that_tell_nothing_are_none() -> None:
    found = pd.DataFrame({"column": [TOGETHER, "much", "little", "nothing"], "auc": [0.9, 0.8, 0.6, 0.5]})
    assert list(strongest(found, 5)) == ["much", "little"]


def test_all_columns_together_see_what_none_sees_alone(people: dict[str, pd.DataFrame | pd.Series]) -> None:
    areas = proxies(people["features"][["left", "right"]], people["group"]).set_index("column")["auc"]
    assert areas[TOGETHER] > 0.99


def test_more_groups_are_averaged_and_rows_without_a_group_left_out() -> None:
    random = np.random.default_rng(6)
    group = pd.Series(random.choice(["a", "b", "c"], 900)).where(np.arange(900) % 10 > 0)
    found = proxies(pd.DataFrame({"same": group.fillna("a"), "coin": random.random(900)}), group)
    assert found.set_index("column").at["same", "auc"] == 1.0
    assert (found["rows"] == 810).all()


def test_a_sample_of_many_rows_is_the_same_every_time(people: dict[str, pd.DataFrame | pd.Series]) -> None:
    first, second = (proxies(**people, most_rows=400) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    assert (first["rows"] == 400).all()
    assert not first["auc"].equals(proxies(**people, most_rows=400, seed=1)["auc"])


def test_the_area_is_that_of_the_roc_curve() -> None:
    random = np.random.default_rng(7)
    hit, score = random.random(80) < 0.4, random.integers(0, 9, 80) / 10
    assert area(score, hit.astype(float), np.ones(80)) == pytest.approx(roc_auc_score(hit, score), rel=1e-12)


def test_bins_of_numbers_have_as_many_rows_each_and_categories_the_frequent_ones() -> None:
    numbers = bins(pd.Series([*np.arange(100.0), np.nan]), 4)
    assert numbers.value_counts(sort=False).tolist() == [25, 25, 25, 25, 1]
    assert numbers.cat.categories[-1] == "(missing)"
    texts = bins(pd.Series(list("aaabbbccd")), 2)
    assert texts.value_counts(sort=False).to_dict() == {"a": 3, "b": 3, "(other)": 3}
    assert bins(pd.Series([10, 9, 10, 2]), 5).cat.categories.tolist() == ["2", "9", "10"]


def test_bad_input(people: dict[str, pd.DataFrame | pd.Series]) -> None:
    with pytest.raises(InputError, match="there are 1 groups"):
        proxies(people["features"], pd.Series(["a"] * ROWS))
    with pytest.raises(InputError, match="rows have 3 groups"):
        proxies(people["features"], pd.Series(["a", "b", "a"]))
