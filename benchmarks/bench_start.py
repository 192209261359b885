"""What it costs to start: imports in fresh processes, and the first step of an optimiser.

    python benchmarks/bench_start.py [--rounds 3] [--kedro-mlflow FOLDER]

With a folder into which kedro-mlflow was installed (`uv pip install --no-deps --target FOLDER "kedro-mlflow>=2,<3"`),
the command `kedro info` is timed with that plugin and without it: Kedro loads plugins at every command.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from timing import in_turn, ratio, show

ROOT = Path(__file__).parents[1]
QUIET = {"KEDRO_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}

IMPORTS = {
    "an empty process": "pass",
    "pandas": "import pandas",
    "torch": "import torch",
    "kedro": "import kedro.framework.cli.cli, kedro.framework.session",
    "pandera": "import pandera.pandas",
    "scikit-learn": "import sklearn.linear_model",
    "fairlearn": "import fairlearn.metrics",
    "MLflow": "import mlflow.tracking",
    "the stages and hooks": "import counterpoise.pipeline_registry, counterpoise.hooks.session",
}

STEP = """
import torch
from counterpoise.nn import Optimizer
weight = torch.zeros(20, 2, requires_grad=True)
weight.grad = torch.ones(20, 2)
"""
OPTIMIZERS = {
    "torch, no optimiser": STEP,
    "Adam of counterpoise.nn": STEP + "Optimizer().build([weight], steps=1)()",
    "Adam of torch.optim": STEP + "torch.optim.Adam([weight]).step()",
}


def process(*command: str, **environment: str) -> Callable[[], None]:
    """Return a call that runs a command in a process of its own, in the project's folder."""

    def run() -> None:
        subprocess.run(command, cwd=ROOT, env=os.environ | QUIET | environment, check=True, capture_output=True)

    return run


def table(title: str, functions: Mapping[str, Callable[[], None]], *, rounds: int) -> None:
    """Print the seconds of each process, and what it takes beyond the first, which is the one that does nothing."""
    times = in_turn(functions, rounds=rounds)
    base = next(iter(times.values()))
    rows = []
    for name, own in times.items():
        beyond = statistics.median(a - b for a, b in zip(own, base, strict=True))
        rows.append([name, f"{statistics.median(own):.2f}", f"{beyond:+.2f}", f"{ratio(own, base):.1f}"])
    show(title, ["process", "median s", "beyond the first, s", "ratio to the first"], rows)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--kedro-mlflow", metavar="FOLDER", type=Path)
    options = arguments.parse_args()

    imports = {name: process(sys.executable, "-c", code) for name, code in IMPORTS.items()}
    table("imports, each in a process of its own (they share: the sum is more than the whole)", imports, rounds=1)
    steps = {name: process(sys.executable, "-c", code) for name, code in OPTIMIZERS.items()}
    table("the first step of an optimiser", steps, rounds=options.rounds)
    if options.kedro_mlflow is not None:
        info = (sys.executable, "-m", "kedro", "info")
        plugin = {
            "kedro info": process(*info),
            "kedro info, kedro-mlflow installed": process(*info, PYTHONPATH=str(options.kedro_mlflow.resolve())),
        }
        table("any Kedro command in this project", plugin, rounds=options.rounds)


if __name__ == "__main__":
    main()
