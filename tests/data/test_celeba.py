"""CelebA's official layout: read as it is, and refused with the line's number where it is not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from counterpoise.data import celeba, read
from counterpoise.data.images import check_images
from counterpoise.errors import InputError

ROWS = ["000001.jpg -1  1", "000002.jpg  1 -1", "000003.jpg  1  1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, two attributes; one image in each official part."""
    (tmp_path / celeba.IMAGES).mkdir()
    for number in (1, 2, 3):
        (tmp_path / celeba.IMAGES / f"00000{number}.jpg").touch()
    (tmp_path / celeba.ATTRIBUTES).write_text("\n".join(["3", "Male Wavy_Hair ", *ROWS, ""]))
    (tmp_path / celeba.PARTITION).write_text("000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n")
    return tmp_path


def rewrite(folder: Path, *lines: str) -> None:
    (folder / celeba.ATTRIBUTES).write_text("\n".join(lines) + "\n")


def test_minus_one_is_absent_and_one_is_present(folder: Path) -> None:
    table = read("celeba", folder)
    assert list(table.columns) == ["image", "Male", "Wavy_Hair"]
    assert list(table["image"]) == [f"img_align_celeba/00000{number}.jpg" for number in (1, 2, 3)]
    assert list(table["Male"]) == [0, 1, 1]
    assert list(table["Wavy_Hair"]) == [1, 0, 1]
    assert table.index.equals(pd.RangeIndex(3))


@pytest.mark.parametrize(("partition", "image"), [("train", 1), ("validation", 2), ("test", 3)])
def test_an_official_part(folder: Path, partition: str, image: int) -> None:
    table = celeba.read(folder, partition=partition)
    assert list(table["image"]) == [f"img_align_celeba/00000{image}.jpg"]
    assert table.index.equals(pd.RangeIndex(1))


def test_the_partition_file_is_needed_only_for_a_part(folder: Path) -> None:
    (folder / celeba.PARTITION).unlink()
    assert len(celeba.read(folder)) == 3
    with pytest.raises(InputError, match=r"list_eval_partition\.txt: no such file; download"):
        celeba.read(folder, partition="test")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("000001.jpg 0\n000002.jpg 7\n", r"line 2: reads '000002.jpg 7', expected an image's name and 0, 1 or 2"),
        ("000001.jpg 0\n", r"no line for img_align_celeba/000002\.jpg"),
        ("000001.jpg 0\n000002.jpg 0\n000003.jpg 0\n", "none of the 3 images into the test part"),
    ],
)
def test_a_bad_partition_file(folder: Path, content: str, sentence: str) -> None:
    (folder / celeba.PARTITION).write_text(content)
    with pytest.raises(InputError, match=sentence):
        celeba.read(folder, partition="test")


def test_an_unknown_part(folder: Path) -> None:
    with pytest.raises(InputError, match=r"'tests' is unknown.*'test'"):
        celeba.read(folder, partition="tests")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["Male Wavy_Hair", *ROWS], "must begin with the number of images"),
        (["3", "Male Male", *ROWS], "line 2: names an attribute twice"),
        (["3", "Male Wavy_Hair", ROWS[0], "000002.jpg 1", ROWS[2]], "line 4: has 1 values, expected 2"),
        (["3", "Male Wavy_Hair", ROWS[0], "", ROWS[2]], "line 4: has 0 values, expected 2"),
        (["3", "Male Wavy_Hair", *ROWS[:2], "000003.jpg 1 0"], "line 5: holds '0', expected 1 or -1"),
        (["3", "Male Wavy_Hair", *ROWS[:2], ROWS[0]], r"line 5: names 000001\.jpg a second time"),
        (["3", "Male Wavy_Hair", *ROWS[:2]], "holds 2 rows, expected 3"),
    ],
)
def test_a_malformed_attribute_file_is_named_with_the_line(folder: Path, lines: list[str], sentence: str) -> None:
    rewrite(folder, *lines)
    with pytest.raises(InputError, match=rf"list_attr_celeba\.txt.*{sentence}"):
        celeba.read(folder)


def test_absent_data_say_what_to_download_under_which_terms_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        celeba.read(tmp_path / "celeba")
    for part in ("mmlab.ie.cuhk.edu.hk/projects/CelebA.html", "non-commercial research only", str(tmp_path / "celeba")):
        assert part in str(caught.value)


def test_absent_image_folder(folder: Path) -> None:
    for image in (folder / celeba.IMAGES).iterdir():
        image.unlink()
    (folder / celeba.IMAGES).rmdir()
    with pytest.raises(InputError, match="img_align_celeba: no such folder; download"):
        celeba.read(folder)


def test_a_row_without_image_is_kept_and_handed_on(folder: Path) -> None:
    (folder / celeba.IMAGES / "000002.jpg").unlink()
    table = celeba.read(folder)
    assert len(table) == 3
    assert list(check_images(table, folder)) == ["img_align_celeba/000002.jpg"]


def test_images_without_row_are_refused_above_the_limit_and_logged_below(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / celeba.IMAGES / "000004.jpg").touch()
    with pytest.raises(InputError, match=r"1 of 4 images have no row in list_attr_celeba\.txt \(.*000004\.jpg\)"):
        celeba.read(folder)
    with caplog.at_level(logging.WARNING):
        assert len(celeba.read(folder, max_bad_fraction=0.25)) == 3
    assert "1 of 4 images have no row" in caplog.text


def test_a_wrong_checksum(folder: Path) -> None:
    with pytest.raises(InputError, match=r"list_attr_celeba\.txt: found SHA-256"):
        celeba.read(folder, checksums={celeba.ATTRIBUTES: "0" * 64})


def test_the_real_sample(raw: Callable[[str], Path]) -> None:
    folder = raw("celeba")
    table = celeba.read(folder)
    assert len(table) == 10_000
    assert table.shape[1] == 41
    assert not check_images(table, folder)
    # Counts that the description of the sample gives.
    men, women = table[table["Male"] == 1], table[table["Male"] == 0]
    assert men["Heavy_Makeup"].sum() == 12
    assert (women["Blond_Hair"].sum(), men["Blond_Hair"].sum()) == (1371, 81)
    assert women["Wavy_Hair"].mean() == pytest.approx(0.45, abs=0.005)
    assert men["Wavy_Hair"].mean() == pytest.approx(0.14, abs=0.005)
    assert len(celeba.read(folder, partition="train")) == 10_000
