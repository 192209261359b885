"""Images with a bias: every image aligned and conflicting, the other values equally often, singly and in pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.data import biases

CLASSES = tuple("abcd")
LEFT, RIGHT = ("red", "green", "blue", "grey"), ("pink", "lime", "navy", "slate")


def images(train: int = 31, test: int = 7) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"image": f"{part}/{label}/{number:04d}.png", "label": label, "official_part": part}
            for part, count in (("train", train), ("test", test))
            for label in CLASSES
            for number in range(count)
        ]
    )


def test_every_image_is_offered_aligned_and_conflicting() -> None:
    table = biases.offer(images(), {"colour": LEFT}, CLASSES)
    assert table.columns.tolist() == ["image", "label", "colour", "official_part"]
    own = table["label"].map(dict(zip(CLASSES, LEFT, strict=True)))
    aligned = (table["colour"] == own).to_numpy()
    assert aligned[: len(table) // 2].all()
    assert not aligned[len(table) // 2 :].any()
    assert table["image"][: len(table) // 2].tolist() == table["image"][len(table) // 2 :].tolist()


@settings(deadline=None, max_examples=10)
@given(train=st.integers(1, 60), test=st.integers(1, 12))
def test_other_values_are_equally_frequent(train: int, test: int) -> None:
    """Up to one image in each class and official part; and so are pairs of two biases."""
    table = biases.offer(images(train, test), {"left": LEFT, "right": RIGHT}, CLASSES)
    both = table.iloc[-len(table) // 4 :]
    for label, own in zip(CLASSES, range(4), strict=True):
        for part in ("train", "test"):
            rows = both[(both["label"] == label) & (both["official_part"] == part)]
            counts = (
                pd.crosstab(rows["left"], rows["right"]).reindex(index=LEFT, columns=RIGHT, fill_value=0).to_numpy()
            )
            assert counts[own].sum() == counts[:, own].sum() == 0
            others = np.delete(np.delete(counts, own, 0), own, 1)
            for frequency in (others.sum(0), others.sum(1), others.ravel()):
                assert frequency.max() - frequency.min() <= 1


def test_two_biases_give_four_rows_per_image() -> None:
    table = biases.offer(images(), {"left": LEFT, "right": RIGHT}, CLASSES)
    aligned = [
        table[column] == table["label"].map(dict(zip(CLASSES, values, strict=True)))
        for column, values in (("left", LEFT), ("right", RIGHT))
    ]
    kinds = pd.DataFrame({"image": table["image"], "left": aligned[0], "right": aligned[1]})
    assert (kinds.groupby("image").size() == 4).all()
    assert not kinds.duplicated().any()


def test_the_draw_is_fixed_and_differs_between_classes() -> None:
    table = biases.offer(images(), {"colour": LEFT}, CLASSES)
    pd.testing.assert_frame_equal(table, biases.offer(images(), {"colour": LEFT}, CLASSES))
    more = biases.offer(images(test=12), {"colour": LEFT}, CLASSES)
    shared = table.merge(more, on=["image", "label", "official_part", "colour"])
    assert (shared["official_part"] == "train").sum() == 2 * 31 * len(CLASSES)
    positions = biases.codes(table["colour"][len(table) // 2 :], LEFT)
    assert len({tuple((positions[start : start + 31] - label) % 4) for label, start in enumerate((0, 31, 62, 93))}) == 4
