"""Stage fetch; see README.md."""

from counterpoise.pipelines.fetch.pipeline import create_pipeline

__all__ = ["create_pipeline"]
