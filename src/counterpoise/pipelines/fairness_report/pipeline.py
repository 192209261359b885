"""predictions → metrics → summary and claims → figures, report, model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.fairness_report.altering import draw_repairs, join_data
from counterpoise.pipelines.fairness_report.nodes import (
    draw_figures,
    draw_frontier,
    floors,
    floors_of_repairs,
    measure,
    measure_repairs,
    pick_examples,
    summarize,
    write_report,
)
from counterpoise.pipelines.fairness_report.parts import (
    draw_ablation,
    draw_parts,
    draw_representation,
    join_parts,
    project,
)
from counterpoise.pipelines.fairness_report.subnetworks import (
    draw_explanations,
    draw_subnetworks,
    measure_subnetworks,
)
from counterpoise.reporting.figures import learning_curves

FIGURES = ["figure_performance", "figure_differences", "figure_fisher"]
FRONTIER_FIGURES = ["figure_frontier_eo", "figure_frontier_dp", "figure_hypervolumes"]


def create_pipeline(
    *,
    images: bool,
    frontier: bool = False,
    retrain: bool = False,
    parts: Mapping[str, str] | None = None,
    own_features: bool = True,
    view: str | None = None,
) -> Pipeline:
    """Return the stage with unbound names.

    Args:
        images: the report may show some.
        frontier: the models are those that the tolerance chose, and the frontier has figures of its own.
        retrain: whole networks were fine-tuned beside the heads.
        parts: name → key of the experiment's parts, whose results are measured apart and joined.
        own_features: whether each part has features of its own.
        view: the figure that shows the parts side by side.
    """
    heads = "chosen_models" if frontier else "finetuned_heads"
    keys = list((parts or {}).values())
    nodes = [_measured(heads, retrain=retrain)] if not keys else _joined(keys, heads, own_features=own_features)
    importance = f"{keys[0]}__importance" if keys else "importance"
    nodes += [
        Node(summarize, ["metrics", "params:evidence", "params:report"], ["summary", "claims"], name="summarize"),
        Node(floors, ["predictions", "params:dataset"], "noise_floors", name="noise_floors"),
        Node(
            draw_figures,
            ["metrics", "summary", "claims", "noise_floors", importance, "params:dataset", "params:report"],
            FIGURES,
            name="draw_figures",
        ),
    ]
    inputs = [
        *("summary", "claims", "predictions", "noise_floors", "data_summary"),
        *("params:dataset", "params:evidence", "params:report", "run"),
    ]
    for made, drawn in (_frontier(frontier), _view(view, keys), _curves(frontier)):
        nodes += made
        inputs += drawn
    inputs += FIGURES
    if frontier:
        inputs += ["selection", "hypervolume_differences", "importance_effect", "model"]
    if retrain:
        inputs += ["finetuned_heads", "retrained"]
    if images:
        nodes.append(
            Node(
                pick_examples,
                ["predictions", "samples", "raw", "params:dataset", "params:report"],
                "example_images",
                name="pick_examples",
            )
        )
        inputs += ["example_images"]
    return Pipeline([*nodes, _report(inputs)])


STAGES = ("masked", "reconstructed", "baseline")
"""What the stages that make repaired networks put before the names of what they leave."""

GATHERED = ("predictions", "repairs", "curves")
OF_MASKS = ("pruned_layers", "mask_agreement")
ALTERING_FIGURES = [
    "figure_plane",
    "figure_differences",
    "figure_pruned",
    "figure_agreement",
    "figure_curves",
    "figure_critic",
]


def create_altering_pipeline(parts: Mapping[str, str], *, own_data: bool) -> Pipeline:
    """Return the stage, with unbound names, of an experiment that repairs whole networks.

    Args:
        parts: name → key of the experiment's parts. own_data: whether each has a data set of its own.
    """
    keys = [f"{key}__" for key in parts.values()] or [""]
    nodes = [
        Node(measure_repairs, [f"{key}predictions", "params:dataset"], f"{key}metrics", name=f"measure_{key}repairs")
        for key in keys
    ]
    nodes += _together(parts, ("metrics", "costs", *GATHERED, *OF_MASKS), own_data=own_data)
    drawn = ["metrics", "repairs", "curves", *OF_MASKS, "claims", "run", "params:report"]
    reported = [
        *("summary", "claims", "predictions", "noise_floors", "data_summary", "metrics", "repairs"),
        *("costs", "params:dataset", "params:evidence", "params:report", "run", *ALTERING_FIGURES),
    ]
    nodes += [
        Node(summarize, ["metrics", "params:evidence", "params:report"], ["summary", "claims"], name="summarize"),
        Node(floors_of_repairs, ["predictions", "params:dataset", "run"], "noise_floors", name="noise_floors"),
        Node(
            draw_repairs,
            {name.removeprefix("params:"): name for name in drawn},
            ALTERING_FIGURES,
            name="draw_repairs",
        ),
        _report(reported),
    ]
    return Pipeline(nodes)


OF_SUBNETWORKS = ("predictions", "repairs", "curves", "pruned_layers", "costs")
SUBNETWORK_FIGURES = ["figure_differences", "figure_curves", "figure_closed", "figure_accuracy"]
EXPLANATIONS = "figure_explanations"


def create_subnetwork_pipeline(parts: Mapping[str, str], *, own_data: bool) -> Pipeline:
    """Return the stage, with unbound names, of an experiment that looks for unbiased sub-networks.

    Args:
        parts: name → key of the experiment's parts. own_data: whether each has a data set of its own.
    """
    keys = [f"{key}__" for key in parts.values()] or [""]
    nodes = [
        Node(
            measure_subnetworks,
            [f"{key}predictions", f"{key}repairs", "params:dataset"],
            f"{key}metrics",
            name=f"measure_{key}subnetworks",
        )
        for key in keys
    ]
    nodes += _together(parts, ("metrics", *OF_SUBNETWORKS), own_data=own_data)
    drawn = ["claims", "predictions", "curves", "pruned_layers", "params:dataset"]
    explained = ["run", "params:dataset", "params:report", *(f"{key}explanations" for key in keys)]
    reported = [
        *("summary", "claims", "predictions", "noise_floors", "data_summary", "metrics", "repairs", "costs"),
        *("params:dataset", "params:evidence", "params:report", "run", *SUBNETWORK_FIGURES, EXPLANATIONS),
    ]
    nodes += [
        Node(summarize, ["metrics", "params:evidence", "params:report"], ["summary", "claims"], name="summarize"),
        Node(floors, ["predictions", "params:dataset"], "noise_floors", name="noise_floors"),
        Node(draw_subnetworks, drawn, SUBNETWORK_FIGURES, name="draw_subnetworks"),
        Node(
            draw_explanations,
            {name.removeprefix("params:"): name for name in explained},
            EXPLANATIONS,
            name="draw_explanations",
        ),
        _report(reported),
    ]
    return Pipeline(nodes)


def _together(parts: Mapping[str, str], kinds: Sequence[str], *, own_data: bool) -> list[Node]:
    """Put together what each part has measured of each kind, and what it says of its data."""
    if not parts:
        return []
    keys = [f"{key}__" for key in parts.values()]
    nodes = [
        Node(join_parts, {n: n for n in ["run", *(f"{key}{kind}" for key in keys)]}, kind, name=f"join_{kind}")
        for kind in kinds
    ]
    if own_data:
        names = {name: name for name in ["run", *(f"{key}data_summary" for key in keys)]}
        nodes.append(Node(join_data, names, "data_summary", name="join_data"))
    return nodes


def _report(inputs: Sequence[str]) -> Node:
    return Node(
        write_report,
        {name.removeprefix("params:"): name for name in inputs},
        ["report_html", "report_json", "model_card"],
        name="write_report",
    )


Drawn = tuple[list[Node], list[str]]
"""Nodes that draw, and the figures that they draw."""


def _measured(heads: str, *, retrain: bool) -> Node:
    inputs = ["predictions", "samples", "splits", "features", heads, "params:dataset", "params:report"]
    return Node(measure, [*inputs, *(["retrained"] if retrain else [])], "metrics", name="measure")


def _joined(keys: list[str], heads: str, *, own_features: bool) -> list[Node]:
    """Measure each part, then put the parts together."""
    measured = [
        Node(
            measure,
            [
                f"{key}__predictions",
                "samples",
                "splits",
                f"{key}__features" if own_features else "features",
                f"{key}__{heads}",
                "params:dataset",
                "params:report",
            ],
            f"{key}__metrics",
            name=f"measure_{key}",
        )
        for key in keys
    ]
    joined = [
        Node(
            join_parts,
            {name: name for name in ["run", *(f"{key}__{kind}" for key in keys)]},
            kind,
            name=f"join_{kind}",
        )
        for kind in ("metrics", "predictions", "learning_curves")
    ]
    return [*measured, *joined]


def _frontier(frontier: bool) -> Drawn:
    if not frontier:
        return [], []
    inputs = ["frontier", "selection", "hypervolumes", "noise_floors", "params:selection", "params:report"]
    return [Node(draw_frontier, inputs, FRONTIER_FIGURES, name="draw_frontier")], FRONTIER_FIGURES


def _curves(frontier: bool) -> Drawn:
    if frontier:
        return [], []
    return [Node(learning_curves, "learning_curves", "figure_curves", name="draw_curves")], ["figure_curves"]


def _view(view: str | None, keys: list[str]) -> Drawn:
    if view == "parts":
        inputs = ["metrics", "summary", "params:report"]
        return [Node(draw_parts, inputs, "figure_parts", name="draw_parts")], ["figure_parts"]
    if view == "ablation":
        inputs = ["metrics", "params:report"]
        return [Node(draw_ablation, inputs, "figure_ablation", name="draw_ablation")], ["figure_ablation"]
    if view != "representation":
        return [], []
    projected = [
        Node(
            project,
            [f"{key}__pretrained", f"{key}__features", "samples", "splits"],
            f"{key}__components",
            name=f"project_{key}",
        )
        for key in keys
    ]
    components = [f"{key}__components" for key in keys]
    drawn = Node(
        draw_representation,
        {name.removeprefix("params:"): name for name in ["run", "params:dataset", *components]},
        "figure_representation",
        name="draw_representation",
    )
    return [*projected, drawn], ["figure_representation"]
