"""Stage subnetwork; see README.md."""

from counterpoise.pipelines.subnetwork.pipeline import create_pipeline

__all__ = ["create_pipeline"]
