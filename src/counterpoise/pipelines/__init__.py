"""Kedro stages. A stage is written once, with plain names; `assemble` binds the six of them to an experiment."""

from counterpoise.pipelines.assemble import assemble

__all__ = ["assemble"]
