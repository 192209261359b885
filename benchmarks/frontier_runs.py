"""What a run of a frontier has left, as the judge reads it; for benchmarks that ask how good the judge is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, read_checkpoint
from counterpoise.methods.selection.candidates import Candidates, ours
from counterpoise.methods.selection.settings import Names
from counterpoise.nn import Examples
from counterpoise.pipelines.shared.arrays import LEARNT, rows


@dataclass(frozen=True)
class FrontierRun:
    """The models of a frontier, the rows that they were judged and tested by, and how classes and groups are called.

    Attributes:
        members: part → rows in each replicate; `train` are those that are learnt from.
    """

    outcomes: Checkpoint
    candidates: Candidates
    examples: Examples
    members: Mapping[str, Tensor]
    names: Names


def read_run(root: Path, experiment: str) -> FrontierRun:
    """Read a run from the data folder that it wrote to."""
    samples = pd.read_parquet(root / "05_model_input" / experiment / "samples.parquet", columns=["y", "s"])
    splits = read_checkpoint(root / "05_model_input" / experiment / "splits.safetensors")
    outcomes = read_checkpoint(root / "07_model_output" / experiment / "frontier_outcomes.safetensors")
    y, s = (torch.tensor(samples[name].to_numpy()).long() for name in ("y", "s"))
    classes, groups = ([str(code) for code in range(int(codes.max()) + 1)] for codes in (y, s))
    return FrontierRun(
        outcomes=outcomes,
        candidates=ours(outcomes),
        examples=Examples(torch.empty(len(y), 0), y, s),
        members={part: rows(splits, part) for part in ("validation", "test")} | {"train": rows(splits, *LEARNT)},
        names=Names(experiment, classes, groups),
    )
