"""A file of trees: its columns are found in an encoded table, or named."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterpoise.errors import InputError
from counterpoise.features.tree_files import match_columns, read_trees_file
from counterpoise.nn.tree_text import Codes, Ensemble

TABLE = ["age", "home area", "city=north end", "city=south", "member=False", "member=True", "grade=1", "grade=3"]


def model(names: str, *, infos: str = "", categories: tuple[tuple[object, ...], ...] = (), split: str = "") -> Ensemble:
    """Return a model of these columns, of which all are split on."""
    number = len(names.split())
    header = {"feature_names": names, "feature_infos": infos or " ".join(["[0:1]"] * number)}
    return Ensemble(header, ({"split_feature": split or " ".join(map(str, range(number)))},), categories)


def test_names_are_found_as_lightgbm_and_pandas_write_them() -> None:
    found = match_columns(model("home_area city_north_end age city=south"), TABLE, source="m")
    assert found == [1, 2, 0, 3]


def test_categories_of_pandas_are_found_in_the_columns_of_their_categories() -> None:
    coded = model("age city", infos="[0:9] 0:1:2", categories=(("east", "north end", "south"),))
    assert match_columns(coded, TABLE, source="m") == [0, Codes({1: 2, 2: 3})]


def test_codes_are_described_by_the_block_by_truth_values_or_by_numbers() -> None:
    found = match_columns(model("city member grade"), TABLE, source="m", categories={"city": ("south", "north end")})
    assert found == [Codes({0: 3, 1: 2}), Codes({0: 4, 1: 5}), Codes({1: 6, 3: 7})]


def test_names_may_be_listed_or_those_of_the_table() -> None:
    nameless = model("Column_0 Column_1")
    assert match_columns(nameless, TABLE, source="m", names=("home area", "age")) == [1, 0]
    assert match_columns(nameless, TABLE[:2], source="m", names="encoded") == [0, 1]


def test_a_column_that_no_split_asks_for_may_be_missing() -> None:
    assert match_columns(model("age sex", split="0 0"), TABLE, source="m") == [0, None]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ("age x1 x2", {}, r"m: 2 of its 3 columns are not in the table: 'x1', 'x2', expected some of age, home area"),
        ("age sex", {"absent": {"sex": "the sensitive column"}}, r"'sex' \('sex' is the sensitive column\)"),
        ("Column_0 Column_1", {}, r"it was trained without names: `columns` may give them in the model's order"),
        ("a b c", {"names": ("age",)}, "m: has 3 columns, expected 1, as `columns` names"),
        ("a b c", {"names": "encoded"}, "m: has 3 columns, expected 8, as the encoded table"),
        ("city", {}, r"'city' is one of numbers, and in the table one of the categories north end, south, expected"),
        ("city", {"categories": {"city": ("x", "y")}}, "'city' has the categories x, y, expected those of the table"),
        ("age", {"categories": {"town": ("x", "y")}}, "has no column 'town', which `categories` names"),
    ],
)
def test_other_columns_are_refused(columns: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        match_columns(model(columns), TABLE, source="m", **options)  # type: ignore[arg-type]


def test_categories_where_the_table_has_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="'age' is one of categories, and one of numbers in the table"):
        match_columns(model("age", infos="0:1:2"), TABLE, source="m")


def test_files_that_are_not_there_or_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m\.txt: no such file, expected a model of boosted trees"):
        read_trees_file(tmp_path / "m.txt")
    (tmp_path / "m.pkl").write_bytes(b"\x80\x05\x95\xff\xfe")
    with pytest.raises(InputError, match=r"m\.pkl: is no text \(a pickle\?\)"):
        read_trees_file(tmp_path / "m.pkl")
