"""Decode every image, once, and render what each row shows."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Compute, Dataset
from counterpoise.pipelines.shared.progress import throughput_progress


def decode_images(
    raw: Path, table: pd.DataFrame, dataset: Dataset, compute: Compute
) -> tuple[pd.DataFrame, dict[str, Any], Checkpoint]:
    """Decode the images that the table names, side by side in processes.

    Returns:
        The table without the rows whose image is missing or cannot be decoded; the report on those; `pixels`, uint8
        [N, 3, H, W], of the others, in their order.

    Raises:
        InputError: more than `max_bad_fraction` of the rows have bad images, the images differ in size and there is no
            `image_size`, or the label or group is constant.
    """
    # Imported here: torch and PIL take their time, and every pipeline is assembled at every start.
    from counterpoise.data import Limits
    from counterpoise.data.images import IMAGE, drop_bad, require_varied
    from counterpoise.data.pixels import gather, open_images, render
    from counterpoise.nn.preprocessing import Preprocessing

    require_varied(table, [name for name in (dataset.label, dataset.sensitive) if name in table], source=dataset.title)
    size = dataset.image_size
    framed = None if size is None else Preprocessing(size, size, mean=(0.0,) * 3, std=(1.0,) * 3).frame
    names = pd.Index(table[IMAGE].unique())
    limits = Limits(**dataset.limits.model_dump())
    images = open_images(dataset.reader, raw, names, framed, limits=limits, value_range=dataset.image_range)
    decoded, bad = gather(_decoded(images, compute), images)
    readable, report = drop_bad(table, bad, dataset.max_bad_fraction)
    pixels = render(dataset.reader, decoded, names.get_indexer(readable[IMAGE]), readable)
    digest = hashlib.sha256(pixels.numpy().data).hexdigest()
    header = as_header(image_size=list(pixels.shape[2:]), digests={"pixels": digest})
    return readable, report.as_dict(), Checkpoint({"pixels": pixels}, header)


def _decoded(images: Any, compute: Compute) -> Iterator[Any]:
    """Yield decoded chunks as they are done; images that are in memory already need no process."""
    from counterpoise.compute import as_completed
    from counterpoise.data.images import ImageFiles
    from counterpoise.data.pixels import chunks, decode_chunk
    from counterpoise.features.extraction import Progress

    spans = chunks(images)
    few = len(spans) == 1 and compute.backend == "processes"
    backend = compute.backend if isinstance(images, ImageFiles) and not few else "serial"
    with throughput_progress("images", len(images)) as advance:
        done, started = 0, time.perf_counter()
        for position, batch in as_completed(
            decode_chunk, spans, shared=(images,), backend=backend, address=compute.address, workers=compute.workers
        ):
            done += len(spans[position])
            rate = done / (time.perf_counter() - started)
            advance(Progress(done, len(images), rate, (len(images) - done) / rate))
            yield batch
