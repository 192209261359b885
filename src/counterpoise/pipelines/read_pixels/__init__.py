"""Stage read_pixels; see README.md."""

from counterpoise.pipelines.read_pixels.pipeline import create_pipeline

__all__ = ["create_pipeline"]
