"""Pixels: grey as PIL renders it, each image where its row is, bad ones named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from counterpoise.data import cifar10s, pixels
from counterpoise.data.images import ImageFiles
from counterpoise.errors import InputError


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    """Five images of noise, 6 by 4, the fourth of which is damaged."""
    generator = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(generator.integers(0, 256, (6, 4, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"damaged")
    return ImageFiles(tmp_path, [f"{number}.png" for number in range(5)])


@given(arrays(np.uint8, st.tuples(st.integers(1, 8), st.integers(1, 8), st.just(3))))
def test_grey_is_what_pil_gives(image: np.ndarray) -> None:
    expected = np.array(Image.fromarray(image).convert("L").convert("RGB"))
    found = cifar10s.grey(torch.from_numpy(image).permute(2, 0, 1))
    np.testing.assert_array_equal(found.permute(1, 2, 0), expected)


def test_grey_is_what_pil_gives_for_every_level_of_each_channel() -> None:
    image = np.zeros((3, 256, 3), dtype=np.uint8)
    for channel in range(3):
        image[channel, :, channel] = range(256)
    image[..., 1] += 3
    expected = np.array(Image.fromarray(image).convert("L"))
    found = cifar10s.grey(torch.from_numpy(image).permute(2, 0, 1)[None])
    np.testing.assert_array_equal(found[0], np.broadcast_to(expected, (3, 3, 256)))


def test_chunks_in_any_order_make_the_same_tensor(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "CHUNK", 2)
    spans = pixels.chunks(files)
    assert [list(span) for span in spans] == [[0, 1], [2, 3], [4]]
    decoded, bad = pixels.gather((pixels.decode_chunk(span, files) for span in reversed(spans)), files)
    assert bad == {"3.png": "not an image"}
    for row in (0, 1, 2, 4):
        assert torch.equal(decoded[row], files[row].pixels)
    assert not decoded[3].any()
    assert decoded.is_contiguous()


def domains(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"domain": names})


def test_a_row_shows_its_image_in_its_rendering(files: ImageFiles) -> None:
    decoded, _ = pixels.gather([pixels.decode_chunk(range(5), files)], files)
    before = decoded.clone()
    rendered = pixels.render("cifar10s", decoded, np.array([4, 0, 4]), domains("colour", "grey", "grey"))
    assert torch.equal(rendered[0], before[4])
    assert torch.equal(rendered[1], cifar10s.grey(before[0]))
    assert torch.equal(rendered[2], cifar10s.grey(before[4]))
    assert torch.equal(decoded, before)


def test_rows_are_rendered_block_by_block(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, _ = pixels.gather([pixels.decode_chunk(range(5), files)], files)
    rows = domains(*["grey"] * 5)
    whole = pixels.render("cifar10s", decoded, np.arange(5), rows)
    monkeypatch.setattr(pixels, "CHUNK", 2)
    assert torch.equal(whole, pixels.render("cifar10s", decoded, np.arange(5), rows))
    assert torch.equal(whole, cifar10s.grey(decoded))


def test_rows_of_other_readers_show_images_as_they_are(files: ImageFiles) -> None:
    decoded, _ = pixels.gather([pixels.decode_chunk(range(5), files)], files)
    assert pixels.render("celeba", decoded, np.arange(5), domains(*["grey"] * 5)) is decoded
    assert torch.equal(pixels.render("celeba", decoded, np.array([2, 0]), domains("a", "b")), decoded[[2, 0]])


def test_images_of_two_sizes_are_refused(files: ImageFiles, tmp_path: Path) -> None:
    Image.new("RGB", (5, 5)).save(tmp_path / "4.png")
    with pytest.raises(InputError, match=r"'4\.png' is \[3, 5, 5\] and others are \[3, 6, 4\], .*\(image_size\)"):
        pixels.gather((pixels.decode_chunk(range(row, row + 1), files) for row in range(5)), files)


def test_no_image_at_all_is_refused(files: ImageFiles, tmp_path: Path) -> None:
    for image in tmp_path.iterdir():
        image.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"none of 5 images can be decoded \(0\.png: not an image\)"):
        pixels.gather([pixels.decode_chunk(range(5), files)], files)
