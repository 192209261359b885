"""Heads in checkpoints: how a bank of them is written and read."""

from __future__ import annotations

from itertools import product
from typing import Any

from jaxtyping import Float
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Variants
from counterpoise.methods import Variant
from counterpoise.nn import Factors

PRETRAINED = "pretrained"
"""The name of the head before fine-tuning, in predictions and metrics."""

CHOSEN = "chosen"
"""The family of models that may take any head of the frontier; `chosen_<method>` takes one of that method."""


def pretrained_head(pretrained: Checkpoint) -> tuple[Float[Tensor, "R d k"], Float[Tensor, "R k"]]:
    """Return W and b of the networks' last layer."""
    last = len(pretrained.header["widths"]) - 2
    return pretrained.tensors[f"weights.{last}"].squeeze(1), pretrained.tensors[f"biases.{last}"].squeeze(1)


def grid(variants: Variants) -> list[Variant]:
    """Expand the settings into variants: TL once, f+SVD at every rank, WIN at every rank, α and neutralizer.

    α belongs to the mean; the other neutralizers have none.
    """
    made: list[Variant] = []
    for method in variants.methods:
        if method == "tl":
            made.append(Variant("tl"))
        elif method == "svd":
            made += [Variant("svd", rank) for rank in variants.ranks]
        else:
            for rank, neutralizer in product(variants.ranks, variants.neutralizers):
                alphas = variants.alphas if neutralizer == "mean" else [None]
                made += [Variant("win", rank, alpha, neutralizer) for alpha in alphas]
    return made


def settings_of(variant: Variant) -> dict[str, Any]:
    """Return a variant's settings under the column names of `metrics.parquet`."""
    return {
        "method": variant.method,
        "alpha": variant.alpha,
        "rank": variant.rank,
        "constraint": None,
        "strength": None,
    }


def write_heads(heads: dict[str, Factors], variants: dict[str, dict[str, Any]], **header: Any) -> Checkpoint:
    """Store heads as `<variant>.A|B|W|b`, and the variants' settings in the header."""
    tensors: dict[str, Tensor] = {}
    for name, head in heads.items():
        tensors[f"{name}.W" if head.second is None else f"{name}.A"] = head.first
        if head.second is not None:
            tensors[f"{name}.B"] = head.second
        tensors[f"{name}.b"] = head.bias
    return Checkpoint(tensors, as_header(architecture="heads", variants=variants, **header))


def read_heads(checkpoint: Checkpoint) -> dict[str, Factors]:
    """Return the heads of `write_heads`, in the order in which they were written."""
    tensors = checkpoint.tensors
    return {
        name: Factors(
            first=tensors[f"{name}.W"] if f"{name}.W" in tensors else tensors[f"{name}.A"],
            second=tensors.get(f"{name}.B"),
            bias=tensors[f"{name}.b"],
        )
        for name in checkpoint.header["variants"]
    }


def trainable_parameters(finetuned_heads: Checkpoint, retrained: Checkpoint) -> dict[str, int]:
    """Return how many numbers fine-tuning may change in each variant."""
    networks = retrained.header["variants"]
    network = sum(
        tensor[0, 0].numel() for name, tensor in retrained.tensors.items() if name.startswith(("weights", "biases"))
    )
    heads = {name: head.parameters_per_replicate for name, head in read_heads(finetuned_heads).items()}
    return heads | dict.fromkeys(networks, network)
