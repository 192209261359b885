"""Raw files to samples, and samples to splits."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from counterpoise.data import SPLITS, draw_splits, encode, read
from counterpoise.params import Dataset, Seeds
from counterpoise.storage import Checkpoint, as_header


def read_table(raw: Path, dataset: Dataset) -> pd.DataFrame:
    """Read the raw files: one row per complete sample, columns as the source names them."""
    given = {"checksums": dataset.checksums} if dataset.checksums else {}
    return read(dataset.reader, raw, **given, **dataset.options)


def encode_samples(table: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Turn the table into features (or the images' paths), class y and group s."""
    return encode(
        table,
        source=dataset.title,
        label=dataset.label,
        positive=dataset.positive,
        sensitive=dataset.sensitive,
        groups=dataset.groups,
        drop=dataset.drop,
        keep_sensitive=dataset.keep_sensitive,
    )


def split_samples(samples: pd.DataFrame, dataset: Dataset, seeds: Seeds) -> Checkpoint:
    """Draw every replicate's own stratified split: uint8 [R, N], codes as in `counterpoise.data.SPLITS`."""
    splits = draw_splits(
        samples["y"].to_numpy(),
        samples["s"].to_numpy(),
        fractions=dict(dataset.split.fractions.items()),
        task=dict(dataset.split.task.items()),
        seeds=seeds.root,
    )
    digest = hashlib.sha256(pd.util.hash_pandas_object(samples, index=False).to_numpy().tobytes())
    header = as_header(parts=list(SPLITS), seeds=list(seeds.root), digests={"samples": digest.hexdigest()})
    return Checkpoint({"splits": torch.from_numpy(splits)}, header)


def describe_data(samples: pd.DataFrame, splits: Checkpoint, dataset: Dataset) -> dict[str, Any]:
    """Return what reports and tracking say about the data: a digest, and the rows per part, group and class."""
    codes = splits.tensors["splits"][0].numpy()  # cell counts are the same in every replicate
    cells = samples[["y", "s"]].assign(split=np.array(SPLITS)[codes])
    counts = cells.groupby(["split", "s", "y"]).size()
    return {
        "digest": splits.header["digests"]["samples"],
        "title": dataset.title,
        "rows": len(samples),
        "features": samples.shape[1] - 2,
        "groups": list(dataset.group_names),
        "classes": list(dataset.classes),
        "cells": [
            {"split": part, "group": group, "label": label, "rows": int(counts.get((part, group, label), 0))}
            for part in SPLITS
            for group in range(len(dataset.groups))
            for label in range(len(dataset.classes))
        ],
    }
