"""The one pass over the images: a frozen backbone, run once; the cache key of its features is a digest of their inputs.

The rows are cut into shards, which are computed independently of each other, each in batches that depend on nothing but
`shard_size` and `batch_size` and on one thread: so the result is the same to the bit in one process, in several, and on
a Dask cluster of like machines; a pass that is killed resumes after its last finished shard.

On the CPU, each core decodes *and* computes shards of its own, in a process with one thread. A network on all cores fed
by decoding workers is slower: the workers take the cores from under its threads, which then wait for each other in
every layer. On a GPU, worker processes decode ahead while the device computes, and only framed 8-bit images travel
between them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import joblib
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from counterpoise.compute import as_completed
from counterpoise.errors import InputError, suggest
from counterpoise.features.backbones import Backbone
from counterpoise.features.files import (
    FeatureFile,
    Shard,
    contents_digest,
    find_features,
    join_shards,
    load_shard,
    save_shard,
)
from counterpoise.nn.preprocessing import Preprocessing

SHARD_SIZE = 256
BATCH_SIZES = {"cpu": 16, "cuda": 256}
"""Images per step: few enough for what a layer passes on to stay in a core's cache (1.5 times as fast as 64), or enough
to fill a GPU."""

PRECISIONS = ("auto", "float32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")


@runtime_checkable
class Decoded(Protocol):
    """One image: `pixels` uint8 [3, H, W], or None with the `reason` it cannot be used."""

    @property
    def pixels(self) -> Tensor | None: ...
    @property
    def reason(self) -> str: ...


@runtime_checkable
class Images(Protocol):
    """Images on disk, decoded when asked for (`counterpoise.data.ImageFiles`).

    `names` are paths relative to `folder`; `decoding` says by which rules files become pixels. Images come as they are:
    the backbone's preprocessing is applied here.
    """

    folder: Path

    @property
    def names(self) -> Iterable[str]: ...
    @property
    def decoding(self) -> str: ...
    def __len__(self) -> int: ...
    def __getitem__(self, row: int, /) -> Decoded: ...


@dataclass(frozen=True)
class Progress:
    """How far a pass is. The rate counts images of this run, not those of shards that were there already."""

    done: int
    total: int
    images_per_second: float
    seconds_left: float

    def __str__(self) -> str:
        rate, remaining = f"{self.images_per_second:,.0f} images/s", f"{self.seconds_left:,.0f} s left"
        return f"{self.done:,} of {self.total:,} images, {rate}, {remaining}"


def extract_features(
    dataset: Images,
    backbone: Backbone,
    *,
    cache: Path,
    shard_size: int = SHARD_SIZE,
    batch_size: int | None = None,
    precision: str = "auto",
    device: str = "auto",
    workers: int | None = None,
    backend: str = "processes",
    address: str | None = None,
    verify: bool = False,
    on_progress: Callable[[Progress], object] | None = None,
) -> FeatureFile:
    """Return the features of all images, [N, d], from the cache if nothing that shapes them has changed.

    Args:
        dataset: the images; one that cannot be decoded becomes a row of NaN, named in the result's `bad`.
        cache: folder of all cached features. Memory use does not grow with N: features are written shard by shard.
        shard_size: rows per shard, the unit of resuming and of distribution.
        batch_size: images per step of the network; by default what suits the device (`BATCH_SIZES`).
        precision: `float32`, `bfloat16` (autocast), or `auto`: bfloat16 where the hardware computes in it.
        device: `cpu`, `cuda`, or `auto`: a GPU if there is one.
        workers: processes, on the CPU for whole shards, for a GPU to decode; by default one per core.
        backend, address: see `counterpoise.compute.replicate`; on a cluster each worker needs to reach the files.
        verify: read all images to see whether they are those of the cache, not only those whose size or time changed.
        on_progress: called at the start and after each finished shard.

    Raises:
        InputError: no images, an unknown setting, or a cache that cannot be written.
    """
    where = _device(device)
    precision = resolve_precision(precision, where)
    batch_size = BATCH_SIZES[where.type] if batch_size is None else batch_size
    _require_positive(shard_size=shard_size, batch_size=batch_size, images=len(dataset))
    digest = features_digest(
        dataset,
        backbone,
        precision=precision,
        device=where.type,
        batch_size=batch_size,
        shard_size=shard_size,
        cache=cache,
        verify=verify,
    )
    folder = cache / digest
    if cached := find_features(folder):
        return cached

    spans = [range(start, min(start + shard_size, len(dataset))) for start in range(0, len(dataset), shard_size)]
    shards = {folder / f"shard-{number:05d}.safetensors": rows for number, rows in enumerate(spans)}
    pending = [rows for path, rows in shards.items() if load_shard(path, rows, backbone.d) is None]
    report = _Reporter(on_progress, len(dataset), sum(map(len, pending)))
    work = _Work(dataset, backbone, batch_size, precision, where)
    for shard in _computed(work, pending, workers=workers, backend=backend, address=address):
        save_shard(folder / f"shard-{shard.start // shard_size:05d}.safetensors", shard)
        report.advance(len(shard.features))
    return join_shards(folder, shards, digest=digest, d=backbone.d, backbone=backbone.name, precision=precision)


def features_digest(
    dataset: Images,
    backbone: Backbone,
    *,
    precision: str,
    device: str,
    batch_size: int,
    shard_size: int,
    cache: Path,
    verify: bool = False,
) -> str:
    """Return the SHA-256 under which features are kept.

    It covers names, order, sizes and bytes of the images, how they are decoded, the backbone's weights and
    preprocessing, the precision (`float32` or `bfloat16`), and what decides the last bits: the type of device (`cpu` or
    `cuda`) and how rows are cut into shards and batches, since kernels add up in another order for a batch of another
    size. Thus the same settings give the same features whatever was computed before. Libraries and the model of the
    processor are not in it: a cache belongs to one machine.

    `cache` remembers the digests of files that were read; `verify` reads them all the same.
    """
    contents = contents_digest(dataset.folder, dataset.names, cache, verify=verify)
    parts = (contents, dataset.decoding, backbone.digest, precision, device, str(batch_size), str(shard_size))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return `float32` or `bfloat16`; `auto` takes bfloat16 where the hardware has instructions for it.

    Without them it is emulated, many times slower than float32. Raises InputError for any other word.
    """
    _require_one_of("precision", precision, PRECISIONS)
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        native = any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    return "bfloat16" if native else "float32"


