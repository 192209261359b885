"""Images of dated files: what is in them decides, not where they lie."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from counterpoise.data.dated_images import DIGEST, FILE, LOOKS, file_names, with_files
from counterpoise.errors import InputError


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
