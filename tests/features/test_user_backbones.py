"""A user's network of images as a frozen backbone: by a function, as a program, by a name of timm."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from counterpoise.errors import InputError
from counterpoise.features.backbones import backbone
from counterpoise.features.user_backbones import Described

CODE = """
from torch import nn

def classifier(channels=4, outputs=2):
    return nn.Sequential(
        nn.Conv2d(3, channels, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, outputs)
    )
"""
IMAGES = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "user_faces.py").write_text(CODE)
    return tmp_path


@pytest.fixture
def weights(folder: Path) -> str:
    state = {"0.weight": torch.ones(4, 3, 3, 3) / 27, "0.bias": torch.arange(4.0)}
    state |= {"4.weight": torch.eye(2, 4), "4.bias": torch.zeros(2)}
    save_file(state, folder / "faces.safetensors")
    return "faces.safetensors"


def test_the_network_is_cut_and_sees_normalised_images(weights: str) -> None:
    described = Described(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    faces = backbone("user_faces:classifier", weights, size=16, described=described)
    assert faces.d == 4
    means = ((IMAGES / 255 - 0.5) / 0.25).unfold(2, 3, 1).unfold(3, 3, 1).mean(dim=(1, 4, 5))
    expected = torch.stack([(means + shift).relu().mean(dim=(1, 2)) for shift in range(4)], dim=1)
    torch.testing.assert_close(faces(IMAGES), expected, atol=1e-5, rtol=1e-5)
    assert faces.head is not None
    torch.testing.assert_close(faces.head.weight, torch.eye(2, 4))


def test_it_travels_to_other_processes(weights: str) -> None:
    faces = backbone("user_faces:classifier", weights, size=16)
    again = pickle.loads(pickle.dumps(faces))
    assert torch.equal(again(IMAGES), faces(IMAGES))


def test_the_digest_is_of_weights_and_preprocessing(weights: str) -> None:
    digests = {
        backbone("user_faces:classifier", weights, size=16).digest,
        backbone("user_faces:classifier", weights, size=20).digest,
        backbone("user_faces:classifier", "built", size=16).digest,
    }
    assert len(digests) == 3
    assert backbone("user_faces:classifier", weights, size=16).digest in digests


def test_a_program_is_a_backbone(folder: Path, weights: str) -> None:
    module = backbone("user_faces:classifier", weights, size=16)
    network = module.module.network  # type: ignore[union-attr]
    rows = torch.export.Dim("rows")
    shown = torch.rand(3, 3, 16, 16)
    exported = torch.export.export(network, (shown,), dynamic_shapes={"input": {0: rows}})  # type: ignore[arg-type]
    torch.export.save(exported, "faces.pt2")
    program = backbone("faces.pt2", "built", size=16)
    torch.testing.assert_close(program(IMAGES), module(IMAGES))
    again = pickle.loads(pickle.dumps(program))  # as it travels to other processes
    assert torch.equal(again(IMAGES), program(IMAGES))
    with pytest.raises(InputError, match=r"weights: faces\.pt2 has its own"):
        backbone("faces.pt2", "faces.safetensors", size=16)


def test_what_does_not_fit_is_refused(weights: str) -> None:
    with pytest.raises(InputError, match=r"faces\.safetensors: .*another shape.*'4\.bias'.*user_faces:classifier"):
        backbone("user_faces:classifier", weights, size=16, described=Described({"outputs": 3}))
    with pytest.raises(InputError, match=r"fails on a sample of the shape \[4, 3, 2, 2\]"):
        backbone("user_faces:classifier", weights, size=2)
    with pytest.raises(
        InputError, match="weights: found 'DEFAULT' for user_faces:classifier, expected a file or 'built'"
    ):
        backbone("user_faces:classifier", size=16)


def test_timm_is_asked_by_name(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="needs the extra 'timm'")
    network = timm.create_model("test_resnet", pretrained=False).eval()
    file = tmp_path / "network.safetensors"
    save_file(network.state_dict(), file)
    part = backbone("timm/test_resnet", file)
    images = torch.randint(0, 256, (2, 3, part.preprocess.crop, part.preprocess.crop), dtype=torch.uint8)
    assert part.head is not None
    logits = part(images) @ part.head.weight.T + part.head.bias
    torch.testing.assert_close(logits, network(part.preprocess.normalize(images)).detach(), atol=1e-4, rtol=1e-4)
    with pytest.raises(InputError, match="backbone: timm has no 'resnet1'"):
        backbone("timm/resnet1", file)


def test_timm_makes_the_network_with_the_arguments_of_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that was fine-tuned has as many outputs as its data have classes."""

    def create_model(name: str, *, pretrained: bool, num_classes: int = 1000) -> nn.Module:
        assert not pretrained
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))

    shape = {
        "input_size": (3, 8, 8),
        "crop_pct": 1.0,
        "mean": (0.5,) * 3,
        "std": (0.5,) * 3,
        "interpolation": "bicubic",
    }
    data = SimpleNamespace(resolve_model_data_config=lambda _: shape)
    timm = SimpleNamespace(list_models=lambda: ["net"], create_model=create_model, data=data)
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "timm.data", data)
    file = tmp_path / "network.safetensors"
    save_file(create_model("net", pretrained=False, num_classes=2).state_dict(), file)
    part = backbone("timm/net", file, described=Described({"num_classes": 2, "pretrained": True}))
    assert part.head is not None
    assert part.head.weight.shape == (2, 3)
    with pytest.raises(InputError, match="2 tensors have another shape"):
        backbone("timm/net", file)
    with pytest.raises(InputError, match=r"timm cannot make 'net' with {'classes': 2} \(.*unexpected keyword argument"):
        backbone("timm/net", file, described=Described({"classes": 2}))


def test_without_timm_a_sentence_says_where_it_is_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="needs the package 'timm', expected it from `pip install"):
        backbone("timm/resnet18", "network.safetensors")
