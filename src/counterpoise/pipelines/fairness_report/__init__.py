"""Stage fairness_report; see README.md."""

from counterpoise.pipelines.fairness_report.pipeline import (
    create_altering_pipeline,
    create_pipeline,
    create_subnetwork_pipeline,
)

__all__ = ["create_altering_pipeline", "create_pipeline", "create_subnetwork_pipeline"]
