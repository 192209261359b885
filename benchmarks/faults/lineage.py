"""Faults of provenance: parameters changed half-way, artifacts altered, results of other runs."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scene import Kind, scene

from counterpoise.artifacts.lineage import FOLDER
from counterpoise.pipeline_registry import register_pipelines

CHANGES = (
    "seeds=2",
    "epochs=3",
    "datasets.adult.sensitive=race",
    "datasets.adult.positive=<=50K",
    "datasets.adult.split.fractions.pretrain=0.5",
    "networks.mlp2.width=12",
    "pretrain.optimizer.lr=0.02",
    "variants.win.alphas=0.7",
    "variants.win.ranks=1",
    "variants.win.methods=win",
    "finetune.epochs=5",
    "finetune.optimizer.lr=0.05",
    "report.level=0.9",
)
"""Settings of every stage, each changed half-way through a run."""

ALSO = {
    "datasets.adult.split.fractions.pretrain=0.5": "datasets.adult.split.fractions.task=0.5",
    "datasets.adult.sensitive=race": "datasets.adult.groups=[White]",
}
WIN = register_pipelines()["win_adult"]
STARTS = list({node.namespace: node.name for node in reversed(WIN.nodes)}.values())


def changed_settings() -> Kind:
    """A setting is changed, and the run goes on from a stage: refused, or the same as a whole run with that setting."""
    kind = Kind("a setting changed, then a run from each stage, or of what is missing")
    slices = [*(f"--from-nodes={start}" for start in STARTS), "--only-missing-outputs"]
    with scene() as place:
        place.run("--params=tracking=false")
        for number, change in enumerate(CHANGES):
            params = f"--params=tracking=false,{change}" + (f",{ALSO[change]}" if change in ALSO else "")
            reference = place.copy(place.path.with_name(f"reference-{number}"))
            whole = reference.run(params)
            for part in slices:
                other = place.copy(place.path.with_name("other"))
                before = other.results_of()
                ended = other.run(params, part)
                if ended.status == 0:
                    right = whole.status == 0 and other.results_of() == reference.results_of()
                    right &= other.report()["settings"] == reference.report()["settings"]
                    right &= part.partition("=")[0] in other.report()["lineage"]["command"]
                else:
                    right = ended.refused and other.results_of() == before
                kind.count(right, f"{change} {part}: {ended.output[-300:]}")
                shutil.rmtree(other.path)
            shutil.rmtree(reference.path)
    return kind


def _bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _half(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2] + bytes(size - size // 2))


def _tensors(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    """Return what changes the largest tensor of a checkpoint, whose header then says what it said; rows of a table."""

    def alter(path: Path) -> None:
        if path.suffix != ".safetensors":
            _frame(path)
            return
        with safe_open(path, "pt") as file:
            metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        name = max(tensors, key=lambda name: tensors[name].numel())
        tensors[name] = change(tensors[name]).contiguous()
        save_file(tensors, path, metadata=metadata)

    return alter


def _nan(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor.roll(1)
    tensor.view(-1)[0] = torch.nan
    return tensor


def _frame(path: Path) -> None:
    """Put the rows of a table in another order."""
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
        frame.iloc[np.random.default_rng(0).permutation(len(frame))].to_parquet(path)
    elif path.suffix == ".csv":
        frame = pd.read_csv(path)
        frame.iloc[::-1].to_csv(path, index=False)
    else:
        path.write_text(path.read_text() + " ")


ALTERATIONS: dict[str, Callable[[Path], None]] = {
    "one bit": _bit,
    "zeroed half": _half,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "a NaN, or rows in another order": _tensors(_nan),
    "replicates in another order": _tensors(lambda tensor: tensor.flip(0)),
    "another type": _tensors(lambda tensor: tensor.to(torch.float16 if tensor.is_floating_point() else torch.int32)),
    "no record": lambda path: (path.parent / FOLDER / f"{path.name}.json").unlink(),
}


def altered_artifacts() -> Kind:
    """A file is altered, and the stages after it run: refused in one sentence, and nothing else changed."""
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    from counterpoise.artifacts.datasets import path_of
    from counterpoise.cli import sentence

    logging.disable(logging.WARNING)
    kind = Kind("an artifact altered between two stages")
    with scene() as place:
        place.run("--params=tracking=false")
        bootstrap_project(place.path)
        session: Any
        with KedroSession.create(place.path, env="smoke") as session:
            catalog = session.load_context().catalog
            paths = {name: path for name in WIN.all_outputs() if (path := path_of(catalog.get(name))) is not None}
        for name, path in sorted(paths.items()):
            readers = [node.name for node in WIN.nodes if name in node.inputs]
            if not readers:
                continue
            content = path.read_bytes()
            record = path.parent / FOLDER / f"{path.name}.json"
            said = record.read_bytes()
            for what, alter in ALTERATIONS.items():
                alter(path)
                if path.read_bytes() == content and record.exists():
                    continue  # not a change for a file of this kind
                try:
                    with KedroSession.create(place.path, env="smoke", runtime_params={"tracking": False}) as session:
                        session.run(pipeline_names=["win_adult"], node_names=readers)
                    right = False
                except Exception as error:
                    right = bool(sentence(error)) and "\n" not in str(sentence(error))
                kind.count(right, f"{name}: {what}")
                path.write_bytes(content)
                record.write_bytes(said)
    return kind
