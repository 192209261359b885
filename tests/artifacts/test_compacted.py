"""Compact networks in a file: what is loaded again is what was written, and nothing else is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from counterpoise.artifacts.compacted import CompactModel, load, write
from counterpoise.artifacts.datasets import Checkpoint, SafetensorsDataset
from counterpoise.errors import InputError
from counterpoise.nn import generators
from counterpoise.nn.builders import ResNetBuilder
from counterpoise.nn.compact import compact
from counterpoise.nn.networks import StackedNetwork

COLUMNS = ("age", "priors", "sex")
THRESHOLD = 0.45
"""On either side of which are some of the probabilities."""


def module(seed: int) -> nn.Module:
    return compact(StackedNetwork([len(COLUMNS), 6, 1], generators=generators([seed], "weights")).eval())


def model(variant: str, seed: int, threshold: float = 0.5) -> CompactModel:
    return CompactModel(variant, seed, module(seed), ("no", "yes"), COLUMNS, threshold)


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randn(40, len(COLUMNS), generator=generator)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "compact_networks.safetensors"
    models = [model("netaug", 3), model("netaug", 30, THRESHOLD), model("mask_only", 3), model("mask_only_paper", 3)]
    SafetensorsDataset(str(made)).save(write(models, seeds=[3, 30], digests={"samples": "abc"}))
    return made


def test_three_lines_give_the_same_outputs(path: Path, x: Tensor) -> None:
    """And not those of another seed whose number begins alike."""
    for seed in (3, 30):
        loaded = load(path, "netaug", seed)
        assert torch.equal(loaded.module(x), module(seed)(x))
        assert not loaded.module.training
        assert (loaded.variant, loaded.seed, loaded.columns, loaded.classes) == ("netaug", seed, COLUMNS, ("no", "yes"))
    assert not torch.equal(load(path, "netaug", 3).module(x), load(path, "netaug", 30).module(x))


def test_two_classes_are_decided_at_the_threshold(path: Path, x: Tensor) -> None:
    loaded = load(path, "netaug", 30)
    with torch.no_grad():
        positive = loaded.module(x).squeeze(1).sigmoid() > THRESHOLD
    assert 0 < positive.sum() < len(x)
    assert torch.equal(loaded.predict(x), positive.long())


def test_images_of_many_classes_are_what_is_likeliest(tmp_path: Path, generator: torch.Generator) -> None:
    network = ResNetBuilder(outputs=3, seeds=(0,), width=4, accelerated=False)().eval()
    images = torch.randint(0, 256, (5, 3, 32, 32), generator=generator, dtype=torch.uint8)
    made = CompactModel("netaug", 0, compact(network), ("a", "b", "c"), (), torch.nan)
    file = tmp_path / "images.safetensors"
    SafetensorsDataset(str(file)).save(write([made]))
    loaded = load(file, "netaug", 0)
    assert torch.equal(loaded.predict(images), network(images.unsqueeze(0)).logits[0].argmax(dim=1))
    assert loaded.columns == ()


def test_the_header_says_what_is_in_the_file(path: Path) -> None:
    header = SafetensorsDataset(str(path)).load().header
    assert header["architecture"] == "compact"
    assert header["digests"] == {"samples": "abc"}
    assert header["variants"]["netaug"]["30"]["widths"] == [len(COLUMNS), 6, 1]
    assert header["variants"]["netaug"]["30"]["threshold"] == THRESHOLD
    assert set(header["variants"]) == {"netaug", "mask_only", "mask_only_paper"}


@pytest.mark.parametrize(
    ("variant", "seed", "sentence"),
    [("netaugg", 3, "has no variant 'netaugg' .*'netaug'"), ("netaug", 4, "'netaug' has no seed '4' .*3, 30")],
)
def test_what_is_not_there_is_named(path: Path, variant: str, seed: int, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load(path, variant, seed)


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "masks.safetensors"
    SafetensorsDataset(str(other)).save(Checkpoint({"a": torch.zeros(2)}, {"architecture": "masks"}))
    with pytest.raises(InputError, match="has the architecture 'masks', expected 'compact'"):
        load(other, "netaug", 0)
