"""What happens around a run: its parameters are checked, its origin is recorded, it is tracked, its result is shown.

None of this is a stage: the graph stays the method, and a run without tracking is the same run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeGuard

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from rich.console import Console

from counterpoise.params import check
from counterpoise.pipelines.assemble import artifact
from counterpoise.preflight import Preflight, experiments_in, parameters_of
from counterpoise.reporting import summary_panel
from counterpoise.reporting.wording import LAST
from counterpoise.slices import Inputs
from counterpoise.storage import path_of
from counterpoise.tracking import SQLITE, Tracker, TrackingSettings


class Tracking:
    """Logs a run to MLflow: one parent per `kedro run`, one child per method."""

    def __init__(self) -> None:
        self.tracker: Tracker | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        self.enabled = check(parameters_of(context)).tracking
        self.settings = TrackingSettings.read(context.config_loader["mlflow"], Path(context.project_path))

    @hook_impl(trylast=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        self.tracker = None  # a process may run more than once
        experiments = experiments_in(pipeline)
        if self.enabled and experiments:
            name = "+".join(experiment.name for experiment in experiments)
            runs = [catalog.load(artifact(experiment.name, "run")) for experiment in experiments]
            self.tracker = Tracker(self.settings)
            self.tracker.start(name, runs)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        if self.tracker is None:
            return
        made, results, files = pipeline.all_outputs(), [], []
        for experiment in experiments_in(pipeline):
            if artifact(experiment.name, "metrics") in made:
                names = ("metrics", "summary", "data_summary")
                results.append({name: catalog.load(artifact(experiment.name, name)) for name in names})
            own = [name for name in sorted(made) if name.startswith(artifact(experiment.name, ""))]
            files += [path for name in own if _is_result(path := path_of(catalog.get(name)))]
        self.tracker.log(results, files)

    def where(self) -> str:
        """Say how to look at the tracked runs."""
        if not self.enabled:
            return "not tracked (tracking: off)"
        uri = self.settings.uri
        if not uri.startswith(SQLITE):
            return uri
        return f"mlflow ui --backend-store-uri {SQLITE}{_shown(Path(uri.removeprefix(SQLITE)))}"

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        if self.tracker is not None:
            self.tracker.give_up()


def _is_result(path: Path | None) -> TypeGuard[Path]:
    """Whether a file is one that a colleague opens from the tracking server: a model or a part of the report."""
    return path is not None and bool({"06_models", "08_reporting"} & set(path.parts))


class Conclusion:
    """Prints the table of results and where to look next."""

    def __init__(self, tracking: Tracking) -> None:
        self.tracking = tracking

    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        made = pipeline.all_outputs()
        for experiment in experiments_in(pipeline):
            name = experiment.name
            if artifact(name, "report_html") in made:
                report = path_of(catalog.get(artifact(name, "report_html")))
                where_next = [
                    f"report   {_shown(report)}" if report else "report   kept in memory",
                    f"runs     {self.tracking.where()}",
                    f"lineage  kedro viz run --pipeline={name}",
                ]
                summary, claims = (catalog.load(artifact(name, table)) for table in ("summary", "claims"))
                shown = summary[~summary["variant"].str.endswith(LAST)] if experiment.altering else summary
                leading = catalog.load(artifact(name, "report_json"))["headline_metrics"]
                panel = summary_panel(shown, claims, where_next, metrics=leading, title=experiment.title)
                Console(file=sys.stdout).print(panel)


def _shown(path: Path) -> str:
    """Return a path as short as it can be said from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


_TRACKING = Tracking()
# Kedro calls them from the last to the first, except those marked `trylast`.
HOOKS = (Inputs(), Preflight(), _TRACKING, Conclusion(_TRACKING))
