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
    # In the order of the functions' arguments: of functions that are wrapped, Kedro takes the types by their position.
    base = _named("samples", "splits", "pretrained") | _parameters("dataset")
    base |= {"network": "params:convnet" if images else "params:network"} | _parameters("seeds")
    methods = _parameters("repairs", "compute", "epochs")
    judged = _parameters("objective") if objective else {}
    states, pixels = _named("training_states"), _named("pixels") if images else {}
    repaired = _named("repaired", "masks", "repairs")
    nodes = [
        Node(repair_networks, base | methods | states | judged | pixels, OUTPUTS, name="repair_networks"),
        Node(describe_masks, "masks", ["pruned_layers", "mask_agreement"], name="describe_masks"),
        Node(compact_networks, base | repaired | pixels, ["compact_networks", "costs"], name="compact_networks"),
    ]
    if not objective:
        explained = base | _named("masks") | states | pixels
        nodes.append(Node(explain_networks, explained, "explanations", name="explain_networks"))
    return Pipeline(nodes)


def _named(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _parameters(*names: str) -> dict[str, str]:
    return {name: f"params:{name}" for name in names}
