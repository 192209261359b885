"""A whole `kedro run`, process start to exit: where the time goes, what is not numeric work, and peak memory.

    python benchmarks/bench_run.py [--runs 2] [--env base]

Each run is a process of its own in a copy of the project, so nothing is written here. A hook takes the times; the
first run also creates MLflow's database.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl

QUIET = {"KEDRO_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
STAGES = ("data_split", "pretrain", "group_fisher", "weighted_svd", "finetune")
"""What counts as numeric work: all stages but the report."""

GOAL_SECONDS, GOAL_BYTES = 15, 2e9
IMPORTS = ("pandas", "torch", "kedro.framework.cli.cli", "counterpoise.pipeline_registry", "counterpoise.hooks.session")
"""Imported in this order before Kedro would do it: each is charged with what those before it have not brought."""


class Stopwatch:
    """Charges the time since it was last asked to one phase after the other."""

    def __init__(self, began: float) -> None:
        self.last = began
        self.phases: dict[str, float] = defaultdict(float)

    def charge(self, phase: str) -> None:
        now = time.time()  # not perf_counter: the first instant is another process's
        self.phases[phase] += now - self.last
        self.last = now

    @hook_impl
    def after_context_created(self) -> None:
        self.charge("kedro: session, configuration")

    @hook_impl(wrapper=True)
    def before_pipeline_run(self) -> Generator[None, Any, Any]:
        self.charge("kedro: pipelines, catalog")
        import_module("mlflow.tracking")
        self.charge("import mlflow")
        result = yield
        self.charge("tracking: open the database, start the run")
        return result

    @hook_impl
    def before_node_run(self) -> None:
        self.charge("files: load")

    @hook_impl
    def after_node_run(self, node: Any) -> None:
        self.charge(f"stage {node.namespace}")

    @hook_impl
    def after_dataset_saved(self) -> None:
        self.charge("files: check and save")

    @hook_impl(wrapper=True)
    def after_pipeline_run(self) -> Generator[None, Any, Any]:
        self.charge("kedro: between nodes")
        result = yield
        self.charge("tracking: log results and files; table of results")
        return result


def run_here(phases: Path, arguments: list[str], watch: Stopwatch) -> None:
    """Do what the command `kedro run` does, with a stopwatch."""
    watch.charge("start of python")
    for module in IMPORTS:
        import_module(module)
        watch.charge(f"import {module}")
    settings: Any = import_module("counterpoise.settings")
    settings.HOOKS = (*settings.HOOKS, watch)
    sys.argv = ["kedro", "run", *arguments]
    try:
        sys.modules["kedro.framework.cli.cli"].main()
    finally:
        watch.charge("kedro: end of session")
        phases.write_text(json.dumps(watch.phases))


def run(project: Path, env: str, *options: str) -> tuple[float, int, dict[str, float]]:
    """Run in a new process; return its wall time, peak memory in bytes, and the time of each phase."""
    phases = project / "phases.json"
    began = time.time()
    process = subprocess.Popen(
        [sys.executable, __file__, "--child", repr(began), str(phases), f"--env={env}", *options],
        cwd=project,
        env=os.environ | QUIET,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.time() - began
    if status:
        raise SystemExit(f"kedro run failed:\n{errors}")
    measured = json.loads(phases.read_text())
    measured["end of python"] = wall - sum(measured.values())
    return wall, usage.ru_maxrss * 1024, measured  # Linux counts in KiB


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=2)
    arguments.add_argument("--env", default="base")
    options = arguments.parse_args()
    from processes import copy_of_the_project
    from timing import show

    with tempfile.TemporaryDirectory() as folder:
        project = copy_of_the_project(Path(folder) / "project", ["adult"])
        for turn in range(options.runs):
            wall, peak, phases = run(project, options.env)
            numeric = sum(phases[f"stage {stage}"] for stage in STAGES)
            rows = [[phase, f"{taken:.1f}", f"{taken / wall:.0%}"] for phase, taken in phases.items()]
            rows += [
                ["whole run", f"{wall:.1f}", ""],
                ["numeric work", f"{numeric:.1f}", f"{numeric / wall:.0%}"],
                [f"beyond it (goal <= {GOAL_SECONDS})", f"{wall - numeric:.1f}", f"{1 - numeric / wall:.0%}"],
                [f"peak memory, GB (goal < {GOAL_BYTES / 1e9:g})", f"{peak / 1e9:.2f}", ""],
            ]
            show(f"kedro run, {'second and later' if turn else 'first'}", ["phase", "s", "share"], rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run_here(Path(sys.argv[3]), sys.argv[4:], Stopwatch(float(sys.argv[2])))
    else:
        main()
