"""Stage data_split; see README.md."""

from counterpoise.pipelines.data_split.pipeline import create_pipeline

__all__ = ["create_pipeline"]
