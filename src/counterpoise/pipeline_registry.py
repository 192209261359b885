"""Kedro's entry point: every row of the table of experiments, assembled from the stages."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from counterpoise.experiments import DEFAULT, EXPERIMENTS
from counterpoise.pipelines import assemble


def register_pipelines() -> dict[str, Pipeline]:
    """Return all pipelines by name; `kedro run` alone runs the default experiment."""
    pipelines = {experiment.name: assemble(experiment) for experiment in EXPERIMENTS}
    return {**pipelines, "__default__": pipelines[DEFAULT]}
