"""Stage report_all; see README.md."""

from counterpoise.pipelines.report_all.pipeline import create_pipeline

__all__ = ["create_pipeline"]
