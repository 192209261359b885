"""Read what `torch.save` wrote, without running its code; damaged files are refused."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from counterpoise.errors import InputError, reason

_ZIP = b"PK\x03\x04"  # how the files of torch 1.6 and later begin


def load_pickle(source: Path | io.BytesIO, name: str) -> Any:
    """Read tensors and plain values, on the CPU.

    The files are uncompressed zip archives, whose checksums torch does not look at: they are checked here. A file that
    says to be larger than it is, is refused before there is memory taken for it.

    Args:
        name: of the file, for sentences.

    Raises:
        InputError: the file is damaged, compressed, or a pickle that would need to run code.
    """
    try:
        _require_intact(source, name)
        return torch.load(source, "cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError:
        raise InputError(
            f"{name}: is damaged, or a pickle that would run code when loaded, expected a state dict of tensors alone "
            "(save model.state_dict(), or use safetensors)"
        ) from None
    except Exception as error:  # unpickling damaged bytes raises nearly anything: KeyError, TypeError, UnicodeError
        raise InputError(f"{name}: cannot be read as weights ({reason(error)}), expected a state dict") from error


def _require_intact(source: Path | io.BytesIO, name: str) -> None:
    """Check the sizes and the CRC-32 of everything in a zip archive; older files have neither."""
    if not _start(source).startswith(_ZIP):
        return
    with zipfile.ZipFile(source) as archive:
        size = source.stat().st_size if isinstance(source, Path) else len(source.getbuffer())
        if (unpacked := sum(entry.file_size for entry in archive.infolist())) > size:
            raise InputError(f"{name}: {size:,} bytes say to be {unpacked:,}, expected them as torch.save writes them")
        if (damaged := archive.testzip()) is not None:
            raise InputError(f"{name}: is damaged: the checksum of {damaged!r} differs, expected a whole file")
    if isinstance(source, io.BytesIO):
        source.seek(0)


def _start(source: Path | io.BytesIO) -> bytes:
    if isinstance(source, io.BytesIO):
        return bytes(source.getbuffer()[: len(_ZIP)])
    with source.open("rb") as file:
        return file.read(len(_ZIP))
