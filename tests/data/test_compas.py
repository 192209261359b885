"""COMPAS: the published counts on the real file, what the filter leaves out, and files that were tampered with."""

import csv
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from counterpoise import data
from counterpoise.artifacts.schemas import CompasTable
from counterpoise.data import compas
from counterpoise.data.generate.compas import HEADER
from counterpoise.errors import InputError

PERSON = {
    "age": "34",
    "age_cat": "25 - 45",
    "sex": "Male",
    "race": "Other",
    "juv_fel_count": "0",
    "juv_misd_count": "1",
    "juv_other_count": "0",
    "priors_count": "4",
    "days_b_screening_arrest": "-1",
    "c_charge_degree": "F",
    "c_charge_desc": "Grand Theft, invented",
    "is_recid": "1",
    "score_text": "Low",
    "two_year_recid": "1",
}


@pytest.fixture(scope="module")
def real(raw: Callable[..., Path]) -> pd.DataFrame:
    return data.read("compas", raw("compas", compas.FILE), checksums=compas.CHECKSUMS)


def write(folder: Path, *changes: dict[str, str], header: tuple[str, ...] = HEADER) -> Path:
    """Write one person for each set of changes."""
    with (folder / compas.FILE).open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(header)
        lines.writerows([{**PERSON, **change}.get(name, "") for name in header] for change in changes)
    return folder


def test_the_published_counts(real: pd.DataFrame) -> None:
    """ProPublica's notebook: 6,172 rows after its filter; 3,175 African-American, 1,175 women, 2,809 charged again."""
    assert len(real) == 6_172
    assert (real["race"] == "African-American").sum() == 3_175
    assert (real["sex"] == "Female").sum() == 1_175
    assert real["two_year_recid"].sum() == 2_809
    assert real["age_cat"].value_counts().to_dict() == {
        "25 - 45": 3_532,
        "Less than 25": 1_347,
        "Greater than 45": 1_293,
    }


def test_the_filter_agrees_with_one_written_down_for_the_real_file(
    real: pd.DataFrame, raw: Callable[..., Path]
) -> None:
    everybody = pd.read_csv(raw("compas", compas.FILE) / compas.FILE, keep_default_na=False, na_values=[""])
    kept = everybody.query(
        "-30 <= days_b_screening_arrest <= 30 and is_recid != -1 and c_charge_degree != 'O' and score_text != 'N/A'"
    )
    expected = kept[real.columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(real, expected, check_dtype=False)


def test_the_real_rows_fit_the_schema(real: pd.DataFrame) -> None:
    CompasTable.validate(real)


def test_nothing_that_names_a_person_or_follows_from_the_score_is_kept(tmp_path: Path) -> None:
    table = compas.read(write(tmp_path, {}))
    assert tuple(table.columns) == (*compas.FEATURES, compas.LABEL)
    assert not [name for name in table if "score" in name or "desc" in name or name.startswith(("is_", "v", "r_"))]


@pytest.mark.parametrize(
    "change",
    [
        {"days_b_screening_arrest": "31"},
        {"days_b_screening_arrest": "-31"},
        {"days_b_screening_arrest": ""},
        {"is_recid": "-1"},
        {"c_charge_degree": "O"},
        {"score_text": "N/A"},
        {"score_text": ""},
    ],
)
def test_who_is_left_out(tmp_path: Path, change: dict[str, str]) -> None:
    edge = {"age": "20", "days_b_screening_arrest": "30"}
    assert compas.read(write(tmp_path, {}, change, edge))["age"].tolist() == [34, 20]
    with pytest.raises(InputError, match=r"none of 1 rows passes ProPublica's filter"):
        compas.read(write(tmp_path, change))


def test_the_first_of_two_columns_with_one_name_counts(tmp_path: Path) -> None:
    write(tmp_path, {})
    path = tmp_path / compas.FILE
    lines = path.read_text().splitlines()
    fields = next(csv.reader([lines[1]]))
    fields[HEADER.index("priors_count")] = "9"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([HEADER, fields])
    assert compas.read(tmp_path)["priors_count"].tolist() == [9]


def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"two-years\.csv: no such file; `kedro run --pipelines=fetch_compas` gets"):
        compas.read(tmp_path)


def test_one_altered_byte_is_noticed(tmp_path: Path, raw: Callable[..., Path]) -> None:
    content = bytearray((raw("compas", compas.FILE) / compas.FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / compas.FILE).write_bytes(content)
    with pytest.raises(InputError, match=rf"found SHA-256 .*expected {compas.CHECKSUMS[compas.FILE][:12]}"):
        compas.read(tmp_path, checksums=compas.CHECKSUMS)


@pytest.mark.parametrize("name", ["c_charge_degree", "is_recid", "two_year_recid"])
def test_a_renamed_column_is_noticed(tmp_path: Path, name: str) -> None:
    header = tuple(f"{column}s" if column == name else column for column in HEADER)
    with pytest.raises(InputError, match=rf"the column '{name}' is missing or renamed \(did you mean '{name}s'\?\)"):
        compas.read(write(tmp_path, {}, header=header))


def test_a_column_that_stands_twice_and_should_not(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the header names 'age' more than once"):
        compas.read(write(tmp_path, {}, header=(*HEADER, "age")))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"age": "old"}, r"column 'age' has 'old' in row 1 .*expected a whole number"),
        ({"days_b_screening_arrest": "soon"}, r"column 'days_b_screening_arrest' has 'soon' in row 1"),
        ({"two_year_recid": "2"}, r"column 'two_year_recid' has 2 in 1 rows, expected 0 or 1"),
    ],
)
def test_a_wrong_value_is_refused(tmp_path: Path, change: dict[str, str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        compas.read(write(tmp_path, {}, change))


def test_a_file_cut_in_the_middle_of_a_line_is_noticed_without_checksums(tmp_path: Path) -> None:
    path = write(tmp_path, {}, {}) / compas.FILE
    path.write_text(path.read_text()[:-20])
    with pytest.raises(InputError, match=r"line 3 has \d+ fields, expected 53; the file is truncated or altered"):
        compas.read(tmp_path)
