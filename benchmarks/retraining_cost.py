"""What a retraining costs beside a bare run of the same experiment: processor seconds and peak memory, in pairs.

    python benchmarks/retraining_cost.py [--pairs 5]

`win_adult`, one seed, in two projects on half of Adult's rows: `kedro run --pipelines=retrain` with a new partition of
500 rows each time, and just before it `kedro run --pipelines=win_adult`. Both log to an SQLite file, and each is a
process of its own.
"""

from __future__ import annotations

import argparse
import sys
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import yaml
from processes import REPOSITORY, copy_of_the_project, measured
from retraining_year import FIRST, REFUSED, SETTINGS, write_reference

from counterpoise.data.adult import COLUMNS, read

ROWS = 500
"""Of a partition."""

GOAL = 1.3


def settings(*, held_out: float) -> dict[str, object]:
    """Return the year's settings, but with the experiment's own epochs and with tracking."""
    changed = {name: value for name, value in deepcopy(SETTINGS).items() if name not in ("pretrain", "finetune")}
    changed["retraining"]["held_out"] = held_out
    return changed | {"tracking": True}


def main() -> None:
    """Print the pairs and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    table = read(REPOSITORY / "data" / "01_raw" / "adult")
    table = table.iloc[np.random.default_rng(0).permutation(len(table))].reset_index(drop=True)
    half = len(table) // 2
    command = [sys.executable, "-m", "counterpoise", "run"]
    with TemporaryDirectory(prefix="counterpoise-cost-") as folder:
        bare, retrained = (copy_of_the_project(Path(folder) / name) for name in ("bare", "retrained"))
        for project in (bare, retrained):
            write_reference(project / "data" / "01_raw" / "adult", table.iloc[:half])
            (project / "conf" / "local" / "parameters.yml").write_text(yaml.safe_dump(settings(held_out=0.2)))
        arriving = retrained / "data" / "01_raw" / "partitions"
        arriving.mkdir(parents=True)
        print("| pair | bare: processor s | memory, GB | retraining: processor s | memory, GB | ratio, time | memory |")
        print("|---|---|---|---|---|---|---|")
        ratios = []
        for pair in range(options.pairs + 1):
            rows = table.iloc[half + pair * ROWS : half + (pair + 1) * ROWS]
            rows[list(COLUMNS)].to_csv(arriving / f"adult-{FIRST + timedelta(weeks=pair)}.csv", index=False)
            alone = measured([*command, "--pipelines=win_adult"], bare)
            gated = measured([*command, "--pipelines=retrain"], retrained, statuses=(0, REFUSED))
            if not pair:  # the first of each makes its database, and there is no champion to compare with
                continue
            ratios.append((gated.processor / alone.processor, gated.memory / alone.memory))
            print(
                f"| {pair} | {alone.processor:.1f} | {alone.memory / 1e9:.2f} | {gated.processor:.1f} | "
                f"{gated.memory / 1e9:.2f} | {ratios[-1][0]:.2f} | {ratios[-1][1]:.2f} |",
                flush=True,
            )
        for name, values in zip(("time", "memory"), zip(*ratios, strict=True), strict=True):
            print(f"{name}: median {median(values):.2f}, {min(values):.2f} to {max(values):.2f} (goal <= {GOAL})")


if __name__ == "__main__":
    main()
