"""Stage mask_discovery; see README.md."""

from counterpoise.pipelines.mask_discovery.pipeline import create_pipeline

__all__ = ["create_pipeline"]
