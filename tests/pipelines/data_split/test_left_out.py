"""Rows that miss a value: how many of which group and class, and when a run warns."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import loans
from pydantic import ValidationError

from counterpoise.config.parameters import Dataset, Seeds
from counterpoise.errors import InputError
from counterpoise.pipelines.data_split.left_out import describe_left_out, join_left_out, warn_about_left_out
from counterpoise.pipelines.data_split.nodes import (
    describe_data,
    encode_samples,
    read_table,
    split_samples,
    split_to_compare,
)

ROWS = 800


dataset = partial(loans, min_test_rows=0)
"""Few rows are left of a group."""


def write_loans(folder: Path, share_of_women: float, share_of_men: float) -> pd.DataFrame:
    """Write a table in which these shares of women and men miss their pool; return it."""
    random = np.random.default_rng(4)
    table = pd.DataFrame(
        {
            "amount": random.normal(size=ROWS).round(3),
            "pool": random.choice(["good", "poor"], ROWS),
            "sex": np.arange(ROWS) % 2,
            "repaid": random.choice(["no", "yes"], ROWS),
        }
    )
    missing = random.random(ROWS) < np.where(table["sex"] == 0, share_of_women, share_of_men)
    table["sex"] = table["sex"].map({0: "f", 1: "m"})
    table.loc[missing, "pool"] = "NA"
    table.to_csv(folder / "t.csv", index=False)
    return table


def described(folder: Path, block: Dataset) -> dict[str, Any]:
    table, left_out = read_table(folder, block)
    samples = encode_samples(table, block)
    summary = describe_data(samples, split_samples(samples, block, Seeds((0,))), left_out, block)
    result: dict[str, Any] = summary["left_out"]
    return result


def test_every_group_and_class_is_counted(tmp_path: Path) -> None:
    table = write_loans(tmp_path, 0.2, 0.2)
    result = described(tmp_path, dataset())
    gone = table["pool"] == "NA"
    assert (result["rows"], result["of"], result["columns"]) == (gone.sum(), ROWS, {"pool": gone.sum()})
    assert [(cell["rows"], cell["of"]) for cell in result["cells"]] == [
        ((gone & own).sum(), own.sum())
        for group in ("f", "m")
        for label in ("no", "yes")
        for own in [(table["sex"] == group) & (table["repaid"] == label)]
    ]
    assert f"{gone.sum()} of {ROWS} rows miss a value and are left out" in result["sentence"]
    assert "women, yes: " in result["sentence"]


@pytest.mark.parametrize(
    ("women", "men", "words"),
    [(0.9, 0.2, r"group 'women' is 50% of all rows and 1\d% of those used"), (0.7, 0.7, r"\d+ of 800 rows miss")],
)
def test_a_run_warns_if_leaving_out_changes_the_data(tmp_path: Path, women: float, men: float, words: str) -> None:
    write_loans(tmp_path, women, men)
    with pytest.warns(UserWarning, match=words):
        described(tmp_path, dataset())


@pytest.mark.parametrize("options", [{"missing": []}, {"missing_category": "no pool"}])
def test_a_missing_value_is_a_category_by_choice(tmp_path: Path, options: dict[str, Any]) -> None:
    write_loans(tmp_path, 0.9, 0.2)
    result = described(tmp_path, dataset(options={"files": "t.csv", **options}))
    assert (result["rows"], result["of"], result["sentence"]) == (0, ROWS, "")


def test_rows_without_a_group_or_a_class_are_counted_apart(tmp_path: Path) -> None:
    table = write_loans(tmp_path, 0, 0)
    table.loc[:9, "sex"] = None
    table.loc[5:14, "repaid"] = None
    table.to_csv(tmp_path / "t.csv", index=False)
    result = described(tmp_path, dataset())
    assert result["rows"] == 15
    unknown = [cell for cell in result["cells"] if None in (cell["group"], cell["label"])]
    assert sum(cell["rows"] for cell in unknown) == 15


def test_parts_with_data_of_their_own_are_named() -> None:
    block = dataset()
    samples = pd.DataFrame({"y": [0, 1, 0, 1], "s": [0, 0, 1, 1]})
    none = {"rows": 0, "columns": {}, "cells": []}
    one = {"rows": 1, "columns": {"pool": 1}, "cells": [{"group": 0, "label": 1, "rows": 1}]}
    parts = {"a": describe_left_out(none, samples, block), "b": describe_left_out(one, samples, block)}
    joined = join_left_out(parts)
    assert (joined["rows"], joined["of"]) == (1, 9)
    assert joined["sentence"].startswith("b: 1 of 5 rows")
    with warnings.catch_warnings(action="error"):
        warn_about_left_out(parts["a"], block)


def test_a_group_without_a_row_in_a_part_is_refused_before_training() -> None:
    block = dataset(groups=["f", "m", "d"], group_names=["women", "men", "diverse"])
    samples = pd.DataFrame({"x": np.arange(203, dtype=np.float32)})
    samples = samples.assign(y=[0, 1] * 100 + [0, 0, 1], s=[0, 0, 1, 1] * 50 + [2, 2, 2])
    with (
        pytest.warns(UserWarning, match="too few to reach every part"),
        pytest.raises(
            InputError, match=r"loans: the group 'diverse' has 3 rows, none of them in the part .*, expected"
        ),
    ):
        split_samples(samples, block, Seeds((0, 1)))


def test_groups_may_be_those_of_several_columns(tmp_path: Path) -> None:
    table = write_loans(tmp_path, 0.2, 0.0)
    groups = [f"{sex}, {band}" for sex in "fm" for band in ("below 0", "from 0")]
    block = dataset(
        sensitive=["sex", "amount"], bands={"amount": [0]}, groups=groups, group_names=groups, keep_sensitive=False
    )
    assert (block.sensitive, block.crossed) == ("sex × amount", ("sex", "amount"))
    assert Dataset.model_validate(block.model_dump()) == block
    raw, left_out = read_table(tmp_path, block)
    samples = encode_samples(raw, block)
    assert set(samples) == {"pool=good", "pool=poor", "y", "s"}
    expected = (raw["sex"] == "m") * 2 + (raw["amount"] >= 0)
    assert (samples["s"] == expected).all()
    summary = describe_data(samples, split_samples(samples, block, Seeds((0,))), left_out, block)
    gone = table[table["pool"] == "NA"]
    by_group = pd.DataFrame(summary["left_out"]["cells"]).groupby("group")["rows"].sum()
    assert by_group.tolist() == [(gone["amount"] < 0).sum(), (gone["amount"] >= 0).sum(), 0, 0]
    kept = encode_samples(raw, block.model_copy(update={"keep_sensitive": True}))
    assert set(kept) == {"amount", "pool=good", "pool=poor", "sex=f", "sex=m", "y", "s"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sensitive": ["sex"]}, "two or more different ones"),
        ({"sensitive": ["sex", "sex"]}, "two or more different ones"),
        ({"sensitive": ["sex", 3]}, "two or more different ones"),
        ({"bands": {"sex": [1]}}, "where 'sensitive' is a list"),
        ({"sensitive": ["sex", "pool"], "bands": {"poool": [1]}}, r"'poool' \(did you mean 'pool'\?\)"),
        ({"sensitive": ["sex", "pool"], "bands": [1]}, "expected a mapping"),
        ({"sensitive": ["sex", "amount"], "bands": {"amount": [2, 1]}}, "expected increasing numbers"),
        ({"sensitive": ["sex", "amount"], "bands": {"amount": []}}, "without numbers"),
    ],
)
def test_columns_that_cannot_be_joined_are_refused_before_anything_runs(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        dataset(**changes)


def test_what_was_done_about_rows_and_gaps_is_counted(tmp_path: Path) -> None:
    table = write_loans(tmp_path, 0.2, 0.2)
    table.loc[:4, "amount"] = np.nan
    table.to_csv(tmp_path / "t.csv", index=False)
    options = {"files": "t.csv", "missing_category": "none", "impute": ["amount"], "exclude": {"amount": {"above": 1}}}
    result = described(tmp_path, dataset(options=options))
    is_excluded = table["amount"] > 1
    assert result["treated"] == {
        "excluded": {"amount": is_excluded.sum()},
        "category": {"pool": ((table["pool"] == "NA") & ~is_excluded).sum()},
        "median": {"amount": 5},
    }
    assert "5 missing values are the median" in result["treated_sentence"]
    assert described(tmp_path, dataset())["treated_sentence"] == ""


def test_a_group_with_few_test_rows_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = write_loans(tmp_path, 0.0, 0.0)
    table.loc[table.index % 5 == 0, "sex"] = "x"
    table.to_csv(tmp_path / "t.csv", index=False)
    three = partial(dataset, groups=["f", "m", "x"], group_names=["women", "men", "others"])
    tested = ROWS // 40  # a quarter of half of a fifth of the rows
    caplog.set_level("INFO")
    assert described(tmp_path, three(min_test_rows=tested))["small_sentence"] == ""
    sentence = described(tmp_path, three(min_test_rows=tested + 1))["small_sentence"]
    assert sentence.startswith(f"Groups with fewer than {tested + 1} test rows: 'others' ({tested}). They are learnt")
    assert "they are not compared" in sentence
    assert [record.levelname for record in caplog.records if sentence in record.getMessage()] == ["INFO"]


def test_a_single_group_to_compare_is_refused_where_gaps_are_measured(tmp_path: Path) -> None:
    write_loans(tmp_path, 0.0, 0.0)
    tested = ROWS // 16  # of each group: a quarter of half of its rows
    block = dataset(min_test_rows=tested + 1)
    samples = encode_samples(read_table(tmp_path, block)[0], block)
    message = (
        rf"loans: groups with fewer than 51 test rows are not compared; these are 'women' \({tested}\), 'men' "
        rf"\({tested}\), expected two groups to compare: join groups .*, name small ones in scored_only, or compare "
        "all with min_test_rows: 0"
    )
    with pytest.raises(InputError, match=message):
        split_to_compare(samples, block, Seeds((0,)))
    enough = dataset(min_test_rows=tested)
    splits = [draw(samples, enough, Seeds((0, 1))) for draw in (split_to_compare, split_samples)]
    assert splits[0].tensors["splits"].equal(splits[1].tensors["splits"])
    sentence = described(tmp_path, block)["small_sentence"]  # of an audit, which compares nothing, or a retraining
    assert sentence.endswith("'women' (50), 'men' (50). Gaps between them and others are mostly chance.")


def test_what_a_bound_leaves_to_learn_from_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """800 rows: 400 pretrain, 100 train, 100 validate, 200 test, of which 60 + 60 + 200 are used."""
    write_loans(tmp_path, 0.0, 0.0)
    split = {"fractions": {"pretrain": 0.5, "task": 0.5}, "task": {"train": 1, "validation": 1, "test": 2}}
    caplog.set_level("INFO")
    sentence = described(tmp_path, dataset(split=split | {"max_rows": 60}))["unused_sentence"]
    assert "Of 800 rows, models learn from 60 and are chosen on 60" in sentence
    assert "480 are not used); 200 test them" in sentence
    assert sentence in caplog.text
    assert described(tmp_path, dataset(split=split | {"max_rows": 500}))["unused_sentence"] == ""


@pytest.mark.parametrize(("alike", "said"), [(True, "label rate is 2.9 times as large"), (False, "are hardly alike")])
def test_how_much_rows_of_one_person_are_alike_is_said(tmp_path: Path, alike: bool, said: str) -> None:
    """100 people with eight rows each, of one sex and one label or of any: a rate deviates √(8 · 50 / 49) as much."""
    table = write_loans(tmp_path, 0.0, 0.0).assign(person=np.arange(ROWS) // 8)
    random = np.random.default_rng(5)
    of_people = random.choice(["no", "yes"], ROWS // 8)[table["person"]]
    table["sex"] = np.where(table["person"] % 2, "f", "m")
    table["repaid"] = of_people if alike else random.choice(["no", "yes"], ROWS)
    table.to_csv(tmp_path / "t.csv", index=False)
    split = {"fractions": {"pretrain": 0.5, "task": 0.5}, "task": {"train": 1, "validation": 1, "test": 2}}
    sentence = described(tmp_path, dataset(split=split | {"together": "person"}))["unused_sentence"]
    assert "Intervals, tests and noise floors count rows" in sentence
    assert said in sentence
