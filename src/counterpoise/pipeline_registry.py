"""Kedro's entry point: every row of the table of experiments, assembled from the stages."""

from __future__ import annotations

from functools import cache

from kedro.pipeline import Pipeline

from counterpoise import registered
from counterpoise.config.retraining import RETRAINED
from counterpoise.experiments import DEFAULT, EXPERIMENTS, FETCHABLE, Experiment
from counterpoise.pipelines.assemble import assemble, audits, raw_of
from counterpoise.pipelines.fetch import pipeline as fetch
from counterpoise.pipelines.monitor import pipeline as monitor
from counterpoise.pipelines.report_all import pipeline as report_all
from counterpoise.pipelines.retrain import pipeline as retrain
from counterpoise.pipelines.rollback import pipeline as rollback
from counterpoise.pipelines.sync_tracking import pipeline as sync_tracking

OVERVIEW = "report_all"
SYNC = "sync_tracking"


def register_pipelines() -> dict[str, Pipeline]:
    """Return all pipelines by name, those of experiments in conf/ too; `kedro run` alone runs the default experiment.

    Add yours here: `return _assembled() | _declared() | {"name": Pipeline([...])}`.
    """
    return _assembled() | _declared()


@cache
def _assembled() -> dict[str, Pipeline]:
    """Put the pipelines together once: Kedro asks for them before every run of a process, and none is ever changed."""
    pipelines = {experiment.name: assemble(experiment) for experiment in (*EXPERIMENTS, *audits(EXPERIMENTS))}
    fetching = {_fetching(dataset): fetch.create_pipeline(dataset) for dataset in FETCHABLE}
    further = {OVERVIEW: report_all.create_pipeline(), SYNC: sync_tracking.create_pipeline()}
    return {**pipelines, **fetching, **further, "__default__": pipelines[DEFAULT]}


def _declared() -> dict[str, Pipeline]:
    """Put the pipelines together that conf/ declares, which may change while a process lives."""
    experiments = registered.experiments()
    names = {experiment.name for experiment in (*EXPERIMENTS, *audits(EXPERIMENTS))}
    declared = [each for each in (*experiments, *audits(experiments)) if each.dataset != RETRAINED]
    pipelines = {each.name: assemble(each) for each in declared if each.name not in names}
    return pipelines | _retraining(experiments)


def _retraining(experiments: tuple[Experiment, ...]) -> dict[str, Pipeline]:
    """Put the pipelines together that retrain the experiment of the block `retraining`, watch it, and roll it back."""
    base = registered.retrained()
    if base is None:
        return {}
    row = next(experiment for experiment in experiments if experiment.name == RETRAINED)
    around = {"raw": raw_of(base), "dataset": base.dataset}
    return {
        "retrain": retrain.create_pipeline(assemble(row), frontier=row.frontier is not None, **around),
        "monitor": monitor.create_pipeline(**around),
        "rollback": rollback.create_pipeline(),
    }


def _fetching(dataset: str) -> str:
    return f"fetch_{dataset}"


def turn(name: str) -> int:
    """Return when a pipeline runs: 0 fetches raw files, 1 works on them, 2 reads what all others have written.

    Kedro orders nodes by the artifacts that they share, and knows of no order between these.
    """
    if name in {_fetching(dataset) for dataset in FETCHABLE}:
        return 0
    return 2 if name == OVERVIEW else 1
