"""Stage group_fisher; see README.md."""

from counterpoise.pipelines.group_fisher.pipeline import create_pipeline

__all__ = ["create_pipeline"]
