"""Is the judge calibrated? What the models that are chosen under a tolerance measure on test rows, by experiment.

    python benchmarks/calibration.py data [data/laptop ...]

Reads what runs of frontier_* have left. For each tolerance: the mean test bias of the models chosen under it; the same
without what chance adds on a test part of this size (`fairness.underlying_bias` over the seeds); and the noise floor,
what a perfectly fair model would measure.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint, read_checkpoint
from counterpoise.fairness import choose, noise_floor, underlying_bias
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.methods.selection.candidates import ours
from counterpoise.methods.selection.measuring import AXES, JUDGED_BY, counts_of, judged_by
from counterpoise.methods.selection.nested import bounds
from counterpoise.methods.selection.settings import Judge
from counterpoise.nn import Examples
from counterpoise.pipelines.shared.arrays import LEARNT, rows

TOLERANCES = (0.03, 0.05, 0.07, 0.1, 0.15)


def rows_of(root: Path, experiment: str, folds: int) -> list[dict[str, Any]]:
    """Return a row for each criterion and tolerance; folds: of nested cross-validation, 0 for none."""
    samples = pd.read_parquet(root / "05_model_input" / experiment / "samples.parquet", columns=["y", "s"])
    splits: Checkpoint = read_checkpoint(root / "05_model_input" / experiment / "splits.safetensors")
    outcomes = read_checkpoint(root / "07_model_output" / experiment / "frontier_outcomes.safetensors")
    groups, classes = int(samples["s"].max()) + 1, int(samples["y"].max()) + 1
    dataset: Any = SimpleNamespace(
        title=experiment, groups=range(groups), classes=range(classes), group_names=list(map(str, range(groups)))
    )
    data = Examples(torch.empty(len(samples), 0), *(torch.tensor(samples[name].to_numpy()) for name in ("y", "s")))
    members = {part: rows(splits, part) for part in ("validation", "test")} | {"train": rows(splits, *LEARNT)}
    candidates, found = ours(outcomes), []
    for criterion in AXES:
        selection: Any = SimpleNamespace(criterion=criterion, validation="own", smoothing=0.3, nested_folds=folds)
        judged, folded = judged_by(JUDGED_BY, candidates, data, members, dataset, selection)
        bound = bounds(folded, torch.arange(len(candidates.settings)), criterion, TOLERANCES)
        for within, tolerance in zip(bound, TOLERANCES, strict=True):
            picked, _ = choose(judged["err"], judged[criterion], within)
            test = [
                counts_of(candidates, ("test",), r, data, members["test"][r], dataset, [v])
                for r, v in enumerate(picked.tolist())
            ]
            counts = torch.stack(test)  # R, 1, G, k, k
            floor = noise_floor(criterion, counts)
            assert floor is not None
            found.append(
                {
                    "experiment": experiment,
                    "criterion": criterion,
                    "tolerance": tolerance,
                    "folds": folds,
                    "bound": float(within.mean()),
                    "err": float(COUNT_METRICS["err"](counts).mean()),
                    "judged": float(judged[criterion][range(len(picked)), picked].mean()),
                    "test": float(COUNT_METRICS[criterion](counts).mean()),
                    "without_noise": float(underlying_bias(criterion, counts)[0]),
                    "floor": float(floor.mean()),
                }
            )
    return found


def main(roots: list[str]) -> None:
    """Print the table."""
    found: list[dict[str, Any]] = []
    for root in map(Path, roots):
        for folder in sorted((root / "07_model_output").glob("frontier_*")):
            if (folder / "frontier_outcomes.safetensors").is_file():
                for folds in (0, Judge().nested_folds):
                    found += rows_of(root, folder.name, folds)
    print(pd.DataFrame(found).round(3).to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1:] or ["data"])
