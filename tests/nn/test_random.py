"""Random numbers: their distribution, and each replicate's own stream."""

from __future__ import annotations

import math

import torch

from counterpoise.nn import generators
from counterpoise.nn.random import coarse_normals


def test_coarse_noise_is_normal_and_each_replicate_s_own() -> None:
    count = 100_001  # no multiple of what one word gives
    noise = coarse_normals(generators([0, 1], "noise"), count, torch.device("cpu"))
    assert noise.shape == (2, count)
    for level in (-2.0, -1.0, 0.0, 0.5, 2.5):
        share = (noise.double() < level).double().mean(dim=1)
        expected = 0.5 * (1 + math.erf(level / math.sqrt(2)))
        bound = 4.5 * math.sqrt(expected * (1 - expected) / count)
        assert (share - expected).abs().max() < bound
    assert noise.std(dim=1).sub(1).abs().max() < 0.01
    correlation = torch.corrcoef(torch.stack([noise[0, :-1], noise[0, 1:], noise[1, :-1]]))
    assert correlation.triu(1).abs().max() < 4.5 / math.sqrt(count)
    assert torch.equal(coarse_normals(generators([1], "noise"), count, torch.device("cpu"))[0], noise[1])
