"""Airflow 3: a DAG for each plan, whose tasks are runs of Kedro and log to one MLflow run.

A plan is made by the project, in its own environment: `counterpoise plan retrain --env prod --to plans/retrain.json`.
Airflow needs neither Kedro nor Counterpoise, only this file and the plans (in its folder of DAGs).

| environment variable | meaning | default |
|---|---|---|
| COUNTERPOISE_PROJECT | folder of the project | two folders above this file |
| COUNTERPOISE_BIN | folder of its programs `kedro` and `counterpoise` | .venv/bin of the project |
| COUNTERPOISE_PLANS | folder of the plans | plans beside this file |
| COUNTERPOISE_SCHEDULE | cron expression | Mondays at 6:00 UTC |
| COUNTERPOISE_ALERT | command that is given each alert on standard input | alerts go to the log alone |
| COUNTERPOISE_PARAMS | parameters of each run, as --params takes them | |

Passwords are the business of Airflow's environment or of the project's conf/local: none stands here.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

FOLDER = Path(__file__).resolve().parent
PROJECT = Path(os.environ.get("COUNTERPOISE_PROJECT") or FOLDER.parents[1])
PROGRAMS = Path(os.environ.get("COUNTERPOISE_BIN") or PROJECT / ".venv" / "bin")
PLANS = Path(os.environ.get("COUNTERPOISE_PLANS") or FOLDER / "plans")
SCHEDULE = os.environ.get("COUNTERPOISE_SCHEDULE") or "0 6 * * 1"

REFUSED = 3
"""Status of a run whose gate has refused: repeating it changes nothing, and somebody has to know."""

NOTHING = "Nothing to do"
"""How the sentence begins with which a run ends that finds no new data."""

RETRIES, PAUSE, LONGEST = 2, timedelta(minutes=5), timedelta(hours=6)
ALERT_SECONDS, TAIL = 60, 20

log = logging.getLogger(__name__)


class Refused(AirflowFailException):
    """The gate has refused the challenger."""


def run(words: list[str], group: str) -> None:
    """Run a command of the project's, its output in the task's log; the same group logs to the same MLflow run."""
    command = [str(PROGRAMS / words[0]), *words[1:]]
    environment = os.environ | {"COUNTERPOISE_RUN_GROUP": group}
    environment.pop("PYTHONPATH", None)  # Airflow's packages are not the project's
    lines: list[str] = []
    process = subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            log.info("%s", line.rstrip())
            lines = [*lines[-TAIL:], line.strip()]
        status = process.wait()
    finally:  # also at the end of the task's time: the run is marked KILLED by its own handler
        if process.poll() is None:
            process.terminate()
            process.wait()
    last = next((line for line in reversed(lines) if line), "")
    if status == REFUSED:
        raise Refused(last)
    if status != 0:
        raise AirflowException(f"{' '.join(words)} ended with status {status}: {last}")
    if last.startswith(NOTHING):
        raise AirflowSkipException(last)


def alert(context: dict[str, Any]) -> None:
    """Say that a task has failed for good, or that the gate refused: in the log, and to the command of the alerts."""
    error, instance = context.get("exception"), context["task_instance"]
    kind = "REFUSED" if isinstance(error, Refused) else "FAILED"
    sentence = f"{kind} {instance.dag_id}.{instance.task_id} ({context['run_id']}): {error}"
    log.error("ALERT %s", sentence)
    if command := os.environ.get("COUNTERPOISE_ALERT"):
        subprocess.run(command, shell=True, input=sentence, text=True, check=False, timeout=ALERT_SECONDS)


def group_of(dag: str) -> str:
    """Return the template of the name under which all tasks of one run of the DAG log."""
    return f"{dag}/{{{{ run_id }}}}"


def dag_of(file: Path) -> DAG:
    """Return the DAG of a plan: the check, what was not logged before, then the tasks one at a time.

    One at a time, since they share one MLflow run, which is open while one of them works.
    """
    plan = json.loads(file.read_text())
    name = f"counterpoise_{file.stem}"
    dag = DAG(
        name,
        schedule=SCHEDULE,
        start_date=datetime(2026, 1, 5),
        catchup=False,
        max_active_runs=1,
        max_active_tasks=1,
        tags=["counterpoise"],
        default_args={
            "retries": RETRIES,
            "retry_delay": PAUSE,
            "execution_timeout": LONGEST,
            "on_failure_callback": alert,
        },
    )
    where = [f"--env={plan['environment']}"] if plan["environment"] else []
    params = [f"--params={text}"] if (text := os.environ.get("COUNTERPOISE_PARAMS")) else []
    run_options = [f"--pipelines={plan['pipeline']}", *where, *params]
    sync = ["kedro", "run", "--pipelines=sync_tracking", *where]

    def task(called: str, words: list[str], **options: Any) -> PythonOperator:
        arguments = {"words": words, "group": group_of(name)}
        return PythonOperator(task_id=called, python_callable=run, op_kwargs=arguments, dag=dag, **options)

    before = task("check", ["counterpoise", "plan", f"--check={file}"], retries=0)
    before = before >> task("sync_tracking", sync, trigger_rule="none_failed")
    tasks = {
        each["name"]: task(each["name"], ["kedro", "run", *run_options, *each["options"]]) for each in plan["tasks"]
    }
    for each in plan["tasks"]:
        for earlier in each["after"]:
            tasks[earlier] >> tasks[each["name"]]
        if not each["after"]:
            before >> tasks[each["name"]]
    return dag


for path in sorted(PLANS.glob("*.json")):
    if re.fullmatch(r"[\w.-]+", path.stem):
        globals()[f"dag_{path.stem}"] = dag_of(path)
