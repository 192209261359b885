"""Kedro's entry point: every row of the table of experiments, assembled from the stages."""

from __future__ import annotations

from functools import cache

from kedro.pipeline import Pipeline

from counterpoise.experiments import DEFAULT, EXPERIMENTS, FETCHABLE
from counterpoise.pipelines import assemble, fetch, report_all


def register_pipelines() -> dict[str, Pipeline]:
    """Return all pipelines by name; `kedro run` alone runs the default experiment."""
    return dict(_assembled())


@cache
def _assembled() -> dict[str, Pipeline]:
    """Put the pipelines together once: Kedro asks for them before every run of a process, and none is ever changed."""
    pipelines = {experiment.name: assemble(experiment) for experiment in EXPERIMENTS}
    fetching = {f"fetch_{dataset}": fetch.create_pipeline(dataset) for dataset in FETCHABLE}
    return {**pipelines, **fetching, "report_all": report_all.create_pipeline(), "__default__": pipelines[DEFAULT]}
