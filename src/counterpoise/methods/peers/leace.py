"""LEACE: logistic regression after erasing the group linearly from its inputs (Belrose et al. 2023)."""

from __future__ import annotations

import numpy as np
import torch

from counterpoise.methods.heads.erasure import fit_eraser
from counterpoise.methods.peers.settings import Peer
from counterpoise.methods.peers.setup import Decide, Setup, decide_by


def fit(peer: Peer, setup: Setup) -> Decide:
    """Fit the eraser, then logistic regression on what it leaves; the eraser does not ask for the group of new rows."""
    rows = setup.train
    eraser = fit_eraser(torch.from_numpy(rows.x), torch.from_numpy(rows.s))

    def erase(x: np.ndarray) -> np.ndarray:
        return np.asarray(eraser(torch.from_numpy(x)).numpy())

    model = setup.estimator.fit(erase(rows.x), rows.y, classes=setup.classes)
    return decide_by(lambda x: model(erase(x)))
