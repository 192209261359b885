"""The backbone that an experiment on images is exported with is the one that its features are of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import loans
from PIL import Image

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Backbone
from counterpoise.errors import InputError
from counterpoise.features.backbones import Described, backbone
from counterpoise.pipelines.shared.served import image_network

CODE = """
import torch
from torch import nn

def network(seed):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 16, 3), nn.ReLU()]
    for _ in range(5):
        layers += [nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))
"""
SIZE = 24


def settings(seed: int) -> Backbone:
    return Backbone.model_validate(
        {"name": "user_images:network", "weights": "built", "head": "probe", "image_size": SIZE}
        | {"arguments": {"seed": seed}}
    )


@pytest.mark.parametrize("is_rounded", [False, True])
def test_features_may_have_been_computed_in_another_precision(
    is_rounded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU computes in bfloat16, and so do processors that have instructions for it."""
    (tmp_path / "user_images.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    draws, files = np.random.default_rng(0), [tmp_path / f"{i}.png" for i in range(3)]
    pixels = draws.integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    for file, each in zip(files, pixels, strict=True):
        Image.fromarray(each).save(file)
    network = backbone("user_images:network", "built", size=SIZE, described=Described({"seed": 0}))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    with torch.autocast("cpu", torch.bfloat16, enabled=is_rounded):
        features = Checkpoint({"features": network(images)}, {})
    image_network(files, features, loans(), settings(0), "e")
    with pytest.raises(InputError, match="e: the backbone 'user_images:network' gives other features than the run"):
        image_network(files, features, loans(), settings(1), "e")


def test_a_program_is_exported_with_the_head_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its features are those of the program, from the image on."""
    (tmp_path / "user_program.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    module = backbone("user_program:network", "built", size=SIZE, described=Described({"seed": 0}))
    network = module.module.network  # type: ignore[union-attr]
    rows = {"input": {0: torch.export.Dim("rows")}}
    shown = torch.rand(3, 3, SIZE, SIZE)
    torch.export.save(torch.export.export(network, (shown,), dynamic_shapes=rows), "n.pt2")  # type: ignore[arg-type]
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    files = [tmp_path / f"{i}.png" for i in range(2)]
    for file, each in zip(files, pixels, strict=True):
        Image.fromarray(each).save(file)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    features = module(images)
    described = {"name": "n.pt2", "weights": "built", "head": "probe", "image_size": SIZE}
    exported = image_network(files, Checkpoint({"features": features}, {}), loans(), Backbone(**described), "e")
    (tmp_path / "again.pt2").write_bytes(exported.program)
    again = torch.export.load(tmp_path / "again.pt2").module()
    torch.testing.assert_close(again(images.float()), features, atol=1e-4, rtol=1e-4)
