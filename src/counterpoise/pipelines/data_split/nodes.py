"""Raw files to samples, and samples to splits."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import AlignedSplit, Dataset, DomainSplit, Seeds
from counterpoise.data import IMAGES, SPLITS, UNUSED, UNUSED_NAME, Limits, encode, read
from counterpoise.data.encode import GROUP, IMAGE, OFFICIAL_PART, feature_names, is_apart, names_apart
from counterpoise.data.encoding import describe
from counterpoise.data.table import without_idle_indicators
from counterpoise.fairness.compared import group_sizes
from counterpoise.pipelines.data_split.left_out import (
    count_left_out,
    describe_left_out,
    require_compared,
    sensitive_columns,
    small_groups,
    unused_rows,
    warn_about_left_out,
    with_groups,
)
from counterpoise.pipelines.data_split.schemes import associations, draw, warn_about_association
from counterpoise.pipelines.shared.arrays import rows
from counterpoise.pipelines.shared.compared import large_groups

LOG = logging.getLogger(__name__)


def read_table(raw: Path, dataset: Dataset) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the raw files.

    Returns:
        One row per complete sample, columns as the source names them; and how many rows were left out because they miss
        a value (see `count_left_out`), with what else was done about rows and gaps, `treated`, and how many rows are
        `scored_only`, group → rows.
    """
    table, left_out, _ = read_divided(raw, dataset)
    return table, left_out


def read_divided(raw: Path, dataset: Dataset) -> tuple[pd.DataFrame, dict[str, Any], pd.DataFrame]:
    """Read as `read_table` does; return also the rows that are scored only, with the gaps that the files have."""
    incomplete: list[pd.DataFrame] = []
    treated: dict[str, dict[str, int]] = {}
    checksums: dict[str, Any] = {"checksums": dataset.checksums} if dataset.checksums else {}
    options = checksums | dataset.options
    untreated: list[pd.DataFrame] = []
    table = read(
        dataset.reader,
        raw,
        limits=_limits(dataset),
        left_out=incomplete,
        unused=[*dataset.not_features, *(sensitive_columns(dataset) if None in dataset.scored_only else ())],
        treated=treated,
        untreated=untreated if dataset.scored_only else None,  # a copy of the whole table
        **options,
    )
    left_out = count_left_out(incomplete, dataset) | {"treated": treated}
    if not dataset.scored_only:
        return table, left_out, table.iloc[:0]
    column = with_groups(table, dataset)[dataset.sensitive]
    apart = is_apart(column, dataset.scored_only)
    counts = names_apart(column[apart]).value_counts()
    left_out["scored_only"] = {str(name): int(rows) for name, rows in counts.items()}
    rest = without_idle_indicators(table[~apart].reset_index(drop=True), dataset.options.get("impute", ()))
    return rest, left_out, (untreated or [table])[0][apart].reset_index(drop=True)


def _limits(dataset: Dataset) -> Limits:
    return Limits(**dataset.limits.model_dump())


