"""Hook of the pipeline `sync_tracking`: gives its node what logs the records, and says what came of it.

Beside the records of runs, it completes a retraining whose last stage did not reach the registry, by that stage.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline

from counterpoise.artifacts.datasets import path_of
from counterpoise.artifacts.locks import Locks
from counterpoise.errors import InputError
from counterpoise.hooks.preflight import parameters_of
from counterpoise.hooks.provenance import PROMOTION
from counterpoise.hooks.retraining_run import HISTORY, REGISTRY, following, registry_of
from counterpoise.retraining.history import Record, champion, latest_challenger
from counterpoise.tracking import ModelRegistry, TrackingSettings, sync
from counterpoise.tracking.unlogged import REMEDY as COMMAND

RECORDS, SENTENCES = "unlogged", "synced"
LEDGER = "retrain__ledger"
OUTCOMES = {
    "start": "is the first champion",
    "promote": "was promoted",
    "refuse": "was refused",
    "wait": "is asked about again",
}
"""Verdict → what a sentence says of the decision, which a rollback may have followed."""


class Syncing:
    """Gives the node of `sync_tracking` the functions that log."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        self.tracking = parameters_of(context)[1].tracking
        self.settings = TrackingSettings.read(context.config_loader["mlflow"], Path(context.project_path))
        self.registry = registry_of(context)

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        if RECORDS not in pipeline.inputs():
            return
        if not self.tracking:
            raise InputError("sync_tracking: tracking is off, expected on: it logs to MLflow what is missing there")
        steps = [partial(sync, self.settings)]
        if self.registry is not None:
            steps.append(partial(follow, catalog, self.registry))
        catalog[RECORDS] = MemoryDataset(steps, copy_mode="assign")
        catalog[SENTENCES] = MemoryDataset()

    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        if SENTENCES in pipeline.all_outputs():
            print("\n".join(catalog.load(SENTENCES)) or "Nothing to log: MLflow has taken everything.")


def follow(catalog: DataCatalog, registry: ModelRegistry) -> list[str]:
    """Bring the registry up to the history of champions; return one sentence for each thing that was missing there.

    Raises:
        InputError: the registry does not answer, what a retraining has left is damaged, or one is going on.
    """
    from counterpoise.pipelines.retrain.promotion import unfinished  # needs the stages

    history = catalog.load(HISTORY)
    is_rolled_back = bool(history) and history[-1].kind == "rollback"
    if not is_rolled_back and unfinished(history, catalog.load(LEDGER)) is None:
        return []
    locks = Locks(folder) if (folder := path_of(catalog.get("locks"))) is not None else None
    if locks is not None:
        locks.acquire({PROMOTION}, COMMAND, COMMAND)
    try:  # another process may have done it before it gave the lock back
        history = catalog.load(HISTORY)
        if (record := unfinished(history, catalog.load(LEDGER))) is not None:
            return [complete(record, catalog, registry)]
        before = registry.aliases()
        following(registry, catalog).point(champion(history), latest_challenger(history))
        after = registry.aliases()
        return [] if before == after else [f"{champion(history)} is champion ({_listed(after)})"]
    finally:
        if locks is not None:
            locks.release()


def complete(record: Record, catalog: DataCatalog, registry: ModelRegistry) -> str:
    """Run the last stage of a retraining on what its other stages have left; return a sentence on what came of it.

    Its documents are those of the time of the decision, whatever the settings are now.
    """
    from counterpoise.pipelines.retrain.pipeline import promotion
    from counterpoise.pipelines.retrain.promotion import belong_together
    from counterpoise.pipelines.retrain.terms import week_of

    stage, week = promotion(), week_of(record)
    documents = [f"retrain__{name}" for name in ("decision", "evaluation", "batch", "report")]
    is_complete = all(catalog.exists(name) for name in documents)
    if not is_complete or not belong_together(record, *(catalog.load(name) for name in documents)):
        return f"retrain {week}: was stopped before its report; `kedro run --pipelines=retrain` completes it"
    inputs = [following(registry, catalog) if name == REGISTRY else catalog.load(name) for name in stage.inputs]
    registered, ledger = stage.func(*inputs)  # the node would log an error that is said later
    catalog.save("retrain__ledger_after", ledger)
    version, aliases = registered["registered"], registered["aliases"]
    decided = f"{record.challenger or record.champion} {OUTCOMES[record.verdict or 'start']}"
    return f"retrain {week}: {decided}; it is version {version['version']} of {version['name']} ({_listed(aliases)})"


def _listed(aliases: dict[str, int]) -> str:
    return ", ".join(f"{alias}: version {version}" for alias, version in aliases.items()) or "no alias"
