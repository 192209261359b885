"""pretrained networks → what the repairs are compared with."""

from __future__ import annotations

import pandas as pd
from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.baselines.nodes import run_baselines
from counterpoise.pipelines.shared.repairs import node_inputs

OUTPUTS = ["baseline_networks", "baseline_predictions", "baseline_repairs", "baseline_curves"]


def gather(*stages: pd.DataFrame) -> pd.DataFrame:
    """Return what the three stages say of one kind."""
    return pd.concat([frame for frame in stages if len(frame)], ignore_index=True)


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the stage with unbound names."""
    run = Node(run_baselines, node_inputs(images=images), OUTPUTS, name="run_baselines")
    gathered = [
        Node(
            gather,
            [f"{stage}_{kind}" for stage in ("baseline", "masked", "reconstructed")],
            kind,
            name=f"gather_{kind}",
        )
        for kind in ("predictions", "repairs", "curves")
    ]
    return Pipeline([run, *gathered])
