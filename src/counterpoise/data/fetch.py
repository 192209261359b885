"""Downloads: resumed where they broke off, checked before they get their name, unpacked without leaving their folder.

pooch checks and names the files; its own downloader starts afresh after every break, so that the bytes come through one
that resumes. LFW+a and COMPAS may be fetched automatically. CelebA's terms are the user's to accept: it is fetched only
when they are.
"""

from __future__ import annotations

import http.client
import logging
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pooch

from counterpoise.data import celeba, compas, lfw
from counterpoise.data.archives import extract
from counterpoise.data.boundary import LIMITS
from counterpoise.data.files import sha256
from counterpoise.errors import InputError, suggest

ATTEMPTS = 4
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Remote:
    """A file to fetch. `checksum` is `"sha256:…"` or `"md5:…"`, or None where its publisher gives none."""

    name: str
    url: str
    checksum: str | None


#: The archive's MD5 is the one torchvision publishes; the attribute file has none. As torchvision reports, the host
#: no longer serves programs: `urls` of `fetch_lfwa` names a mirror, which must deliver the same bytes.
LFWA = (
    Remote(
        f"{lfw.IMAGES}.tgz",
        "http://vis-www.cs.umass.edu/lfw/lfw-deepfunneled.tgz",
        "md5:68331da3eb755a505a502b5aacb3c201",
    ),
    Remote(lfw.ATTRIBUTES, "http://www.cs.columbia.edu/CAVE/databases/pubfig/download/lfw_attributes.txt", None),
)

#: From ProPublica's repository, at one commit.
COMPAS = Remote(
    compas.FILE,
    "https://raw.githubusercontent.com/propublica/compas-analysis/c062fbb5fa84f6c99d82f432c46b405f3a0ca5ec/"
    + compas.FILE,
    f"sha256:{compas.CHECKSUMS[compas.FILE]}",
)


def fetch(dataset: str, folder: Path, **options: Any) -> None:
    """Fetch `dataset` (celeba, compas or lfwa) into `folder`, with the options of its function."""
    if dataset not in FETCHERS:
        raise InputError(f"dataset: {dataset!r} cannot be fetched{suggest(dataset, FETCHERS)}")
    FETCHERS[dataset](folder, **options)


def fetch_lfwa(
    folder: Path,
    *,
    urls: Mapping[str, str] | None = None,
    checksums: Mapping[str, str] | None = None,
    trust_first_use: bool = False,
    unpacked_bytes: int = LIMITS.unpacked_bytes,
) -> None:
    """Fetch LFW deep-funneled and its attributes, and unpack the images. What is there already is not fetched again.

    Args:
        urls: file name → address, for files that are not to come from their official one.
        checksums: file name → `"sha256:…"` or `"md5:…"`, for files without a published checksum.
        trust_first_use: as in `download`.
        unpacked_bytes: what the archive may unpack to.

    Raises:
        InputError: `urls` or `checksums` names another file; or as `download` and `archives.extract`.
    """
    names = [file.name for file in LFWA]
    for name in [*(urls or {}), *(checksums or {})]:
        if name not in names:
            raise InputError(f"{name!r} is not a file of LFW+a{suggest(name, names)}")
    archive, attributes = (
        Remote(file.name, (urls or {}).get(file.name, file.url), (checksums or {}).get(file.name, file.checksum))
        for file in LFWA
    )
    source = lfw.how_to_get(folder)
    download(attributes, folder, trust_first_use=trust_first_use, source=source)
    if (folder / lfw.IMAGES).is_dir():
        _log.info("%s is there already", folder / lfw.IMAGES)
        return
    fetched = download(archive, folder, trust_first_use=trust_first_use, source=source)
    extract(fetched, folder, limits=replace(LIMITS, unpacked_bytes=unpacked_bytes))


def fetch_celeba(folder: Path, *, accept_terms: bool = False) -> None:
    """Fetch CelebA with torchvision's downloader, if the user accepts its terms; otherwise say how to get it.

    Raises:
        InputError: the terms are not accepted (the sentence says what to do), or the download failed.
    """
    source = celeba.how_to_get(folder)
    if not accept_terms:
        raise InputError(f"CelebA is not fetched before its terms are accepted (accept_terms); or {source}")
    from torchvision.datasets import CelebA  # imported here: slow to import, and needed by nobody else in this room

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as aside:
        try:
            CelebA(aside, split="all", download=True)
        except (RuntimeError, OSError) as error:
            raise InputError(f"CelebA could not be fetched ({error}); {source}") from error
        for name in (celeba.IMAGES, celeba.PARTITION, celeba.ATTRIBUTES):  # the attributes last: readers look for them
            Path(aside, CelebA.base_folder, name).rename(folder / name)