@dataclass(frozen=True, eq=False)
class _Work:
    """All that a shard needs beside its rows."""

    dataset: Images
    backbone: Backbone
    batch_size: int
    precision: str
    device: torch.device


def _computed(
    work: _Work, spans: list[range], *, workers: int | None, backend: str, address: str | None
) -> Iterator[Shard]:
    """Yield the shards of `spans`, in any order, each as soon as it is done."""
    workers = workers or joblib.cpu_count()
    if work.device.type == "cuda" and backend == "processes":
        yield from _streamed(work, spans, decoders=workers)
        return
    if len(spans) == 1 and backend == "processes":
        backend = "serial"  # a process would take longer to start than a shard to compute
    for _, shard in as_completed(
        _one_shard, spans, shared=(work,), backend=backend, address=address, workers=min(workers, len(spans) or 1)
    ):
        yield shard


def _one_shard(rows: range, work: _Work) -> Shard:
    """Compute one shard in this process and nowhere else."""
    return next(_streamed(work, [rows], decoders=0))


def _streamed(work: _Work, spans: Sequence[range], *, decoders: int) -> Iterator[Shard]:
    """Yield the shards in order; `decoders` processes decode ahead, across the borders of shards, while it computes."""
    backbone = work.backbone.to(work.device)
    on_gpu = work.device.type == "cuda"
    size = work.batch_size
    batches = [list(rows[start : start + size]) for rows in spans for start in range(0, len(rows), size)]
    loader = DataLoader(
        _Framed(work.dataset, backbone.preprocess),
        batch_sampler=batches,
        num_workers=decoders,
        collate_fn=_collate,
        pin_memory=on_gpu,
        generator=torch.Generator(),  # or the loader would draw from everybody's
    )
    decoded = iter(loader)
    for rows in spans:
        parts, reasons = [], []
        for _ in range(0, len(rows), size):
            images, why = next(decoded)
            with torch.inference_mode(), torch.autocast(work.device.type, torch.bfloat16, work.precision == "bfloat16"):
                parts.append(backbone(images.to(work.device, non_blocking=on_gpu)))
            reasons += why
        yield _finished(work, rows, torch.cat(parts).cpu(), reasons)


def _finished(work: _Work, rows: range, features: Tensor, reasons: list[str | None]) -> Shard:
    unusable = [position for position, reason in enumerate(reasons) if reason is not None]
    with torch.inference_mode():
        features[unusable] = torch.nan
    names = list(work.dataset.names) if unusable else []
    return Shard(rows.start, features, {str(names[rows[i]]): str(reasons[i]) for i in unusable})


class _Framed(Dataset[tuple[Tensor, str | None]]):
    """Images as the network wants them, still in 8 bits; black, with the reason, where one cannot be used.

    A black image in the place of a bad one keeps every other image in the batch it would be in anyway.
    """

    def __init__(self, dataset: Images, preprocess: Preprocessing) -> None:
        self.dataset = dataset
        self.preprocess = preprocess

    def __getitem__(self, row: int) -> tuple[Tensor, str | None]:
        image = self.dataset[row]
        if image.pixels is None:
            return torch.zeros(3, self.preprocess.crop, self.preprocess.crop, dtype=torch.uint8), image.reason
        return self.preprocess.frame(image.pixels), None


def _collate(items: list[tuple[Tensor, str | None]]) -> tuple[UInt8[Tensor, "B 3 S S"], list[str | None]]:
    images, reasons = zip(*items, strict=True)
    return torch.stack(images), list(reasons)


class _Reporter:
    """Turns finished shards into `Progress`."""

    def __init__(self, on_progress: Callable[[Progress], object] | None, total: int, pending: int) -> None:
        self._on_progress, self._total, self._pending = on_progress, total, pending
        self._computed, self._started = 0, time.perf_counter()
        self.advance(0)

    def advance(self, images: int) -> None:
        self._computed += images
        rate = self._computed / (time.perf_counter() - self._started)
        remaining = self._pending - self._computed
        if self._on_progress is not None:
            seconds_left = remaining / rate if rate else float("inf")
            self._on_progress(Progress(self._total - remaining, self._total, rate, seconds_left))


def _device(name: str) -> torch.device:
    _require_one_of("device", name, DEVICES)
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device: 'cuda' was asked for and there is no usable GPU, expected 'cpu' or 'auto' here")
    return torch.device("cuda", torch.cuda.current_device()) if available and name != "cpu" else torch.device("cpu")


def _require_one_of(key: str, value: str, names: Sequence[str]) -> None:
    if value not in names:
        raise InputError(f"{key}: found {value!r}, expected one of {', '.join(names)}{suggest(value, names)}")


def _require_positive(**values: int) -> None:
    for key, value in values.items():
        if value < 1:
            raise InputError(f"{key}: found {value}, expected at least 1")
