"""Preprocessing of images against torchvision's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torchvision
from PIL import Image

from counterpoise.nn.preprocessing import Preprocessing


@pytest.mark.parametrize(("height", "width"), [(109, 89), (300, 400), (224, 224), (40, 31)])
@pytest.mark.parametrize("name", ["resnet50", "convnext_tiny", "efficientnet_b0"])  # other crops; bicubic
def test_preprocessing_is_torchvisions(name: str, height: int, width: int, generator: torch.Generator) -> None:
    published = torchvision.models.get_model_weights(name).DEFAULT
    preset = published.transforms()
    ours = Preprocessing(
        preset.resize_size[0],
        preset.crop_size[0],
        tuple(preset.mean),
        tuple(preset.std),
        preset.interpolation.value,
    )
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
    two_grey_levels = 2 / 255 / min(preset.std)  # one for the rows, one for the columns
    found = ours.normalize(ours.frame(image)[None])[0]
    expected = preset(Image.fromarray(image.permute(1, 2, 0).numpy()))  # the decoder it was made for
    torch.testing.assert_close(found, expected, atol=1.01 * two_grey_levels, rtol=0)


def test_scaling_keeps_the_part_of_the_image_and_stretching_keeps_all_of_it() -> None:
    published = Preprocessing(256, 224, (0.5,) * 3, (0.5,) * 3)
    assert published.scaled(112).resize == 128
    image = torch.zeros(3, 100, 50, dtype=torch.uint8)
    image[:, :5] = 255  # a white strip at the top edge, which the crop cuts off
    assert published.scaled(56).frame(image).max() == 0
    stretched = replace(published.scaled(56), resize=None).frame(image)
    assert stretched.shape == (3, 56, 56)
    assert stretched.float().mean() == pytest.approx(255 * 5 / 100, rel=0.05)
