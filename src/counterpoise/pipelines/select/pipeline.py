"""Outcomes of ours and of the peers → grid, selection, chosen models, predictions, comparisons, the exported model."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.experiments import Base
from counterpoise.pipelines.select.compare import compare
from counterpoise.pipelines.select.export import export_model, export_on_model
from counterpoise.pipelines.select.nodes import collect, judge
from counterpoise.pipelines.select.trained import repaired_state, repaired_tree_file

JUDGED = [
    *("frontier_outcomes", "peer_outcomes", "samples", "splits"),
    *("params:dataset", "params:selection", "params:seeds"),
]
JUDGEMENTS = ["frontier", "selection", "tolerances", "chosen_outcomes", "judged_counts"]
COLLECTED = ["selection", "chosen_outcomes", "frontier_models", "samples", "splits"]
REPAIRED = ["samples", "bases", "chosen_models", "selection", "model_files", "params:dataset"]
ON_MODEL = [
    *("samples", "bases", "chosen_models", "selection", "params:dataset", "run", "encoding", "features"),
    *("table", "model_files", "params:model"),
]
EXPORTED = {name: name for name in ("samples", "bases", "chosen_models", "selection", "run")} | {
    "dataset": "params:dataset"
}


def create_pipeline(*, ready: bool, base: Base = "network") -> Pipeline:
    """Return the stage with unbound names; a model that came trained also leaves in the form in which it came."""
    comparisons = ["hypervolumes", "hypervolume_differences"]
    exported = EXPORTED | ({"features": "features"} if ready else {"encoding": "encoding"})
    return Pipeline(
        [
            Node(judge, JUDGED, JUDGEMENTS, name="judge"),
            Node(collect, COLLECTED, ["chosen_models", "predictions"], name="collect"),
            Node(compare, ["frontier", "params:report"], comparisons, name="compare"),
            Node(export_on_model, ON_MODEL, "model", name="export_model")
            if base == "model"
            else Node(export_model, exported, "model", name="export_model"),
            *_in_its_form(base),
        ]
    )


def _in_its_form(base: Base) -> list[Node]:
    if base == "tree_file":
        return [Node(repaired_tree_file, [*REPAIRED, "params:trees"], "repaired_trees", name="repaired_trees")]
    if base == "model":
        read = [*REPAIRED, "params:model", "table"]
        return [Node(repaired_state, read, "repaired_weights", name="repaired_weights")]
    return []
