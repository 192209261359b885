"""Fine-tuned heads: their epoch, and their scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
import torch
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.pipelines.shared.arrays import rows


def function(heads: dict[str, Tensor], variant: str, replicate: int, x: Tensor) -> Tensor:
    """Return a head's logits [n, k], whether it is dense or in factors."""
    weight = heads.get(f"{variant}.W")
    if weight is None:
        weight = heads[f"{variant}.A"] @ heads[f"{variant}.B"]
    return x @ weight[replicate] + heads[f"{variant}.b"][replicate]


def test_each_head_is_that_of_its_epoch_with_the_lowest_validation_error(
    smoke: Any, checkpoints: dict[str, Checkpoint]
) -> None:
    curves = pd.read_parquet(smoke.file("07_model_output/*/learning_curves.parquet"))
    samples = pd.read_parquet(smoke.file("05_model_input/*/samples.parquet"))
    features, heads = checkpoints["features"].tensors["features"], checkpoints["finetuned_heads"].tensors
    for (variant, seed), own in curves.groupby(["variant", "seed"]):
        assert own["epoch"].tolist() == list(range(1, 11))
        best = own["validation_err"].to_numpy().argmin()
        assert np.flatnonzero(own["chosen"]).tolist() == [best]
        chosen = rows(checkpoints["splits"], "validation")[seed]
        prediction = function(heads, variant, seed, features[seed, chosen]).argmax(dim=-1)
        error = 100 - 100 * sk.f1_score(samples["y"].to_numpy()[chosen], prediction, average="weighted")
        assert own["validation_err"].iloc[best] == pytest.approx(error)


def test_scores_are_the_softmax_of_the_finetuned_heads(smoke: Any, checkpoints: dict[str, Checkpoint]) -> None:
    features, heads = checkpoints["features"].tensors["features"], checkpoints["finetuned_heads"].tensors
    finetuned = smoke.predictions.query("variant != 'pretrained'")
    for (variant, seed), own in finetuned.groupby(["variant", "seed"]):
        logits = function(heads, variant, seed, features[seed, torch.tensor(own["row"].to_numpy())])
        np.testing.assert_allclose(own["score"], logits.softmax(dim=-1)[:, 1], rtol=1e-3, atol=1e-5)
