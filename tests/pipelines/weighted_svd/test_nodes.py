"""Heads from which the variants start."""

from __future__ import annotations

import torch

from counterpoise.artifacts.datasets import Checkpoint


def test_at_full_rank_all_methods_start_as_the_pretrained_head(checkpoints: dict[str, Checkpoint]) -> None:
    x = checkpoints["features"].tensors["features"]
    heads = checkpoints["head_bank"].tensors
    factored = ("svd_r2", "win_r2_a0.5", "win_r1_a0.5")
    weights = {"tl": heads["tl.W"]} | {name: heads[f"{name}.A"] @ heads[f"{name}.B"] for name in factored}
    pretrained = checkpoints["pretrained"].tensors
    for replicate in range(3):
        expected = x[replicate] @ pretrained["weights.1"][replicate, 0] + pretrained["biases.1"][replicate, 0]
        logits = {
            variant: x[replicate] @ weight[replicate] + heads[f"{variant}.b"][replicate]
            for variant, weight in weights.items()
        }
        for variant in ("tl", "svd_r2", "win_r2_a0.5"):
            torch.testing.assert_close(logits[variant], expected, rtol=1e-3, atol=1e-4)
        assert not torch.allclose(logits["win_r1_a0.5"], expected, atol=1e-2)
