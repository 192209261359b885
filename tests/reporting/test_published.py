"""The papers' numbers are those of the table, and a misspelt selector is an error, not an empty answer."""

from __future__ import annotations

import csv
import math
from importlib.resources import files

import pytest

from counterpoise.errors import InputError
from counterpoise.reporting import published


def test_every_row_of_the_file_is_looked_up_as_printed() -> None:
    with (files("counterpoise.reporting") / "published_results.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == len(published.load()) > 200
    for row in rows:
        found = published.lookup(**{key: row[key] for key in (*published.KEYS, "metric")})
        assert found is not None
        if row["value"][0] in "<>":
            assert math.isnan(found.value)
            assert found.bound == row["value"]
        else:
            assert found.value == float(row["value"])
            assert found.bound == ""
        assert math.isnan(found.std) if row["std"] == "" else found.std == float(row["std"])


def test_win_on_adult_is_table_3() -> None:
    found = published.lookup(paper="win", table="T3", method="win", metric="err")
    assert found is not None
    assert (found.value, found.std, found.source) == (15.829, 0.34, "win, T3")


def test_what_no_paper_prints_is_none() -> None:
    assert published.lookup(paper="ffw", dataset="adult") is None


def test_the_table_cannot_be_changed_by_its_readers() -> None:
    table = published.load()
    table["value"] = 0.0
    assert published.load()["value"].max() > 1


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"methd": "win"}, "unknown key 'methd' .did you mean 'method'"),
        ({"dataset": "adlt"}, "no published dataset is 'adlt' .did you mean 'adult'"),
        ({"paper": "win", "table": "T3", "metric": "err"}, "numbers match, expected one; say which .*method"),
    ],
)
def test_lookup_refuses(keys: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        published.lookup(**keys)


def test_select_renames_metrics_and_leaves_bounds_out() -> None:
    frame = published.select(
        [
            {
                "variant": "best",
                "paper": "win",
                "table": "T3",
                "method": "win",
                "metrics": {"parameters": "trainable_parameters"},
            },
            {"variant": "fair", "paper": "altering", "table": "T3", "method": "netaug"},
        ]
    )
    assert tuple(frame.columns) == published.SELECTED_COLUMNS
    values = {(row.variant, row.metric): row.reported for row in frame.itertuples()}
    assert values == {
        ("best", "err"): 15.829,
        ("best", "delta_eo"): 0.197,
        ("best", "delta_dp"): 0.18,
        ("best", "parameters"): 46,
        ("fair", "accuracy"): 0.94,
    }


def test_what_is_printed_as_a_bound_is_there_as_a_bound() -> None:
    selector = {"variant": "fair", "paper": "altering", "table": "T3", "method": "netaug", "metrics": {"spd": "bias"}}
    found = published.printed([selector])
    assert (found["fair", "accuracy"].value, found["fair", "accuracy"].std) == (0.94, 0.01)
    assert found["fair", "spd"].bound == "<0.05"
    assert math.isnan(found["fair", "spd"].value)


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ({"paper": "win"}, "the key 'variant' is missing"),
        ({"variant": "v", "paper": "ffw", "dataset": "adult"}, "no published number matches"),
        ({"variant": "v", "paper": "win", "table": "T4"}, "more than one published 'err' matches.*dataset, model"),
    ],
)
def test_select_refuses(selector: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        published.select([selector])
