"""Adult in weekly partitions with a bias that drifts from some week on: `python benchmarks/retraining_year.py FOLDER`.

Writes `reference/` (Adult's two files, cut down to the reference rows), and `weeks/adult-<date>.csv`, one file a week.
From the week `--drift-from` on, a share of the women who earned more than 50,000 dollars is written as having earned
less, which grows week by week: the labels that arrive, and so what is learned from them, become unfair.
"""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise.data.adult import COLUMNS, read

FIRST = date(2026, 3, 2)
"""Of the first week, a Monday."""

REFERENCE_SHARE = 0.5
"""Of all rows, the ones that the experiment has before the first week."""


def weeks(
    table: pd.DataFrame, *, number: int, drift_from: int, step: float, most: float, seed: int
) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Return the reference and the rows of each week, their labels biased from a week on.

    Args:
        drift_from: number of the week, from 1, in which the bias begins. step: share of positive labels of women that
            are turned more with each week, up to `most`.
    """
    generator = np.random.default_rng(seed)
    shuffled = table.iloc[generator.permutation(len(table))].reset_index(drop=True)
    size = int(len(shuffled) * REFERENCE_SHARE)
    parts = np.array_split(np.arange(size, len(shuffled)), number)
    result = []
    for week, part in enumerate(parts, start=1):
        rows = shuffled.iloc[part].copy()
        share = min(most, step * max(0, week - drift_from + 1))
        turned = (rows["sex"] == "Female") & (rows["income"] == ">50K") & (generator.random(len(rows)) < share)
        rows.loc[turned, "income"] = "<=50K"
        result.append(rows)
    return shuffled.iloc[:size], result


def write(folder: Path, reference: pd.DataFrame, parts: list[pd.DataFrame]) -> list[Path]:
    """Write the reference as Adult's files, and a CSV for each week; return the latter."""
    raw, arriving = folder / "reference", folder / "weeks"
    raw.mkdir(parents=True, exist_ok=True)
    arriving.mkdir(exist_ok=True)
    columns = list(COLUMNS)
    reference[columns].to_csv(raw / "adult.data", index=False, header=False)
    tested = reference[columns].head(200).copy()
    tested["income"] += "."
    (raw / "adult.test").write_text("|1x3 Cross validator\n" + tested.to_csv(index=False, header=False))
    files = []
    for week, rows in enumerate(parts):
        path = arriving / f"adult-{(FIRST + timedelta(weeks=week)).isoformat()}.csv"
        rows[columns].to_csv(path, index=False)
        files.append(path)
    return files


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--raw", type=Path, default=Path("data/01_raw/adult"))
    parser.add_argument("--weeks", type=int, default=12)
    parser.add_argument("--drift-from", type=int, default=7)
    parser.add_argument("--step", type=float, default=0.1)
    parser.add_argument("--most", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    table = read(options.raw)
    reference, parts = weeks(
        table,
        number=options.weeks,
        drift_from=options.drift_from,
        step=options.step,
        most=options.most,
        seed=options.seed,
    )
    for path in write(options.folder, reference, parts):
        print(path)


if __name__ == "__main__":
    main()
