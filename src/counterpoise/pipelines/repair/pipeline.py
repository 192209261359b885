"""pretrained networks → repaired networks, masks, predictions → small networks, and what they look at."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.repair.compacting import compact_networks
from counterpoise.pipelines.repair.explaining import explain_networks
from counterpoise.pipelines.repair.nodes import describe_masks, repair_networks

OUTPUTS = ["repaired", "masks", "predictions", "repairs", "curves"]


def create_pipeline(*, images: bool, objective: bool) -> Pipeline:
    """Return the stage with unbound names.

    Args:
        images: of which networks are read; else tables.
        objective: repairs are judged by one; else networks are judged by what they say of a bias, and show it.
    """
    network = {"network": "params:convnet" if images else "params:network"} | ({"pixels": "pixels"} if images else {})
    base = {name: name for name in ("samples", "splits", "pretrained")} | network | _parameters("dataset", "seeds")
    repaired = {name: name for name in ("repaired", "masks", "repairs")}
    methods = _parameters("repairs", "compute", "epochs", *(["objective"] if objective else []))
    states = {"training_states": "training_states"}
    nodes = [
        Node(repair_networks, base | methods | states, OUTPUTS, name="repair_networks"),
        Node(describe_masks, "masks", ["pruned_layers", "mask_agreement"], name="describe_masks"),
        Node(compact_networks, base | repaired, ["compact_networks", "costs"], name="compact_networks"),
    ]
    if not objective:
        explained = base | {"masks": "masks"} | states
        nodes.append(Node(explain_networks, explained, "explanations", name="explain_networks"))
    return Pipeline(nodes)


def _parameters(*names: str) -> dict[str, str]:
    return {name: f"params:{name}" for name in names}
