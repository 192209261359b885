"""Tasks of a scheduler: together they are the pipeline, in order, and what they hand on is in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro_datasets.json import JSONDataset

from counterpoise.commands.deployment import Plan, Task, read_plan, require_divisible, tasks_of
from counterpoise.errors import InputError
from counterpoise.pipeline_registry import register_pipelines

DEPLOY = Path(__file__).parents[2] / "deploy"


def node(name: str, inputs: str, output: str, namespace: str | None = None) -> Pipeline:
    """Return a pipeline of one node, `inputs` divided by blanks."""
    names = inputs.split()
    made = Pipeline([Node(lambda *values: values, names or None, output, name=name)]) if names else None
    made = made or Pipeline([Node(lambda: 1, None, output, name=name)])
    return Pipeline(made, namespace=namespace, inputs=set(names), outputs={output}) if namespace else made


def catalog(*in_files: str) -> DataCatalog:
    return DataCatalog({name: JSONDataset(filepath=f"/nowhere/{name}.json") for name in in_files})


LINE = (
    node("read", "", "rows", "data") + node("train", "rows", "model", "train.inner") + node("report", "model", "page")
)


def test_a_namespace_is_a_task_and_a_node_without_one_too() -> None:
    assert tasks_of(LINE) == [
        Task("data", (), namespaces=("data",)),
        Task("train", ("data",), namespaces=("train",)),
        Task("report", ("train",), nodes=("report",)),
    ]
    require_divisible(LINE, tasks_of(LINE), catalog("rows", "model", "page"))


def test_what_is_in_memory_between_two_tasks_is_refused() -> None:
    kept = DataCatalog({"rows": JSONDataset(filepath="/nowhere/rows.json"), "model": MemoryDataset()})
    with pytest.raises(InputError, match=r"model is kept in memory.*between the tasks train and report"):
        require_divisible(LINE, tasks_of(LINE), kept)
    with pytest.raises(InputError, match=r"rows is kept in memory"):  # no entry at all
        require_divisible(LINE, tasks_of(LINE), catalog("model"))


def test_what_is_in_memory_within_a_task_is_nobodys_business() -> None:
    within = node("a", "", "x", "one") + node("b", "x", "y", "one") + node("c", "y", "z", "two")
    require_divisible(within, tasks_of(within), catalog("y"))


@pytest.mark.filterwarnings("ignore:Namespace .* is interrupted:UserWarning")
def test_namespaces_that_need_each_other_are_one_task() -> None:
    mutual = node("a", "", "x", "one") + node("b", "x", "y", "two") + node("c", "y", "z", "one") + node("d", "z", "w")
    tasks = tasks_of(mutual)
    assert [(task.name, task.after, set(task.namespaces)) for task in tasks] == [
        ("one_two", (), {"one", "two"}),
        ("d", ("one_two",), set()),
    ]
    require_divisible(mutual, tasks, catalog("z"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tasks: tasks[:2], "do not run report once"),
        (lambda tasks: [*tasks, tasks[2]], "do not run report once"),
        (lambda tasks: [tasks[1], tasks[0], tasks[2]], "train comes before data"),
        (lambda tasks: [tasks[0], Task("train", (), ("train",)), tasks[2]], "reads rows, which no task before it"),
        (lambda tasks: [*tasks[:2], Task("report", ("train",), nodes=("reprot",))], "did you mean 'report'"),
    ],
)
def test_a_plan_that_was_changed_is_refused(change: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        require_divisible(LINE, change(tasks_of(LINE)), catalog("rows", "model", "page"))


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = Plan("line", "prod", tasks_of(LINE))
    (tmp_path / "line.json").write_text(made.text())
    assert read_plan(tmp_path / "line.json") == made
    options = [task["options"] for task in json.loads(made.text())["tasks"]]
    assert options == [["--namespaces=data"], ["--namespaces=train"], ["--nodes=report"]]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"pipeline": "x"}', '{"pipeline": "x", "environment": null, "tasks": [3]}']
)
def test_what_is_no_plan_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(InputError, match=r"cannot be read .* expected what `counterpoise plan` writes"):
        read_plan(tmp_path / "plan.json")


@pytest.mark.parametrize("name", ["win_adult", "frontier_adult", "alter_compas"])
def test_experiments_have_at_least_four_tasks(name: str) -> None:
    pipeline = register_pipelines()[name]
    tasks = tasks_of(pipeline)
    assert len(tasks) >= 4
    assert tasks[-1].name == "fairness_report"
    assert {n.name for task in tasks for n in task.of(pipeline).nodes} == {n.name for n in pipeline.nodes}


class TestExamples:
    """The files under deploy/, as far as they can be checked without the programs that they are for."""

    def test_compose(self) -> None:
        content = yaml.safe_load((DEPLOY / "compose" / "compose.yml").read_text())
        services = content["services"]
        assert {"postgres", "mlflow", "dask-scheduler", "dask-worker", "airflow"} <= set(services)
        for name, service in services.items():
            needed = service.get("depends_on", {})
            assert set(needed) <= set(services), name
            if isinstance(needed, dict):
                assert all("healthcheck" in services[other] for other in needed), name
            named = {volume.split(":")[0] for volume in service.get("volumes", ())}
            assert {volume for volume in named if volume[0] not in "./"} <= set(content["volumes"]), name
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
            if build := service.get("build"):
                folder = DEPLOY / "compose" / build["context"]
                assert f" AS {build['target']}\n" in (folder / build["dockerfile"]).read_text()

    def test_passwords_come_from_the_environment_alone(self) -> None:
        for file in (
            path
            for path in DEPLOY.rglob("*")
            if path.is_file() and path.suffix not in {".pyc", ".json"} and "test" not in path.name
        ):
            for line in file.read_text().splitlines():
                _, colon, value = line.partition("PASSWORD")
                value = value.strip(" :=")
                assert not colon or value == "" or value.startswith(("$", "}", "@", ":", ")")), f"{file}: {line}"

    def test_the_workflow_ends_well_when_the_gate_refuses(self) -> None:
        content = yaml.safe_load((DEPLOY / "github" / "retrain.yml").read_text())
        (job,) = content["jobs"].values()
        uses = [step.get("uses") or step["run"] for step in job["steps"]]
        assert any("deploy/retrain.sh" in step for step in uses)
        assert any("outputs.status == '3'" in str(step.get("if")) for step in job["steps"])
        assert content["concurrency"]["cancel-in-progress"] is False
