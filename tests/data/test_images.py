"""Images: decoded exactly, bad ones counted and never fatal in a worker, and dropped only up to a limit."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from counterpoise.data.images import (
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
