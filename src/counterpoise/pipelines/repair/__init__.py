"""Stage repair; see README.md."""

from counterpoise.pipelines.repair.pipeline import create_pipeline

__all__ = ["create_pipeline"]
