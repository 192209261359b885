"""What a run of `retrain`, `monitor` or `rollback` needs beside its nodes, and how it ends.

Before the first node: the registry, for the catalog; and whether there is anything to do. After the last one: the
sentence on what was decided, and the status of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset, DataCatalog
from kedro.pipeline import Pipeline

from counterpoise.artifacts.datasets import path_of
from counterpoise.artifacts.lineage import sha256_of
from counterpoise.errors import Ending, InputError
from counterpoise.hooks.preflight import parameters_of
from counterpoise.retraining.history import Record, Tenure, champion, champion_on, latest_challenger
from counterpoise.tracking import ModelRegistry, TrackingSettings

PIPELINES = ("retrain", "monitor", "rollback")
"""Tags of their nodes."""

CHANGING = frozenset({"retrain", "rollback"})
"""Those that change the history, which is not to be ahead of a registry that nobody can reach."""

REGISTRY, HISTORY, BATCH = "retrain__registry", "retrain__history", "retrain__batch"

NEW = "retrain__new_partitions"

DECIDING = frozenset({"retrain__history_after", "retrain__registered"})
"""Outputs of the stages that decide, and register what was decided."""

REMEDY = "kedro run --pipelines=retrain"

SHOWN = 5
"""Names of partitions that a sentence lists."""

REFUSED = 3
"""Status of a process whose gate has refused, or whose monitor raised an alarm."""


class RetrainingRun:
    """Gives the nodes the registry; ends a run that has nothing to do; says what came of the others."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        self.registry = registry_of(context)

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        if not _kinds(pipeline):
            return
        catalog[REGISTRY] = _Given(None if self.registry is None else following(self.registry, catalog))
        if NEW in pipeline.inputs() and not catalog.load(NEW):
            raise Ending(self._nothing_to_do(catalog), 0)
        is_slice = BATCH in pipeline.inputs() or run_params.get("only_missing_outputs")
        if is_slice and "retrain" in _kinds(pipeline) and DECIDING & pipeline.all_outputs():
            require_current(catalog)
        if self.registry is not None and REGISTRY in pipeline.inputs() and CHANGING & _kinds(pipeline):
            self.registry.connect()

    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        outputs, kinds = pipeline.all_outputs(), _kinds(pipeline)
        if "retrain__registered" in outputs and "retrain" in kinds:
            self._conclude(catalog)
        elif "retrain__decision" in outputs:
            decision = catalog.load("retrain__decision")
            print(f"decision   {decision['week']}: {decision['reason']}")
        elif "rollback" in kinds and "retrain__registered" in outputs:
            latest = catalog.load("retrain__history_after")[-1]
            aliases = catalog.load("retrain__registered")["aliases"]
            where = f" (alias champion: version {aliases['champion']})" if "champion" in aliases else ""
            print(f"{latest.champion} is champion again{where}. {latest.reason}")
        elif "monitor__result" in outputs:
            result = catalog.load("monitor__result")
            for watched in result["watches"]:
                print(watched["sentence"])
            if not result["weeks"]:
                print(f"No partition is later than {result['since']}, the last that {result['champion']} has seen.")
            if result["alarms"]:
                raise Ending(f"Alarm: {'; '.join(result['alarms'])}.", REFUSED)

    def _conclude(self, catalog: DataCatalog) -> None:
        decision, batch = catalog.load("retrain__decision"), catalog.load("retrain__batch")
        for sentence in batch["quarantined"].values():
            print(f"put aside  {sentence}")
        folder = path_of(catalog.get("retrain__past_reports"))
        print(f"decision   {decision['week']}: {decision['reason']}")
        print(f"report     {folder}/{decision['week']}/report.html")
        if decision["verdict"] == "refuse":
            raise Ending(
                f"{decision['challenger']} was refused; {decision['champion_before']} stays champion.", REFUSED
            )
        waits = decision["verdict"] == "wait"
        print(f"champion   {decision['champion_before' if waits else 'champion']}")

    def _nothing_to_do(self, catalog: DataCatalog) -> str:
        """Say so; what a run that was killed has not registered is registered before."""
        history = catalog.load(HISTORY)
        aside = sorted(name for name, entry in catalog.load("retrain__ledger").items() if "quarantined" in entry)
        further = f" ({len(aside)} put aside until their files change: {', '.join(aside[:SHOWN])})" if aside else ""
        if history and self.registry is not None:
            following(self.registry, catalog).point(champion(history), latest_challenger(history))
        present = f"; {champion(history)} stays champion" if history else ""
        return f"Nothing to do: there is no new partition{further}{present}."


