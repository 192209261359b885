"""Files that are missing or not the ones that were meant are named, with what was found and what was expected."""

import hashlib
from pathlib import Path

import pytest

from counterpoise.data import files
from counterpoise.errors import InputError


def test_a_file_with_the_right_checksum_passes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"one\n")
    files.verify(tmp_path, {"a.csv": hashlib.sha256(b"one\n").hexdigest().upper()})
    files.verify(tmp_path, {"a.csv": None})


def test_a_missing_file_is_named_with_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv: no such file; ask the census"):
        files.verify(tmp_path, {"a.csv": None}, source="ask the census")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(InputError, match=r"a\.csv: no such file, expected a raw data file there"):
        files.verify(tmp_path, {"a.csv": None})


def test_a_truncated_file_is_told_by_checksum_and_size(tmp_path: Path) -> None:
    whole, part = b"one\ntwo\n", b"one\n"
    (tmp_path / "a.csv").write_bytes(part)
    with pytest.raises(InputError) as caught:
        files.verify(tmp_path, {"a.csv": hashlib.sha256(whole).hexdigest()})
    sentence = str(caught.value)
    assert "truncated or altered" in sentence
    assert "(4 bytes)" in sentence
    found, expected = (hashlib.sha256(content).hexdigest()[:12] for content in (part, whole))
    assert sentence.index(f"found SHA-256 {found}") < sentence.index(f"expected {expected}")


def test_what_is_no_checksum_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    with pytest.raises(InputError, match=r"'a\.csv' has 'abc', expected a SHA-256"):
        files.verify(tmp_path, {"a.csv": "abc"})


def test_writing_leaves_no_partial_file_and_does_not_touch_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.bin"
    files.write_bytes(path, b"first")
    before = path.stat().st_mtime_ns
    files.write_bytes(path, b"first")
    assert path.stat().st_mtime_ns == before
    files.write_bytes(path, b"second")
    assert path.read_bytes() == b"second"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.bin"]
