"""The head that every variant starts from."""

from __future__ import annotations

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Block
from counterpoise.methods import head_bank
from counterpoise.methods.heads.variants import Variants
from counterpoise.pipelines.shared.arrays import origin
from counterpoise.pipelines.shared.heads import pretrained_head, write_heads


def build_head_bank(pretrained: Checkpoint, importance: Checkpoint, variants: Block[Variants]) -> Checkpoint:
    """Factor the pretrained head once per variant, for all replicates (WIN, Algorithm 1)."""
    weight, bias = pretrained_head(pretrained)
    variants.root.require_ranks(inputs=weight.shape[-2], classes=weight.shape[-1])
    grid = variants.root.grid()
    heads = head_bank(grid, weight, bias, importance.tensors["importance"])
    return write_heads(heads, {variant.name: variant.settings for variant in grid}, **origin(pretrained))
