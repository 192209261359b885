"""One writer at a time: locks that the operating system lifts when a process ends, however it ends."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from counterpoise.errors import InputError

_log = logging.getLogger(__name__)


class Locks:
    """Exclusive rights of this process to write what is called by a name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: list[FileLock] = []

    def acquire(self, names: Iterable[str], command: str) -> None:
        """Take the rights to all `names`, or to none.

        Args:
            command: what this process runs; shown to a process that is refused.

        Raises:
            InputError: another process holds one of them, or the folder cannot be written.
        """
        for name in sorted(set(names)):
            # What stands in for a lock where a file system has none would outlive a killed process.
            lock = FileLock(self.folder / f"{name}.lock", blocking=False, fallback_to_soft=False)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                lock.acquire()
                self._holder(name).write_text(json.dumps({"process": os.getpid(), "command": command}))
            except Timeout:
                self.release()
                raise InputError(
                    f"{name}: is being written by another run{self._described(name)}, expected one at a time: wait for "
                    "it, or use an environment with a place of its own (-e)"
                ) from None
            except NotImplementedError:
                _log.warning("%s: is on a file system without locks, nothing keeps two runs apart", self.folder)
                return
            except OSError as error:
                self.release()
                raise InputError(
                    f"{self.folder}: cannot be written ({error.strerror or error}), expected a writable folder"
                ) from None
            self._held.append(lock)

    def release(self) -> None:
        """Give all rights back."""
        while self._held:
            lock = self._held.pop()
            with suppress(OSError):
                self._holder(Path(lock.lock_file).stem).unlink(missing_ok=True)
            lock.release()

    def _holder(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _described(self, name: str) -> str:
        try:
            holder = json.loads(self._holder(name).read_text())
            return f" (process {holder['process']}, `{holder['command']}`)"
        except (OSError, ValueError, KeyError, TypeError):
            return ""
