"""Stage reconstruct; see README.md."""

from counterpoise.pipelines.reconstruct.pipeline import create_pipeline

__all__ = ["create_pipeline"]
