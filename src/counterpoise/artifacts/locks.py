"""One writer at a time: locks that the operating system lifts when a process ends, however it ends."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from counterpoise.errors import InputError

_log = logging.getLogger(__name__)

SECONDS_TO_SIGN = 2.0
"""How long a process that has just taken a right may need to say which one it is."""


class Locks:
    """Exclusive rights of this process to write what is called by a name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: list[FileLock] = []

    def acquire(self, names: Iterable[str], command: str, identity: str) -> None:
        """Take the rights to all `names`, or to none.

        Another process with the same identity writes the same, so this one waits for it.

        Args:
            command: what this process runs; shown to a process that is refused.
            identity: the same for processes that write the same.

        Raises:
            InputError: a process with another identity holds one of them, or the folder cannot be written.
        """
        signature = json.dumps({"process": os.getpid(), "command": command, "identity": identity})
        for name in sorted(set(names)):
            # What stands in for a lock where a file system has none would outlive a killed process.
            lock = FileLock(self.folder / f"{name}.lock", fallback_to_soft=False)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._take(lock, name, identity)
                self._signature(name).write_text(signature)
            except InputError:
                self.release()
                raise
            except NotImplementedError:
                _log.warning("%s: is on a file system without locks, nothing prevents two runs at once", self.folder)
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
                self._signature(Path(lock.lock_file).stem).unlink(missing_ok=True)
            lock.release()

    def _take(self, lock: FileLock, name: str, identity: str) -> None:
        deadline = time.monotonic() + SECONDS_TO_SIGN
        while True:
            try:
                lock.acquire(blocking=False)
                return
            except Timeout:
                holder = self._holder(name)
            if holder.get("identity") == identity:
                _log.warning("%s: waiting for process %s, which is writing the same", name, holder.get("process"))
                lock.acquire()
                return
            if holder or time.monotonic() > deadline:
                who = f" (process {holder['process']}, `{holder['command']}`)" if holder else ""
                raise InputError(
                    f"{name}: is being written by another run{who}, expected one at a time: wait for it, or use an "
                    "environment with a place of its own (-e)"
                )
            time.sleep(0.02)

    def _signature(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _holder(self, name: str) -> Mapping[str, Any]:
        """Return what the process that holds a right has written of itself; nothing if it has not yet."""
        try:
            holder = json.loads(self._signature(name).read_text())
            os.kill(holder["process"], 0)  # one that is gone has signed before
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return {}
        return holder if {"process", "command", "identity"} <= holder.keys() else {}
