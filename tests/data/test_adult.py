"""The real Adult files against counts that UCI publishes, and copies of them that were tampered with."""

from pathlib import Path

import pandas as pd
import pytest

from counterpoise import data
from counterpoise.data import adult
from counterpoise.errors import InputError

RAW = Path(__file__).parents[2] / "data" / "01_raw" / "adult"
LINE = (
    "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 2174, 0, 40, Cuba, "
)


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    return adult.read(RAW, checksums=adult.CHECKSUMS)


def write(folder: Path, data: str = f"{LINE}<=50K\n\n", test: str = f"|1x3 Cross validator\n{LINE}>50K.\n\n") -> Path:
    (folder / "adult.data").write_text(data)
    (folder / "adult.test").write_text(test)
    return folder


def test_the_published_counts(real: pd.DataFrame) -> None:
    """`adult.names`: 45,222 instances without unknown values, 30,162 of them in adult.data, 24.78% above 50K."""
    assert len(real) == 45_222
    assert (real["income"] == ">50K").sum() == 11_208
    assert (real["sex"] == "Female").sum() == 14_695
    assert round(100 * (real["income"] == ">50K").mean(), 2) == 24.78


def test_rows_keep_the_files_order_and_the_index_is_unbroken(real: pd.DataFrame) -> None:
    assert tuple(real.columns) == adult.COLUMNS
    assert real.index.equals(pd.RangeIndex(45_222))
    assert real.loc[0, ["age", "workclass", "fnlwgt", "income"]].tolist() == [39, "State-gov", 77_516, "<=50K"]
    first_of_test = real.loc[30_162, ["age", "education", "fnlwgt", "income"]].tolist()
    assert first_of_test == [25, "11th", 226_802, "<=50K"]


def test_numbers_are_numbers_and_nothing_is_missing(real: pd.DataFrame) -> None:
    assert set(real.columns[real.dtypes == "int64"]) == set(adult.CONTINUOUS)
    assert not real.isna().to_numpy().any()
    assert not (real == "?").to_numpy().any()


def test_test_labels_lose_their_dot(tmp_path: Path) -> None:
    assert adult.read(write(tmp_path))["income"].tolist() == ["<=50K", ">50K"]


def test_rows_with_a_question_mark_are_left_out(tmp_path: Path) -> None:
    incomplete = LINE.replace("State-gov", "?")
    assert len(adult.read(write(tmp_path, data=f"{incomplete}<=50K\n{LINE}>50K\n"))) == 2


def test_a_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "adult.test").unlink()
    with pytest.raises(InputError, match=r"adult\.test: no such file; get adult\.data and adult\.test from the UCI"):
        adult.read(tmp_path)


@pytest.mark.parametrize("name", adult.CHECKSUMS)
def test_one_altered_byte_is_noticed(tmp_path: Path, name: str) -> None:
    for other in adult.CHECKSUMS:
        (tmp_path / other).write_bytes((RAW / other).read_bytes())
    content = bytearray((RAW / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: found SHA-256 .*expected {adult.CHECKSUMS[name][:12]}"):
        adult.read(tmp_path, checksums=adult.CHECKSUMS)


def test_a_file_cut_in_the_middle_of_a_line_is_noticed_without_checksums(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"adult\.data: line 2 has 3 fields, expected 15.*truncated or altered"):
        adult.read(write(tmp_path, data=f"{LINE}<=50K\n39, State-gov, 775"))


def test_an_added_field_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"adult\.test: line 2 has 16 fields, expected 15"):
        adult.read(write(tmp_path, test=f"|comment\n{LINE}<=50K., 1\n"))


@pytest.mark.parametrize("content", ["", "\n\n", "|1x3 Cross validator\n"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match=r"adult\.test: found no row"):
        adult.read(write(tmp_path, test=content))


def test_a_word_among_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"adult\.data: column 'age' has 'old' in row 1 .*expected a whole number"):
        adult.read(write(tmp_path, data=f"{LINE}<=50K\n{LINE.replace('39', 'old', 1)}<=50K\n"))


def test_an_unknown_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"column 'income' has '>60K' in 1 rows, expected '<=50K' or '>50K'"):
        adult.read(write(tmp_path, data=f"{LINE}>60K\n"))


def test_no_complete_row_names_the_column_that_is_missing_most(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of 1 rows is complete.*'workclass' alone misses 1"):
        adult.read(write(tmp_path, data=f"{LINE.replace('State-gov', '?')}<=50K\n"))


def test_the_registry_reads_it_by_name(real: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(data.read("adult", RAW), real)
