"""The head that every variant starts from."""

from __future__ import annotations

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Variants, check_ranks
from counterpoise.methods import head_bank
from counterpoise.pipelines.shared.arrays import origin
from counterpoise.pipelines.shared.heads import grid, pretrained_head, settings_of, write_heads


def build_head_bank(pretrained: Checkpoint, importance: Checkpoint, variants: Variants) -> Checkpoint:
    """Factor the pretrained head once per variant, for all replicates (WIN, Algorithm 1)."""
    weight, bias = pretrained_head(pretrained)
    check_ranks(variants, inputs=weight.shape[-2], classes=weight.shape[-1])
    chosen = grid(variants)
    heads = head_bank(chosen, weight, bias, importance.tensors["importance"])
    return write_heads(heads, {variant.name: settings_of(variant) for variant in chosen}, **origin(pretrained))
