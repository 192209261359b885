"""A pipeline as tasks of a scheduler: one for each outer namespace, each a `kedro run` of its own.

What one task leaves for another has to be in a file, since each is a process, and may be on another machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline

from counterpoise import atomic, registered
from counterpoise.errors import InputError
from counterpoise.hooks.slices import chosen, combined

OPTIONS = ("namespaces", "nodes")


@dataclass(frozen=True)
class Task:
    """A part of a pipeline: the nodes of these namespaces, or these nodes, once the tasks of `after` are done."""

    name: str
    after: tuple[str, ...]
    namespaces: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()

    def of(self, pipeline: Pipeline) -> Pipeline:
        """Return its part of a pipeline.

        Raises:
            InputError: the pipeline has no such namespace or node.
        """
        return chosen(pipeline, {"namespaces": self.namespaces, "node_names": self.nodes})


def tasks_of(pipeline: Pipeline) -> list[Task]:
    """Return the tasks of a pipeline in an order in which they can run; namespaces that need each other are one task.

    Raises:
        InputError: a namespace and a node outside of all need each other.
    """
    groups = {group.name: group for group in pipeline.group_nodes_by("namespace")}
    before = {name: _all_before(name, {name: group.dependencies for name, group in groups.items()}) for name in groups}
    cycles = {
        name: tuple(other for other in groups if other == name or (name in before[other] and other in before[name]))
        for name in groups
    }
    tasks: dict[str, Task] = {}
    for name in sorted(groups, key=lambda name: (len(before[name]), list(groups).index(name))):
        members = cycles[name]
        called = "_".join(members)
        if called in tasks:
            continue
        kinds = {groups[member].type for member in members}
        if len(kinds) > 1:
            raise InputError(f"the pipeline's groups {', '.join(members)} need each other, expected one namespace")
        needed = {before_it for member in members for before_it in groups[member].dependencies} - set(members)
        after = tuple(dict.fromkeys("_".join(cycles[other]) for other in groups if other in needed))
        is_namespace = kinds == {"namespace"}
        nodes = () if is_namespace else tuple(node for member in members for node in groups[member].nodes)
        tasks[called] = Task(called, after, members if is_namespace else (), nodes)
    return list(tasks.values())


def _all_before(name: str, dependencies: Mapping[str, list[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = list(dependencies[name])
    while waiting:
        other = waiting.pop()
        if other not in reached:
            reached.add(other)
            waiting += dependencies[other]
    return reached


def require_divisible(pipeline: Pipeline, tasks: list[Task], catalog: DataCatalog) -> None:
    """Raise InputError unless the tasks are all of the pipeline, in order, and nothing that they share is in memory."""
    makers: dict[str, str] = {}
    done: set[str] = set()
    for task in tasks:
        if missing := set(task.after) - done:
            raise InputError(f"the task {task.name} comes before {', '.join(sorted(missing))}, expected it after")
        done.add(task.name)
        part = task.of(pipeline)
        reached = _all_before(task.name, {other.name: list(other.after) for other in tasks})
        for name in sorted(part.inputs() & pipeline.all_outputs()):
            if makers.get(name) not in reached:
                raise InputError(f"the task {task.name} reads {name}, which no task before it makes")
            if isinstance(catalog.get(name), MemoryDataset | None):
                raise InputError(
                    f"{name} is kept in memory, and would be lost between the tasks {makers[name]} and {task.name}: "
                    "expected an entry of a file in the catalog, or one task for both"
                )
        makers |= dict.fromkeys(part.all_outputs(), task.name)
    nodes = [node.name for task in tasks for node in task.of(pipeline).nodes]
    if len(nodes) != len(set(nodes)) or set(nodes) != {node.name for node in pipeline.nodes}:
        wrong = sorted({node.name for node in pipeline.nodes} ^ set(nodes) or {n for n in nodes if nodes.count(n) > 1})
        raise InputError(f"the tasks do not run {', '.join(wrong)} once, expected each node in one of them")


@dataclass(frozen=True)
class Plan:
    """The tasks of one pipeline in one environment, as a scheduler reads them."""

    pipeline: str
    environment: str | None
    tasks: list[Task]

    def text(self) -> str:
        """Return it as JSON: the options of each task's `kedro run`, and the tasks that come before."""
        tasks = [{"name": task.name, "after": list(task.after), "options": list(_options(task))} for task in self.tasks]
        return json.dumps({"pipeline": self.pipeline, "environment": self.environment, "tasks": tasks}, indent=2) + "\n"


def _options(task: Task) -> Iterator[str]:
    for option in OPTIONS:
        if values := asdict(task)[option]:
            yield f"--{option}={','.join(values)}"


def plan(name: str, environment: str | None, to: Path | None) -> str:
    """Divide a pipeline into tasks, write them to a file if there is one, and return what is to be shown.

    Raises:
        InputError: there is no such pipeline, or it cannot be divided.
    """
    registered.read(environment=environment)
    pipeline = combined([name])
    division = Plan(name, environment, tasks_of(pipeline))
    require_divisible(pipeline, division.tasks, _catalog(environment))
    if to is None:
        return division.text().rstrip()
    atomic.write_bytes(to, division.text().encode())
    return f"{to}: {len(division.tasks)} tasks of {name} ({', '.join(task.name for task in division.tasks)})"


def check_plan(file: Path) -> str:
    """Return a sentence if a file still divides its pipeline.

    Raises:
        InputError: it cannot be read, leaves out nodes, or would lose what is in memory.
    """
    division = read_plan(file)
    registered.read(environment=division.environment)
    pipeline = combined([division.pipeline])
    require_divisible(pipeline, division.tasks, _catalog(division.environment))
    tasks, nodes = len(division.tasks), len(pipeline.nodes)
    return f"{file}: {tasks} tasks run the {nodes} nodes of {division.pipeline}, nothing is lost"


def read_plan(file: Path) -> Plan:
    """Read what `Plan.text` has written.

    Raises:
        InputError: it is not that.
    """
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        tasks = []
        for task in content["tasks"]:
            options = dict(option.removeprefix("--").split("=", 1) for option in task["options"])
            named = {option: tuple(options.pop(option).split(",")) for option in OPTIONS if option in options}
            if options or not named:
                raise ValueError(f"the task {task['name']} has the options {task['options']}")
            tasks.append(Task(task["name"], tuple(task["after"]), **named))
        return Plan(content["pipeline"], content["environment"], tasks)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: cannot be read ({error}), expected what `counterpoise plan` writes") from None


def _catalog(environment: str | None) -> DataCatalog:
    from kedro.framework.session import KedroSession

    with KedroSession.create(project_path=Path.cwd(), env=environment) as session:
        return session.load_context().catalog  # type: ignore[attr-defined]  # Kedro's own sessions have it
