"""Stage baselines; see README.md."""

from counterpoise.pipelines.baselines.pipeline import create_pipeline

__all__ = ["create_pipeline"]
