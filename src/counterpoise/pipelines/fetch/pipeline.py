"""the folder of a data set's raw files → the same, filled."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.experiments import raw_folder
from counterpoise.pipelines.fetch.nodes import fetcher


def create_pipeline(dataset: str) -> Pipeline:
    """Return the pipeline `fetch_<dataset>`; it binds its own names, since no experiment owns it."""
    return Pipeline(
        [
            Node(
                fetcher(dataset),
                [f"{raw_folder(dataset)}__raw", "params:fetch"],
                f"{dataset}__fetched",
                name=f"fetch_{dataset}",
            )
        ]
    )