def fetch_compas(folder: Path, *, url: str | None = None) -> None:
    """Fetch ProPublica's file, from `url` instead of ProPublica's repository if given; the checksum holds for both.

    Raises:
        InputError: as `download`.
    """
    download(replace(COMPAS, url=url or COMPAS.url), folder, source=compas.SOURCE)


FETCHERS: Mapping[str, Callable[..., None]] = {"celeba": fetch_celeba, "compas": fetch_compas, "lfwa": fetch_lfwa}


def download(remote: Remote, folder: Path, *, trust_first_use: bool = False, source: str = "") -> Path:
    """Fetch one file and return its path. A file that is there is fetched again only if its checksum is wrong.

    The bytes gather in `<name>.part`, which a later call continues, and get their name when the checksum is right. The
    checksum is `remote`'s, or the one in `<name>.sha256` from an earlier download. Where there is neither, the file is
    fetched only with `trust_first_use`: its SHA-256 is then written to `<name>.sha256`, and holds from there on.

    Raises:
        InputError: no checksum is known, the checksum differs, or the file could not be fetched; ends with `source`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / f"{remote.name}.sha256"
    checksum = remote.checksum or _recorded(record)
    hint = f"; {source}" if source else ""
    path = folder / remote.name
    if checksum is None and path.is_file():
        return path
    if checksum is None and not trust_first_use:
        raise InputError(
            f"{remote.name} has no published checksum: give its SHA-256 (checksums), or set trust_first_use to accept "
            f"the first download and hold later ones to it{hint}"
        )
    try:
        part = folder / f"{remote.name}.part"
        pooch.retrieve(remote.url, checksum, fname=remote.name, path=folder, downloader=partial(_resume, part))
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"{remote.url} could not be fetched ({error}), another call resumes it{hint}") from error
    except ValueError as error:  # how pooch says that the checksum differs; it has removed the file
        raise InputError(f"{remote.url} is not the file that was meant: {error}{hint}") from error
    if checksum is None:
        record.write_text(f"{sha256(path)}  {remote.name}\n", encoding="utf-8")
        _log.warning("%s has no published checksum: its SHA-256 is now recorded in %s", path, record)
    return path


def _recorded(record: Path) -> str | None:
    """Read the checksum of an earlier download, from a file as `sha256sum` writes it."""
    if not record.is_file():
        return None
    digest = re.match(rb"[0-9a-f]{64}\b", record.read_bytes())
    if digest is None:
        raise InputError(f"{record}: holds no SHA-256, expected 64 hexadecimal digits (or no such file, to start anew)")
    return f"sha256:{digest.group().decode()}"


def _resume(part: Path, url: str, output: str, _: object) -> None:
    """Download `url` to `output`, as pooch asks of a downloader, through the file `part`, which survives a failure.

    It is continued only if the server vouches, by the entity tag or date that came with its first bytes (RFC 9110,
    section 13.1.5, If-Range), that it still serves the same file.
    """
    if not url.startswith(("https://", "http://")):
        raise InputError(f"{url}: expected an address that begins with https:// or http://")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _continue(url, part)
            break
        except urllib.error.HTTPError as error:  # an answer, not a broken connection: asking again changes nothing
            error.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            if attempt == ATTEMPTS:
                raise
            _log.info("%s broke off (%s): resumed", url, error)
    _validator(part).unlink(missing_ok=True)
    part.replace(output)


def _validator(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _continue(url: str, part: Path) -> None:
    """Ask for the bytes that `part` lacks and append them, or start afresh if the server sends the whole file."""
    request = urllib.request.Request(url)
    if part.is_file() and _validator(part).is_file():
        request.add_header("Range", f"bytes={part.stat().st_size}-")
        request.add_header("If-Range", _validator(part).read_text(encoding="latin-1"))
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        part.unlink()  # it holds all the bytes, or more than all: which, only a fresh download tells
        response = urllib.request.urlopen(url, timeout=TIMEOUT)
    with response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {part.stat().st_size}-"):
            raise http.client.HTTPException("the server sent another range than was asked for")
        if not resumed:
            _remember(response.headers.get("ETag") or response.headers.get("Last-Modified"), part)
        expected = response.headers.get("Content-Length")
        received = 0
        with part.open("ab" if resumed else "wb") as stream:
            while chunk := response.read(CHUNK):
                received += stream.write(chunk)
    if expected is not None and received < int(expected):
        raise ConnectionError(f"{received:,} of {int(expected):,} bytes arrived")


def _remember(validator: str | None, part: Path) -> None:
    """Keep what identifies this version of the file. A weak tag (W/) identifies no bytes: nothing resumes from it."""
    if validator and not validator.startswith("W/"):
        _validator(part).write_text(validator, encoding="latin-1")
    else:
        _validator(part).unlink(missing_ok=True)