def require_current(catalog: DataCatalog) -> None:
    """Raise InputError if a slice would decide on results of an earlier week.

    Partitions that arrive while a retraining is under way wait for the next one; but none may have changed that it has
    taken, and one that is complete is not to be answered with where others have arrived since.
    """
    if not catalog.exists(BATCH):  # see `hooks.slices`
        return
    batch, ledger = catalog.load(BATCH), catalog.load("retrain__ledger")
    taken = {name: entry["sha256"] for name, entry in batch["entries"].items() if "digest" in entry}
    files = {name: sha256_of(path) for name, path in catalog.load("retrain__partitions").items()}
    if altered := sorted(name for name, digest in taken.items() if files.get(name) != digest):
        raise InputError(
            f"{altered[0]}: was altered or removed since the retraining of {batch['week']} has taken it: run `{REMEDY}`"
        )
    waiting = sorted(name for name in catalog.load(NEW) if taken.get(name) != files[name])
    if waiting and taken.keys() <= ledger.keys():
        raise InputError(
            f"{waiting[0]}: is new, and the results that are there are of {batch['week']}, which was decided on: run "
            f"`{REMEDY}`"
        )


class FollowingRegistry:
    """A registry whose aliases are those of the history after each `point`, whichever processes are at it at once.

    The history is read again after the aliases were set, and they are set again if it has changed. Whoever changes it
    sets them afterwards. So the process that sets an alias last has read the newest history after that, or it would
    have set the alias once more; unless it was killed in between, which the next `sync_tracking` or retraining mends.
    """

    def __init__(self, registry: ModelRegistry, history: Callable[[], Sequence[Record]]) -> None:
        self._registry, self._history = registry, history

    def fetch(self, model: str, folder: Path) -> None:
        """Put a registered model into a folder."""
        self._registry.fetch(model, folder)

    def record(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Log a retraining and register its model, unless that was done."""
        return self._registry.record(entry)

    def point(self, champion_model: str, challenger: str | None) -> dict[str, int]:
        """Make the aliases those of the history, as it was read before and as it is by then; return them."""
        pointed = (champion_model, challenger)
        aliases = self._registry.point(*pointed)
        while (present := _pointed(self._history())) != pointed:
            pointed = present
            aliases = self._registry.point(*pointed)
        return aliases


def _pointed(history: Sequence[Record]) -> tuple[str, str | None]:
    return champion(history), latest_challenger(history)


def following(registry: ModelRegistry, catalog: DataCatalog) -> FollowingRegistry:
    """Return a registry that follows the history of a catalog."""
    return FollowingRegistry(registry, lambda: catalog.load(HISTORY))


def registry_of(context: KedroContext) -> ModelRegistry | None:
    """Return the registry of the model that is retrained; None without tracking, or where nothing is retrained."""
    _, parameters = parameters_of(context)
    if not parameters.tracking or parameters.retraining is None:
        return None
    settings = TrackingSettings.read(context.config_loader["mlflow"], Path(context.project_path))
    return ModelRegistry(settings, parameters.retraining.model_name)


def tenure(day: str | None, environment: str | None) -> tuple[Tenure, tuple[Record, ...]]:
    """Return who was champion at the end of a day, now without one, and the records.

    Raises:
        InputError: there was none, or the day is no date.
    """
    from kedro.framework.session import KedroSession

    from counterpoise import registered

    registered.read(environment=environment)
    with KedroSession.create(project_path=Path.cwd(), env=environment) as session:
        context = session.load_context()  # type: ignore[attr-defined]  # Kedro's own sessions have it
        history = context.catalog.load(HISTORY)
    if not history:
        raise InputError("there is no champion yet, expected one of `kedro run --pipelines=retrain`")
    return champion_on(history, day), history


class _Given(AbstractDataset[Any, Any]):
    """An object that nodes are handed as it is, None too."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def load(self) -> Any:
        return self._value

    def save(self, data: Any) -> None:
        raise InputError(f"{REGISTRY}: is made by the run, expected no node to write it")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {}


def _kinds(pipeline: Pipeline) -> set[str]:
    return {tag for node in pipeline.nodes for tag in node.tags} & set(PIPELINES)
