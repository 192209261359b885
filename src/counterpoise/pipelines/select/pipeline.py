"""Outcomes of ours and of the peers → grid, selection, chosen models, predictions, comparisons, the exported model."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.select.compare import compare
from counterpoise.pipelines.select.export import export_model
from counterpoise.pipelines.select.nodes import collect, judge

JUDGED = [
    *("frontier_outcomes", "peer_outcomes", "samples", "splits"),
    *("params:dataset", "params:selection", "params:seeds"),
]
JUDGEMENTS = ["frontier", "selection", "tolerances", "chosen_outcomes", "judged_counts"]
COLLECTED = ["selection", "chosen_outcomes", "frontier_models", "samples", "splits"]
EXPORTED = {name: name for name in ("samples", "bases", "chosen_models", "selection", "run")} | {
    "dataset": "params:dataset"
}


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the stage with unbound names."""
    comparisons = ["hypervolumes", "hypervolume_differences"]
    exported = EXPORTED | ({"features": "features"} if images else {"encoding": "encoding"})
    return Pipeline(
        [
            Node(judge, JUDGED, JUDGEMENTS, name="judge"),
            Node(collect, COLLECTED, ["chosen_models", "predictions"], name="collect"),
            Node(compare, ["frontier", "params:report"], comparisons, name="compare"),
            Node(export_model, exported, "model", name="export_model"),
        ]
    )
