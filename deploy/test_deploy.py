"""What `make deploy-test` runs: the schedulers themselves where they are installed, on copies of the project.

Airflow is installed from PyPI into build/airflow-venv, apart from the project's environment. It takes minutes, and is
therefore no part of `make test`.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parent
REPOSITORY = DEPLOY.parent
PROGRAMS = Path(sys.executable).parent
AIRFLOW = Path(os.environ.get("COUNTERPOISE_AIRFLOW") or REPOSITORY / "build" / "airflow-venv")
LONGEST = 3600

PLAN = {
    "pipeline": "retrain",
    "environment": None,
    "tasks": [
        {"name": "partitions", "after": [], "options": ["--namespaces=partitions"]},
        {"name": "evaluate", "after": ["partitions"], "options": ["--namespaces=evaluate"]},
        {"name": "promote", "after": ["evaluate"], "options": ["--namespaces=promote"]},
    ],
}
STUB = """#!/bin/sh
echo "$0 $* [$COUNTERPOISE_RUN_GROUP]" >> {calls}
case "$*" in
  *--namespaces=partitions*) echo "{first}"; exit 0;;
  *--namespaces=promote*|"run --env=base --pipelines=retrain")
    echo "Model 2 was refused; model 1 stays champion."; exit {last};;
esac
exit 0
"""


@pytest.fixture(scope="session")
def airflow() -> Path:
    """The program of Airflow, installed if it is not there."""
    program = AIRFLOW / "bin" / "airflow"
    if not program.exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", str(AIRFLOW)], check=True)
        requirements = str(DEPLOY / "airflow" / "requirements.txt")
        install = [*uv, "pip", "install", "--quiet", "--python", str(AIRFLOW / "bin" / "python"), "-r", requirements]
        subprocess.run(install, check=True)
    return program


class Scheduled:
    """A place with plans, programs and a database of Airflow's."""

    def __init__(self, folder: Path, airflow: Path) -> None:
        self.folder, self.airflow = folder, airflow
        self.project, self.programs, self.plans = folder / "project", folder / "bin", folder / "plans"
        for place in (self.project, self.programs, self.plans):
            place.mkdir()
        self.alerts = folder / "alerts.txt"

    @property
    def environment(self) -> dict[str, str]:
        quiet = {"KEDRO_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
        return (
            {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            | quiet
            | {
                "AIRFLOW_HOME": str(self.folder / "airflow"),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__CORE__DAGS_FOLDER": str(DEPLOY / "airflow"),
                "COUNTERPOISE_PROJECT": str(self.project),
                "COUNTERPOISE_BIN": str(self.programs),
                "COUNTERPOISE_PLANS": str(self.plans),
                "COUNTERPOISE_ALERT": f"cat >> {self.alerts}",
            }
        )

    def program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def stubs(self, first: str = "", last: int = 0) -> None:
        """Put programs in the place of the project's that write down how they are called."""
        for name in ("kedro", "counterpoise"):
            self.program(name, STUB.format(calls=self.folder / "calls.txt", first=first, last=last))

    def calls(self) -> list[str]:
        return [line.partition("/bin/")[2] for line in (self.folder / "calls.txt").read_text().splitlines()]

    def test(self, dag: str) -> tuple[int, str]:
        """Run all tasks of a DAG as a scheduler would; return the status and the log."""
        options = {"env": self.environment, "capture_output": True, "text": True, "timeout": LONGEST}
        subprocess.run([self.airflow, "db", "migrate"], check=True, **options)  # type: ignore[call-overload]
        run = subprocess.run([self.airflow, "dags", "test", dag, "2026-11-30"], check=False, **options)  # type: ignore[call-overload]
        return run.returncode, run.stdout + run.stderr


@pytest.fixture
def scheduled(tmp_path: Path, airflow: Path) -> Scheduled:
    return Scheduled(tmp_path, airflow)


class TestAirflow:
    def test_a_refusal_is_an_alert_and_is_not_repeated(self, scheduled: Scheduled) -> None:
        scheduled.stubs(last=3)
        (scheduled.plans / "retrain.json").write_text(json.dumps(PLAN))
        status, log = scheduled.test("counterpoise_retrain")
        assert status != 0, log
        assert scheduled.alerts.read_text().startswith("REFUSED counterpoise_retrain.promote")
        assert "Model 2 was refused" in scheduled.alerts.read_text()
        words = [call.partition(" [")[0] for call in scheduled.calls()]
        assert words == [
            f"counterpoise plan --check={scheduled.plans}/retrain.json",
            "kedro run --pipelines=sync_tracking",
            *(f"kedro run --pipelines=retrain --namespaces={name}" for name in ("partitions", "evaluate", "promote")),
        ]
        groups = {call.partition(" [")[2] for call in scheduled.calls()}
        assert len(groups) == 1, "all tasks log to one run"

    def test_without_new_data_the_rest_is_skipped(self, scheduled: Scheduled) -> None:
        scheduled.stubs(first="Nothing to do: there is no new partition.")
        (scheduled.plans / "retrain.json").write_text(json.dumps(PLAN))
        status, log = scheduled.test("counterpoise_retrain")
        assert status == 0, log
        assert not any("evaluate" in call for call in scheduled.calls())
        assert not scheduled.alerts.exists()

    def test_an_experiment_is_one_mlflow_run(self, scheduled: Scheduled) -> None:
        """With the real programs, in the environment smoke."""
        for name in ("kedro", "counterpoise"):
            command = f"{sys.executable} -m {name}"
            paths = os.environ.get("PYTHONPATH", "")
            scheduled.program(name, f'#!/bin/sh\nPYTHONPATH="{paths}" exec {command} "$@"\n')
        (scheduled.project / "src").mkdir()
        shutil.copytree(REPOSITORY / "conf", scheduled.project / "conf", ignore=shutil.ignore_patterns("local"))
        (scheduled.project / "conf" / "local").mkdir()
        for name in ("pyproject.toml", ".telemetry"):
            shutil.copy(REPOSITORY / name, scheduled.project)
        plan = [scheduled.programs / "counterpoise", "plan", "win_adult", "--env=smoke"]
        to = f"--to={scheduled.plans / 'win_adult.json'}"
        subprocess.run([*plan, to], cwd=scheduled.project, env=scheduled.environment, check=True)
        status, log = scheduled.test("counterpoise_win_adult")
        assert status == 0, log
        tasks = json.loads((scheduled.plans / "win_adult.json").read_text())["tasks"]
        assert len(tasks) >= 4
        with closing(sqlite3.connect(scheduled.project / "mlflow.db")) as database:
            children = "SELECT run_uuid FROM tags WHERE key = 'mlflow.parentRunId'"
            parents = database.execute(f"SELECT name, status FROM runs WHERE run_uuid NOT IN ({children})").fetchall()
        assert parents == [("win_adult", "FINISHED")]


@pytest.fixture
def lines() -> list[str]:
    text = (DEPLOY / "cron" / "counterpoise.cron").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize(("last", "alert"), [(0, None), (3, "REFUSED"), (1, "FAILED")])
def test_the_line_of_cron_runs_as_cron_runs_it(tmp_path: Path, lines: list[str], last: int, alert: str | None) -> None:
    """In sh, with nothing in the environment but what the file says."""
    scheduled = Scheduled(tmp_path, Path())
    scheduled.stubs(last=last)
    (scheduled.project / "data").mkdir()
    (scheduled.project / "deploy").symlink_to(DEPLOY)
    variables = dict(line.split("=", 1) for line in lines[:-1])
    variables |= {"COUNTERPOISE_BIN": str(scheduled.programs), "COUNTERPOISE_ALERT": f"cat >> {scheduled.alerts}"}
    variables |= {"COUNTERPOISE_PROJECT": str(scheduled.project), "PATH": "/usr/bin:/bin"}
    command = lines[-1].split(None, 5)[5].replace("/srv/counterpoise", str(scheduled.project))
    run = subprocess.run(["/bin/sh", "-c", command], env=variables, cwd="/", check=False)
    assert run.returncode == last
    said = scheduled.alerts.read_text() if scheduled.alerts.exists() else ""
    assert said.startswith(alert) if alert else not said
    assert [call.split(" [")[0] for call in scheduled.calls()] == [
        "kedro run --env=base --pipelines=sync_tracking",
        "kedro run --env=base --pipelines=retrain",
    ]


def test_two_at_once_do_not_both_run(tmp_path: Path) -> None:
    scheduled = Scheduled(tmp_path, Path())
    scheduled.program("kedro", "#!/bin/sh\nsleep 3\n")
    start = [DEPLOY / "retrain.sh"]
    both = [subprocess.Popen(start, env=scheduled.environment, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert sorted(process.wait() for process in both) == [0, 75]


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if not (verify := shutil.which("systemd-analyze")):
        pytest.skip("systemd is not installed")
    units = []
    for unit in sorted((DEPLOY / "systemd").iterdir()):
        copy = tmp_path / unit.name
        copy.write_text(
            unit.read_text().replace("/srv/counterpoise", str(REPOSITORY)).replace("User=counterpoise\n", "")
        )
        units.append(copy)
    run = subprocess.run([verify, "verify", *units], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout + run.stderr) == (0, "")
    calendar = next(line for line in units[-1].read_text().splitlines() if line.startswith("OnCalendar="))
    subprocess.run([verify, "calendar", calendar.partition("=")[2]], check=True, capture_output=True)


def test_compose_is_accepted_by_the_engine(tmp_path: Path) -> None:
    docker: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run
    if (
        not shutil.which("docker")
        or docker(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("Docker Compose is not installed")
    file = str(DEPLOY / "compose" / "compose.yml")
    environment = os.environ | {"POSTGRES_PASSWORD": "only-for-tests"}
    docker(["docker", "compose", "-f", file, "config", "--quiet"], env=environment, check=True)
