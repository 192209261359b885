"""What Kedro calls before and after a run: check parameters, record origins, log to MLflow, show the result.

None of this is a stage: the graph stays the method, and a run without tracking is the same run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Any, TypeGuard

import pandas as pd
from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from rich.console import Console

from counterpoise.artifacts.datasets import path_of
from counterpoise.config.evidence import Claim
from counterpoise.config.retrained import RETRAINED
from counterpoise.errors import InputError
from counterpoise.experiments import Experiment
from counterpoise.hooks.preflight import Preflight, experiments_in, parameters_of
from counterpoise.hooks.provenance import Provenance
from counterpoise.hooks.retraining_run import RetrainingRun
from counterpoise.hooks.slices import Inputs
from counterpoise.hooks.syncing import Syncing
from counterpoise.nn.fast.memory import give_memory_back
from counterpoise.pipelines.assemble import artifact, owner, raw_of, table_of
from counterpoise.reporting import print_conclusion, summary_panel
from counterpoise.reporting.wording import HEADLINE_METRICS, LAST
from counterpoise.tracking import Tracker, TrackingSettings, dataset, release, sqlite_uri, use_credentials, watch


class Tracking:
    """Logs a run to MLflow: one parent per `kedro run`, one child per method."""

    def __init__(self) -> None:
        self.tracker: Tracker | None = None
        self.failure: InputError | None = None

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        with suppress(MissingConfigException):
            use_credentials(context.config_loader["credentials"])
        _, self.parameters = parameters_of(context)
        self.project = Path(context.project_path)
        self.settings = TrackingSettings.read(context.config_loader["mlflow"], self.project)

    @hook_impl(trylast=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        self._end("KILLED")  # a process may run more than once, and Kedro does not say that a run was interrupted
        self.failure = None
        experiments = [each for each in experiments_in(pipeline) if each.name != RETRAINED]  # that logs its decision
        if self.parameters.tracking and experiments:
            name = "+".join(experiment.name for experiment in experiments)
            runs = [catalog.load(artifact(experiment.name, "run")) for experiment in experiments]
            self.tracker = Tracker(self.settings)
            watch(self.tracker)
            self.tracker.start(name, runs)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Log the outputs; if a server does not accept them, `Conclusion` shows the results before the error."""
        if self.tracker is not None:
            try:
                self._log(self.tracker, pipeline, catalog)
            except InputError as error:
                self.failure = error
            finally:
                self._end("FAILED")

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        self._end("FAILED")

    def where(self) -> str:
        """Say how to look at the tracked runs."""
        if not self.parameters.tracking:
            return "not tracked (tracking: off)"
        if self.failure is not None:
            return "not complete in MLflow: see below"
        database = self.settings.database
        if database is None:
            return self.settings.shown
        return f"mlflow ui --backend-store-uri {quote(sqlite_uri(Path(_shown(database))))}"

    def _end(self, status: str) -> None:
        """Close the run, if there is one that is open."""
        if self.tracker is not None:
            self.tracker.give_up(status)
            release()
            self.tracker = None

    def _log(self, tracker: Tracker, pipeline: Pipeline, catalog: DataCatalog) -> None:
        outputs, results, files = pipeline.all_outputs(), [], []
        experiments = experiments_in(pipeline)
        for experiment in experiments:
            if artifact(experiment.name, "metrics") in outputs:
                prefix = f"{experiment.name}/" if len(experiments) > 1 else ""
                results.append(self._results(experiment, pipeline, catalog) | {"prefix": prefix})
            artifacts = [name for name in sorted(outputs) if name.startswith(artifact(experiment.name, ""))]
            files += [path for name in artifacts if _is_result(path := path_of(catalog.get(name)))]
        tracker.log(results, files)

    def _results(self, experiment: Experiment, pipeline: Pipeline, catalog: DataCatalog) -> dict[str, Any]:
        """Return the arguments of `Tracker.log_results`; what a slice of the pipeline does not make is left out."""
        used = pipeline.all_outputs() | pipeline.inputs()

        def load(name: str) -> Any:
            return catalog.load(name) if name in used else None

        name = experiment.name
        metrics, report = load(artifact(name, "metrics")), load(artifact(name, "report_json"))
        measured = set(metrics["metric"])
        wanted = report["headline_metrics"] if report else [*HEADLINE_METRICS, *metrics["metric"].unique()]
        leading = [metric for metric in wanted if metric in measured]
        subject, headline = headline_variants(metrics, self.parameters.evidence_of(experiment).claims)
        return {
            "metrics": metrics,
            "summary": load(artifact(name, "summary")),
            "data_summary": load(artifact(name, "data_summary")),
            "datasets": self._datasets(experiment, load, catalog),
            "leading": leading[: len(HEADLINE_METRICS)],
            "subject": subject,
            "headline": headline,
            "answer": report["answer"]["headline"] if report else None,
        }

    def _datasets(
        self, experiment: Experiment, load: Callable[[str], Any], catalog: DataCatalog
    ) -> list[dict[str, str]]:
        """Describe the data of an experiment, or of each of its parts if these differ in their data."""
        described = []
        for part in experiment.parts if experiment.divides("dataset") else (None,):
            name = experiment.name if part is None else owner(experiment, part)
            if (summary := load(artifact(name, "data_summary"))) is not None:
                raw = path_of(catalog.get(raw_of(experiment, part)))
                if raw is not None and raw.is_relative_to(self.project):
                    raw = raw.relative_to(self.project)
                samples = path_of(catalog.get(artifact(name, "samples")))
                described.append(dataset(table_of(experiment, part), summary, raw, samples))
        return described


