"""One generator per replicate and purpose, so that no draw depends on what else is drawn."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def generator(seed: int, purpose: str) -> torch.Generator:
    """Return a generator that is a function of `seed` and `purpose` alone.

    Hashing the purpose in keeps streams apart: the batches of seed 3 are not the initial weights of seed 3, and a new
    consumer of randomness changes none of the old ones.
    """
    words = np.random.SeedSequence([seed, zlib.crc32(purpose.encode())]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 31 ^ int(words[1]))


def generators(seeds: Sequence[int], purpose: str) -> list[torch.Generator]:
    """Return one `generator` per replicate."""
    return [generator(seed, purpose) for seed in seeds]


QUANTILES = 2**16
"""How many values `coarse_normals` draws from."""

DRAWS_PER_WORD = 4
"""A 64-bit word is cut into so many numbers of 16 bits."""


def coarse_normals(generators: Sequence[torch.Generator], count: int, device: torch.device) -> Float[Tensor, "R n"]:
    """Draw standard normal noise from 65,536 equally likely values, the quantiles (i + ½) / 65,536.

    Half the time of exact draws, for noise that decides something and is not looked at: no probability of an interval
    is wrong by more than 2⁻¹⁶.
    """
    words = torch.empty(len(generators), -(-count // DRAWS_PER_WORD), dtype=torch.int64)
    for row, generator in zip(words, generators, strict=True):
        row.random_(-(2**63), None, generator=generator)
    index = words.view(torch.uint16).to(device).to(torch.int32)
    return _quantiles(device).index_select(0, index.flatten()).view(index.shape)[:, :count]


@functools.cache
def _quantiles(device: torch.device) -> Float[Tensor, "q"]:
    middles = (torch.arange(QUANTILES, dtype=torch.float64) + 0.5) / QUANTILES
    return torch.special.ndtri(middles).float().roll(QUANTILES // 2).to(device)  # word 0 is the middle one
