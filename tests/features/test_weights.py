"""Weights of published names and of files."""

from __future__ import annotations

import torch
import torchvision

from counterpoise.features.weights import fit_state


def test_densenets_published_names_are_understood() -> None:
    with torch.device("meta"):
        dense = torchvision.models.densenet121()
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.") if "denselayer" in name else name: tensor
        for name, tensor in dense.state_dict().items()
    }
    assert old.keys() != dense.state_dict().keys()
    assert fit_state(dense, old, source="file", architecture="densenet121").keys() == dense.state_dict().keys()
