"""Weights of networks: read from files without running code from them, damaged ones refused, and fingerprinted."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.hub import download_url_to_file, get_dir

from counterpoise.errors import InputError, reason, shown

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


SAFETENSORS = ".safetensors"
PICKLES = (".pth", ".pt")

WITHIN = ("state_dict", "model_state_dict", "model")
"""Under which of its keys a checkpoint has the state dict, beside the epoch, the optimizer, …"""

WRAPPERS = ("module.", "_orig_mod.", "model.")
"""What DataParallel, `torch.compile` and Lightning put before every name of a network's tensors."""

State = dict[str, Tensor]


def is_path(weights: str) -> bool:
    """Tell whether `weights` names a file of weights, and not one of the published sets of weights."""
    return weights.endswith((SAFETENSORS, *PICKLES)) or "/" in weights or "\\" in weights


def read_state(path: Path) -> State:
    """Read a state dict from a safetensors file or a pickle of nothing but tensors.

    Raises:
        InputError: the file is missing, damaged, a pickle that would need to run code, or not a state dict.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: no such file, expected weights (a {SAFETENSORS} file or a state dict in a .pth file)"
        )
    if path.suffix != SAFETENSORS:
        return _checked_state(path, load_pickle(path, str(path)))
    try:
        return _checked_state(path, load_file(path))
    except (SafetensorError, RuntimeError, OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as weights ({reason(error)}), expected a state dict") from None


def published_state(url: str, *, wanted: str, download: bool) -> State:
    """Read the weights at `url` from torch's cache of downloads; with `download`, fetch them first if need be.

    The published file names end in the first digits of the file's SHA-256, which is checked when it is fetched.
    `wanted` names the weights in messages. Raises InputError if they cannot be had.
    """
    path = Path(get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not path.is_file():
        if not download:
            raise InputError(
                f"{wanted}: {path} is not on this machine, expected it there (from {url}), or `download: true`, or "
                "`weights` naming a local file, or `weights: random`"
            )
        _download(url, path, wanted)
    return read_state(path)


def _download(url: str, path: Path, wanted: str) -> None:
    published_hash = re.search(r"-([0-9a-f]{8,})\.", path.name)
    if published_hash is None:
        raise InputError(f"{wanted}: {url} has no checksum in its name, expected a file fetched by hand as `weights`")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(url, str(path), hash_prefix=published_hash.group(1), progress=False)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{wanted}: cannot be fetched from {url} ({reason(error)}), expected a connection, or `weights` "
            "naming a local file"
        ) from None


def fit_state(network: nn.Module, state: Mapping[str, Tensor], *, source: str, architecture: str) -> State:
    """Return `state` with exactly the entries of `network`, floating-point ones in float32.

    Counters of batches, which old files lack and which inference does not use, are filled in, and so are tensors that
    the network shares with one that is there. What wraps a network is taken off the names.
    Raises InputError, counting and naming what does not fit.
    """
    expected = network.state_dict()
    fitted = {_modern(name): tensor for name, tensor in state.items()}
    for prefix in WRAPPERS:
        if all(name.startswith(prefix) for name in fitted) and not any(name.startswith(prefix) for name in expected):
            fitted = {name.removeprefix(prefix): tensor for name, tensor in fitted.items()}
    places = {name: (tensor.data_ptr(), tensor.shape) for name, tensor in expected.items() if tensor.data_ptr()}
    shared = {place: name for name, place in places.items() if name in fitted}
    fitted |= {name: fitted[shared[place]] for name, place in places.items() if name not in fitted and place in shared}
    for name, tensor in expected.items():
        if name.endswith("num_batches_tracked"):
            fitted.setdefault(name, torch.zeros(tensor.shape, dtype=tensor.dtype))
    problems = {
        "are missing": expected.keys() - fitted.keys(),
        "are unknown": fitted.keys() - expected.keys(),
        "have another shape": {
            name for name in expected.keys() & fitted.keys() if expected[name].shape != fitted[name].shape
        },
    }
    faults = [f"{len(names)} tensors {what} (such as {min(names)!r})" for what, names in problems.items() if names]
    if faults:
        raise InputError(f"{source}: {', '.join(faults)}, expected the state dict of {architecture}")
    # An update keeps what `expected` knows of its layers' versions, without which some networks refuse to load.
    expected.update({name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in fitted.items()})
    return expected


def fingerprint(state: Mapping[str, Tensor], *described: str) -> str:
    """Return the SHA-256 of named tensors (names, types, shapes, bytes) and of texts that describe their use."""
    digest = hashlib.sha256("\0".join(described).encode())
    for name in sorted(state):
        tensor = state[name].detach().contiguous()
        digest.update(f"\0{name} {tensor.dtype} {list(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _checked_state(path: Path, state: Any) -> State:
    if isinstance(state, Mapping):
        state = next((state[key] for key in WITHIN if isinstance(state.get(key), Mapping)), state)
    if not isinstance(state, Mapping):
        raise InputError(f"{path}: holds a {type(state).__name__}, expected a state dict: names and tensors")
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise InputError(
                f"{path}: entry {shown(name)} is a {type(value).__name__}, expected a state dict of tensors alone"
            )
    return dict(state)


def _modern(name: str) -> str:
    """Rename DenseNet's tensors as published (`norm.1`, no attribute of a module today) to what they are now."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)
