"""The one place where a data set's compared groups are decided: those with `min_test_rows` rows in the test part.

Test rows of a group are equally many in all replicates; where they are not, the fewest decide, so that a data set has
one answer. Stages that hold the splits and stages that hold predictions alone come to the same one.
"""

from __future__ import annotations

import pandas as pd
import torch
from jaxtyping import Integer
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Dataset
from counterpoise.data.encode import GROUP
from counterpoise.fairness import Compared, groups_compared
from counterpoise.fairness.compared import FEWEST, group_sizes
from counterpoise.methods.selection.settings import Names
from counterpoise.pipelines.shared.arrays import rows


def large_groups(samples: pd.DataFrame, splits: Checkpoint, dataset: Dataset) -> Compared:
    """Return the groups with `min_test_rows` test rows in every replicate, None for all."""
    tested = torch.tensor(samples[GROUP].to_numpy())[rows(splits, "test")]
    return groups_compared(group_sizes(tested, len(dataset.groups)), dataset.min_test_rows)


def compared_groups(samples: pd.DataFrame, splits: Checkpoint, dataset: Dataset) -> Compared:
    """Return the groups of a data set that are compared, from its rows and how they were shared out."""
    return _two_or_all(large_groups(samples, splits, dataset))


def compared_in(tested: Integer[Tensor, "*batch n"], dataset: Dataset) -> Compared:
    """Return the groups of a data set that are compared, from those of the test rows in each replicate, or model."""
    return compared_of(group_sizes(tested, len(dataset.groups)), dataset)


def compared_of(sizes: Integer[Tensor, "*batch G"], dataset: Dataset) -> Compared:
    """Return the groups of a data set that are compared, from the numbers of rows that test each group."""
    return _two_or_all(groups_compared(sizes, dataset.min_test_rows))


def _two_or_all(large: Compared) -> Compared:
    """Compare all groups where fewer than two are large: an experiment is refused then (`data_split`), but a scheduled
    retraining goes on, whose partitions may have made groups small."""
    return None if large is None or len(large) < FEWEST else large


def population_of(samples: pd.DataFrame, splits: Checkpoint, dataset: Dataset) -> Names:
    """Return what a choice reads of a data set: how its classes and groups are called, and which are compared."""
    return Names(dataset.title, dataset.classes, dataset.group_names, compared_groups(samples, splits, dataset))


def predicted_groups(predictions: pd.DataFrame, dataset: Dataset) -> Compared:
    """Return the groups of a data set that are compared, from predictions of its test rows."""
    keys = ["method", "variant", "seed", "s"]
    sizes = predictions.groupby(keys, sort=False).size().unstack("s", fill_value=0)
    sizes = sizes.reindex(columns=range(len(dataset.groups)), fill_value=0)
    return compared_of(torch.tensor(sizes.to_numpy().copy()), dataset)
