"""Downloads over loopback: resumed after an interruption, refused without the right checksum."""

from __future__ import annotations

import hashlib
import io
import logging
import re
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from counterpoise.data import celeba, compas, fetch, lfw
from counterpoise.data.fetch import Remote, download
from counterpoise.errors import InputError

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
ATTRIBUTES = b"#\tlfw_attributes.txt\n#\tperson\timagenum\tMale\nAJ Cook\t1\t-1.0\n"


@dataclass
class Server:
    """What the server serves, how it misbehaves, and what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=lambda: {"/file.bin": CONTENT})
    etag: str | None = '"v1"'
    break_after: int | None = None  # bytes of each answer after which the connection breaks
    wrong_range: bool = False
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.requests.append((self.path, asked))
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = 0
            if asked and self.headers.get("If-Range") == state.etag:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                first = start + state.wrong_range
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            if state.etag:
                self.send_header("ETag", state.etag)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:][: state.break_after])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        state.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        running.shutdown()
        thread.join()


def remote(server: Server, checksum: str | None = SHA256) -> Remote:
    return Remote("file.bin", f"{server.url}/file.bin", checksum)


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        assert download(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.requests == [("/file.bin", None)]
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_a_broken_connection_is_resumed_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.break_after = 100_000
    assert download(remote(server), tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=100000-", "bytes=200000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def interrupt(server: Server, folder: Path) -> None:
    """Let a download fail after the four attempts of one call, with 40,000 bytes done."""
    server.break_after = 10_000
    with pytest.raises(InputError, match=r"could not be fetched \(10,000 of .* another call resumes it; get it here"):
        download(remote(server), folder, source="get it here")
    assert (folder / "file.bin.part").stat().st_size == 40_000
    assert not (folder / "file.bin").exists()
    server.break_after = None
    server.requests.clear()


def test_a_later_call_resumes_an_interrupted_download(server: Server, tmp_path: Path) -> None:
    interrupt(server, tmp_path)
    assert download(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.requests == [("/file.bin", "bytes=40000-")]


def test_a_file_that_changed_meanwhile_is_fetched_afresh(server: Server, tmp_path: Path) -> None:
    interrupt(server, tmp_path)
    server.etag, server.files["/file.bin"] = '"v2"', CONTENT[::-1]
    checksum = f"sha256:{hashlib.sha256(CONTENT[::-1]).hexdigest()}"
    assert download(remote(server, checksum), tmp_path).read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_nothing_is_resumed_from_a_server_that_cannot_vouch(server: Server, tmp_path: Path, etag: str | None) -> None:
    server.etag, server.break_after = etag, 100_000
    with pytest.raises(InputError, match="could not be fetched"):
        download(remote(server), tmp_path)
    assert [asked for _, asked in server.requests] == [None] * 4


def test_a_part_that_is_whole_already_or_too_long(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"?")
    (tmp_path / "file.bin.part.etag").write_text('"v1"')
    assert download(remote(server), tmp_path).read_bytes() == CONTENT


def test_a_server_that_sends_another_range(server: Server, tmp_path: Path) -> None:
    server.break_after, server.wrong_range = 100_000, True
    with pytest.raises(InputError, match="another range than was asked for"):
        download(remote(server), tmp_path)


def test_the_wrong_file_does_not_get_its_name(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not the file that was meant: SHA256 hash"):
        download(remote(server, f"sha256:{'0' * 64}"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(CONTENT[:-1])
    assert download(remote(server), tmp_path).read_bytes() == CONTENT


def test_without_a_checksum_only_on_request_and_from_then_on_held_to_it(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InputError, match=r"file\.bin has no published checksum: give its SHA-256"):
        download(remote(server, None), tmp_path)
    assert not server.requests
    with caplog.at_level(logging.WARNING):
        path = download(remote(server, None), tmp_path, trust_first_use=True)
    assert "is now recorded" in caplog.text
    assert (tmp_path / "file.bin.sha256").read_text() == f"{SHA256.removeprefix('sha256:')}  file.bin\n"
    path.unlink()
    server.files["/file.bin"] = b"something else"
    with pytest.raises(InputError, match="is not the file that was meant"):
        download(remote(server, None), tmp_path, trust_first_use=True)


def test_an_absent_page_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="404"):
        download(Remote("file.bin", f"{server.url}/gone.bin", SHA256), tmp_path)
    assert len(server.requests) == 1


def test_only_the_web_is_fetched_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected an address that begins with https://"):
        download(Remote("passwd", "file:///etc/passwd", SHA256), tmp_path)


def archive() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as opened:
        entry = tarfile.TarInfo("lfw-deepfunneled/AJ_Cook/AJ_Cook_0001.jpg")
        opened.addfile(entry, io.BytesIO())
    return stream.getvalue()


def test_lfwa_is_fetched_unpacked_and_readable(server: Server, tmp_path: Path) -> None:
    names = [file.name for file in fetch.LFWA]
    server.files = dict(zip([f"/{name}" for name in names], [archive(), ATTRIBUTES], strict=True))
    urls = {name: f"{server.url}/{name}" for name in names}
    checksums = {name: hashlib.sha256(server.files[f"/{name}"]).hexdigest() for name in names}
    with pytest.raises(InputError, match=r"unpacks to .* expected at most 10 \(limits\.unpacked_bytes"):
        fetch.fetch("lfwa", tmp_path, urls=urls, checksums=checksums, unpacked_bytes=10)
    for _ in range(2):
        fetch.fetch("lfwa", tmp_path, urls=urls, checksums=checksums)
    assert sorted(path for path, _ in server.requests) == sorted(server.files)
    assert list(lfw.read(tmp_path)["image"]) == ["lfw-deepfunneled/AJ_Cook/AJ_Cook_0001.jpg"]


def test_a_mirror_must_deliver_the_published_bytes(server: Server, tmp_path: Path) -> None:
    names = [file.name for file in fetch.LFWA]
    server.files = dict(zip([f"/{name}" for name in names], [archive(), ATTRIBUTES], strict=True))
    with pytest.raises(InputError, match="is not the file that was meant: MD5 hash"):
        fetch.fetch_lfwa(tmp_path, urls={name: f"{server.url}/{name}" for name in names}, trust_first_use=True)


def test_compas_is_fetched_from_a_mirror_that_must_deliver_the_published_bytes(
    server: Server, tmp_path: Path, raw: Callable[..., Path]
) -> None:
    server.files = {"/mirror.csv": b"id,name"}
    with pytest.raises(InputError, match="is not the file that was meant: SHA256 hash"):
        fetch.fetch("compas", tmp_path, url=f"{server.url}/mirror.csv")
    assert not (tmp_path / compas.FILE).exists()
    server.files = {"/mirror.csv": (raw("compas", compas.FILE) / compas.FILE).read_bytes()}
    fetch.fetch("compas", tmp_path, url=f"{server.url}/mirror.csv")
    assert len(compas.read(tmp_path)) == 6_172


def test_compas_comes_from_a_fixed_commit() -> None:
    assert re.fullmatch(
        r"https://raw\.githubusercontent\.com/.*/[0-9a-f]{40}/" + re.escape(compas.FILE), fetch.COMPAS.url
    )


def test_unknown_names() -> None:
    with pytest.raises(InputError, match=r"dataset: 'celebs' cannot be fetched \(did you mean 'celeba'\?\)"):
        fetch.fetch("celebs", Path())
    with pytest.raises(InputError, match=r"'lfw\.tgz' is not a file of LFW\+a"):
        fetch.fetch_lfwa(Path(), urls={"lfw.tgz": "https://example.org/lfw.tgz"})


def test_celeba_is_not_fetched_before_its_terms_are_accepted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"accept_terms.*mmlab\.ie\.cuhk\.edu\.hk.*non-commercial research only"):
        fetch.fetch("celeba", tmp_path / "celeba")
    assert not (tmp_path / "celeba").exists()


def stand_in(monkeypatch: pytest.MonkeyPatch, downloader: object) -> None:
    """Put `downloader` in the place of torchvision's, without the seconds that importing torchvision takes."""
    datasets = SimpleNamespace(CelebA=downloader)
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(datasets=datasets))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)


