"""Weights of published names and of files."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_model
from torch import Tensor, nn

from counterpoise.errors import InputError
from counterpoise.features.weights import fit_state, load_pickle, read_state

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


MUTATIONS = 400
WEIGHTS = {"a.weight": torch.arange(32.0).reshape(8, 4), "a.bias": torch.ones(8), "n": torch.tensor(3)}


def saved(*, archive: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(WEIGHTS, buffer, _use_new_zipfile_serialization=archive)
    return buffer.getvalue()


def same(state: dict[str, Tensor]) -> bool:
    return state.keys() == WEIGHTS.keys() and all(
        tensor.dtype == WEIGHTS[name].dtype and torch.equal(tensor, WEIGHTS[name]) for name, tensor in state.items()
    )


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Flip a bit, cut the end off, zero a part, or repeat one."""
    start = draw.randrange(len(content))
    stop = draw.randrange(start, len(content)) + 1
    return draw.choice(
        [
            content[:start] + bytes([content[start] ^ 1 << draw.randrange(8)]) + content[start + 1 :],
            content[:start],
            content[:start] + bytes(stop - start) + content[stop:],
            content[:stop] + content[start:],
        ]
    )


@pytest.mark.filterwarnings("ignore")  # torch warns of old files
def test_a_damaged_archive_of_weights_is_a_sentence_or_does_no_harm(tmp_path: Path) -> None:
    path, whole, draw = tmp_path / "a.pth", saved(archive=True), random.Random(0)
    sentences = []
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(whole, draw))
        try:
            assert same(read_state(path))  # the bytes between the entries are nobody's
        except InputError as error:
            sentences.append(str(error))
    assert len(sentences) > MUTATIONS / 2
    assert all(sentence.startswith(f"{path}: ") for sentence in sentences)


@pytest.mark.filterwarnings("ignore")
def test_damage_to_an_old_file_never_ends_in_another_error(tmp_path: Path) -> None:
    """Files of torch before 1.6 have no checksums: tensors may change and stay tensors."""
    path, whole, draw = tmp_path / "a.pth", saved(archive=False), random.Random(0)
    assert same(load_pickle(io.BytesIO(whole), "a.pth"))
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(whole, draw))
        try:
            state = read_state(path)
        except InputError:
            continue
        assert all(isinstance(tensor, Tensor) for tensor in state.values())


def test_one_changed_number_is_noticed(tmp_path: Path) -> None:
    number = torch.tensor(31.0).numpy().tobytes()
    whole = saved(archive=True)
    assert whole.count(number) == 1
    damaged = whole.replace(number, torch.tensor(30.0).numpy().tobytes())
    assert not same(torch.load(io.BytesIO(damaged)))  # torch does not see it
    (tmp_path / "a.pth").write_bytes(damaged)
    with pytest.raises(InputError, match=r"a\.pth: is damaged: the checksum of '.*/data/0' differs"):
        read_state(tmp_path / "a.pth")


def test_a_file_that_grows_when_it_is_read_is_refused(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(io.BytesIO(saved(archive=True))) as whole,
        zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in whole.infolist():
            packed.writestr(entry.filename, whole.read(entry))
        packed.writestr("archive/data/9", bytes(10_000_000))
    with pytest.raises(InputError, match=r"a\.pth: [\d,]+ bytes say to be 10,[\d,]+, expected"):
        read_state(tmp_path / "a.pth")
