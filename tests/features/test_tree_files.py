"""A file of trees: its columns are found in an encoded table, or named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from counterpoise.errors import InputError
from counterpoise.features.tree_files import match_columns, read_trees_file
from counterpoise.nn.tree_text import Codes, Ensemble, Filled

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


def test_a_name_as_it_stands_comes_before_one_that_is_only_written_alike() -> None:
    """`pandas.get_dummies` writes the category b of the column a as `a_b`, which may be a column of its own."""
    assert match_columns(model("a_b"), ["a=b", "a=c", "a_b"], source="m") == [2]
    assert match_columns(model("a_b"), ["a b", "a_b"], source="m") == [1]
    assert match_columns(model("a_b"), ["a=b", "a=c"], source="m") == [0]


def test_columns_whose_gaps_the_table_fills_come_with_what_says_so() -> None:
    table = ["age", "income", "income_missing", "rent", "rent_missing"]
    flags = {"income": "income_missing", "age": "age_missing"}  # no row misses its age; rent_missing is a column
    found = match_columns(model("income age rent"), table, source="m", indicators=flags)
    assert found == [Filled(1, 2), 0, 3]


def test_names_may_be_listed_or_those_of_the_table() -> None:
    nameless = model("Column_0 Column_1")
    assert match_columns(nameless, TABLE, source="m", names=("home area", "age")) == [1, 0]
    assert match_columns(nameless, TABLE[:2], source="m", names="encoded") == [0, 1]
    assert match_columns(nameless, TABLE, source="m", names=("city_north end", "home_area")) == [2, 1]
    assert match_columns(nameless, ["a b=c=d", "e"], source="m", names=("a b_c=d", "e")) == [0, 1]


def test_columns_with_spaces_are_found_wherever_they_are_named() -> None:
    """LightGBM keeps them with underscores; the block and the data set have them as the file does."""
    table = ["home area", "home area_missing", "end town=a", "end town=b"]
    flags, codes = {"home area": "home area_missing"}, {"end town": ("b", "a")}
    for names in ((), ("home area", "end town")):
        found = match_columns(
            model("home_area end_town"), table, source="m", names=names, categories=codes, indicators=flags
        )
        assert found == [Filled(0, 1), Codes({0: 3, 1: 2})]


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
        (
            "city",
            {},
            r"'city' is one of numbers or codes, and in the table one of the categories north end, south, expected",
        ),
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


def test_a_binary_file_of_xgboost_is_known_by_its_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    (tmp_path / "m.model").write_bytes(b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner\xff")
    with pytest.raises(
        InputError, match=r"m\.model: needs the package 'xgboost', expected it from .*or the model saved"
    ):
        read_trees_file(tmp_path / "m.model")


def test_files_that_are_not_there_or_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m\.txt: no such file, expected a model of boosted trees"):
        read_trees_file(tmp_path / "m.txt")
    (tmp_path / "m.pkl").write_bytes(b"\x80\x05\x95\xff\xfe")
    with pytest.raises(InputError, match=r"m\.pkl: is no text \(a pickle\?\)"):
        read_trees_file(tmp_path / "m.pkl")
