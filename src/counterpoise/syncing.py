"""Hook of the pipeline `sync_tracking`: gives its node what logs the records, and says what came of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline

from counterpoise.errors import InputError
from counterpoise.preflight import parameters_of
from counterpoise.tracking import TrackingSettings, sync

RECORDS, SENTENCES = "unlogged", "synced"


class Syncing:
    """Gives the node of `sync_tracking` the function that logs."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        self.tracking = parameters_of(context)[1].tracking
        self.settings = TrackingSettings.read(context.config_loader["mlflow"], Path(context.project_path))

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        if RECORDS not in pipeline.inputs():
            return
        if not self.tracking:
            raise InputError("sync_tracking: tracking is off, expected on: it logs to MLflow what is missing there")
        catalog[RECORDS] = MemoryDataset(partial(sync, self.settings), copy_mode="assign")
        catalog[SENTENCES] = MemoryDataset()

    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        if SENTENCES in pipeline.all_outputs():
            print("\n".join(catalog.load(SENTENCES)) or "Nothing to log: MLflow has taken everything.")
