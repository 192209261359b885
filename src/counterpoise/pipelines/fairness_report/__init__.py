"""Stage fairness_report; see README.md."""

from counterpoise.pipelines.fairness_report.pipeline import create_pipeline

__all__ = ["create_pipeline"]
