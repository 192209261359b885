"""What one run knows of its artifacts: which origin each must have, which it has made, which it has verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from counterpoise.artifacts.lineage import Origin, Record, differences
from counterpoise.errors import InputError


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
