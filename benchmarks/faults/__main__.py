"""The trial of reliability: faults of every kind, one line each with tried, right and wrong.

    python benchmarks/faults [--kills 20] [--inputs 10000] [--only runs,lineage,fuzz] [--write docs/reliability.md]

Everything happens in throw-away copies of the project; nothing leaves this machine. About half an hour on two cores.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import fuzz
import lineage
import runs
from scene import Kind, tell

HEAD = "| fault | tried | right | wrong |\n|---|---|---|---|"
BEGIN = "<!-- begin: python benchmarks/faults -->"


def trials(kills: int, inputs: int) -> dict[str, Callable[[], Iterator[Kind]]]:
    """Return what is tried, by name."""

    def whole_runs() -> Iterator[Kind]:
        yield runs.killed(kills)
        yield runs.stopped(max(1, kills // 4))
        yield runs.database(max(1, kills // 2))
        yield runs.together()
        yield runs.full_disk()

    def provenance() -> Iterator[Kind]:
        yield lineage.changed_settings()
        yield lineage.altered_artifacts()

    return {"runs": whole_runs, "lineage": provenance, "fuzz": lambda: iter(fuzz.fuzzed(inputs))}


def main() -> None:
    """Run the trials, print their lines as they end, and fail if one of them was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--only", default="runs,lineage,fuzz")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = trials(options.kills, options.inputs)
    kinds = (kind for name in options.only.split(",") for kind in chosen[name]())
    raise SystemExit(tell(kinds, HEAD, BEGIN, options.write))


if __name__ == "__main__":
    main()
