"""Whether two versions of the project predict the same, to the bit: for every change that must not change a number.

    python benchmarks/compare_predictions.py BEFORE AFTER [EXPERIMENT …]

BEFORE and AFTER are data folders (data, data/laptop) in which both versions have run the same experiments. Rows are put
in order by what names them; every column must be there and hold the same values. Exits with 1 where one does not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

KEYS = ["variant", "seed", "split", "row"]
RENAMED: Mapping[str, str] = {"frontier": "bank"}
"""Methods that have another name now; the catalogue's is on the right."""


def predictions(folder: Path, experiment: str) -> pd.DataFrame:
    """Read an experiment's predictions with today's names, in an order of their own."""
    frame = pd.read_parquet(folder / "07_model_output" / experiment / "predictions.parquet")
    frame["method"] = frame["method"].astype(str).replace(dict(RENAMED))
    parts = frame["variant"].astype(str).str.rpartition("/")
    frame["variant"] = parts[0] + parts[1] + parts[2].replace(dict(RENAMED))
    return frame.sort_values(KEYS, ignore_index=True)


def differences(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    """Say what differs, column by column; nothing where the two are the same."""
    if list(before.columns) != list(after.columns):
        return [f"columns {list(before.columns)} and {list(after.columns)}"]
    if len(before) != len(after):
        absent = sorted(set(before["variant"]) ^ set(after["variant"]))
        return [f"{len(before):,} and {len(after):,} rows; variants of one alone: {', '.join(absent) or 'none'}"]
    unequal = {name: (before[name].to_numpy() != after[name].to_numpy()) for name in before}
    return [
        f"{name} in {int(rows.sum()):,} rows: {', '.join(sorted(set(after['variant'][rows])))}"
        for name, rows in unequal.items()
        if rows.any()
    ]


def main() -> int:
    """Compare the experiments that both folders have."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("experiments", nargs="*")
    options = parser.parse_args()
    pattern = "07_model_output/*/predictions.parquet"
    names = options.experiments or sorted(
        {path.parent.name for path in options.before.glob(pattern)}
        & {path.parent.name for path in options.after.glob(pattern)}
    )
    failed = not names
    for name in names:
        before, after = (predictions(folder, name) for folder in (options.before, options.after))
        unequal = differences(before, after)
        models = after.groupby(["variant", "seed"]).ngroups
        print(f"{name}: {len(after):,} predictions of {models} models: {'; '.join(unequal) or 'the same to the bit'}")
        failed |= bool(unequal)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
