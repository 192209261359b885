"""The perceptron's last hidden layer as a base."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from counterpoise.methods.bases import perceptron
from counterpoise.methods.bases.perceptron import Perceptron, PerceptronBase, Shape, choose, fit
from counterpoise.nn import Examples

SETTINGS = PerceptronBase(widths=(1, 8), epochs=12, batch_size=32, lr=0.02)
TRAIN, WATCHED, REST = torch.arange(0, 400), torch.arange(400, 550), torch.arange(550, 600)


@pytest.fixture(scope="module")
def data() -> Examples:
    """Points whose class is inside or outside of a ring: no linear model tells them apart, nor does one unit."""
    generator = torch.Generator().manual_seed(0)
    x = 2 + 3 * torch.randn(600, 2, generator=generator)
    s = (torch.rand(600, generator=generator) < 0.5).long()
    return Examples(x, (((x - 2) / 3).norm(dim=1) > 1.2).long(), s)


@pytest.fixture(scope="module")
def base(data: Examples) -> Perceptron:
    return fit(SETTINGS, Shape(8, 12), data, TRAIN, seed=3)


def test_features_are_the_last_hidden_layer_standardised(data: Examples, base: Perceptron) -> None:
    x, network = data.x, base.network
    mean, scale = x[TRAIN].mean(dim=0), x[TRAIN].std(dim=0, correction=0)
    hidden = ((x - mean) / scale @ network.weights[0][0, 0] + network.biases[0][0, 0]).relu().detach()
    expected = (hidden - hidden[TRAIN].mean(dim=0)) / hidden[TRAIN].std(dim=0, correction=0).clamp(min=1e-12)
    alive = hidden[TRAIN].std(dim=0) > 0
    features, offset = base.view(x)
    torch.testing.assert_close(features[:, alive], expected[:, alive], atol=1e-3, rtol=1e-3)
    assert not offset.any()
    assert not features.requires_grad


def test_features_do_not_depend_on_the_other_rows(
    data: Examples, base: Perceptron, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, _ = base.view(data.x)
    monkeypatch.setattr(perceptron, "ROWS_PER_CHUNK", 7)
    torch.testing.assert_close(base.view(data.x)[0], features, atol=1e-5, rtol=1e-5)


def test_a_base_survives_its_tensors(data: Examples, base: Perceptron) -> None:
    again = Perceptron.from_tensors(base.tensors())
    assert again.network.widths == base.network.widths
    for mine, other in zip(base.view(data.x), again.view(data.x), strict=True):
        assert mine.equal(other)


def test_validation_chooses_the_width_that_can_and_an_epoch(data: Examples) -> None:
    shape = choose(SETTINGS, data, TRAIN, WATCHED, seed=0)
    assert shape.width == 8
    assert 1 <= shape.epochs <= SETTINGS.epochs


def test_the_seed_decides_and_rows_that_are_not_taught_do_not(data: Examples, base: Perceptron) -> None:
    flipped = replace(data, y=torch.where(torch.arange(600) >= 400, 1 - data.y, data.y))
    assert fit(SETTINGS, Shape(8, 12), flipped, TRAIN, seed=3).view(data.x)[0].equal(base.view(data.x)[0])
    assert not fit(SETTINGS, Shape(8, 12), data, TRAIN, seed=4).view(data.x)[0].equal(base.view(data.x)[0])


def test_layers_are_as_many_as_asked_for(data: Examples) -> None:
    deep = fit(replace(SETTINGS, layers=2), Shape(4, 1), data, TRAIN, seed=0)
    assert list(deep.network.widths) == [2, 4, 4, 2]
    assert deep.view(data.x[REST])[0].shape == (50, 4)
