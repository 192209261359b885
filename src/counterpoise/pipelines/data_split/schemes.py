"""The schemes that divide rows among the parts, and a check that their unbiased parts are unbiased."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64, Shaped, UInt8

from counterpoise.config.parameters import AlignedSplit, BalancedSplit, Dataset, DomainSplit, Split
from counterpoise.data import SPLITS, draw_splits
from counterpoise.data.encode import CLASS, GROUP, IMAGE, OFFICIAL_PART, UNIT
from counterpoise.data.splitting.aligned import Alignment, draw_aligned_splits
from counterpoise.data.splitting.balanced import draw_balanced_splits
from counterpoise.data.splitting.domains import Skew, draw_domain_splits
from counterpoise.data.splitting.together import draw_units
from counterpoise.errors import InputError, shown
from counterpoise.fairness import association

Codes = UInt8[np.ndarray, "R N"]


def draw(samples: pd.DataFrame, dataset: Dataset, seeds: Sequence[int]) -> Codes:
    """Draw the splits by the scheme that the data set names: codes of `SPLITS`, or `UNUSED`."""
    return _SCHEMES[type(dataset.split)](samples, dataset, dataset.split, seeds)


def associations(samples: pd.DataFrame, codes: UInt8[np.ndarray, "N"], dataset: Dataset) -> list[dict[str, Any]]:
    """Return how much the class and each sensitive column say about each other, in each part of a replicate."""
    return [
        {"split": part, "column": column, **association(samples[CLASS].to_numpy()[rows], s[rows])._asdict()}
        for code, part in enumerate(SPLITS)
        if (rows := codes == code).any()
        for column, s in _sensitive(samples, dataset).items()
    ]


def warn_about_association(samples: pd.DataFrame, splits: Codes, dataset: Dataset) -> None:
    """Warn if class and group are associated in a part that should be unbiased, beyond chance and `max_association`.

    Only replicate 0 is checked, because all have the same counts.
    """
    if not isinstance(dataset.split, AlignedSplit | BalancedSplit):
        return
    allowed = dataset.split.max_association
    for row in associations(samples, splits[0], dataset):
        if row["split"] != SPLITS[0] and row["cramers_v"] > row["by_chance"] + allowed:
            warnings.warn(
                f"{dataset.title}: in the part {row['split']!r}, which should be unbiased, the class and "
                f"{row['column']!r} have an association (Cramér's V) of {row['cramers_v']:.3f}, expected at most "
                f"{allowed:g} (max_association) above the {row['by_chance']:.3f} that chance gives",
                UserWarning,
                stacklevel=3,
            )


def _sensitive(samples: pd.DataFrame, dataset: Dataset) -> dict[str, Shaped[np.ndarray, "N"]]:
    """Return the codes of the sensitive columns, by name."""
    return {column: samples[GROUP if column == dataset.sensitive else column].to_numpy() for column in dataset.biases}


def _stratified(samples: pd.DataFrame, dataset: Dataset, split: Split, seeds: Sequence[int]) -> Codes:
    y, s = samples[CLASS].to_numpy(), samples[GROUP].to_numpy()
    shares: dict[str, Any] = {"fractions": dict(split.fractions.items()), "task": dict(split.task.items())}
    shares |= {"seeds": seeds, "max_rows": split.max_rows}
    if split.together is None:
        splits = draw_splits(y, s, **shares)
        _require_groups_in_task(splits[0], s, dataset)  # all have the same counts
        return splits
    splits = draw_units(y, s, samples[UNIT].to_numpy(), column=split.together, **shares)
    for codes in splits:
        _require_groups_in_task(codes, s, dataset)
    return splits


def _require_groups_in_task(codes: UInt8[np.ndarray, "N"], s: Int64[np.ndarray, "N"], dataset: Dataset) -> None:
    """Raise InputError if a group has no row to train on, to choose on or to test on."""
    task = range(1, len(SPLITS))
    smallest = min((codes == part).sum() for part in task)
    for group, name in enumerate(dataset.group_names):
        if absent := [SPLITS[part] for part in task if not (codes[s == group] == part).any()]:
            enough = math.ceil(len(s) / smallest)
            raise InputError(
                f"{dataset.title}: the group {shown(name)} has {(s == group).sum():,} rows, none of them in the part "
                f"{' or '.join(absent)}, expected at least one in train, validation and test, for which {enough:,} "
                "rows of one class suffice (or take it together with another group)"
            )


def _domains(samples: pd.DataFrame, dataset: Dataset, split: DomainSplit, seeds: Sequence[int]) -> Codes:
    domain = {name: dataset.groups.index(group) for group, names in split.majority.items() for name in names}
    return draw_domain_splits(
        samples[CLASS].to_numpy(),
        samples[GROUP].to_numpy(),
        *_identity(samples),
        skew=Skew(
            majority=[domain[name] for name in dataset.classes],
            share=split.skew,
            validation_per_cell=split.validation_per_cell,
            fit_share=split.fit_share,
            images_per_class=split.images_per_class,
            test_per_class=split.test_per_class,
        ),
        classes=dataset.classes,
        domains=[str(name) for name in dataset.groups],
        seeds=seeds,
    )


def _aligned(samples: pd.DataFrame, dataset: Dataset, split: AlignedSplit, seeds: Sequence[int]) -> Codes:
    rho = split.rho if isinstance(split.rho, dict) else {dataset.sensitive: split.rho}
    return draw_aligned_splits(
        samples[CLASS].to_numpy(),
        np.stack(list(_sensitive(samples, dataset).values()), axis=1),
        *_identity(samples),
        alignment=Alignment(
            rho=[rho[column] for column in dataset.biases],
            gates=split.gates,
            validation=split.validation,
            images_per_class=split.images_per_class,
            test_per_class=split.test_per_class,
        ),
        classes=dataset.classes,
        values={column: [str(value) for value in values] for column, values in dataset.biases.items()},
        seeds=seeds,
    )


def _balanced(samples: pd.DataFrame, dataset: Dataset, split: BalancedSplit, seeds: Sequence[int]) -> Codes:
    return draw_balanced_splits(
        samples[CLASS].to_numpy(),
        samples[GROUP].to_numpy(),
        per_cell=dict(split.per_cell.items()),
        classes=dataset.classes,
        groups=dataset.group_names,
        seeds=seeds,
    )


def _identity(samples: pd.DataFrame) -> tuple[Shaped[np.ndarray, "N"], Shaped[np.ndarray, "N"]]:
    """Return what identifies each row's image, and whether it is one of the official test images."""
    return samples[IMAGE].to_numpy(dtype=np.str_), (samples[OFFICIAL_PART] == "test").to_numpy()


_SCHEMES: Mapping[type, Callable[[pd.DataFrame, Dataset, Any, Sequence[int]], Codes]] = {
    AlignedSplit: _aligned,
    BalancedSplit: _balanced,
    DomainSplit: _domains,
    Split: _stratified,
}
