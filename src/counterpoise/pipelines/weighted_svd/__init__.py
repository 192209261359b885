"""Stage weighted_svd; see README.md."""

from counterpoise.pipelines.weighted_svd.pipeline import create_pipeline

__all__ = ["create_pipeline"]
