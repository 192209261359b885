"""What an artifact was made from: a record beside each file, the differences of two origins, and a run's recorder.

`<folder>/.lineage/<file>.json` belongs to `<folder>/<file>`. It travels with the folder, says what every stage up to
the artifact has read, and holds the SHA-256 of the file's contents: a file that is not the one the record speaks of is
noticed where it is read. Nothing in a record depends on the time, so that equal runs leave equal records.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
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


@dataclass
class Recorder:
    """The lineage of a run; the catalog's datasets ask it before they load, and tell it what they have saved.

    Args:
        run: what made the artifacts of this run: `command`, `environment`, `git_commit`, `code`, `versions`.
        values: path of a block of parameters → its present value; raises KeyError for one that is not there.
        raw: name of a folder of raw files → digest of what it holds now, None if it is not there.
        record_of: name of an artifact → its record on disk, None if there is none.
        origins: of the artifacts that the nodes of this run make.
        inputs: artifact → the artifacts that its node reads.
        remedy: artifact, block of parameters that differs or None → the command that makes it anew.
        saved: SHA-256 of what this run has saved. records: of everything saved or verified.
    """

    run: Mapping[str, Any]
    values: Callable[[str], Any]
    raw: Callable[[str], str | None]
    record_of: Callable[[str], Record | None]
    origins: Mapping[str, Origin]
    inputs: Mapping[str, tuple[str, ...]]
    remedy: Callable[[str, str | None], str]
    saved: dict[str, str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)

    def draft(self, artifact: str, sha256: str = "") -> Record | None:
        """Return the record of an artifact that is about to be written; None for one that no node of this run makes."""
        if (origin := self.origins.get(artifact)) is None:
            return None
        read = {name: self._record_of(name) for name in self.inputs[artifact]}
        earlier: list[Mapping[str, Any]] = []
        for record in filter(None, read.values()):
            earlier += [run for run in record.runs if run != self.run and run not in earlier]
        return Record(
            node=origin.node,
            parameters=origin.parameters,
            raw=origin.raw,
            artifact=artifact,
            runs=(*earlier, self.run),
            inputs={name: record.sha256 for name, record in read.items() if record is not None},
            sha256=sha256,
        )

    def record(self, artifact: str, sha256: str) -> Record | None:
        """Note that an artifact was written, and return its record as `draft` does."""
        if (record := self.draft(artifact, sha256)) is not None:
            self.saved[artifact], self.records[artifact] = sha256, record
        return record

    def _record_of(self, artifact: str) -> Record | None:
        return self.records.get(artifact) or self.record_of(artifact)

    def require(self, artifact: str, path: object, sha256: str) -> None:
        """Note that an artifact with these contents is about to be read.

        Raises:
            InputError: the contents are not those that were recorded, or were not made as the parameters imply.
        """
        if artifact in self.saved:
            if sha256 != self.saved[artifact]:
                raise InputError(
                    f"{path}: was changed by another program during this run, expected the file that the run had "
                    "written: run it again"
                )
            return
        record = self.record_of(artifact)
        if (reason := self.objection(artifact, record, sha256)) is not None:
            raise InputError(f"{path}: {reason}")
        assert record is not None
        self.records[artifact] = record

    def objection(self, artifact: str, record: Record | None, sha256: str) -> str | None:
        """Return why an artifact must not be used in this run, and what to do about it; None if it may."""
        if record is None:
            return f"has no record of what it was made from: run `{self.remedy(artifact, None)}`"
        if record.sha256 != sha256:
            return (
                f"is damaged or was altered, its contents are not those that were recorded when it was made: run "
                f"`{self.remedy(artifact, None)}`"
            )
        for difference in differences(record.parameters, self._implied(artifact, record)):
            return f"was made with {difference}: run `{self.remedy(artifact, difference.block)}`, or set it back"
        for name, digest in record.raw.items():
            if (now := self.raw(name)) is not None and now != digest:
                return f"was made from raw files that differ from those in {name}: run `{self.remedy(artifact, name)}`"
        return self._broken_chain(artifact, record, set())

    def is_current(self, artifact: str, sha256: str) -> bool:
        """Whether an artifact need not be made again: this run's code would make it from the same."""
        record = self.record_of(artifact)
        return (
            record is not None
            and self.objection(artifact, record, sha256) is None
            and record.code == (self.run["code"],)
            and record.runs[-1]["versions"] == self.run["versions"]
        )

    def _implied(self, artifact: str, record: Record) -> Mapping[str, Any]:
        """Return the parameters that the artifact would be made with now."""
        if artifact in self.origins:
            return self.origins[artifact].parameters
        implied = {}
        for path in record.parameters:
            try:
                implied[path] = self.values(path)
            except KeyError:
                continue
        return implied

    def _broken_chain(self, artifact: str, record: Record, seen: set[str]) -> str | None:
        """Return where an artifact's ancestors are no longer those that it was made from."""
        for name, sha256 in record.inputs.items():
            if name in seen:
                continue
            seen.add(name)
            other = self._record_of(name)
            if other is None:
                continue  # it was cleared away; the record of what it was made from is part of this one
            if other.sha256 != sha256:
                return f"was made from another {name} than the one that is there now: run `{self.remedy(name, None)}`"
            if (reason := self._broken_chain(artifact, other, seen)) is not None:
                return reason
        return None
