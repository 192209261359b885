"""Importance against the gradient of each sample."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.pipelines.shared.arrays import rows


def test_importance_is_of_the_pretrained_head_on_the_train_rows_of_each_group(
    smoke: Any, checkpoints: dict[str, Checkpoint]
) -> None:
    samples = pd.read_parquet(smoke.file("05_model_input/*/samples.parquet"))
    y, s = torch.tensor(samples["y"].to_numpy()), torch.tensor(samples["s"].to_numpy())
    weight, bias = (checkpoints["pretrained"].tensors[f"{kind}.1"][1, 0] for kind in ("weights", "biases"))
    for group in (0, 1):
        chosen = rows(checkpoints["splits"], "train")[1]
        chosen = chosen[s[chosen] == group]
        squares = []
        for row in chosen:
            w = weight.clone().requires_grad_()
            logits = checkpoints["features"].tensors["features"][1, row] @ w + bias
            torch.nn.functional.cross_entropy(logits, y[row]).backward()
            assert w.grad is not None
            squares.append(w.grad**2)
        expected = torch.stack(squares).mean(dim=0).sum(dim=-1).sqrt()
        torch.testing.assert_close(
            checkpoints["importance"].tensors["importance"][1, group], expected, rtol=1e-4, atol=1e-6
        )