def headline_variants(metrics: pd.DataFrame, claims: Sequence[Claim]) -> tuple[str | None, dict[str, str]]:
    """Return the variant that an experiment is about, and the one that stands for each method of several.

    Nothing measured has a say in it: the first claim that names a variant of a method decides, else the first variant.
    """
    rows = metrics.drop_duplicates("variant")
    headline: dict[str, str] = {}
    for claim in claims:
        for side in (claim.left, claim.right):
            fit = rows
            for column, value in side.items():
                fit = fit[fit[column] == value] if column in fit else fit[:0]
            if len(fit) == 1:
                headline.setdefault(fit["method"].iloc[0], fit["variant"].iloc[0])
    subject = next(iter(headline.values()), None)
    first = dict(zip(rows["method"][::-1], rows["variant"][::-1], strict=True))
    return subject, first | headline


def _is_result(path: Path | None) -> TypeGuard[Path]:
    """Whether a file is one that a colleague opens from the tracking server: a model or a part of the report."""
    return path is not None and bool({"06_models", "08_reporting"} & set(path.parts))


class Conclusion:
    """Print the table of results and where to look next, then raise the error of tracking, if there was one."""

    def __init__(self, tracking: Tracking) -> None:
        self.tracking = tracking

    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        outputs = pipeline.all_outputs()
        for experiment in experiments_in(pipeline):
            name = experiment.name
            if artifact(name, "report_html") in outputs:
                report = path_of(catalog.get(artifact(name, "report_html")))
                where_next = [
                    ("report", _shown(report) if report else "kept in memory"),
                    ("runs", self.tracking.where()),
                    ("lineage", f"kedro viz run --pipeline={'retrain' if name == RETRAINED else name}"),
                ]
                summary, claims = (catalog.load(artifact(name, table)) for table in ("summary", "claims"))
                document = catalog.load(artifact(name, "report_json"))
                panel = summary_panel(
                    summary[~summary["variant"].str.endswith(LAST)],
                    claims,
                    metrics=document["headline_metrics"],
                    title=experiment.title,
                    level=document["level"],
                    answer=document["answer"]["headline"],
                    findings=document["answer"]["findings"],
                )
                exported = document["exported_model"]
                if exported:
                    where_next += [("model", sentence) for sentence in exported["sentences"]]
                    where_next += [("predict", exported["command"])] if exported["command"] else []
                if artifact(name, "impact_html") in outputs and (
                    page := path_of(catalog.get(artifact(name, "impact_html")))
                ):
                    where_next.insert(1, ("impact", _shown(page)))
                print_conclusion(Console(file=sys.stdout), panel, where_next)
            elif artifact(name, "audit_page") in outputs and (
                page := path_of(catalog.get(artifact(name, "audit_page")))
            ):
                print(f"report   {_shown(page)}")
        if self.tracking.failure is not None:
            raise self.tracking.failure


class Memory:
    """Gives what a node has freed back to the system before the next one."""

    @hook_impl
    def after_node_run(self) -> None:
        give_memory_back()


def _shown(path: Path) -> str:
    """Return a path as short as it can be said from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


_TRACKING = Tracking()
# Kedro calls them from the last to the first, except those marked `tryfirst` or `trylast`.
HOOKS = (Inputs(), Preflight(), Provenance(), _TRACKING, Conclusion(_TRACKING), RetrainingRun(), Syncing(), Memory())
