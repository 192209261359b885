"""Stage `select`; see README.md."""

from counterpoise.pipelines.select.pipeline import create_pipeline

__all__ = ["create_pipeline"]
