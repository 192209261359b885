"""Encoding against pandas' own, and every input that must be refused, by its sentence."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from counterpoise.artifacts.schemas import Samples
from counterpoise.config.parameters import Dataset
from counterpoise.data import encode
from counterpoise.data.encode import UNKNOWN, feature_names, is_apart, names_apart
from counterpoise.data.values import name_of
from counterpoise.errors import InputError
from counterpoise.pipelines.data_split.nodes import encode_samples

DATASET: dict[str, Any] = {
    "title": "people",
    "reader": "table",
    "origin": "made up",
    "label": "income",
    "positive": "high",
    "classes": ["low", "high"],
    "sensitive": "sex",
    "groups": ["Female", "Male"],
    "group_names": ["Female", "Male"],
    "split": {"fractions": {"pretrain": 0.5, "task": 0.5}, "task": {"train": 1, "validation": 1, "test": 1}},
}

CHOICE: dict[str, Any] = {
    "source": "people.csv",
    "label": "income",
    "positive": "high",
    "sensitive": "sex",
    "groups": ["Female", "Male"],
}


def people() -> pd.DataFrame:
    """Eight rows, two in each cell of (income, sex)."""
    return pd.DataFrame(
        {
            "age": [20, 31, 42, 53, 24, 35, 46, 57],
            "job": ["smith", "baker", "cook", "baker", "cook", "smith", "baker", "cook"],
            "sex": ["Male", "Female"] * 4,
            "owner": [True, False, False, True] * 2,
            "income": ["high", "high", "low", "low"] * 2,
        }
    )


def test_features_agree_with_get_dummies() -> None:
    table = people()
    samples = encode(table, **CHOICE)
    features = table.drop(columns=["income", "sex"])
    expected = pd.get_dummies(features, columns=["job"], prefix_sep="=", dtype="float32").astype("float32")
    assert samples.columns.tolist() == ["age", "job=baker", "job=cook", "job=smith", "owner", "y", "s"]
    pd.testing.assert_frame_equal(samples[expected.columns], expected)


def test_class_and_group_are_codes_of_the_given_order() -> None:
    samples = encode(people(), **CHOICE)
    assert samples["y"].tolist() == [1, 1, 0, 0, 1, 1, 0, 0]
    assert samples["s"].tolist() == [1, 0] * 4
    assert samples.dtypes[["y", "s"]].tolist() == [np.int64, np.int64]
    swapped = encode(people(), **{**CHOICE, "groups": ["Male", "Female"], "positive": "low"})
    np.testing.assert_array_equal(swapped[["y", "s"]], 1 - samples[["y", "s"]])


def test_rows_keep_their_order_and_get_a_new_index() -> None:
    table = people().sample(frac=1, random_state=0)
    samples = encode(table, **CHOICE)
    assert samples.index.equals(pd.RangeIndex(8))
    np.testing.assert_array_equal(samples["age"], table["age"])
    np.testing.assert_array_equal(samples["y"] == 1, table["income"] == "high")
    np.testing.assert_array_equal(samples["s"] == 1, table["sex"] == "Male")


def test_dropped_columns_are_gone_and_the_sensitive_one_may_stay() -> None:
    assert "age" not in encode(people(), **CHOICE, drop=["age"])
    kept = encode(people(), **CHOICE, keep_sensitive=True)
    np.testing.assert_array_equal(kept["sex=Male"], kept["s"])


def test_several_values_may_make_one_group() -> None:
    table = people().assign(sex=["a", "b", "c", "a", "b", "c", "a", "b"])
    samples = encode(table, **{**CHOICE, "groups": [["a", "c"], "b"]})
    assert samples["s"].tolist() == [0, 1, 0, 0, 1, 0, 0, 1]


def test_a_star_takes_all_values_that_no_other_group_names() -> None:
    table = people().assign(sex=["a", "b", "c", "d"] * 2, income=["high"] * 4 + ["low"] * 4)
    by_name = encode(table, **{**CHOICE, "groups": ["b", ["a", "c", "d"]]})
    assert encode(table, **{**CHOICE, "groups": ["b", "*"]})["s"].tolist() == by_name["s"].tolist()
    assert encode(table, **{**CHOICE, "groups": ["*", "c", "d"]})["s"].tolist() == [0, 0, 1, 2] * 2
    with pytest.raises(InputError, match="never is of another group, expected every one of 'groups' to occur"):
        encode(table, **{**CHOICE, "groups": ["a", ["b", "c"], "d", "*"]})


def test_several_classes_are_coded_by_their_position() -> None:
    table = people().assign(income=["c", "a", "b", "a", "a", "b", "c", "a"])
    choice = {**CHOICE, "positive": None, "classes": ["a", "b", "c"]}
    assert encode(table, **choice)["y"].tolist() == [2, 0, 1, 0, 0, 1, 2, 0]
    assert encode(table, **{**choice, "positive": "a"})["y"].tolist() == [0, 1, 0, 1, 1, 0, 0, 1]


def test_number_labels_and_groups_work() -> None:
    table = people().assign(income=[1, 1, 0, 0] * 2, sex=[1, 0] * 4)
    samples = encode(table, **{**CHOICE, "positive": 1, "groups": [0, 1]})
    pd.testing.assert_frame_equal(samples, encode(people(), **CHOICE))


def test_image_tables_keep_the_path_only() -> None:
    samples = encode(people().assign(image=[f"{i}.png" for i in range(8)]), **CHOICE, images=True)
    assert samples.columns.tolist() == ["image", "y", "s"]
    assert samples["image"].tolist()[:2] == ["0.png", "1.png"]


def test_further_sensitive_columns_of_images_stay_as_codes() -> None:
    table = people().assign(image=[f"{i}.png" for i in range(8)], side=list("abbabaab"))
    samples = encode(table, **CHOICE, further={"side": ["b", "a"]}, images=True)
    assert samples.columns.tolist() == ["image", "side", "y", "s"]
    assert samples["side"].tolist() == [1, 0, 0, 1, 0, 1, 1, 0]
    with pytest.raises(InputError, match=r"sensitive column 'side' is 'b' in 4 rows"):
        encode(table, **CHOICE, further={"side": ["a", "c"]}, images=True)


@pytest.mark.parametrize("images", [False, True])
def test_what_rows_belong_to_is_numbered_and_no_feature(images: bool) -> None:
    table = people().assign(who=["a", "b", "a", None, "c", "b", None, "a"], image=[f"{i}.png" for i in range(8)])
    samples = encode(table.drop(columns=[] if images else ["image"]), **CHOICE, together="who", images=images)
    assert Samples.validate(samples)["together"].to_list() == [0, 1, 0, 3, 2, 1, 4, 0]
    assert not [name for name in feature_names(samples) if name.startswith(("who", "together"))]
    with pytest.raises(InputError, match="the column 'whom' is missing or renamed"):
        encode(table, **CHOICE, together="whom", images=images)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"label": "incme"}, r"people\.csv: the column 'incme' is missing or renamed \(did you mean 'income'\?\)"),
        ({"sensitive": "xyz"}, r"people\.csv: the column 'xyz' is missing or renamed \(known: age, job, sex"),
        ({"drop": ["agee"]}, r"the column 'agee' is missing or renamed \(did you mean 'age'\?\)"),
        ({"sensitive": "income"}, r"'income' is both the label and the sensitive column"),
        ({"positive": "hihg"}, r"label column 'income' never is 'hihg' \(did you mean 'high'\?\)"),
        ({"positive": None}, r"'income' has neither 'positive' nor 'classes'"),
        (
            {"classes": ["high", "lo"]},
            r"'income' is 'low' in 4 rows \(did you mean 'lo'\?\), expected one of 'high', 'lo'",
        ),
        ({"classes": ["high", "low", "mid"]}, r"never is 'mid', expected every one of 'classes' to occur"),
        ({"classes": ["high", "low"], "positive": "top"}, r"positive: 'top' is not one of 'classes'"),
        (
            {"groups": ["Femal", "Male"]},
            r"'sex' is 'Female' in 4 rows \(did you mean 'Femal'\?\), expected one of 'Femal'",
        ),
        (
            {"groups": ["Femal", "men"]},
            r"'sex' is 'Male' in 4 rows .*, 'Female' in 4 rows, expected one of 'Femal', 'men'",
        ),
        ({"groups": ["Female", "Male", "X"]}, r"'sex' never is 'X', expected every one of 'groups' to occur"),
        ({"groups": ["Male"]}, r"groups: found 1, expected at least two"),
        ({"groups": ["Male", "Female", "Male"]}, r"groups: .* name a value twice"),
        ({"drop": ["age", "job", "owner"]}, r"no feature column is left"),
    ],
)
def test_a_wrong_choice_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        encode(people(), **{**CHOICE, **change})


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            {"income": ["high", "low", "low."] * 2 + ["high"] * 2},
            r"has the 3 values 'high', 'low', 'low\.', expected 'high' and one",
        ),
        (
            {"income": ["high", "high", "low", "high"] * 2},
            r"the 4 rows whose 'sex' is 'Female' have one class of 'income' only",
        ),
        ({"income": ["high", None, "low", "low"] * 2}, r"label column 'income' misses 2 values, the first in row 1"),
        (
            {"sex": ["Male", "Female", None, "Female"] * 2},
            r"sensitive column 'sex' misses 2 values, the first in row 2",
        ),
        (
            {"age": [1, 2, np.nan, 4, 5, np.nan, 7, 8]},
            r"column 'age' has 2 values that are missing or .*\(nan\) in row 2",
        ),
        ({"age": [1, 2, 3, np.inf, 5, 6, 7, 8]}, r"column 'age' has 1 values .*infinite, the first \(inf\) in row 3"),
        ({"age": [1, 2, 3, 4, 1e39, 6, 7, 8]}, r"column 'age' has 1 values .*infinite, the first \(1e\+39\) in row 4"),
        ({"job": ["cook", None] * 4}, r"column 'job' misses 4 values, the first in row 1"),
        ({"age": [7] * 8}, r"column 'age' is 7 in every row, expected different values \(leave it out with 'drop'\)"),
        ({"job": ["cook"] * 8}, r"column 'job' is 'cook' in every row"),
        ({"job=cook": range(8)}, r"column 'job=cook' occurs twice"),
        (
            {"born": pd.date_range("2000-01-01", periods=8)},
            r"column 'born' holds dates such as .*, expected numbers or categories",
        ),
    ],
)
def test_a_wrong_table_is_refused(columns: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        encode(people().assign(**columns), **CHOICE)


def test_an_empty_table_and_a_repeated_column_are_refused() -> None:
    with pytest.raises(InputError, match=r"people\.csv: the table has no rows"):
        encode(people().head(0), **CHOICE)
    repeated = pd.concat([people(), people()[["age"]]], axis=1)
    with pytest.raises(InputError, match=r"column 'age' occurs more than once"):
        encode(repeated, **CHOICE)


def test_free_text_is_not_a_category() -> None:
    table = pd.concat([people()] * 150, ignore_index=True)
    with pytest.raises(InputError, match=r"column 'job' has 1,200 different values that are not numbers"):
        encode(table.assign(job=[f"person {i}" for i in range(1200)]), **CHOICE)


ORDERS = [(first, second) for first, second in itertools.permutations([0, 1])]
LABELS: dict[str, tuple[Any, Any]] = {
    "texts": ("no", "yes"),
    "whole numbers": (0, 1),
    "other numbers": (2, 1),
    "floats": (0.0, 1.0),
    "truth values": (False, True),
    "halves": (0.5, 1.5),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("positive", [0, 1])
def test_class_one_has_the_name_of_the_positive_label(kind: str, order: tuple[int, int], positive: int) -> None:
    """Whatever the order and type of `classes`: the name at position y is the label of the file."""
    labels = LABELS[kind]
    column = pd.Series([labels[0], labels[1], labels[1], labels[0]] * 2)
    classes = [labels[position] for position in order]
    dataset = Dataset.model_validate(DATASET | {"classes": classes, "positive": labels[positive]})
    samples = encode_samples(people().assign(income=column), dataset)
    assert [dataset.classes[y] for y in samples["y"]] == [name_of(label) for label in column]
    assert (samples["y"] == 1).tolist() == (column == labels[positive]).tolist()


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("written", ["as texts", "as values"])
def test_classes_without_a_positive_one_may_be_of_any_type(kind: str, order: tuple[int, int], written: str) -> None:
    labels = LABELS[kind]
    column = pd.Series([labels[0], labels[1], labels[1], labels[0]] * 2)
    classes = [labels[position] for position in order]
    given = [name_of(label) for label in classes] if written == "as texts" else classes
    dataset = Dataset.model_validate(DATASET | {"classes": given, "positive": None})
    samples = encode_samples(people().assign(income=column), dataset)
    assert [dataset.classes[y] for y in samples["y"]] == [name_of(label) for label in column]


def test_a_name_of_the_other_class_is_not_given_to_the_positive_one() -> None:
    with pytest.raises(InputError, match=r"'classes' calls the positive class 'Low', which is the other label"):
        encode(people(), **CHOICE, class_names=["rich", "Low"])
    assert encode(people(), **CHOICE, class_names=["poor", "rich"])["y"].sum() == 4


TYPES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "text for a number": ({"groups": ["1", "2"]}, {"sex": [1, 2] * 4}, r"is 1 .*a number, while '1' is a text"),
    "number for a text": ({"groups": [1, 2]}, {"sex": ["1", "2"] * 4}, r"is '1' .*a text, while 1 is a number"),
    "yes without quotes": (
        {"groups": [True, False]},
        {"sex": ["yes", "no"] * 4},
        r"is 'yes' .*while True is a truth value: YAML reads yes so",
    ),
    "positive text": ({"positive": "1"}, {"income": [1, 1, 0, 0] * 2}, r"never is '1' .*a text, while 1 is a number"),
    "NA": ({"groups": ["NA", "Male"]}, {"sex": ["Male"] * 8}, r"never is 'NA' \('NA' is read as a missing value"),
    "numbers": ({"groups": ["low", "high"]}, {"sex": range(8)}, r"holds 8 different numbers, .*'bands' makes groups"),
    "lists": ({}, {"sex": [["a"], ["b"]] * 4}, r"holds list values"),
    "dates": ({}, {"sex": pd.date_range("2024-01-01", periods=8)}, r"holds Timestamp values"),
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_sentence_names_the_types(kind: str) -> None:
    change, columns, sentence = TYPES[kind]
    with pytest.raises(InputError, match=sentence):
        encode(people().assign(**columns), **{**CHOICE, **change})


def test_bands_make_groups_of_numbers() -> None:
    table = people().assign(born=[17, 18, 39, 40, 64, 65, 90, 1])
    table["income"] = ["high", "low", "high", "low", "high", "high", "low", "low"]
    choice = {**CHOICE, "sensitive": "born", "groups": ["young", "middle", "old"]}
    assert encode(table, **choice, bands=[18, 65])["s"].tolist() == [0, 1, 1, 1, 1, 2, 2, 0]
    with pytest.raises(InputError, match="holds texts such as 'smith', expected numbers for its 'bands'"):
        encode(table, **{**choice, "sensitive": "job"}, bands=[18, 65])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"group_names": ["Male", "Female"]}, "group_names calls 'Female' 'Male', which is the value of another group"),
        ({"bands": [5, 3], "groups": ["a", "b", "c"], "group_names": ["a", "b", "c"]}, "expected increasing numbers"),
        ({"bands": [5], "groups": ["a", "b", "c"], "group_names": ["a", "b", "c"]}, "expected 2 groups"),
        ({"sensitive": ["sex"]}, "expected a column, or two or more different ones"),
        ({"options": {"folder": "x"}}, "options has 'folder'"),
        ({"limits": {"columns": 0}}, "greater than or equal to 1"),
    ],
)
def test_a_data_set_that_contradicts_itself_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Dataset.model_validate(DATASET | change)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["b"], [False, True, False, False]),
        ([None], [False, False, True, False]),
        ([None, "c"], [False, False, True, True]),
    ],
)
def test_rows_of_some_values_and_of_none(values: list[Any], expected: list[bool]) -> None:
    column = pd.Series(["a", "b", None, "c"], name="group")
    assert is_apart(column, values).tolist() == expected


def test_a_value_that_never_occurs_is_named() -> None:
    with pytest.raises(InputError, match="scored_only: column 'group' never is 'blakc'"):
        is_apart(pd.Series(["black", "white"], name="group"), ["blakc"])


def test_rows_without_a_group_have_a_name() -> None:
    assert names_apart(pd.Series([1, None, 2], dtype="Int64")).tolist() == ["1", UNKNOWN, "2"]
