"""From frames and checkpoints to tensors: rows of parts, statistics of a replicate's own rows, and what must fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Seeds
from counterpoise.data import SPLITS
from counterpoise.errors import InputError
from counterpoise.pipelines.shared.arrays import (
    LEARNT,
    examples,
    feature_matrix,
    input_statistics,
    origin,
    require_features,
    require_seeds,
    rows,
)

CODES = torch.tensor([[0, 1, 2, 3, 1, 0], [3, 0, 1, 1, 2, 0]], dtype=torch.uint8)


def test_rows_of_a_part_are_those_with_its_code() -> None:
    splits = Checkpoint({"splits": CODES})
    for code, part in enumerate(SPLITS):
        for r, numbers in enumerate(rows(splits, part)):
            assert numbers.tolist() == [n for n, there in enumerate(CODES[r].tolist()) if there == code]
    both = rows(splits, *LEARNT)
    for r in range(len(CODES)):
        apart = torch.cat([rows(splits, part)[r] for part in LEARNT])
        assert both[r].tolist() == sorted(apart.tolist())


def test_features_are_the_columns_that_are_no_others_in_their_order() -> None:
    samples = pd.DataFrame({"b": [1.5, 2.0], "y": [0, 1], "s": [1, 0], "a": [True, False]})
    matrix = feature_matrix(samples)
    assert matrix.dtype == torch.float32
    assert matrix.tolist() == [[1.5, 1.0], [2.0, 0.0]]
    assert matrix.is_contiguous()
    data = examples(samples, matrix)
    assert (data.y.tolist(), data.s.tolist(), data.unit) == ([0, 1], [1, 0], None)


def test_statistics_are_of_each_replicates_own_rows(generator: torch.Generator) -> None:
    x = torch.randn(30, 3, generator=generator) * torch.tensor([1.0, 40.0, 1.0])
    x[:10, 2] = 7.0
    members = torch.stack([torch.arange(10), torch.arange(10, 20)])
    mean, scale = input_statistics(x, members)
    for r, own in enumerate(members):
        np.testing.assert_allclose(mean[r], x[own].numpy().mean(axis=0), rtol=1e-5, atol=1e-6)
        expected = x[own].numpy().std(axis=0)
        np.testing.assert_allclose(scale[r], np.where(expected > 0, expected, 1), rtol=1e-5)
    assert scale[0, 2] == 1, "what is constant among a replicate's rows is centred alone"


def test_checkpoints_of_other_seeds_are_refused() -> None:
    one = Checkpoint({}, {"seeds": [0, 1], "digests": {"raw": "ab"}, "shapes": {}})
    require_seeds(Seeds([0, 1]), bases=one)
    assert origin(one) == {"seeds": [0, 1], "digests": {"raw": "ab"}}
    with pytest.raises(InputError, match=r"bases.safetensors has the seeds \[0, 1\], expected \[0, 2\]"):
        require_seeds(Seeds([0, 2]), bases=one)


def test_heads_read_as_many_features_as_there_are(generator: torch.Generator) -> None:
    dense = torch.randn(4, 3, generator=generator)
    require_features(dense, "pretrained", 3)
    for inputs in (2, 4):
        with pytest.raises(InputError, match=f"pretrained.safetensors has heads of {inputs} features, expected 3"):
            require_features(dense, "pretrained", inputs)
    leaves = torch.tensor([[0, 4], [1, 3]], dtype=torch.int32)
    require_features(leaves, "pretrained", 9)  # of leaves some may be in no row
    with pytest.raises(InputError, match="has heads of 4 features, expected 5"):
        require_features(leaves, "pretrained", 4)
