"""What a first look at a table says: of made-up tables whose columns are known."""

from __future__ import annotations

import re
from datetime import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from counterpoise.data import inspection
from counterpoise.data.features import features_of
from counterpoise.data.inspection import area, inspect, rare_in_a_group, require_value, sentinels
from counterpoise.errors import InputError

ROWS = 200


@pytest.fixture
def table() -> pd.DataFrame:
    draw = np.random.default_rng(3)
    repaid = draw.choice(["yes", "no"], ROWS)
    return pd.DataFrame(
        {
            "customer": np.arange(5000, 5000 + ROWS),
            "code": [f"c{number:05d}" for number in range(ROWS)],
            "income": draw.normal(3000, 500, ROWS).round(2),
            "children": draw.integers(0, 4, ROWS),
            "housing": draw.choice(["own", "rent"], ROWS),
            "member": draw.choice([True, False], ROWS),
            "since": pd.Series(pd.date_range("2020-01-01", periods=ROWS)).dt.strftime("%Y-%m-%d"),
            "remark": [
                f"The customer has come for the {number}th time, and says so at some length." for number in range(ROWS)
            ],
            "country": ["NL"] * ROWS,
            "nothing": pd.Series([None] * ROWS, dtype="str"),
            "outcome": np.where(repaid == "yes", 1, 0),
            "paid": np.where(repaid == "yes", "in full", "partly"),
            "score": np.where(repaid == "yes", 1.0, 0.0) + draw.normal(0, 0.4, ROWS),
            "gender": draw.choice(["female", "male"], ROWS),
            "repaid": repaid,
        }
    )


def test_every_kind_is_told_and_what_is_no_feature_has_a_reason(table: pd.DataFrame) -> None:
    table.loc[:9, "income"] = np.nan
    columns = {column.name: column for column in inspect(table, "repaid", ["gender"], drop=["children"])}
    assert {name: column.kind for name, column in columns.items()} == {
        "customer": "identifier",
        "code": "identifier",
        "income": "number",
        "children": "number",
        "housing": "category",
        "member": "boolean",
        "since": "date",
        "remark": "text",
        "country": "constant",
        "nothing": "empty",
        "outcome": "number",
        "paid": "category",
        "score": "number",
        "gender": "category",
        "repaid": "category",
    }
    used = {name for name, column in columns.items() if column.reason is None}
    assert used == {"income", "housing", "member", "score", "gender", "repaid"}
    assert columns["income"].missing == 10
    assert "copy of the label" in str(columns["outcome"].reason)
    assert "copy of the label" in str(columns["paid"].reason)
    assert columns["children"].reason == "left out by --drop"


def test_a_column_that_tells_one_of_three_classes_is_no_copy(table: pd.DataFrame) -> None:
    three = np.repeat(["a", "b", "c"], [100, 60, 40])
    table = pd.DataFrame({"is_a": three == "a", "all": three, "g": np.tile(["x", "y"], 100), "y": three})
    reasons = {column.name: column.reason for column in inspect(table, "y", ["g"])}
    assert reasons["is_a"] is None
    assert "copy of the label" in str(reasons["all"])


def test_of_many_rows_a_sample_says_what_is_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """12,000 rows sorted by class: a copy with 3 wrong rows, one that is no copy, and noise, which is ranked once."""
    draw = np.random.default_rng(0)
    y = np.repeat([0, 1], 6_000)
    nearly, noise = y + draw.normal(0, 0.05, len(y)), draw.normal(size=len(y))
    nearly[[5, 600, 11_000]] = 0.5
    table = pd.DataFrame({"nearly": nearly, "close": y + draw.normal(0, 0.4, len(y)), "noise": noise, "y": y})
    ranked = []
    monkeypatch.setattr(inspection, "area", lambda *all_rows: ranked.append(len(all_rows[0])) or area(*all_rows))
    columns = {column.name: column for column in inspect(table.assign(g=np.tile(["a", "b"], 6_000)), "y", ["g"])}
    assert "copy of the label" in str(columns["nearly"].reason)
    assert columns["close"].reason is None
    assert columns["noise"].reason is None
    assert sorted(ranked) == [6_000] * 6 + [12_000] * 4


def test_auc_is_scikit_learns() -> None:
    draw = np.random.default_rng(5)
    for _ in range(20):
        scores, hit = draw.integers(0, 6, 50).astype(float), draw.random(50) < 0.3
        assert area(scores, hit.astype(float), np.ones(len(hit))) == pytest.approx(
            roc_auc_score(hit, scores), abs=1e-12
        )
    assert np.isnan(area(np.ones(3), np.ones(3), np.ones(3)))


