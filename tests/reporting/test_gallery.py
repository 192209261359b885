"""Example images: the first rows of each cell, of one model, and nothing that a page could not show."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from counterpoise.reporting import gallery

ROWS = (40, 7, 12, 3, 25, 31)
Y, S = (0, 0, 1, 1, 1, 0), (0, 0, 0, 1, 1, 0)
WIN = (0, 0, 1, 0, 1, 1)
NAMES = [f"{row}.jpg" for row in range(50)]


def predictions_of(*models: tuple[str, str, int, tuple[int, ...]]) -> pd.DataFrame:
    frames = [
        pd.DataFrame({"method": method, "variant": variant, "seed": seed, "row": ROWS, "y": Y, "s": S, "prediction": p})
        for method, variant, seed, p in models
    ]
    return pd.concat(frames, ignore_index=True)


ALWAYS_WRONG = tuple(1 - y for y in Y)
PREDICTIONS = predictions_of(
    ("pretrained", "pretrained", 5, ALWAYS_WRONG),
    ("tl", "tl", 5, ALWAYS_WRONG),
    ("win", "win_r1", 5, ALWAYS_WRONG),
    ("win", "win_r2", 5, WIN),
    ("win", "win_r2", 6, ALWAYS_WRONG),
)


def load(row: int) -> Any:
    return np.full((4, 4, 3), row, dtype=np.uint8)


def test_cells_hold_their_first_rows_in_order() -> None:
    shown = gallery.examples(PREDICTIONS, NAMES, load, 1)
    assert (shown["method"], shown["variant"], shown["seed"]) == ("win", "win_r2", 5)
    cells = {(cell["group"], cell["label"], cell["right"]): cell for cell in shown["cells"]}
    expected = {
        (0, 0, True): (2, [7]),  # of 40 and 7
        (0, 0, False): (1, [31]),
        (0, 1, True): (1, [12]),
        (1, 1, True): (1, [25]),
        (1, 1, False): (1, [3]),
    }
    found = {key: (cell["total"], [image["row"] for image in cell["images"]]) for key, cell in cells.items()}
    assert found == expected
    (wrong,) = cells[1, 1, False]["images"]
    assert (wrong["name"], wrong["prediction"]) == ("3.jpg", 0)
    first, *_ = gallery.examples(PREDICTIONS, NAMES, load, 5)["cells"]
    assert [image["row"] for image in first["images"]] == [7, 40]


@pytest.mark.parametrize(
    ("methods", "expected"), [(("pretrained", "svd", "tl"), "tl"), (("pretrained",), "pretrained")]
)
def test_without_win_another_model_is_shown(methods: tuple[str, ...], expected: str) -> None:
    predictions = predictions_of(*((method, method, 0, WIN) for method in methods))
    assert gallery.examples(predictions, NAMES, load, 1)["method"] == expected


def test_a_thumbnail_is_a_small_jpeg_in_the_images_proportions() -> None:
    pixels = np.zeros((200, 100, 3), dtype=np.uint8)
    pixels[100:, :, 0] = 255  # the lower half is red
    uri = gallery.thumbnail(pixels)
    assert uri == gallery.thumbnail(pixels)
    head, _, encoded = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(BytesIO(base64.b64decode(encoded))) as image:
        assert image.size == (gallery.EDGE // 2, gallery.EDGE)
        upper, lower = np.array(image)[20].mean(0), np.array(image)[-20].mean(0)
    assert upper.max() < 10
    assert lower[0] > 240
    assert lower[1:].max() < 20


def test_the_table_has_a_row_for_each_group_and_class_and_programs_get_no_pixels() -> None:
    shown = gallery.examples(PREDICTIONS, NAMES, load, 2)
    table = gallery.table(shown, ("a", "b"), ("no", "yes"))
    assert [row[:2] for row in table] == [("a", "no"), ("a", "yes"), ("b", "no"), ("b", "yes")]
    empty = [[cell is None for cell in row[2:]] for row in table]
    assert empty == [[False, False], [False, True], [True, True], [False, False]]
    assert "data:" in str(shown)
    plain = gallery.without_pixels(shown)
    assert "data:" not in str(plain)
    assert plain["cells"][0]["images"][0].keys() == {"row", "name", "prediction"}
