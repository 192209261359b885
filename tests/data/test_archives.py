"""Archives: honest ones come out whole, hostile and damaged ones leave nothing behind."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from counterpoise.data.archives import extract
from counterpoise.data.boundary import Limits
from counterpoise.errors import InputError

CONTENT = {"faces/a/1.jpg": b"one", "faces/b/2.jpg": b"two" * 1000}


def zip_of(path: Path, files: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda _: None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            change(entry)
            archive.writestr(entry, content)
    return path


def tar_of(path: Path, files: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] = lambda _: None) -> Path:
    mode = {"tar": "w", "tgz": "w:gz", "xz": "w:xz", "bz2": "w:bz2"}[path.name.rpartition(".")[2]]
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            change(entry)
            archive.addfile(entry, io.BytesIO(content))
    return path


def deflate(entry: zipfile.ZipInfo) -> None:
    entry.compress_type = zipfile.ZIP_DEFLATED


def assert_refused(archive: Path, folder: Path, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        extract(archive, folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz", "a.tar.xz"])
def test_an_honest_archive_comes_out_whole(tmp_path: Path, name: str) -> None:
    make = zip_of if name.endswith("zip") else tar_of
    extract(make(tmp_path / name, CONTENT), tmp_path / "out")
    found = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.*")}
    assert {name: path.read_bytes() for name, path in found.items()} == CONTENT


@pytest.mark.parametrize("make", [zip_of, tar_of])
@pytest.mark.parametrize("name", ["../evil", "ok/../../evil", "/evil", "C:/evil", "C:evil", "..\\evil", "\\evil"])
def test_an_entry_that_leads_out_is_refused_with_the_whole_archive(
    tmp_path: Path, make: Callable[..., Path], name: str
) -> None:
    archive = make(tmp_path / "a.tar", {**CONTENT, name: b"evil"})
    assert_refused(archive, tmp_path / "out", "leads out of the folder|has a backslash")
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar(tmp_path: Path, kind: bytes) -> None:
    def change(entry: tarfile.TarInfo) -> None:
        entry.type, entry.linkname, entry.size = kind, "/etc", 0

    assert_refused(tar_of(tmp_path / "a.tar", {"link": b""}, change), tmp_path / "out", "'link' is a link or a device")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip(tmp_path: Path, kind: int) -> None:
    def change(entry: zipfile.ZipInfo) -> None:
        entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16  # 3: made on Unix

    assert_refused(zip_of(tmp_path / "a.zip", {"link": b"/etc"}, change), tmp_path / "out", "'link' is a link")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_a_path_that_is_both_file_and_folder(tmp_path: Path, make: Callable[..., Path]) -> None:
    assert_refused(make(tmp_path / "a.tar", {"a": b"x", "a/b": b"y"}), tmp_path / "out", "occurs twice")


def test_a_path_that_occurs_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"x")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a", b"y")
    assert_refused(tmp_path / "a.zip", tmp_path / "out", "occurs twice")


@pytest.mark.parametrize("name", ["a.tgz", "a.zip"])
def test_a_truncated_archive_leaves_nothing(tmp_path: Path, name: str) -> None:
    whole = (zip_of if name == "a.zip" else tar_of)(tmp_path / name, CONTENT).read_bytes()
    (tmp_path / name).write_bytes(whole[:-60])
    assert_refused(tmp_path / name, tmp_path / "out", "cannot be read|neither a zip nor a tar")


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", CONTENT)
    archive.write_bytes(archive.read_bytes().replace(b"two", b"twp", 1))
    assert_refused(archive, tmp_path / "out", r"cannot be read .*CRC")


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.tar.xz"])
def test_a_damaged_header_is_not_the_end(tmp_path: Path, name: str) -> None:
    """tarfile takes a header whose checksum is wrong for the end of the archive."""
    plain = tar_of(tmp_path / "plain.tar", CONTENT).read_bytes()
    second = plain.index(b"faces/b/2.jpg")
    damaged = plain[: second + 3] + b"X" + plain[second + 4 :]
    pack = {"tar": bytes, "tgz": gzip.compress, "xz": lzma.compress}[name.rpartition(".")[2]]
    (tmp_path / name).write_bytes(pack(damaged))
    assert_refused(tmp_path / name, tmp_path / "out", "does not end where its last entry does")


def test_a_changed_byte_in_a_packed_tar_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    """Also behind the last entry, where nobody would read: the packer's checksum stands there."""
    archive = tar_of(tmp_path / "a.tgz", CONTENT)
    content = bytearray(archive.read_bytes())
    content[-6] ^= 1  # of the CRC-32 (RFC 1952)
    archive.write_bytes(content)
    assert_refused(archive, tmp_path / "out", "cannot be read .*CRC")


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = zip_of(tmp_path / "inner.zip", {"evil": b"x"}).read_bytes()
    extract(tar_of(tmp_path / "a.tar", {"inner.zip": inner}), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["inner.zip"]


@pytest.mark.parametrize("make", [zip_of, tar_of])
@pytest.mark.parametrize(
    ("name", "problem"),
    [("x" * 256, "has a part of 256 bytes"), ("d/" * 2000 + "x", "is 4,001 bytes long")],
)
def test_names_that_no_disk_can_hold(tmp_path: Path, make: Callable[..., Path], name: str, problem: str) -> None:
    assert_refused(make(tmp_path / "a.tar", {**CONTENT, name: b""}), tmp_path / "out", problem)


def test_the_folder_itself_may_be_an_entry(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        entry = tarfile.TarInfo("./")
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
        archive.addfile(tarfile.TarInfo("./a"))
    extract(tmp_path / "a.tar", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["a.zip", "a.tgz", "a.tar.xz", "a.tar.bz2"])
def test_an_archive_that_grows_a_thousandfold_is_refused(tmp_path: Path, name: str) -> None:
    packed = zip_of if name == "a.zip" else tar_of
    archive = packed(tmp_path / name, {"zeros": bytes(3_000_000)}, deflate if name == "a.zip" else lambda _: None)
    assert archive.stat().st_size < 30_000
    with pytest.raises(InputError, match=r"unpacks to at least .*, expected at most 1,000,000 \(limits\.unpacked_b"):
        extract(archive, tmp_path / "out", limits=Limits(unpacked_bytes=1_000_000))
    assert not list((tmp_path / "out").iterdir())
    with pytest.raises(InputError, match=r"expected at most 10 \(limits\.file_bytes"):
        extract(archive, tmp_path / "out", limits=Limits(file_bytes=10))


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_empty_files_take_room_too(tmp_path: Path, make: Callable[..., Path]) -> None:
    archive = make(tmp_path / "a.tar", {f"{number}": b"" for number in range(100)})
    with pytest.raises(InputError, match=r"expected at most 100,000 \(limits\.unpacked_bytes"):
        extract(archive, tmp_path / "out", limits=Limits(unpacked_bytes=100_000))


def test_a_name_of_many_bytes_is_not_read(tmp_path: Path) -> None:
    """The name of a GNU tar's entry is an entry of its own, of any length; here it unpacks to 64 MB of zeros."""
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 1 << 26
    (tmp_path / "a.tgz").write_bytes(gzip.compress(entry.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 26)))
    assert_refused(tmp_path / "a.tgz", tmp_path / "out", "has an entry with a name of 67,108,864 bytes")


def test_no_archive_at_all(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>not found</html>")
    assert_refused(tmp_path / "page.html", tmp_path / "out", "neither a zip nor a tar archive")
    with pytest.raises(InputError, match="no such file"):
        extract(tmp_path / "absent.zip", tmp_path)


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", CONTENT)
    (tmp_path / "out" / "faces").mkdir(parents=True)
    with pytest.raises(InputError, match="faces exists already"):
        extract(archive, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["faces"]
