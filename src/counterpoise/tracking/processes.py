"""Which process tracks a run, so that a later process can find out whether it still runs."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

HOST, PROCESS = "counterpoise.host", "counterpoise.process"
"""Tags of a run. The second has the process's number, when it started, and which numbering that is (boot, container):
a number is used again after a while."""

STATE, START_TIME = 0, 19
"""Fields of /proc/<process>/stat after the name (proc(5) numbers them 3 and 22)."""

UNKNOWN = "?"

DEAD = "ZX"
"""States of a process that has ended and whose parent has not asked how."""


def this_process() -> dict[str, str]:
    """Return the tags by which the process is known."""
    process = os.getpid()
    return {HOST: host(), PROCESS: " ".join([str(process), start_of(process) or UNKNOWN, _boot(), _namespace()])}


def host() -> str:
    """Return the machine's name, with its identity where it has one: many machines are called localhost."""
    machine = _read("/etc/machine-id")
    return f"{platform.node()}/{machine}" if machine else platform.node()


def has_ended(tags: Mapping[str, str], *, local: bool) -> bool:
    """Whether the process of a run is known to have ended; False if that cannot be told from here.

    Args:
        tags: of a run.
        local: whether the store is a file, so that who shares the host's name shares the machine.
    """
    process, _, recorded = tags.get(PROCESS, "").partition(" ")
    if tags.get(HOST) != host() or not process.isdecimal() or recorded.count(" ") < 2:
        return False
    started, boot, namespace = recorded.rsplit(" ", 2)
    if boot != _boot():
        return local or "/" in host()  # the machine was started anew, unless another one has its name
    if namespace != _namespace():
        return False  # another container's numbers
    return start_of(int(process)) != started


def start_of(process: int) -> str | None:
    """Return when a process started, in the system's own terms, or None if it has ended."""
    if Path("/proc/self/stat").exists():
        fields = _read(f"/proc/{process}/stat").rpartition(")")[2].split()
        return fields[START_TIME] if len(fields) > START_TIME and fields[STATE] not in DEAD else None
    asked = subprocess.run(
        ["ps", "-o", "state=", "-o", "lstart=", "-p", str(process)], capture_output=True, text=True, check=False
    )
    state, _, started = asked.stdout.strip().partition(" ")
    return started.strip() if started and state[:1] not in DEAD else None


def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id") or UNKNOWN


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return UNKNOWN


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
