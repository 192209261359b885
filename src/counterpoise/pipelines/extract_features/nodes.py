"""Run the frozen backbone over every image, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Backbone, Compute, Dataset
from counterpoise.pipelines.shared.progress import throughput_progress


def extract(
    raw: Path, table: pd.DataFrame, feature_cache: Path, dataset: Dataset, backbone: Backbone, compute: Compute
) -> tuple[pd.DataFrame, dict[str, Any], Checkpoint, Checkpoint]:
    """Compute the features of all images, or take them from the cache if nothing that they depend on has changed.

    Returns:
        The table without the rows whose image is missing or cannot be decoded; the report on those; `features` [N, d]
        of the others, in their order; the backbone's own head.

    Raises:
        InputError: more than `max_bad_fraction` of the images are bad, or the label or group is constant.
    """
    # Imported here: torchvision takes seconds, and every pipeline is assembled at every start.
    from counterpoise.data.images import IMAGE, ImageFiles, check_images, drop_bad, require_varied
    from counterpoise.features.backbones import Described
    from counterpoise.features.backbones import backbone as load_backbone
    from counterpoise.features.extraction import extract_features

    require_varied(table, [name for name in (dataset.label, dataset.sensitive) if name in table], source=dataset.title)
    missing = check_images(table, raw)
    present, _ = drop_bad(table, missing, dataset.max_bad_fraction)
    network = load_backbone(
        backbone.name,
        weights=backbone.weights,
        size=backbone.image_size,
        download=backbone.download,
        described=Described(backbone.arguments, backbone.layer, backbone.mean, backbone.std),
    )
    images = ImageFiles(raw, present[IMAGE], max_pixels=dataset.limits.image_pixels, value_range=dataset.image_range)
    with throughput_progress("features", len(images)) as advance:
        file = extract_features(
            images,
            network,
            cache=feature_cache,
            shard_size=backbone.shard_size,
            batch_size=backbone.batch_size,
            precision=backbone.precision,
            workers=compute.workers,
            backend=compute.backend,
            address=compute.address,
            verify=backbone.verify,
            on_progress=advance,
        )
    readable, report = drop_bad(table, {**missing, **file.bad}, dataset.max_bad_fraction)
    features = file.tensor()
    if file.bad:
        features = features[torch.tensor(~present[IMAGE].isin(list(file.bad)).to_numpy())]
    header = as_header(
        backbone=backbone.name, weights=backbone.weights, pretrained=network.pretrained, digest=file.digest
    )
    head = {} if network.head is None else {"weight": network.head.weight.T, "bias": network.head.bias}
    return readable, report.as_dict(), Checkpoint({"features": features}, header), Checkpoint(head, header)