def encode_table(table: pd.DataFrame, dataset: Dataset) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Turn the table into features, class y and group s, and describe how (`data.encoding`)."""
    columns: list[dict[str, Any]] = []
    samples = encode_samples(table, dataset, columns)
    return samples, describe(columns, table, dataset.options)


def encode_samples(
    table: pd.DataFrame, dataset: Dataset, described: list[dict[str, Any]] | None = None
) -> pd.DataFrame:
    """Turn the table into features (or the images' paths), class y and group s."""
    return encode(
        with_groups(table, dataset),
        source=dataset.title,
        label=dataset.label,
        positive=dataset.positive,
        classes=dataset.classes if dataset.positive is None else None,
        class_names=dataset.classes,
        sensitive=dataset.sensitive,
        groups=dataset.groups,
        bands=dataset.bands,
        drop=dataset.drop if dataset.keep_sensitive else (*dataset.drop, *dataset.crossed),
        categories=dataset.categories,
        dates=dataset.dates,
        rare=dataset.rare_categories,
        limits=_limits(dataset),
        images=dataset.reader in IMAGES,
        keep_sensitive=dataset.keep_sensitive and not dataset.crossed,
        keep=[OFFICIAL_PART] if isinstance(dataset.split, DomainSplit | AlignedSplit) else [],
        further=dataset.further_sensitive,
        together=dataset.together,
        described=described,
    )


def split_samples(samples: pd.DataFrame, dataset: Dataset, seeds: Seeds) -> Checkpoint:
    """Draw every replicate's own split: uint8 [R, N], codes as in `counterpoise.data.SPLITS`, or `UNUSED`.

    As `split.scheme` says: stratified by (y, s), or as skewed in pretraining and as unbiased elsewhere as it says.
    Warns if class and group are associated in a part that should be unbiased.
    """
    splits = draw(samples, dataset, seeds.root)
    warn_about_association(samples, splits, dataset)
    digest = hashlib.sha256(pd.util.hash_pandas_object(samples, index=False).to_numpy().tobytes())
    header = as_header(parts=_parts(splits), seeds=list(seeds.root), digests={"samples": digest.hexdigest()})
    return Checkpoint({"splits": torch.from_numpy(splits)}, header)


def split_to_compare(samples: pd.DataFrame, dataset: Dataset, seeds: Seeds) -> Checkpoint:
    """Draw as `split_samples` does, for models whose gaps between groups will be measured.

    Raises:
        InputError: fewer than two groups have `min_test_rows` test rows.
    """
    splits = split_samples(samples, dataset, seeds)
    require_compared(_tested(samples, splits, dataset), large_groups(samples, splits, dataset), dataset)
    return splits


def _tested(samples: pd.DataFrame, splits: Checkpoint, dataset: Dataset) -> list[int]:
    """Return the test rows of each group: the same in every replicate, or the fewest where rows belong together."""
    tested = torch.tensor(samples[GROUP].to_numpy())[rows(splits, "test")]
    return group_sizes(tested, len(dataset.groups)).amin(dim=0).tolist()


def _parts(splits: UInt8[np.ndarray, "R N"]) -> list[str]:
    """Name the codes that `splits` may have; unused rows are a part only where there are any."""
    return [*SPLITS, *([UNUSED_NAME] if (splits == UNUSED).any() else [])]


def describe_data(
    samples: pd.DataFrame, splits: Checkpoint, left_out: dict[str, Any], dataset: Dataset
) -> dict[str, Any]:
    """Return what reports and tracking say about the data: a digest, the rows per part, group and class, how many rows
    of each were left out, and how much class and group say about each other in each part.

    Warns if rows that were left out have changed the shares of the groups, or are most of all rows.
    """
    described = describe_left_out(left_out, samples, dataset)
    warn_about_left_out(described, dataset)
    codes = splits.tensors["splits"][:1].numpy()  # where rows belong together, others count slightly differently
    parts = _parts(codes)
    cells = samples[["y", "s"]].assign(split=np.array(parts)[codes[0]])
    counts = cells.groupby(["split", "s", "y"]).size()
    large = large_groups(samples, splits, dataset)
    described["small_sentence"] = small_groups(_tested(samples, splits, dataset), large, dataset)
    described["unused_sentence"] = unused_rows(codes[0], samples, dataset)
    for sentence in filter(None, (described["small_sentence"], described["unused_sentence"])):
        LOG.info("%s: %s", dataset.title, sentence)
    return {
        "digest": splits.header["digests"]["samples"],
        "title": dataset.title,
        "rows": len(samples),
        "features": 1 if IMAGE in samples else len(feature_names(samples)),
        "groups": list(dataset.group_names),
        "classes": list(dataset.classes),
        "cells": [
            {"split": part, "group": group, "label": label, "rows": int(counts.get((part, group, label), 0))}
            for part in parts
            for group in range(len(dataset.groups))
            for label in range(len(dataset.classes))
        ],
        "left_out": described,
        "associations": associations(samples, codes[0], dataset),
    }
