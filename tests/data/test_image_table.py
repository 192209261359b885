"""Images that a table of paths names."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from counterpoise.data import read
from counterpoise.errors import InputError


class TestImageTable:
    """The user's own images."""

    def test_the_image_comes_first_and_values_stay_as_written(self, tmp_path: Path) -> None:
        (tmp_path / "images.csv").write_text("sex,image,hair\nf,a/1.jpg,wavy\nm,2.jpg,\nm,a/3.jpg,straight\n")
        found = read("image_table", tmp_path)
        assert list(found.columns) == ["image", "sex", "hair"]
        assert found.to_numpy().tolist() == [["a/1.jpg", "f", "wavy"], ["a/3.jpg", "m", "straight"]]
        assert found.index.equals(pd.RangeIndex(2))

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ("images,sex\n1.jpg,f\n", r"no column 'image' \(did you mean 'images'\?\)"),
            ("image,sex\n1.jpg,f\n1.jpg,m\n", r"names '1\.jpg' twice"),
            ("image,sex\n../1.jpg,f\n", r"names '\.\./1\.jpg', which leads out of the folder, expected a path inside"),
            (
                "image,sex\n/etc/1.jpg,f\n",
                r"names '/etc/1\.jpg', which leads out of the folder, expected a path inside",
            ),
            ("image,sex\na/1.jpg,f\na/./1.jpg,m\n", r"names 'a/\./1\.jpg' twice"),
        ],
    )
    def test_a_table_that_cannot_be_used(self, tmp_path: Path, content: str, sentence: str) -> None:
        (tmp_path / "own.csv").write_text(content)
        with pytest.raises(InputError, match=rf"own\.csv: {sentence}"):
            read("image_table", tmp_path, file="own.csv")

    def test_an_absent_table(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"images\.csv"):
            read("image_table", tmp_path)
