"""Is the judge calibrated? What the models that are chosen under a tolerance measure on test rows, by experiment.

    python benchmarks/calibration.py data [data/laptop ...]

Reads what runs of frontier_* have left. For each tolerance: the mean test bias of the models chosen under it; the same
standard error over the seeds; the same without what chance adds on a test part of this size
(`fairness.underlying_bias` over the seeds); and the noise floor, what a perfectly fair model would measure.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from frontier_runs import read_run

from counterpoise.fairness import choose, noise_floor, underlying_bias
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.methods.selection.measuring import AXES, JUDGED_BY, counts_of, judged_by
from counterpoise.methods.selection.nested import bounds
from counterpoise.methods.selection.settings import Judge

TOLERANCES = (0.03, 0.05, 0.07, 0.1, 0.15)


def rows_of(root: Path, experiment: str, folds: int) -> list[dict[str, Any]]:
    """Return a row for each criterion and tolerance; folds: of nested cross-validation, 0 for none."""
    run, found = read_run(root, experiment), []
    for criterion in AXES:
        selection = Judge(criterion=criterion, validation="own", smoothing=0.3, nested_folds=folds)
        judged, folded = judged_by(JUDGED_BY, run.candidates, run.examples, run.members, run.names, selection)
        bound = bounds(folded, torch.arange(len(run.candidates.settings)), criterion, TOLERANCES)
        for within, tolerance in zip(bound, TOLERANCES, strict=True):
            picked, _ = choose(judged["err"], judged[criterion], within)
            test = [
                counts_of(run.candidates, ("test",), r, run.examples, run.members["test"][r], run.names, [v])
                for r, v in enumerate(picked.tolist())
            ]
            counts = torch.stack(test)  # R, 1, G, k, k
            measured = COUNT_METRICS[criterion](counts).flatten()
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
                    "test": float(measured.mean()),
                    "test_se": float(measured.std() / len(measured) ** 0.5),
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
