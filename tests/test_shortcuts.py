"""What tests share is what each of them would have made, and none can spoil it for the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DatasetError
from shortcuts import LONGEST_FIRST

from counterpoise.artifacts.datasets import GeneratedFolder
from counterpoise.config.loader import ConfigLoader
from counterpoise.data.generate.adult import write_adult
from counterpoise.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parents[1] / "conf"
OPTIONS = {"rows": 400, "seed": 3}


def test_what_one_test_does_to_its_configuration_no_other_sees() -> None:
    def read() -> dict[str, object]:
        return ConfigLoader(str(CONF), env="smoke", **CONFIG_LOADER_ARGS)["catalog"]

    first = read()
    expected = dict(first)
    first.clear()
    assert read() == expected != {}


def test_generated_data_are_those_of_the_generator_and_a_copy(tmp_path: Path) -> None:
    def generate(name: str) -> dict[str, bytes]:
        folder = GeneratedFolder(str(tmp_path / name), "counterpoise.data.generate.adult.write_adult", OPTIONS).load()
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    write_adult(tmp_path / "directly", **OPTIONS)
    expected = {file.name: file.read_bytes() for file in (tmp_path / "directly").iterdir()}
    assert generate("first") == expected
    for file in (tmp_path / "first").iterdir():
        file.write_bytes(b"damaged")
    assert generate("second") == expected


def test_a_folder_with_real_data_is_refused_as_ever(tmp_path: Path) -> None:
    (tmp_path / "law.csv").touch()
    with pytest.raises(DatasetError, match="holds files that were not drawn here"):
        GeneratedFolder(str(tmp_path), "counterpoise.data.generate.tables.write_law").load()


def test_files_that_begin_are_there() -> None:
    assert [name for name in LONGEST_FIRST if not (CONF.parent / "tests" / name).is_file()] == []
