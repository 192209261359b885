"""States of unfinished trainings, from which a killed run continues; their stage removes them at its end."""

from __future__ import annotations

import hashlib
import io
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from counterpoise import atomic
from counterpoise.errors import InputError
from counterpoise.features.weights import load_pickle

_SEAL = "sha256"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingStates:
    """A folder of states, one file per training; see `nn.epochs.Store`. Each ends in the digest of what it holds."""

    folder: Path

    def save(self, key: str, state: Mapping[str, Any]) -> None:
        def fill(aside: Path) -> None:
            torch.save(dict(state), aside)
            with aside.open("rb+") as file:
                seal = hashlib.file_digest(file, _SEAL).digest()  # leaves the file at its end
                file.write(seal)

        atomic.write(self.path(key), fill)

    def load(self, key: str) -> dict[str, Any] | None:
        """Return the last state, None if there is none.

        One that is damaged, or was written by an earlier version, is as good as none: a line in the log says so.
        """
        if not self.path(key).is_file():
            return None
        try:
            return self._sealed(self.path(key))
        except (InputError, OSError) as error:
            _log.warning("%s; the state is discarded, the training starts again", error)
            return None

    def delete(self) -> None:
        """Remove the folder, once all its trainings are done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, key: str) -> Path:
        """Return where the state of a training is."""
        return self.folder / f"{key}.pt"

    @staticmethod
    def _sealed(path: Path) -> dict[str, Any]:
        content = path.read_bytes()
        size = hashlib.new(_SEAL).digest_size
        if hashlib.new(_SEAL, content[:-size]).digest() != content[-size:]:
            raise InputError(f"{path}: its checksum differs, expected the state of a training as it was written")
        state: dict[str, Any] = load_pickle(io.BytesIO(content[:-size]), str(path))
        return state
