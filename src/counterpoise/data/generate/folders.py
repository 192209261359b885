"""Folders of generated files: written whole, left alone if they are there, never in the place of real data."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from counterpoise.errors import InputError

MARKER = "generated.json"
"""Says what a folder was generated with; a folder without it holds real data."""


def write_once(
    folder: Path, write: Callable[[Path], None], *, drawn_by: str, version: int, **arguments: object
) -> None:
    """Write aside, then rename. A folder that holds the same drawings is left alone.

    Args:
        write: writes them into an empty folder.
        drawn_by: the module that draws them.
        version: of the drawings; another one is redrawn.
        arguments: what else they depend on.

    Raises:
        InputError: `folder` holds anything else.
    """
    marker = json.dumps({"drawn by": drawn_by, "version": version, **arguments}, sort_keys=True) + "\n"
    held = folder / MARKER
    if held.is_file() and held.read_text(encoding="utf-8") == marker:
        return
    if folder.is_dir() and not held.is_file() and any(entry.name != ".gitkeep" for entry in folder.iterdir()):
        raise InputError(f"{folder}: holds files that were not drawn here, expected an empty folder to draw into")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as aside:
        fresh, stale = Path(aside, "fresh"), Path(aside, "stale")
        fresh.mkdir()
        write(fresh)
        (fresh / MARKER).write_text(marker, encoding="utf-8")
        if (folder / ".gitkeep").is_file():
            shutil.copy(folder / ".gitkeep", fresh)
        if folder.exists():
            folder.rename(stale)
        fresh.rename(folder)
