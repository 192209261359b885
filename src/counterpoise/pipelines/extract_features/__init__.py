"""Stage extract_features; see README.md."""

from counterpoise.pipelines.extract_features.pipeline import create_pipeline, extract_pipeline, read_pipeline

__all__ = ["create_pipeline", "extract_pipeline", "read_pipeline"]
