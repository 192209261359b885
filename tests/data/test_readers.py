"""The registry: names, options, and what importing it costs."""

import subprocess
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

from counterpoise import data
from counterpoise.errors import InputError


@pytest.mark.parametrize("reader", data.READERS)
def test_every_reader_follows_the_protocol(reader: str) -> None:
    module, _, name = data.READERS[reader].partition(":")
    first, *options = signature(getattr(import_module(module), name)).parameters.values()
    assert first.name == "folder"
    assert "checksums" in [option.name for option in options]
    assert all(option.kind is option.KEYWORD_ONLY for option in options)


def test_an_unknown_reader_gets_the_closest_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"reader: 'adlut' is unknown \(did you mean 'adult'\?\)"):
        data.read("adlut", tmp_path)


def test_an_unknown_option_gets_the_closest_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"reader 'table': the option 'file' is unknown \(did you mean 'files'\?\)"):
        data.read("table", tmp_path, file=["a.csv"])


def test_an_option_without_default_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"reader 'table': the option 'files' is missing"):
        data.read("table", tmp_path)


def test_a_table_does_not_wait_for_torch() -> None:
    loaded = "import sys, counterpoise.data.adult, counterpoise.data.table; print({'torch', 'PIL'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
