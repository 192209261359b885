"""Stage `frontier`: every head under every penalty of a grid."""

from counterpoise.pipelines.frontier.pipeline import create_pipeline

__all__ = ["create_pipeline"]
