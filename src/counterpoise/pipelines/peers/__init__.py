"""Stage peers; see README.md."""

from counterpoise.pipelines.peers.pipeline import create_pipeline

__all__ = ["create_pipeline"]
