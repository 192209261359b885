"""Weights of published names and of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_model
from torch import nn

from counterpoise.errors import InputError
from counterpoise.features.weights import fit_state, read_state

FORMS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "state dict": lambda state: state,
    "checkpoint": lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
    "another checkpoint": lambda state: {"model_state_dict": state, "loss": 0.3},
    "DataParallel": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "compiled": lambda state: {f"module._orig_mod.{name}": tensor for name, tensor in state.items()},
    "Lightning": lambda state: {"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}},
    "half": lambda state: {name: tensor.bfloat16() for name, tensor in state.items()},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_state_dict_is_found_in_what_holds_it(form: str, tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    network.load_state_dict({name: tensor.round(decimals=0) for name, tensor in network.state_dict().items()})
    torch.save(FORMS[form](network.state_dict()), tmp_path / "w.pt")
    fitted = fit_state(network, read_state(tmp_path / "w.pt"), source="w.pt", architecture="n")
    torch.testing.assert_close(fitted, dict(network.state_dict()))


def test_names_that_only_some_tensors_have_are_no_wrapping() -> None:
    network = nn.ModuleDict({"module": nn.Linear(2, 2)})
    state = network.state_dict()
    assert fit_state(network, state, source="w", architecture="n").keys() == state.keys()
    with pytest.raises(InputError, match=r"2 tensors are missing \(such as 'module\.bias'\)"):
        fit_state(
            network, {"model.module.bias": torch.zeros(2), "epoch": torch.zeros(())}, source="w", architecture="n"
        )


def test_a_tensor_that_the_network_shares_may_be_stored_once(tmp_path: Path) -> None:
    """safetensors' `save_model` leaves the second of two names out."""

    def tied() -> nn.Module:
        network = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
        network[2].weight = network[0].weight
        return network

    first, second = tied(), tied()
    save_model(first, str(tmp_path / "w.safetensors"))
    state = read_state(tmp_path / "w.safetensors")
    assert len(state) == 3
    second.load_state_dict(fit_state(second, state, source="w", architecture="n"))
    torch.testing.assert_close(second(torch.eye(3)), first(torch.eye(3)))
    with pytest.raises(InputError, match="1 tensors are missing"):
        fit_state(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)), state, source="w", architecture="n")


def test_densenets_published_names_are_understood() -> None:
    with torch.device("meta"):
        dense = torchvision.models.densenet121()
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.") if "denselayer" in name else name: tensor
        for name, tensor in dense.state_dict().items()
    }
    assert old.keys() != dense.state_dict().keys()
    assert fit_state(dense, old, source="file", architecture="densenet121").keys() == dense.state_dict().keys()
