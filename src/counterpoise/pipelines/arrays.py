"""From the frames and checkpoints of the catalog to the tensors that the rooms below compute with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.data import SPLITS
from counterpoise.nn import Examples
from counterpoise.storage import Checkpoint


def feature_matrix(samples: pd.DataFrame) -> Float[Tensor, "N D"]:
    """Return the feature columns of a table, in their order."""
    return torch.from_numpy(samples.drop(columns=["y", "s"]).to_numpy(dtype=np.float32, copy=True))


def examples(samples: pd.DataFrame, x: Tensor) -> Examples:
    """Pair features with the classes and groups of the samples."""
    return Examples(x, torch.tensor(samples["y"].to_numpy()), torch.tensor(samples["s"].to_numpy()))


def rows(splits: Checkpoint, part: str) -> Int[Tensor, "R n"]:
    """Return the row numbers of one part in every replicate; all replicates have equally many."""
    members = splits.tensors["splits"] == SPLITS.index(part)
    return members.nonzero()[:, 1].unflatten(0, (len(members), -1))
