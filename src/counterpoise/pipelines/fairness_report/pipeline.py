"""predictions → metrics → summary and claims → figures, report, model card."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.fairness_report.nodes import (
    draw_figures,
    draw_frontier,
    floors,
    measure,
    pick_examples,
    summarize,
    write_report,
)
from counterpoise.reporting.figures import learning_curves

FIGURES = ["figure_performance", "figure_differences", "figure_fisher"]
FRONTIER_FIGURES = ["figure_frontier_eo", "figure_frontier_dp", "figure_hypervolumes"]


def create_pipeline(*, images: bool, frontier: bool) -> Pipeline:
    """Return the stage with unbound names. For images the report may show some; a frontier has figures of its own."""
    heads = "chosen_models" if frontier else "finetuned_heads"
    nodes = [
        Node(
            measure,
            ["predictions", "samples", "splits", "features", heads, "params:dataset", "params:report"],
            "metrics",
            name="measure",
        ),
        Node(summarize, ["metrics", "params:evidence", "params:report"], ["summary", "claims"], name="summarize"),
        Node(floors, ["predictions", "params:dataset"], "noise_floors", name="noise_floors"),
        Node(
            draw_figures,
            ["metrics", "summary", "claims", "noise_floors", "importance", "params:dataset"],
            FIGURES,
            name="draw_figures",
        ),
    ]
    inputs = [
        *("summary", "claims", "predictions", "noise_floors", "data_summary"),
        *("params:dataset", "params:evidence", "run", *FIGURES),
    ]
    if frontier:
        nodes.append(
            Node(
                draw_frontier,
                ["frontier", "selection", "hypervolumes", "noise_floors", "params:selection"],
                FRONTIER_FIGURES,
                name="draw_frontier",
            )
        )
        inputs += ["selection", "hypervolume_differences", "importance_effect", *FRONTIER_FIGURES]
    else:
        nodes.append(Node(learning_curves, "learning_curves", "figure_curves", name="draw_curves"))
        inputs += ["figure_curves"]
    if images:
        nodes.append(
            Node(
                pick_examples,
                ["predictions", "samples", "raw", "params:report"],
                "example_images",
                name="pick_examples",
            )
        )
        inputs += ["example_images"]
    report = Node(
        write_report,
        {name.removeprefix("params:"): name for name in inputs},
        ["report_html", "report_json", "model_card"],
        name="write_report",
    )
    return Pipeline([*nodes, report])
