"""What a run leaves in MLflow, written through `MlflowClient`.

`addresses` says where, `contents` what, `store` how; `databases`, `faults`, `processes`, `ending` and `unlogged` see to
what goes wrong. Nothing here imports MLflow before a run is tracked.
"""

from counterpoise.tracking.addresses import SQLITE, TrackingSettings, sqlite_uri, use_credentials
from counterpoise.tracking.contents import PER_SEED_VARIANTS, dataset, flat
from counterpoise.tracking.ending import release, watch
from counterpoise.tracking.registry import ModelRegistry, require_files
from counterpoise.tracking.tracker import Tracker
from counterpoise.tracking.unlogged import replay, sync

__all__ = [
    "PER_SEED_VARIANTS",
    "SQLITE",
    "ModelRegistry",
    "Tracker",
    "TrackingSettings",
    "dataset",
    "flat",
    "release",
    "replay",
    "require_files",
    "sqlite_uri",
    "sync",
    "use_credentials",
    "watch",
]