def test_celeba_is_laid_out_as_the_reader_expects_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Downloader:
        base_folder = "celeba"

        def __init__(self, root: str, *, split: str, download: bool) -> None:
            assert (split, download) == ("all", True)
            (Path(root) / "celeba" / celeba.IMAGES).mkdir(parents=True)
            (Path(root) / "celeba" / celeba.IMAGES / "000001.jpg").touch()
            (Path(root) / "celeba" / celeba.ATTRIBUTES).write_text("1\nMale\n000001.jpg 1\n")
            (Path(root) / "celeba" / celeba.PARTITION).write_text("000001.jpg 0\n")

    stand_in(monkeypatch, Downloader)
    fetch.fetch_celeba(tmp_path, accept_terms=True)
    assert len(celeba.read(tmp_path, partition="train")) == 1
    assert len(list(tmp_path.iterdir())) == 3


def test_a_failed_fetch_of_celeba_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("quota exceeded")

    stand_in(monkeypatch, fail)
    with pytest.raises(InputError, match=r"quota exceeded.*download img_align_celeba"):
        fetch.fetch_celeba(tmp_path, accept_terms=True)
    assert not list(tmp_path.iterdir())


def test_a_recorded_checksum_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    for content in (b"", b"\xff\xfe", b"abc  file\n"):
        (tmp_path / "a.txt.sha256").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.txt\.sha256: holds no SHA-256"):
            fetch.download(fetch.Remote("a.txt", "https://nowhere.invalid/a.txt", None), tmp_path)
