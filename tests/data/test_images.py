"""Images: decoded exactly, bad ones counted and never fatal in a worker, and dropped only up to a limit."""

from __future__ import annotations

import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from torch.utils.data import DataLoader

from counterpoise.data.images import (
    FORMATS,
    BadImages,
    Decoded,
    ImageFiles,
    check_images,
    collate,
    decode,
    drop_bad,
    list_images,
    require_varied,
)
from counterpoise.errors import InputError

HEIGHT, WIDTH = 5, 7


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four good images (lossless), one file that is no image, one truncated and one empty; `missing.png` is absent."""
    (tmp_path / "sub").mkdir()
    for index in range(4):
        Image.fromarray(pixels(index)).save(tmp_path / "sub" / f"{index}.png")
    (tmp_path / "sub" / "text.png").write_text("no image")
    whole = (tmp_path / "sub" / "0.png").read_bytes()
    (tmp_path / "sub" / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "sub" / "empty.png").touch()
    return tmp_path


NAMES = [f"sub/{name}.png" for name in ("0", "text", "1", "half", "missing", "2", "empty", "3")]
GOOD = [0, 2, 5, 7]


def table(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"image": names, "order": range(len(names))})


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_delivers_the_good_and_counts_the_bad(folder: Path, workers: int) -> None:
    loader = DataLoader(ImageFiles(folder, NAMES), batch_size=3, collate_fn=collate, num_workers=workers)
    batches = list(loader)
    assert torch.cat([batch.rows for batch in batches]).tolist() == GOOD
    for found, seed in zip(torch.cat([batch.pixels for batch in batches]), range(4), strict=True):
        np.testing.assert_array_equal(found.permute(1, 2, 0).numpy(), pixels(seed))
    bad = {name: reason for batch in batches for name, reason in batch.bad.items()}
    assert list(bad) == ["sub/text.png", "sub/half.png", "sub/missing.png", "sub/empty.png"]
    assert bad["sub/missing.png"] == "No such file or directory"
    assert bad["sub/text.png"] == "not an image"
    assert all(bad.values())
    assert not any(str(folder) in reason for reason in bad.values())


def test_batches_lie_channels_last_in_memory(folder: Path) -> None:
    files = ImageFiles(folder, ["sub/0.png", "sub/1.png"])
    batch = collate([files[0], files[1]])
    assert batch.pixels.shape == (2, 3, HEIGHT, WIDTH)
    assert batch.pixels.dtype == torch.uint8
    assert batch.pixels.is_contiguous(memory_format=torch.channels_last)


def test_a_batch_of_bad_images_has_no_rows(folder: Path) -> None:
    batch = collate([ImageFiles(folder, ["sub/missing.png"])[0]])
    assert len(batch.rows) == len(batch.pixels) == 0
    assert list(batch.bad) == ["sub/missing.png"]


def test_images_of_different_size_are_an_error_that_names_two(folder: Path) -> None:
    Image.new("RGB", (3, 3)).save(folder / "small.png")
    files = ImageFiles(folder, ["sub/0.png", "small.png"])
    with pytest.raises(InputError, match=r"'sub/0\.png' is \[3, 5, 7\] and 'small\.png' is \[3, 3, 3\]"):
        collate([files[0], files[1]])


def test_the_transform_runs_on_good_images_and_its_errors_are_not_hidden(folder: Path) -> None:
    assert torch.equal(ImageFiles(folder, NAMES, lambda image: 255 - image)[0].pixels, 255 - decode(folder / NAMES[0]))

    def broken(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("a mistake in the program")

    files = ImageFiles(folder, NAMES, broken)
    assert files[1].pixels is None
    with pytest.raises(RuntimeError, match="a mistake"):
        files[0]


def test_files_are_opened_only_when_asked_for_and_travel_to_workers(folder: Path) -> None:
    files = pickle.loads(pickle.dumps(ImageFiles(folder, ["sub/0.png", "nowhere.png"])))
    assert len(files) == 2
    item = files[0]
    assert isinstance(item, Decoded)
    assert item.pixels is not None
    assert item[:2] == (0, "sub/0.png")


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK"])
def test_every_colour_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    Image.fromarray(pixels(0)).convert(mode).save(path)
    assert decode(path).shape == (3, HEIGHT, WIDTH)


def test_a_photograph_taken_sideways_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "Orientation": the camera was turned by a quarter
    Image.fromarray(pixels(0)).save(tmp_path / "image.png", exif=exif)
    np.testing.assert_array_equal(decode(tmp_path / "image.png").permute(1, 2, 0).numpy(), np.rot90(pixels(0), -1))


def test_missing_images_are_found_in_any_folder(folder: Path) -> None:
    assert list(check_images(table([*NAMES, "no/such.png", "also.png"]), folder)) == [
        "sub/missing.png",
        "no/such.png",
        "also.png",
    ]


def test_listing_names_images_below_the_folder_only(folder: Path) -> None:
    (folder / "top.png").touch()
    (folder / "sub" / "notes.txt").touch()
    (folder / "sub" / "deep").mkdir()
    (folder / "sub" / "deep" / "A.JPG").touch()
    numbered = [f"sub/{index}.png" for index in range(4)]
    assert list_images(folder, "sub") == [*numbered, "sub/deep/A.JPG", "sub/empty.png", "sub/half.png", "sub/text.png"]


@given(broken=st.lists(st.booleans(), min_size=1, max_size=60), limit=st.floats(0, 1))
def test_bad_images_are_dropped_up_to_the_limit_and_reported(broken: list[bool], limit: float) -> None:
    total, names = len(broken), [f"{index}.jpg" for index in range(len(broken))]
    bad = {name: "broken" for name, is_broken in zip(names, broken, strict=True) if is_broken}
    if len(bad) > limit * total:
        with pytest.raises(InputError, match=rf"^{len(bad)} of {total} images cannot be used \(.*: broken"):
            drop_bad(table(names), bad, limit)
        return
    kept, report = drop_bad(table(names), bad, limit)
    assert list(kept["image"]) == [name for name in names if name not in bad]
    assert kept.index.equals(pd.RangeIndex(total - len(bad)))
    assert (report.total, report.dropped, len(report.examples)) == (total, len(bad), min(20, len(bad)))


def test_a_report_keeps_the_reasons_and_ignores_images_of_another_table() -> None:
    kept, report = drop_bad(table(["a.jpg", "b.jpg"]), {"b.jpg": "not an image", "z.jpg": "elsewhere"}, 0.5)
    assert list(kept["order"]) == [0]
    assert report == BadImages(2, 1, {"b.jpg": "not an image"})
    assert report.as_dict() == {"total": 2, "dropped": 1, "examples": {"b.jpg": "not an image"}}


def test_the_default_limit_is_one_in_a_thousand() -> None:
    names = [f"{index}.jpg" for index in range(2000)]
    assert drop_bad(table(names), dict.fromkeys(names[:2], "x"))[1].dropped == 2
    with pytest.raises(InputError, match=r"3 of 2000 .*0\.jpg: x, 1\.jpg: x, 2\.jpg: x\), expected at most 0\.10%"):
        drop_bad(table(names), dict.fromkeys(names[:3], "x"))


def test_a_constant_attribute_is_named() -> None:
    frame = pd.DataFrame({"Male": [0, 1], "Bald": [1, 1]})
    require_varied(frame, ["Male"], source="list.txt")
    with pytest.raises(InputError, match=r"list\.txt: column 'Bald' is 1 in all 2 rows"):
        require_varied(frame, ["Male", "Bald"], source="list.txt")


HIGH, WIDE = 6, 8
RAMP = np.linspace(0, 1, HIGH * WIDE).reshape(HIGH, WIDE)
"""From black to white, all values different."""
GREY = np.rint(RAMP * 255).astype(np.uint8)


def colours() -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (HIGH, WIDE, 3), dtype=np.uint8))


def shown(path: Path, **settings: tuple[float, float] | int) -> np.ndarray:
    return decode(path, **settings).permute(1, 2, 0).numpy()  # type: ignore[arg-type]


def grey_of(path: Path, **settings: tuple[float, float] | int) -> np.ndarray:
    pixels = shown(path, **settings)
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *(("1", suffix) for suffix in ("png", "tiff", "pbm", "bmp")),
        *(("L", suffix) for suffix in ("png", "tiff", "pgm", "bmp", "tga", "jp2")),
        *(("LA", suffix) for suffix in ("png", "tiff", "tga", "jp2")),
        *(("P", suffix) for suffix in ("png", "tiff", "bmp", "gif")),
        *(("PA", suffix) for suffix in ("tiff",)),
        *(("RGB", suffix) for suffix in ("png", "tiff", "ppm", "bmp", "tga", "jp2")),
        *(("RGBA", suffix) for suffix in ("png", "tiff", "tga", "jp2")),
        *(("CMYK", suffix) for suffix in ("tiff",)),
        *(("YCbCr", suffix) for suffix in ("tiff",)),
    ],
)
def test_modes_of_eight_bits_are_what_pillow_makes_of_them(tmp_path: Path, mode: str, suffix: str) -> None:
    image = colours().convert("P").convert(mode) if mode == "PA" else colours().convert(mode)
    path = tmp_path / f"a.{suffix}"
    image.save(path)
    with Image.open(path) as saved:
        assert saved.mode == mode
    np.testing.assert_array_equal(shown(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm", "jp2"])
def test_sixteen_bits_are_scaled_from_their_full_range(tmp_path: Path, suffix: str, dtype: str) -> None:
    path = tmp_path / f"a.{suffix}"
    values = np.rint(RAMP * 65_535).astype(dtype)
    Image.fromarray(values.astype(np.uint16)).save(path) if suffix != "tiff" else Image.fromarray(values).save(path)
    np.testing.assert_array_equal(grey_of(path), np.rint(values.astype(float) / 257))


@pytest.mark.parametrize("suffix", ["tiff", "pfm"])
def test_floating_point_numbers_are_scaled_from_zero_to_one(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(RAMP.astype(np.float32)).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(grey_of(tmp_path / f"a.{suffix}"), GREY)


def test_whole_numbers_of_thirty_two_bits_count_as_sixteen(tmp_path: Path) -> None:
    Image.fromarray(np.rint(RAMP * 65_535).astype(np.int32)).save(tmp_path / "a.tiff")
    assert np.abs(grey_of(tmp_path / "a.tiff").astype(int) - GREY).max() <= 1


def test_lab_is_the_same_picture(tmp_path: Path) -> None:
    profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
    lab = ImageCms.applyTransform(colours(), ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    assert lab is not None
    lab.save(tmp_path / "a.tiff")
    difference = shown(tmp_path / "a.tiff").astype(int) - np.asarray(colours())
    assert np.abs(difference).mean() < 3


def test_colours_of_sixteen_bits_keep_their_upper_eight(tmp_path: Path) -> None:
    """Pillow writes no such file: a PNG by hand (PNG specification, sections 5 and 11)."""
    values = np.random.default_rng(0).integers(0, 65_536, (HIGH, WIDE, 3), dtype=np.uint16)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", WIDE, HIGH, 16, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    np.testing.assert_array_equal(shown(tmp_path / "a.png"), values >> 8)


@pytest.mark.parametrize(
    ("dtype", "black", "white"),
    [("uint16", 0, 4095), ("int32", -1024, 3071), ("float32", -1e6, 1e6), ("float32", 0, 255)],
)
def test_a_range_says_what_is_black_and_what_is_white(tmp_path: Path, dtype: str, black: float, white: float) -> None:
    Image.fromarray((black + RAMP * (white - black)).astype(dtype)).save(tmp_path / "a.tiff")
    grey = grey_of(tmp_path / "a.tiff", value_range=(float(black), float(white)))
    assert np.abs(grey.astype(int) - GREY).max() <= 1  # what was cut off the values may change the rounding
    assert (grey.min(), grey.max()) == (0, 255)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (RAMP.astype(np.float32) * 255, "from 0 to 255, expected 0 to 1"),
        (RAMP.astype(np.float32) - 0.5, "from -0.5 to 0.5, expected 0 to 1"),
        (np.full((2, 2), np.nan, np.float32), "from nan to nan"),
        (np.array([[0, np.inf]], np.float32), "from 0 to inf"),
        (np.array([[0, 70_000]], np.int32), "from 0 to 70000, expected 0 to 65535"),
        (np.array([[-1, 5]], np.int32), "from -1 to 5"),
    ],
)
def test_values_that_cannot_be_scaled_are_named(tmp_path: Path, values: np.ndarray, found: str) -> None:
    Image.fromarray(values).save(tmp_path / "a.tiff")
    item = ImageFiles(tmp_path, ["a.tiff"])[0]
    assert item.pixels is None
    assert item.reason.startswith(f"holds values {found}")
    assert "image_range" in item.reason


def test_the_same_values_give_the_same_grey_in_every_image(tmp_path: Path) -> None:
    """No image is stretched to its contents: brightness may be what tells the classes."""
    for name, brightest in (("dark", 30_000), ("bright", 60_000)):
        Image.fromarray(np.array([[20_000, brightest]], np.uint16)).save(tmp_path / f"{name}.png")
    assert grey_of(tmp_path / "dark.png").tolist() == [[78, 117]]
    assert grey_of(tmp_path / "bright.png").tolist() == [[78, 233]]


def test_a_tiff_that_pillow_cannot_read_is_called_one(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    colours().save(path)
    path.write_bytes(path.read_bytes().replace(struct.pack("<HHI", 277, 3, 1), b"", 0)[:4] + b"\x08\0\0\0" + b"\0" * 20)
    assert ImageFiles(tmp_path, ["a.tiff"])[0].reason.startswith("a TIFF of a kind that Pillow cannot read")


@pytest.mark.parametrize("kind", ["png", "jpg", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    """By the definition of the tag (Exif 2.32, 4.6.4): where row 0 and column 0 of the file belong in the picture."""
    stored = np.repeat(np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, 16, 0), 16, 1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / f"a.{kind}", exif=exif)
    upright = stored.T if orientation >= 5 else stored
    if orientation in (3, 4, 7, 8):
        upright = upright[::-1]
    if orientation in (2, 3, 6, 7):
        upright = upright[:, ::-1]
    assert np.abs(grey_of(tmp_path / f"a.{kind}").astype(int) - upright).max() <= 12  # JPEG


@pytest.mark.parametrize("size", [(13_000, 13_000), (60_000, 60_000), (50_001, 1_000)])
def test_too_many_pixels_are_refused_before_one_is_decoded(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (8, 8)).save(path)
    content = path.read_bytes()
    header = b"IHDR" + struct.pack(">II", *size) + content[24:29]
    path.write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])
    reason = ImageFiles(tmp_path, ["a.png"])[0].reason
    assert "pixels" in reason
    assert "expected at most 50,000,000 (limits.image_pixels in the parameters)" in reason


def test_the_bound_of_pixels_can_be_set(tmp_path: Path) -> None:
    colours().save(tmp_path / "a.png")
    assert shown(tmp_path / "a.png", max_pixels=HIGH * WIDE).shape == (HIGH, WIDE, 3)
    with pytest.raises(InputError, match=r"8 x 6 are 48 pixels, expected at most 47 \(limits\.image_pixels"):
        decode(tmp_path / "a.png", max_pixels=HIGH * WIDE - 1)


def test_formats_that_run_other_programs_are_not_read(tmp_path: Path) -> None:
    assert "EPS" not in FORMATS
    colours().save(tmp_path / "a.eps")
    assert ImageFiles(tmp_path, ["a.eps"])[0].reason == "not an image"


def test_what_decides_the_pixels_is_in_the_key(tmp_path: Path) -> None:
    settings: list[dict[str, object]] = [{}, {"value_range": (0.0, 4095.0)}, {"max_pixels": 10}]
    assert len({ImageFiles(tmp_path, [], **one).decoding for one in settings}) == 3  # type: ignore[arg-type]
