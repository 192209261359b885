"""One generator per replicate and purpose, so that no draw depends on what else is drawn."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch


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
