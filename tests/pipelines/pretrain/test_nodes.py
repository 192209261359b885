"""Features are what the pretrained network's head reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.pipelines.shared.arrays import rows


def test_features_are_the_networks_last_layer_but_one(smoke: Any, checkpoints: dict[str, Checkpoint]) -> None:
    samples = pd.read_parquet(smoke.file("05_model_input/*/samples.parquet"))
    x = torch.tensor(samples.drop(columns=["y", "s"]).to_numpy(dtype=np.float32))
    network = checkpoints["pretrained"].tensors
    for replicate in range(3):
        own = x[rows(checkpoints["splits"], "pretrain")[replicate]]
        torch.testing.assert_close(network["mean"][replicate], own.mean(dim=0), rtol=1e-4, atol=1e-4)
        standard = (x - network["mean"][replicate]) / network["scale"][replicate]
        hidden = (standard @ network["weights.0"][replicate, 0] + network["biases.0"][replicate, 0]).relu()
        torch.testing.assert_close(checkpoints["features"].tensors["features"][replicate], hidden, rtol=1e-4, atol=1e-4)
