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


OUTSIDE = {
    "": "is empty",
    ".": "is empty",
    "/etc/passwd": "leads out of the folder",
    "../a": "leads out of the folder",
    "a/../../b": "leads out of the folder",
    "a/..": "leads out of the folder",
    "..\\a": "has a backslash",
    "photos\\1.jpg": "has a backslash, expected .*'/' between its parts",
    "C:/a": "leads out of the folder",
    "C:a": "leads out of the folder",
    "a\0b": "holds a null byte",
    "a\ud800": "is not valid text",
    "x" * 256: "has a part of 256 bytes",
    "é" * 128: "has a part of 256 bytes",
    "d/" * 2000 + "x": "is 4,001 bytes long",
}


@pytest.mark.parametrize("name", OUTSIDE, ids=[str(number) for number in range(len(OUTSIDE))])
def test_a_name_that_is_no_path_inside_is_refused_alone_and_among_others(tmp_path: Path, name: str) -> None:
    for refuse in (
        lambda: files.inside(tmp_path, name, source="list.txt"),
        lambda: files.require_inside(tmp_path, ["a.png", name], source="list.txt"),
    ):
        with pytest.raises(InputError, match=OUTSIDE[name]) as caught:
            refuse()
        sentence = str(caught.value)
        assert sentence.startswith("list.txt: names ")
        assert len(sentence.splitlines()) == 1
        assert len(sentence) < 300


@pytest.mark.parametrize("name", ["a", "a/b.png", "..a/b..", "a b/ü.png", "x" * 255, "./a", "a//b"])
def test_a_name_inside_is_a_path_whether_or_not_anything_is_there(tmp_path: Path, name: str) -> None:
    assert files.inside(tmp_path, name) == tmp_path / name
    files.require_inside(tmp_path, [name])


@pytest.mark.parametrize("name", ["file.png", "sub/file.png", "linked/file.png", "broken.png"])
def test_a_link_that_leads_out_is_refused_alone_and_among_others(tmp_path: Path, name: str) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "data"
    outside.mkdir()
    (folder / "sub").mkdir(parents=True)
    (outside / "file.png").touch()
    (folder / "file.png").symlink_to(outside / "file.png")
    (folder / "sub" / "file.png").symlink_to("../../outside/file.png")
    (folder / "linked").symlink_to(outside)
    (folder / "broken.png").symlink_to(outside / "nothing")
    with pytest.raises(InputError, match=r"leads out of .* through a link"):
        files.inside(folder, name)
    with pytest.raises(InputError, match=r"leads out of .* through a link"):
        files.require_inside(folder, ["good.png", name])
    with pytest.raises(InputError, match=r"leads out of .* through a link"):
        files.verify(folder, {name: None})


def test_a_link_to_itself_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    files.require_inside(tmp_path, ["loop", "loop/1.png"])
    assert not files.inside(tmp_path, "loop/1.png").is_file()


def test_the_folder_itself_and_links_that_stay_inside_may_be_links(tmp_path: Path) -> None:
    (tmp_path / "disk" / "images").mkdir(parents=True)
    (tmp_path / "disk" / "images" / "1.png").touch()
    (tmp_path / "disk" / "also").symlink_to("images")
    (tmp_path / "disk" / "first.png").symlink_to("images/1.png")
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    names = ["images/1.png", "also/1.png", "first.png"]
    files.require_inside(tmp_path / "data", names)
    assert all(files.inside(tmp_path / "data", name).is_file() for name in names)
