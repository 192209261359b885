"""Files of images: the same bytes under two names, and sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterpoise.data.audit import files_of
from counterpoise.errors import InputError


def test_the_same_bytes_have_the_same_number(tmp_path: Path) -> None:
    for name, content in {"a.png": b"one", "b.png": b"two", "c.png": b"one", "d.png": b"four"}.items():
        (tmp_path / name).write_bytes(content)
    found = files_of(tmp_path, ["a.png", "b.png", "c.png", "d.png", "a.png"])
    assert found is not None
    ids, sizes = found
    assert ids[0] == ids[2] == ids[4]
    assert len(set(ids)) == 3
    assert sizes.tolist() == [3, 3, 3, 4, 3]


def test_images_that_are_no_files_have_neither(tmp_path: Path) -> None:
    assert files_of(tmp_path, ["train/3/0001.png"]) is None


def test_no_path_leads_out_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.\."):
        files_of(tmp_path, ["../a.png"])
