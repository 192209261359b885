"""Kedro's entry point: every row of the table of experiments, assembled from the stages."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from typing import Any

from kedro.pipeline import Pipeline

from counterpoise import registered
from counterpoise.config.retrained import RETRAINED
from counterpoise.experiments import DEFAULT, EXPERIMENTS, FETCHABLE, Experiment
from counterpoise.pipelines.assemble import assemble, audits, parameter, raw_of

OVERVIEW = "report_all"
SYNC = "sync_tracking"


class Deferred(Pipeline):
    """A pipeline that is put together when it is first looked into: its nodes need torch, and a list of names does not.

    Args:
        make: puts it together.
    """

    def __init__(self, make: Callable[[], Pipeline]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        """Take over all that makes up the pipeline; called for an attribute that is not there."""
        if name.startswith("__") or "_nodes" in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        vars(self).update(vars(self._make()))
        return getattr(self, name)


def register_pipelines() -> dict[str, Pipeline]:
    """Return all pipelines by name, those of experiments in conf/ too; `kedro run` alone runs the default experiment.

    Add yours here: `return _assembled() | _declared() | {"name": Pipeline([...])}`.
    """
    return _assembled() | _declared()


@cache
def _assembled() -> dict[str, Pipeline]:
    """Put the pipelines together once: Kedro asks for them before every run of a process, and none is ever changed."""
    pipelines = {each.name: Deferred(partial(assemble, each)) for each in (*EXPERIMENTS, *audits(EXPERIMENTS))}
    fetching = {_fetching(dataset): Deferred(partial(_create, "fetch", dataset)) for dataset in FETCHABLE}
    further = {name: Deferred(partial(_create, name)) for name in (OVERVIEW, SYNC)}
    return {**pipelines, **fetching, **further, "__default__": pipelines[DEFAULT]}


def _create(stage: str, *arguments: Any, **options: Any) -> Pipeline:
    """Import a stage of `pipelines/` and put its pipeline together."""
    module = import_module(f"counterpoise.pipelines.{stage}.pipeline")
    pipeline: Pipeline = module.create_pipeline(*arguments, **options)
    return pipeline


def _declared() -> dict[str, Pipeline]:
    """Put the pipelines together that conf/ declares, which may change while a process lives."""
    experiments = registered.experiments()
    names = {experiment.name for experiment in (*EXPERIMENTS, *audits(EXPERIMENTS))}
    declared = [each for each in (*experiments, *audits(experiments)) if each.dataset != RETRAINED]
    pipelines = {each.name: Deferred(partial(assemble, each)) for each in declared if each.name not in names}
    return pipelines | _retraining(experiments)


def _retraining(experiments: tuple[Experiment, ...]) -> dict[str, Pipeline]:
    """Put the pipelines together that retrain the experiment of the block `retraining`, watch it, and roll it back."""
    base = registered.retrained()
    if base is None:
        return {}
    row = next(experiment for experiment in experiments if experiment.name == RETRAINED)
    return {
        "retrain": Deferred(partial(_retrain, row, base)),
        "monitor": Deferred(partial(_create, "monitor", raw=raw_of(base), dataset=base.dataset)),
        "rollback": Deferred(partial(_create, "rollback")),
    }


def _retrain(row: Experiment, base: Experiment) -> Pipeline:
    backbone = parameter("backbone", row) if row.images else None
    around = {"raw": raw_of(base), "dataset": base.dataset}
    return _create("retrain", assemble(row), frontier=row.frontier is not None, backbone=backbone, **around)


def _fetching(dataset: str) -> str:
    return f"fetch_{dataset}"


def turn(name: str) -> int:
    """Return when a pipeline runs: 0 fetches raw files, 1 works on them, 2 reads what all others have written.

    Kedro orders nodes by the artifacts that they share, and knows of no order between these.
    """
    if name in {_fetching(dataset) for dataset in FETCHABLE}:
        return 0
    return 2 if name == OVERVIEW else 1
