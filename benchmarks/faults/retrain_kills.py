"""Kill retraining at random moments: `python benchmarks/faults/retrain_kills.py --kills 20`.

A project of its own, on generated data: the first partition makes a champion, the second one is retrained without a
fault, which gives the expected decision. Then, again and again from the state before the second partition, the process
is killed (SIGKILL) at a random moment of the time that a run takes; the next run has to complete with the same
decision, the same model and the same report, with nothing RUNNING in MLflow, the alias at the history's champion, and
one version for each model.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
WEEKS = ("2026-03-02", "2026-03-09")
SETTINGS = {
    "model_name": "income",
    "method": "tl",
    "min_rows": 100,
    "held_out": 0.5,
    "gate": {"error_margin": 0.5, "group_margin": 0.6, "tolerances": {"delta_dp": 0.9}, "patience": 1},
}
COMMAND = ["run", "--pipelines=retrain", "-e", "smoke"]


def make(folder: Path) -> Path:
    """Make a project with a first partition, and a second one beside it; return where that one belongs."""
    from counterpoise.data.adult import read
    from counterpoise.data.generate.adult import write_adult

    (folder / "src").mkdir(parents=True)
    shutil.copytree(REPOSITORY / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    (folder / "conf" / "local").mkdir()
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(REPOSITORY / name, folder / name)
    parameters = folder / "conf" / "smoke" / "parameters.yml"
    settings = yaml.safe_load(parameters.read_text())
    settings |= {"seeds": 1, "retraining": SETTINGS, "variants": {"win": {"methods": ["tl"]}}}
    parameters.write_text(yaml.safe_dump(settings))
    inbox = folder / "data" / "01_raw" / "partitions"
    inbox.mkdir(parents=True)
    for number, week in enumerate(WEEKS):
        write_adult(folder / "generated" / week, rows=600, seed=number + 1)
        target = inbox if number == 0 else folder / "generated"
        read(folder / "generated" / week).to_csv(target / f"adult-{week}.csv", index=False)
    return inbox / f"adult-{WEEKS[1]}.csv"


def started(project: Path) -> subprocess.Popen[bytes]:
    """Start a retraining in a group of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return subprocess.Popen(
        [Path(sys.executable).with_name("kedro"), *COMMAND],
        cwd=project,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def outcome(project: Path) -> dict[str, Any]:
    """Return what must not depend on a kill."""
    from mlflow.tracking import MlflowClient

    data = project / "data" / "smoke"
    records = [json.loads(line) for line in (data / "retrain" / "history.jsonl").read_text().splitlines()]
    report = json.loads((data / "08_reporting" / "retrain" / WEEKS[1] / "report.json").read_text())
    for document in (*records, report["decision"]):
        document.pop("at")
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("counterpoise").experiment_id])
    versions = client.search_model_versions("name = 'income'")
    aliases = client.get_registered_model("income").aliases
    return {
        "records": records,
        "report": report,
        "ledger": json.loads((data / "retrain" / "partitions.json").read_text()),
        "running": [run.info.run_name for run in runs if run.info.status == "RUNNING"],
        "finished": sorted(run.info.run_name for run in runs if run.info.status == "FINISHED"),
        "versions": sorted(version.tags["counterpoise.model"] for version in versions),
        "champion": next(v.tags["counterpoise.model"] for v in versions if int(v.version) == int(aliases["champion"])),
    }


def stage_of(project: Path) -> str:
    """Return the last of the run's files that was there when it was killed."""
    data = project / "data" / "smoke"
    for name, path in (
        ("ledger", data / "retrain" / "partitions.json"),
        ("report", data / "08_reporting" / "retrain" / WEEKS[1] / "report.json"),
    ):
        if path.is_file() and (name != "ledger" or WEEKS[1] in path.read_text()):
            return f"after {name}"
    if len((data / "retrain" / "history.jsonl").read_text().splitlines()) > 1:
        return "after decision"
    work = data / "retrain" / "work" / "batch.json"
    is_new = work.is_file() and WEEKS[1] in work.read_text()
    return "in the training or evaluation" if is_new else "before the partitions were taken"


def main() -> None:
    """Kill, run again, compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with TemporaryDirectory(prefix="counterpoise-kills-") as folder:
        project, before = Path(folder) / "project", Path(folder) / "before"
        second = make(project)
        if started(project).wait():
            raise SystemExit("The first retraining failed.")
        shutil.copytree(project, before, symlinks=True)
        arriving = before / "generated" / second.name

        def run() -> float:
            begin = time.monotonic()
            if status := started(project).wait():
                raise SystemExit(f"A retraining ended with {status}.")
            return time.monotonic() - begin

        def reset() -> None:
            shutil.rmtree(project)
            shutil.copytree(before, project, symlinks=True)
            shutil.copy(arriving, second)

        shutil.copy(arriving, second)
        seconds = run()
        expected = outcome(project)
        print(f"undisturbed: {seconds:.1f} s; decision: {expected['records'][-1]['verdict']}")
        identical, stages = 0, dict[str, int]()
        for kill in range(options.kills):
            reset()
            process, moment = started(project), draw.uniform(0.05, 1.0) * seconds
            try:
                process.wait(timeout=moment)
                stage = "had ended"
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                stage = stage_of(project)
            run()
            same = outcome(project) == expected
            identical += same
            stages[stage] = stages.get(stage, 0) + 1
            print(f"kill {kill + 1}: after {moment:.1f} s, {stage}: {'identical' if same else 'DIFFERENT'}", flush=True)
        print(f"{identical} of {options.kills} identical; " + ", ".join(f"{name}: {n}" for name, n in stages.items()))


if __name__ == "__main__":
    main()
