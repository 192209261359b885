"""the reports of the experiments → one page over all of them."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.report_all.nodes import summarise


def create_pipeline() -> Pipeline:
    """Return the pipeline `report_all`; it binds its own names, since no experiment owns it."""
    return Pipeline([Node(summarise, "reports_folder", "report_all", name="summarise")])
