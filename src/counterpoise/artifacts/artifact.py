"""What all datasets of the catalog that write files share: complete files or none, and a record of their origin."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import DatasetError

from counterpoise import atomic
from counterpoise.artifacts.lineage import Record, Recorder, parse_record, record_path, sha256_of
from counterpoise.errors import InputError


class Artifact:
    """Makes a dataset write complete files or none, and record their origin.

    `save` writes aside and renames (`counterpoise.atomic`), where the file system can rename; an object store has a
    file only when all of it is there. Beside the file stands the record of what it was made from
    (`artifacts.lineage`); `load` compares the file with it. Within a run, the file must also have been made as the
    run's parameters imply.
    """

    _filepath: PurePosixPath
    _aside: PurePosixPath | None = None
    _protocol = "file"
    _fs: Any = None
    _name = ""
    _recorder: Recorder | None = None
    verified = False
    """Whether the file's contents were compared with its record when it was last read."""

    def follow(self, name: str, recorder: Recorder) -> None:
        """Take part in a run: as the artifact `name` of the lineage that the recorder knows."""
        self._name, self._recorder = name, recorder

    def save(self, data: Any) -> None:
        final = self._get_save_path()
        if not self.is_local:
            super().save(data)  # type: ignore[misc]
            self._record(final, final)
            return
        try:
            atomic.clear(Path(final))
            atomic.write(Path(final), lambda aside: self._save_aside(data, aside, final))
        except Exception as error:
            if cause := _os_error(error):
                reason = cause.strerror or str(cause)
                raise InputError(
                    f"{final}: cannot be written ({reason}), expected space and a writable folder"
                ) from error
            raise

    def _save_aside(self, data: Any, aside: Path, final: PurePosixPath) -> None:
        """Write the file under another name, and the record of what will have the name `final`."""
        self._aside = PurePosixPath(aside)
        try:
            # Kedro's own wrapper would look for the new version of a versioned file before it has its name.
            super().save.__wrapped__(self, data)  # type: ignore[misc]
        finally:
            self._aside = None
        self._record(PurePosixPath(aside), final)

    def load(self) -> Any:
        self.verified = self.verify()
        return super().load()  # type: ignore[misc]

    def place(self) -> PurePosixPath:
        """Return the path of the file that would be read; of a versioned one that has no version, its folder's."""
        try:
            path: PurePosixPath = self._get_load_path()  # type: ignore[attr-defined]
        except DatasetError:
            return self._filepath
        return path

    def is_there(self) -> bool:
        """Whether there is a file, whatever it was made from."""
        try:
            return bool(super()._exists())  # type: ignore[misc]
        except DatasetError:
            return False

    def verify(self) -> bool:
        """Check that the file is the one that its record describes; within a run, also that it fits the run.

        Returns:
            Whether there was a record to compare it with.

        Raises:
            InputError: it is not, or it was made from something else than the run would make it from.
        """
        path = self._get_load_path()  # type: ignore[attr-defined]
        try:
            contents = self._contents(path)
        except OSError:
            return False  # what cannot be read is for `load` to say
        if self._recorder is not None:
            self._recorder.require(self._name, path, contents)
            return True
        if (record := self.record()) is None:
            return False
        if record.sha256 != contents:
            raise InputError(
                f"{path}: is damaged or was altered, its contents are not those that were recorded when it was made"
            )
        return True

    def record(self) -> Record | None:
        """Return the record of what the file was made from, None if there is none.

        Raises:
            InputError: it is damaged.
        """
        path = record_path(self._get_load_path())  # type: ignore[attr-defined]
        try:
            text = self._read(path).decode("utf-8", errors="replace")
        except OSError:
            return None
        return parse_record(text, path)

    def recorded_at(self) -> int | None:
        """Return the time, in ns, at which the record was written; None if that is not to be known."""
        path = Path(record_path(self._get_load_path()))  # type: ignore[attr-defined]
        return path.stat().st_mtime_ns if self.is_local and path.is_file() else None

    @property
    def is_of_this_run(self) -> bool:
        """Whether the run in which the dataset takes part has written the file."""
        return self._recorder is not None and self._name in self._recorder.saved

    @property
    def is_local(self) -> bool:
        """Whether the file is one of this machine's file system."""
        return self._protocol == "file"

    def _exists(self) -> bool:
        """Whether the file is there; within a run, whether it is the one that the run would make."""
        if not self.is_there() or self._recorder is None:
            return self.is_there()
        return self._recorder.is_current(self._name, self._contents(self._get_load_path()))  # type: ignore[attr-defined]

    def _get_save_path(self) -> PurePosixPath:
        if self._aside is not None:
            return self._aside
        path: PurePosixPath = super()._get_save_path()  # type: ignore[misc]
        return path

    def _record(self, written: PurePosixPath, final: PurePosixPath) -> None:
        """Write the record of a file that is written, and goes to `final`."""
        if self._recorder is None:
            return
        record = self._recorder.record(self._name, self._contents(written))
        if record is not None:
            self._write(record_path(final), record.text().encode())

    def _contents(self, path: PurePosixPath) -> str:
        """Return the SHA-256 of the file's or folder's contents."""
        if self.is_local:
            return sha256_of(Path(path))
        with self._fs.open(str(path), "rb") as stream:
            total = hashlib.sha256()
            while block := stream.read(_BLOCK):
                total.update(block)
            return total.hexdigest()

    def _read(self, path: PurePosixPath) -> bytes:
        if self.is_local:
            return Path(path).read_bytes()
        content: bytes = self._fs.cat_file(str(path))
        return content

    def _write(self, path: PurePosixPath, content: bytes) -> None:
        if self.is_local:
            atomic.write_bytes(Path(path), content)
        else:
            self._fs.pipe_file(str(path), content)


_BLOCK = 1 << 20


def _os_error(error: BaseException | None) -> OSError | None:
    """Return the operating system's own error behind an exception, if there is one."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
