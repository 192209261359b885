"""What an artifact was made from: a record beside each file, and the differences of two origins.

`<folder>/.lineage/<file>.json` belongs to `<folder>/<file>`. It travels with the folder, says what every stage up to
the artifact has read, and holds the SHA-256 of the file's contents: a file that is not the one the record speaks of is
noticed where it is read. Nothing in a record depends on the time, so that equal runs leave equal records.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from counterpoise.errors import InputError

FOLDER = ".lineage"
"""The folder beside the artifacts that holds their records."""

NO_INFLUENCE = frozenset({"compute"})
"""Parameters that say where the work is done, not what: results do not depend on them."""

NO_INFLUENCE_WITHIN = {"datasets": frozenset({"limits"}), "backbones": frozenset({"verify"})}
"""Settings within blocks, by kind of block, that decide whether a run ends in a sentence, and nothing else."""

_ABSENT = object()

BYTECODE = "__pycache__"


@dataclass(frozen=True)
class Origin:
    """What an artifact is made from, known before it is made.

    Attributes:
        node: the node that makes it.
        parameters: what this node and all before it read, by the path of the block in conf/: `datasets.adult`, `seeds`.
        raw: name of a folder of raw files → digest of their contents.
    """

    node: str
    parameters: Mapping[str, Any]
    raw: Mapping[str, str]


@dataclass(frozen=True)
class Record(Origin):
    """The origin of an artifact that is there, and its contents.

    Attributes:
        artifact: its name in the catalog.
        runs: the runs that made it and what it is made from, in order; see `Recorder.run`.
        inputs: artifact → SHA-256 of the contents that were read to make this one.
        sha256: of the artifact's own contents.
    """

    artifact: str
    runs: tuple[Mapping[str, Any], ...]
    inputs: Mapping[str, str]
    sha256: str

    @property
    def code(self) -> tuple[str, ...]:
        """Digests of the package's source in the runs that made it, sorted."""
        return tuple(sorted({run["code"] for run in self.runs}))

    @property
    def digest(self) -> str:
        """The lineage as 64 hexadecimal digits: equal for artifacts of the same parameters, raw data, inputs, code."""
        named = (self.artifact, self.node, self.parameters, self.raw, self.inputs, self.code)
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()

    def text(self) -> str:
        """Return the record as it is stored."""
        return json.dumps(asdict(self) | {"digest": self.digest}, indent=1, sort_keys=True)


def record_path(path: PurePosixPath) -> PurePosixPath:
    """Return where the record of the file or folder at `path` stands."""
    return path.parent / FOLDER / f"{path.name}.json"


def parse_record(text: str, where: object) -> Record:
    """Read a stored record.

    Raises:
        InputError: it is damaged: no JSON, a key is missing, or the digest is not that of what it says.
    """
    try:
        stored = json.loads(text)
        digest = stored.pop("digest")
        record = Record(**stored | {"runs": tuple(stored["runs"])})
        intact = record.digest == digest
    except (ValueError, TypeError, KeyError, AttributeError):
        intact = False
    if not intact:
        raise InputError(f"{where}: is damaged, expected the record of what an artifact was made from")
    return record


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's file names and contents; 64 hexadecimal digits.

    Bytecode does not count: Python puts it beside the code of an exported model whenever somebody loads that.
    """
    if path.is_dir():
        total = hashlib.sha256()
        for file in sorted(file for file in path.rglob("*") if file.is_file() and file.parent.name != BYTECODE):
            total.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\0".encode())
        return total.hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def source_digest(package: Path) -> str:
    """Return the digest of a package's own source files: what a lineage calls the version of the code."""
    total = hashlib.sha256()
    for file in sorted(package.rglob("*")):
        if file.is_file() and file.suffix in {".py", ".j2", ".css", ".js", ".csv"}:
            total.update(f"{file.relative_to(package).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return total.hexdigest()


def merged(origins: Iterable[Origin]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the parameters and the raw data of several origins together."""
    parameters: dict[str, Any] = {}
    raw: dict[str, str] = {}
    for origin in origins:
        parameters |= origin.parameters
        raw |= origin.raw
    return parameters, raw


@dataclass(frozen=True)
class Difference:
    """A setting in which an artifact differs from what the parameters imply."""

    block: str
    setting: str
    before: object
    now: object

    def __str__(self) -> str:
        return f"{self.setting} = {_short(self.before)}, the parameters now say {_short(self.now)}"


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield the settings that differ between two sets of blocks, in order of their paths."""
    for block in sorted({*before, *now} - NO_INFLUENCE):
        sides = (_influential(block, blocks.get(block, _ABSENT)) for blocks in (before, now))
        for setting, value, other in _leaves(block, *sides):
            yield Difference(block, setting, value, other)


def _influential(block: str, value: Any) -> Any:
    """Return a block without the settings that results do not depend on."""
    without = NO_INFLUENCE_WITHIN.get(block.partition(".")[0], frozenset())
    return {key: item for key, item in value.items() if key not in without} if isinstance(value, Mapping) else value


def _leaves(path: str, before: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            yield from _leaves(f"{path}.{key}", before.get(key, _ABSENT), now.get(key, _ABSENT))
    elif before is _ABSENT or now is _ABSENT or before != now:
        yield path, before, now


def _short(value: object) -> str:
    if value is _ABSENT:
        return "nothing"
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


_LONGEST = 60  # characters of a value that a sentence shows
