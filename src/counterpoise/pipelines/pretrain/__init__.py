"""Stage pretrain; see README.md."""

from counterpoise.pipelines.pretrain.pipeline import create_pipeline

__all__ = ["create_pipeline"]