@pytest.mark.parametrize(
    ("label", "sensitive", "message"),
    [
        ("repayed", "gender", r"^--label: the table has no column 'repayed' \(did you mean 'repaid'\?\)$"),
        ("repaid", "gendr", r"^--sensitive: the table has no column 'gendr' \(did you mean 'gender'\?\)$"),
        ("repaid", "repaid", r"^--sensitive: 'repaid' is the label, expected another column$"),
        ("country", "gender", r"^--label: column 'country' is 'NL' in every row, expected at least two classes$"),
        ("nothing", "gender", r"^--label: column 'nothing' has no values, expected at least two classes$"),
        (
            "income",
            "gender",
            r"^--label: column 'income' (is different in every row|has .*values), expected at most 20",
        ),
        ("repaid", "country", r"^--sensitive: column 'country' is 'NL' in every row, expected at least two groups$"),
        ("repaid", "code", r"^--sensitive: column 'code' is different in every row, expected at most 50 groups$"),
        ("repaid", "customer", r"^--sensitive: column 'customer' is different in every row, expected at most 50"),
    ],
)
def test_labels_and_groups_that_cannot_be_compared(
    table: pd.DataFrame, label: str, sensitive: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        inspect(table, label, [sensitive])


def test_classes_that_a_large_group_lacks() -> None:
    labels = pd.Series(np.repeat(["a", "b", "c", "d"], 50))
    place = np.tile(np.arange(50), 4)
    groups = pd.Series(np.where(place < 5, "tiny", np.where(place < 30, "one", "other")))
    assert rare_in_a_group(labels, groups, fewest=10, large=50.0) == []
    groups[(labels == "c") & (groups == "one")] = "other"
    assert rare_in_a_group(labels, groups, fewest=10, large=50.0) == ["c"]
    assert rare_in_a_group(labels, groups, fewest=10, large=1.0) == [], "of the tiny group every class is rare"
    groups[(labels != "a") & (groups == "one")] = "other"
    assert rare_in_a_group(labels, groups, fewest=10, large=20.0) == [], "one class alone would remain"


def test_a_value_is_said_as_it_is_written() -> None:
    assert require_value("1", pd.Series([0, 1, 1]), "--positive") == 1
    assert require_value("True", pd.Series([True, False]), "--positive") is True
    message = "--positive: column 'y' never is '3' (known: 0, 1), expected one of the numbers 0, 1"
    with pytest.raises(InputError, match=re.escape(message)):
        require_value("3", pd.Series([0, 1], name="y"), "--positive")


def test_a_column_is_no_feature_that_a_run_would_refuse_for_its_rows_with_a_label(table: pd.DataFrame) -> None:
    """In 30 rows no label has arrived, and they alone differ: in a category, a number, in what is missing."""
    no_label = np.arange(len(table)) >= len(table) - 30
    table["recorded"] = np.where(no_label, "by hand", "by camera")
    table["delay"] = np.where(no_label, 5.0, 0.0)
    table["late"] = np.where(no_label, np.where(table["member"], 1.0, 2.0), np.nan)
    table.loc[no_label, "repaid"] = None
    reasons = {column.name: column.reason for column in inspect(table, "repaid", ["gender"])}
    assert "by camera in every row that has a label and a group" in str(reasons["recorded"])
    assert "0 in every row that has a label and a group" in str(reasons["delay"])
    assert reasons["late"] == "no value in any row that has a label and a group"
    assert reasons["housing"] is None


@pytest.mark.parametrize(("centre", "spread"), [(0.0, 0.03), (45.0, 0.03), (-93.26, 0.03), (1.5e9, 86_400.0)])
def test_numbers_that_a_run_refuses_as_too_close_together_are_proposed_to_be_left_out(
    table: pd.DataFrame, centre: float, spread: float
) -> None:
    """Longitudes of one town, say: `init` proposes what the run that follows it can read, and no less."""
    table["place"] = np.random.default_rng(5).normal(centre, spread, len(table)).round(8)
    (column,) = (column for column in inspect(table, "repaid", ["gender"]) if column.name == "place")
    try:
        features_of(table[["place"]], "t", reserved=())
    except InputError as error:
        assert "single precision keeps apart as" in str(error)  # noqa: PT017
        assert "too close together" in str(column.reason)
    else:
        assert column.reason is None


def feature_table() -> pd.DataFrame:
    """Return columns of kinds that a run refuses, and of some that it takes, in few and in many values."""
    rows = np.arange(ROWS)
    days = pd.to_datetime("2024-01-01") + pd.to_timedelta(rows % 3, unit="D")
    return pd.DataFrame(
        {
            "repaid": np.random.default_rng(1).choice(["yes", "no"], ROWS),
            "gender": np.resize(["female", "male", "male"], ROWS),
            "few days": days.strftime("%Y-%m-%d"),
            "few days of Europe": days.strftime("%d.%m.%Y"),
            "many days": (days + pd.to_timedelta(rows, unit="D")).strftime("%Y-%m-%d"),
            "times": np.resize([f"{hour}:30" for hour in range(24)], ROWS),
            "clock": np.resize(np.array([time(1), time(2)], dtype=object), ROWS),
            "durations": pd.to_timedelta(rows % 3, unit="h"),
            "lists": [[row % 3] for row in rows],
            "bytes": np.resize(np.array([b"a", b"b"], dtype=object), ROWS),
            "thousands": [f"{row % 50 + 1},000" for row in rows],
            "unique thousands": [f"{row % 900 + 100},{row:03d}" for row in rows],
            "years": np.resize(["never", *map(str, range(1990, 2010))], ROWS),
            "seasons": np.resize(["2019-20", "2020-21"], ROWS),
            "bands": np.resize(["18-25", "26-40"], ROWS),
            "ratio": np.resize(["1:2", "2:1"], ROWS),
        }
    )


def test_what_is_proposed_as_a_feature_is_taken_by_a_run() -> None:
    table = feature_table()
    columns = [column for column in inspect(table, "repaid", ["gender"]) if column.name not in {"repaid", "gender"}]
    for column in columns:
        if column.reason is None:
            features_of(table[[column.name]], "t", reserved=(), categories=[column.name] if column.mixed else ())
    used = {column.name for column in columns if column.reason is None}
    assert used == {"thousands", "years", "seasons", "bands", "ratio"}
    dates = {column.name: str(column.reason) for column in columns if column.kind == "date"}
    assert {name for name, reason in dates.items() if "'dates: days'" in reason} == {"few days", "many days"}
    assert dates.keys() == {"few days", "many days", "few days of Europe", "times"}
    for name in ("few days", "many days"):
        (feature,) = features_of(table[[name]], "t", reserved=(), dates="days").values()
        assert (np.diff(feature) != 0).any()
    reasons = {column.name: str(column.reason) for column in columns}
    assert "numbers with ',' before groups of three digits or decimals" in reasons["unique thousands"]


def test_codes_are_categories() -> None:
    table = feature_table().assign(place=np.arange(ROWS) % 30, region=np.arange(ROWS) % 4)
    columns = {column.name: column for column in inspect(table, "repaid", ["gender"], codes={"place", "region"})}
    assert [columns[name].kind for name in ("place", "region")] == ["category", "category"]
    assert all(columns[name].mixed and not columns[name].reason for name in ("place", "region"))


@pytest.mark.parametrize("spellings", [("yes", "Yes"), ("no", "no "), ("in part", "In  Part")])
def test_classes_have_one_spelling(spellings: tuple[str, str]) -> None:
    table = feature_table().assign(repaid=np.resize(["other", *spellings], ROWS))
    with pytest.raises(InputError, match=r"^--label: column 'repaid' has .* which seem to be the same"):
        inspect(table, "repaid", ["gender"])
    words = feature_table().assign(repaid=np.resize(["0", "True", "1"], ROWS))
    with pytest.raises(InputError, match=r"^--label: column 'repaid' has '1', 'True', which seem to be the same"):
        inspect(words, "repaid", ["gender"])
    assert inspect(words.assign(repaid=np.resize(["1", "true", "2"], ROWS)), "repaid", ["gender"])
    assert inspect(table.assign(repaid=np.resize(["a", "ab", "b"], ROWS)), "repaid", ["gender"])


@pytest.mark.parametrize(
    ("dropped", "message"),
    [("repaid", "'repaid' is the label, expected another"), ("gender", "'gender' is a sensitive column, which is no")],
)
def test_label_and_groups_are_not_dropped(dropped: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^--drop: {message}"):
        inspect(feature_table(), "repaid", ["gender"], drop=[dropped])


VISITS = 1000
DRAW = np.random.default_rng(2)
AGES = DRAW.integers(18, 80, VISITS)
DAYS = DRAW.integers(1, 900, VISITS)
SCALE = DRAW.integers(1, 6, VISITS)


def with_value(numbers: Any, value: float, rows: int = 60) -> pd.Series:
    """Return a column some of whose rows, spread among the others, have another number, and one of which has none."""
    column = pd.Series(numbers, dtype="float64")
    column.iloc[5 :: len(column) // rows] = value
    column.iloc[0] = np.nan
    return column


@pytest.mark.parametrize(
    ("numbers", "values"),
    [
        (AGES, [999]),
        (AGES, [-999]),
        (AGES / 100, [99]),
        (SCALE, [99]),
        (SCALE, [88, 99]),
        (SCALE, [-99, -88]),
        (DAYS, [-1]),
        (DAYS / 7, [-9]),
        (DAYS - 1, [9999]),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "Int64", "float32"])
def test_customary_numbers_far_from_all_others_are_found(numbers: Any, values: list[int], dtype: str) -> None:
    column = with_value(numbers, values[0])
    for place, value in enumerate(values[1:]):
        column.iloc[7 + place :: 20] = value
    present = column.dropna()
    found = sentinels(column if (present % 1).any() else column.astype(dtype))
    assert [sentinel.value for sentinel in found] == sorted(values)
    assert [sentinel.rows for sentinel in found] == [(present == value).sum() for value in sorted(values)]
    others = present[~present.isin(values)]
    for sentinel in found:
        assert (sentinel.low, sentinel.high) == pytest.approx((others.min(), others.max()), rel=1e-6)


@pytest.mark.parametrize(
    ("numbers", "value", "rows"),
    [
        pytest.param(AGES, 99, 60, id="an age"),
        pytest.param(AGES, 100, 60, id="no customary number"),
        pytest.param(AGES, 999, 9, id="a few rows"),
        pytest.param(AGES * 500, 99999, 60, id="where a scale was cut off"),
        pytest.param(AGES - 40, -1, 60, id="negative beside others"),
        pytest.param(SCALE, -1, 60, id="a step below a scale"),
        pytest.param(np.zeros(VISITS), 999, 60, id="beside a constant"),
        pytest.param(DRAW.poisson(3, VISITS) * 7, -1, 60, id="beside low numbers that are frequent"),
        pytest.param(DRAW.choice([7, 77, 777], VISITS), 7777, 60, id="customary numbers alone"),
    ],
)
def test_numbers_that_may_be_meant_are_not(numbers: Any, value: float, rows: int) -> None:
    assert sentinels(with_value(numbers, value, rows)) == ()


@pytest.mark.parametrize(
    "column", [pd.Series([], dtype="float64"), pd.Series([np.nan, np.inf, -np.inf, 1.0, 1e300] * 9)]
)
def test_a_column_of_hardly_any_numbers_has_none(column: pd.Series) -> None:
    assert sentinels(column) == ()


def column_of(rows: dict[float, int]) -> pd.Series:
    return pd.Series([value for value, number in rows.items() for _ in range(number)], dtype="float64")


@pytest.mark.parametrize(
    ("rows", "is_one"),
    [
        ({10: 9, 20: 9, 32.24: 9, 99: 10}, True),
        ({10: 9, 20: 9, 32.25: 9, 99: 10}, False),  # 66.75 is three times 22.25
        ({1: 9, 20: 9, 33.9: 9, -99: 10}, True),
        ({1: 9, 20: 9, 34.4: 9, -99: 10}, False),
        ({1: 9, 20: 9, 30: 9, 999: 10}, True),
        ({1: 9, 20: 9, 30: 9, 999: 9}, False),
        ({1: 9, 30: 9, 999: 10}, False),
        ({**dict.fromkeys(range(20), 4), -1: 12}, True),
        ({**dict.fromkeys(range(20), 4), -1: 11}, False),
        ({**dict.fromkeys(range(19), 4), -1: 12}, False),
        ({**dict.fromkeys(range(20), 4), 4: 5, -1: 12}, False),
        ({**dict.fromkeys(range(20), 4), 5: 500, -1: 12}, True),
        ({**dict.fromkeys(range(-2, 20), 4), -1: 12}, False),
    ],
)
def test_the_evidence_has_bounds(rows: dict[float, int], is_one: bool) -> None:
    assert len(sentinels(column_of(rows))) == is_one
