"""Dated files of new rows: held-out rows follow their contents, and what is wrong with a file is one sentence."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from counterpoise.data.partitions import (
    DIGEST,
    FILE,
    LOOKS,
    Columns,
    date_of,
    digest_of,
    file_names,
    is_held_out,
    one_of_each,
    read_partition,
    row_hashes,
    usable,
    with_files,
)
from counterpoise.errors import InputError

COLUMNS = Columns("paid", "yes", ["no", "yes"], "sex", ["f", "m"])


def rows(number: int, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": generator.integers(18, 90, number),
            "income": generator.normal(size=number),
            "sex": generator.choice(["f", "m"], number),
            "paid": generator.choice(["no", "yes"], number),
        }
    )


def test_a_row_is_on_one_side_whatever_its_order_its_types_and_its_label() -> None:
    table = rows(2000)
    sides = is_held_out(table, "paid", 0.2)
    assert abs(sides.mean() - 0.2) < 0.03
    order = np.random.default_rng(1).permutation(len(table))
    shuffled = table.iloc[order][["sex", "paid", "income", "age"]].reset_index(drop=True)
    assert (is_held_out(shuffled, "paid", 0.2) == sides[order]).all()
    late = table.assign(paid=None, age=table["age"].astype("float64"))
    assert (is_held_out(late, "paid", 0.2) == sides).all()
    assert (is_held_out(table, "paid", 0.5) | ~sides).all(), "a larger share holds out more rows, never others"


def test_rows_of_one_person_are_on_one_side_and_those_of_nobody_on_their_own() -> None:
    person = pd.Series(np.random.default_rng(2).integers(300, size=2000)).astype("Int64")
    table = rows(2000).assign(person=person.where(person >= 50))
    sides = pd.Series(is_held_out(table, "paid", 0.2, "person"))
    assert (sides.groupby(table["person"]).nunique() == 1).all()
    assert abs(sides.mean() - 0.2) < 0.05
    nobody = table["person"].isna()
    assert sides[nobody].to_list() == is_held_out(table[nobody], "paid", 0.2).tolist()
    assert sides[nobody].nunique() == 2


def test_rows_of_no_group_have_none_and_the_rest_takes_no_group_that_is_only_scored() -> None:
    columns = Columns("paid", "yes", ["no", "yes"], "sex", ["f", "*"], scored_only=("x", None))
    sexes = pd.DataFrame({"sex": ["f", "m", "x", None, "other"]})
    assert columns.s(sexes).tolist() == [0, 1, -1, -1, 1]
    assert replace(columns, scored_only=()).s(sexes).tolist() == [0, 1, 1, -1, 1]


def test_one_row_of_each_person_counts_whatever_the_order_its_label_and_what_comes_later() -> None:
    generator = np.random.default_rng(3)
    person = pd.Series(generator.integers(300, size=2000)).astype("Int64")
    table, week = rows(2000).assign(person=person.where(person >= 50)), generator.integers(3, size=2000)
    assert one_of_each(table, "paid", None).all()
    counted = one_of_each(table, "paid", "person", week)
    nobody = table["person"].isna().to_numpy()
    assert counted[nobody].all()
    assert sorted(table.loc[counted & ~nobody, "person"]) == sorted(table.loc[~nobody, "person"].unique())
    first = pd.Series(week).groupby(table["person"].to_numpy(dtype=float, na_value=np.nan)).transform("min")
    assert (week[counted & ~nobody] == first[counted & ~nobody]).all()
    order = generator.permutation(2000)
    assert (one_of_each(table.iloc[order], "paid", "person", week[order]) == counted[order]).all()
    assert (one_of_each(table.assign(paid="no"), "paid", "person", week) == counted).all()
    before = week < 2
    assert (one_of_each(table[before], "paid", "person", week[before]) == counted[before]).all()


def test_hashes_tell_rows_apart() -> None:
    table = rows(500)
    assert len(set(row_hashes(table))) == 500
    assert row_hashes(table.assign(age=table["age"] + 1))[0] != row_hashes(table)[0]


def test_a_digest_is_of_the_rows_in_any_order_with_their_labels() -> None:
    table = rows(100)
    assert digest_of(table) == digest_of(table.iloc[::-1].reset_index(drop=True))
    changed = table.assign(paid=table["paid"].where(table.index != 3, "yes" if table["paid"][3] == "no" else "no"))
    assert digest_of(changed) != digest_of(table) != digest_of(table.head(99))


@pytest.mark.parametrize(("name", "date"), [("loans-2026-03-02", "2026-03-02"), ("a/b-c-2024-02-29", "2024-02-29")])
def test_names_end_with_a_date(name: str, date: str) -> None:
    assert date_of(name) == date


@pytest.mark.parametrize("name", ["loans", "loans-2026-02-30", "loans-20260302", "2026-03-02", "loans-2026-03-02-b"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: its name ends with no date, expected"):
        date_of(name)


def test_files_are_read_as_the_table_is_written(tmp_path: Path) -> None:
    path = tmp_path / "loans-2026-03-02.csv"
    path.write_text("age;income;sex;paid\n30;1,5;f;yes\n40;-;m;\n")
    read = read_partition(path, {"decimal": ",", "missing": ["-", ""], "files": "others.csv", "impute": ["income"]})
    gapped = read_partition(path, {"decimal": ",", "missing": "-", "missing_values": {"age": [40]}})
    assert gapped["age"].isna().tolist() == [False, True]
    assert read["income"].tolist()[0] == 1.5
    assert read.isna().sum().to_dict() == {"age": 0, "income": 1, "sex": 0, "paid": 1}


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "loans-2026-03-02.csv"
    path.write_bytes(b'age,sex\n30,"f\n40,m\n\xff\xfe')
    with pytest.raises(InputError, match=str(path)):
        read_partition(path, {})


def test_usable_rows_have_the_columns_of_the_reference() -> None:
    new = rows(50, seed=1).assign(extra=1)[["extra", "paid", "sex", "income", "age"]]
    assert list(usable(new, rows(50), COLUMNS, name="new", min_rows=10)) == ["age", "income", "sex", "paid"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.drop(columns="income"), "new: the column 'income' is missing"),
        (lambda t: t.assign(age=["40", *["40,5"] * 49]), "new: the column 'age' holds '40,5', expected numbers"),
        (lambda t: t.assign(sex=[None, *[1] * 49]), "new: the column 'sex' holds 1.0, expected values such as '[fm]'"),
        (lambda t: t.assign(sex=t["sex"].replace("f", "x")), "rows have the new group 'x' in 'sex', expected"),
        (lambda t: t.assign(paid=t["paid"].replace("no", "maybe")), "rows have the new class 'maybe' in 'paid'"),
        (lambda t: t.head(9), "new: has 9 labelled rows, expected at least 10"),
        (lambda t: t.assign(paid=[*t["paid"][:5], *[None] * 45]), "new: has 5 labelled rows, expected at least 10"),
    ],
)
def test_what_is_wrong_with_a_partition_is_one_sentence(change: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        usable(change(rows(50, seed=1)), rows(50), COLUMNS, name="new", min_rows=10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, two of them the same, and a file that is none."""
    for name, value in (("a.png", 10), ("b.png", 200), ("again.png", 10)):
        Image.fromarray(np.full((4, 6, 3), value, dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "none.png").write_text("no image")
    return tmp_path


def test_each_image_is_described(folder: Path) -> None:
    rows = pd.DataFrame({"image": ["a.png", "b.png", "again.png"], "label": [0, 1, 0]})
    described = with_files(rows, folder, name="faces-2026-03-02")
    assert described[list(rows.columns)].equals(rows)
    assert described[list(LOOKS)].to_numpy().tolist() == [[10, 0, 6, 4], [200, 0, 6, 4], [10, 0, 6, 4]]
    assert described[FILE].tolist() == [str(folder / name) for name in rows["image"]]
    digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in rows["image"]]
    assert described[DIGEST].tolist() == digests
    assert file_names(described).tolist() == [f"{digests[0]}.png", f"{digests[1]}.png", f"{digests[0]}-1.png"]


def test_a_few_unreadable_images_are_left_out_and_many_are_refused(folder: Path) -> None:
    rows = pd.DataFrame({"image": ["a.png", "none.png", "b.png", "absent.png"], "label": [0, 1, 0, 1]})
    described = with_files(rows, folder, name="faces-2026-03-02", max_bad_fraction=0.5)
    assert described["image"].tolist() == ["a.png", "b.png"]
    with pytest.raises(InputError, match=r"^faces-2026-03-02: 2 of 4 images cannot be used \(none.png: not an image"):
        with_files(rows, folder, name="faces-2026-03-02", max_bad_fraction=0.25)
    with pytest.raises(InputError, match="leads out of the folder"):
        with_files(pd.DataFrame({"image": ["../a.png"]}), folder / "below", name="faces-2026-03-02")
