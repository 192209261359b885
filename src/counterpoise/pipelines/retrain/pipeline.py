"""partitions → audit → the experiment's own stages → evaluate → decide → report → promote."""

from __future__ import annotations

from collections.abc import Mapping

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.retrain.evaluation import decide, evaluate
from counterpoise.pipelines.retrain.pages import write_pages
from counterpoise.pipelines.retrain.partitions import audit_partitions, take_partitions, training_rows
from counterpoise.pipelines.retrain.promotion import (
    export_choice,
    export_head,
    export_image_choice,
    export_image_head,
    promote,
)

REGISTRY = "retrain__registry"
"""What the run's hook puts into the catalog: the registry, or None without tracking."""

PAGES = {"report_html": "report.html", "impact_html": "impact.html", "model_card": "model_card.md"}
"""Artifacts of the experiment that are kept for each week, and the names of their files."""


def create_pipeline(
    experiment: Pipeline, *, raw: str, dataset: str, frontier: bool, backbone: str | None = None
) -> Pipeline:
    """Return the pipeline around that of the experiment as it is retrained, whose artifacts are `retraining__…`.

    Args:
        raw: name of the experiment's own raw files in the catalog. dataset: of its block of data.
        frontier: whether the experiment exports a model itself.
        backbone: of an experiment on images, the parameters of its backbone, `backbones.<name>`.
    """
    settings, data = "params:retraining", f"params:datasets.{dataset}"
    retrained = experiment.all_outputs()
    pages = {name: file for name, file in PAGES.items() if f"retraining__{name}" in retrained}
    stages: Mapping[str, list[Node]] = {
        "partitions": [
            Node(
                take_partitions,
                [
                    *("retrain__new_partitions", "retrain__partitions", "retrain__ledger", "retrain__history"),
                    *(raw, data, settings),
                ],
                ["retrain__batch", "retrain__rows"],
                name="take_partitions",
            ),
            Node(training_rows, "retrain__rows", "retraining__raw", name="training_rows"),
        ],
        "audit": [
            Node(audit_partitions, ["retrain__rows", "retrain__batch", data], "retrain__audit", name="audit_partitions")
        ],
        "evaluate": [
            _export(data, settings, frontier=frontier, backbone=backbone),
            Node(
                evaluate,
                [
                    *("retrain__challenger", "retrain__history", "retrain__models", "retrain__rows", "retrain__batch"),
                    *(data, settings, REGISTRY),
                ],
                "retrain__evaluation",
                name="evaluate",
            ),
        ],
        "decide": [
            Node(
                decide,
                ["retrain__evaluation", "retrain__batch", "retrain__history", data, settings],
                ["retrain__history_after", "retrain__decision"],
                name="decide",
            )
        ],
        "report": [
            Node(
                write_pages,
                {
                    "decision": "retrain__decision",
                    "evaluation": "retrain__evaluation",
                    "batch": "retrain__batch",
                    "audit": "retrain__audit",
                    "past": "retrain__past_reports",
                    "history": "retrain__history_after",
                    "retraining": settings,
                    "dataset": data,
                    "run": "retraining__run",
                    **{file: f"retraining__{name}" for name, file in pages.items()},
                },
                ["retrain__pages", "retrain__report"],
                name="write_pages",
            )
        ],
        "promote": [promotion()],
    }
    around = [
        Pipeline(
            nodes,
            namespace=name,
            inputs=Pipeline(nodes).inputs() - _parameters(nodes),
            outputs=Pipeline(nodes).all_outputs(),
            parameters=_parameters(nodes),
            tags=["retrain", name],
        )
        for name, nodes in stages.items()
    ]
    return sum(around, experiment)


def promotion() -> Node:
    """Return the last node, which is the same for every experiment; `sync_tracking` runs it too."""
    return Node(
        promote,
        [
            *("retrain__decision", "retrain__evaluation", "retrain__batch", "retrain__report"),
            *("retrain__history_after", "retrain__ledger", "retrain__models", REGISTRY),
        ],
        ["retrain__registered", "retrain__ledger_after"],
        name="promote",
    )


def _export(data: str, settings: str, *, frontier: bool, backbone: str | None) -> Node:
    """Return the node that makes the challenger a model of rows of the file, or of images."""
    if backbone is not None:
        export = export_image_choice if frontier else export_image_head
        trained = ["retraining__model" if frontier else "retraining__finetuned_heads"]
        trained += ["retraining__features", "retraining__samples", "retraining__raw"]
        return Node(export, [*trained, data, f"params:{backbone}", settings], "retrain__challenger", name="export")
    if frontier:
        return Node(export_choice, "retraining__model", "retrain__challenger", name="export")
    trained = ["retraining__finetuned_heads", "retraining__pretrained", "retraining__encoding"]
    return Node(export_head, [*trained, data, settings], "retrain__challenger", name="export")


def _parameters(nodes: list[Node]) -> set[str]:
    return {name for name in Pipeline(nodes).inputs() if name.startswith("params:")}
