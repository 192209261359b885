"""predictions → metrics → summary and claims → figures, report, model card."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.fairness_report.nodes import draw_figures, floors, measure, summarize, write_report

FIGURES = ["figure_performance", "figure_differences", "figure_fisher", "figure_curves"]


def create_pipeline() -> Pipeline:
    """Return the stage with unbound names."""
    return Pipeline(
        [
            Node(
                measure,
                [
                    "predictions",
                    "samples",
                    "splits",
                    "features",
                    "finetuned_heads",
                    "params:dataset",
                    "params:report",
                ],
                "metrics",
                name="measure",
            ),
            Node(
                summarize,
                ["metrics", "params:evidence", "params:variants", "params:report"],
                ["summary", "claims"],
                name="summarize",
            ),
            Node(floors, ["predictions", "params:dataset"], "noise_floors", name="noise_floors"),
            Node(
                draw_figures,
                [
                    "metrics",
                    "summary",
                    "claims",
                    "noise_floors",
                    "importance",
                    "learning_curves",
                    "params:dataset",
                ],
                FIGURES,
                name="draw_figures",
            ),
            Node(
                write_report,
                [
                    "summary",
                    "claims",
                    "predictions",
                    "noise_floors",
                    "data_summary",
                    *FIGURES,
                    "params:dataset",
                    "params:evidence",
                    "params:variants",
                    "run",
                ],
                ["report_html", "report_json", "model_card"],
                name="write_report",
            ),
        ]
    )
