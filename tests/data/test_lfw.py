"""LFW+a's official layout: scores above zero are attributes, persons are folders."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from counterpoise.data import lfw, read
from counterpoise.data.images import check_images
from counterpoise.errors import InputError

HEADER = ["#\tlfw_attributes.txt", "#\tperson\timagenum\tMale\tHeavy Makeup"]
ROWS = ["AJ Cook\t1\t-1.5\t1.92", "Jean-Marc de La Sabliere\t12\t0.0\t-3.1", "AJ Cook\t2\t1e-3\t0.5"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "AJ_Cook/AJ_Cook_0001",
        "AJ_Cook/AJ_Cook_0002",
        "Jean-Marc_de_La_Sabliere/Jean-Marc_de_La_Sabliere_0012",
    ):
        path = tmp_path / lfw.IMAGES / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    rewrite(tmp_path, *HEADER, *ROWS)
    return tmp_path


def rewrite(folder: Path, *lines: str) -> None:
    (folder / lfw.ATTRIBUTES).write_text("\n".join(lines) + "\n")


def test_an_attribute_is_a_score_above_zero(folder: Path) -> None:
    table = read("lfwa", folder)
    assert list(table.columns) == ["image", "Male", "Heavy Makeup"]
    assert list(table["Male"]) == [0, 0, 1]  # a score of exactly zero is not above it
    assert list(table["Heavy Makeup"]) == [1, 0, 1]
    assert table.index.equals(pd.RangeIndex(3))


def test_person_and_number_name_the_file(folder: Path) -> None:
    table = lfw.read(folder)
    assert list(table["image"]) == [
        "lfw-deepfunneled/AJ_Cook/AJ_Cook_0001.jpg",
        "lfw-deepfunneled/Jean-Marc_de_La_Sabliere/Jean-Marc_de_La_Sabliere_0012.jpg",
        "lfw-deepfunneled/AJ_Cook/AJ_Cook_0002.jpg",
    ]
    assert not check_images(table, folder)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (ROWS, "no line names the columns"),
        ([*HEADER], "found no row"),
        ([HEADER[0], HEADER[1] + "\tMale", *ROWS], "names an attribute twice"),
        ([*HEADER, ROWS[0], "AJ Cook\t2\t1.0"], "line 4: has 1 scores after 'AJ Cook' and '2'"),
        ([*HEADER, "AJ Cook\tone\t1.0\t1.0"], "line 3: has 2 scores after 'AJ Cook' and 'one'"),
        ([*HEADER, "AJ Cook 1 1.0 1.0"], "line 3: .*separated by tabs"),
        ([*HEADER, "AJ Cook\t1\t1.0\thigh"], "line 3: holds a score that is not a number .*'high'"),
        ([*HEADER, "AJ Cook\t1\t1.0\tnan"], "line 3: holds a score that is not finite"),
        ([*HEADER, ROWS[0], ROWS[0]], "line 4: names image 1 of AJ Cook a second time"),
    ],
)
def test_a_malformed_attribute_file_is_named_with_the_line(folder: Path, lines: list[str], sentence: str) -> None:
    rewrite(folder, *lines)
    with pytest.raises(InputError, match=rf"lfw_attributes\.txt.*{sentence}"):
        lfw.read(folder)


def test_a_file_that_is_no_text(folder: Path) -> None:
    (folder / lfw.ATTRIBUTES).write_bytes(b"#\tperson\xff\xfe")
    with pytest.raises(InputError, match=r"lfw_attributes\.txt: not a text file in UTF-8, as byte 8 shows"):
        lfw.read(folder)


def test_absent_data_say_what_to_download_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        lfw.read(tmp_path / "lfw")
    for part in (
        "vis-www.cs.umass.edu/lfw",
        "www.cs.columbia.edu/CAVE/databases/pubfig",
        "research",
        str(tmp_path / "lfw"),
    ):
        assert part in str(caught.value)


def test_the_real_sample(raw: Callable[[str], Path], caplog: pytest.LogCaptureFixture) -> None:
    folder = raw("lfw")
    with caplog.at_level(logging.WARNING):
        table = lfw.read(folder)
    assert len(table) == 13_224
    assert "9 of 13233 images have no row" in caplog.text
    assert not check_images(table, folder)
    men, women = table[table["Male"] == 1], table[table["Male"] == 0]
    assert women["Heavy Makeup"].mean() == pytest.approx(0.74, abs=0.005)
    assert men["Heavy Makeup"].mean() == pytest.approx(0.10, abs=0.005)
