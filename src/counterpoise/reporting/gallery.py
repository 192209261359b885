"""Example images of each cell, group × class × right or wrong, small enough to stand in a report.

They are shown only where somebody asks for them (`report.examples`): the terms of most collections of faces do not let
them be passed on.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from counterpoise.catalogue import methods_of

EDGE: Final = 96  # pixels
QUALITY: Final = 80  # of the JPEG
MEDIA_TYPE: Final = "image/jpeg"


def examples(
    predictions: pd.DataFrame, names: Sequence[str], load: Callable[[int], UInt8[np.ndarray, "H W 3"]], count: int
) -> dict[str, Any]:
    """Return thumbnails of the first `count` test rows of each cell, in the order of the rows.

    The model is of a paper's method, or else of the first method that works on heads and was run, in the last of its
    variants, of the highest rank where ranks are listed in order, at the first seed.

    Args:
        predictions: the contract's.
        names: of the images, by row.
        load: row → pixels.

    Returns:
        Plain values: `method, variant, seed`, and `cells`, a list of those that have rows, each with `group, label,
        right, total` (test rows in the cell) and `images`, a list of `row, name, prediction, uri`.
    """
    methods = predictions["method"].unique()
    heads = sorted(methods_of("heads").values(), key=lambda method: method.paper is None)
    method = next((head.name for head in heads if head.name in methods), methods[0])
    variant = predictions.loc[predictions["method"] == method, "variant"].iloc[-1]
    of_the_variant = predictions[predictions["variant"] == variant]
    seed = of_the_variant["seed"].iloc[0]
    shown = of_the_variant[of_the_variant["seed"] == seed].sort_values("row")
    cells = [
        {
            "group": int(group),
            "label": int(label),
            "right": not wrong,
            "total": len(cell),
            "images": [
                {"row": row, "name": str(names[row]), "prediction": prediction, "uri": thumbnail(load(row))}
                for row, prediction in cell[["row", "prediction"]].head(count).to_numpy().tolist()
            ],
        }
        for (group, label, wrong), cell in shown.groupby(["s", "y", shown["prediction"] != shown["y"]])
    ]
    return {"method": str(method), "variant": str(variant), "seed": int(seed), "cells": cells}


def thumbnail(pixels: UInt8[np.ndarray, "H W 3"]) -> str:
    """Return an image as a data URI: JPEG, at most `EDGE` pixels wide and high, in its own proportions."""
    image = Image.fromarray(pixels)
    image.thumbnail((EDGE, EDGE))
    encoded = BytesIO()
    image.save(encoded, format="JPEG", quality=QUALITY)
    return f"data:{MEDIA_TYPE};base64,{base64.b64encode(encoded.getvalue()).decode('ascii')}"


def table(
    shown: Mapping[str, Any], group_names: Sequence[str], class_names: Sequence[str]
) -> list[tuple[str, str, Mapping[str, Any] | None, Mapping[str, Any] | None]]:
    """Lay `examples` out: rows of (group, class, the cell that is right, the one that is wrong), None where empty."""
    cells = {(cell["group"], cell["label"], cell["right"]): cell for cell in shown["cells"]}
    return [
        (group, label, cells.get((s, y, True)), cells.get((s, y, False)))
        for s, group in enumerate(group_names)
        for y, label in enumerate(class_names)
    ]


def without_pixels(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return `examples` for programs: which images were shown, not the images."""
    return {
        **shown,
        "cells": [
            {**cell, "images": [{key: image[key] for key in image if key != "uri"} for image in cell["images"]]}
            for cell in shown["cells"]
        ],
    }
