"""Strips of images and heat: every number where it belongs, and nothing of images that are not to be shown."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from counterpoise.reporting.sections.bias import Explained, heat_maps

CLASSES, GROUPS = ("zero", "<one>"), ("red", "blue")
H, W, GAP = 4, 3, 2


def given(*, images: bool = True, method: Literal["grad_cam", "input_gradients"] = "grad_cam") -> Explained:
    """Two images; the vanilla network sees one place in each, the sub-network nothing in the second."""
    heat = np.zeros((2, 2, H, W), dtype=np.float32)
    heat[0, 0, 1, 2], heat[0, 1, 3, 0], heat[0, 1, 0, 0] = 0.02, 8.0, 2.0
    heat[1, 0, 2, 1] = 5.0
    pixels = np.arange(2 * H * W * 3, dtype=np.uint8).reshape(2, H, W, 3)
    return Explained(
        method=method,
        images=pixels if images else None,
        y=np.array([0, 1]),
        s=np.array([1, 0]),
        heat={"vanilla": heat[0], "ffw": heat[1]},
        prediction={"vanilla": np.array([1, 1]), "ffw": np.array([0, 0])},
    )


def traces(figure: Any, kind: str) -> list[Any]:
    return [trace for trace in figure.data if trace.type == kind]


def decoded(trace: Any) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(base64.b64decode(trace.source.split(",", 1)[1]))))


def labels(figure: Any, row: int) -> tuple[str, ...]:
    return figure.layout[f"xaxis{row if row > 1 else ''}"].ticktext


def test_heat_is_in_percent_of_each_maps_largest_value() -> None:
    vanilla, ffw = (np.asarray(trace.z) for trace in traces(heat_maps({"": given()}, CLASSES, GROUPS), "heatmap"))
    assert vanilla.shape == (H, 2 * W + GAP)
    assert {(int(r), int(c)): int(vanilla[r, c]) for r, c in zip(*np.nonzero(vanilla), strict=True)} == {
        (1, 2): 100,
        (3, W + GAP): 100,
        (0, W + GAP): 25,
    }
    assert ffw[2, 1] == 100
    assert np.count_nonzero(ffw) == 1


def test_images_are_those_given_then_grey_under_the_heat() -> None:
    own = given()
    first, *under = traces(heat_maps({"": own}, CLASSES, GROUPS), "image")
    shown = decoded(first)
    assert own.images is not None
    assert np.array_equal(shown[:, :W, :3], own.images[0])
    assert np.array_equal(shown[:, W + GAP :, :3], own.images[1])
    assert (shown[:, W : W + GAP, 3] == 0).all()
    assert len(under) == 2
    for trace in under:
        grey = decoded(trace)[:, :W, :3]
        assert (grey == grey[..., :1]).all()


def test_what_stands_under_images_and_maps() -> None:
    figure = heat_maps({"": given()}, CLASSES, GROUPS)
    assert labels(figure, 1) == ("zero<br>blue", "&lt;one&gt;<br>red")
    assert labels(figure, 2) == ("✗ &lt;one&gt;", "✓ &lt;one&gt;")
    assert labels(figure, 3) == ("✓ zero", "✗ zero")
    assert [note.text for note in figure.layout.annotations] == ["images", "Vanilla", "FFW"]


def test_without_images_only_heat_is_drawn() -> None:
    figure = heat_maps({"": given(images=False)}, CLASSES, GROUPS)
    assert traces(figure, "image") == []
    assert [note.text for note in figure.layout.annotations] == ["Vanilla", "FFW"]
    assert labels(figure, 1) == ("✗ &lt;one&gt;", "✓ &lt;one&gt;")


def test_parts_stand_below_one_another() -> None:
    figure = heat_maps({"99.0%": given(), "99.5%": given()}, CLASSES, GROUPS)
    assert [note.text for note in figure.layout.annotations][2:4] == ["99.0%: FFW", "99.5%: images"]
    assert figure.layout.height > heat_maps({"": given()}, CLASSES, GROUPS).layout.height


@pytest.mark.parametrize(("method", "said"), [("grad_cam", "Grad-CAM"), ("input_gradients", "no convolution")])
def test_the_caption_says_what_the_heat_is(method: Literal["grad_cam", "input_gradients"], said: str) -> None:
    assert said in heat_maps({"": given(method=method)}, CLASSES, GROUPS).layout.title.text
