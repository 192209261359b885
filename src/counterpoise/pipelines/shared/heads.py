"""Heads: how the problem of their methods is put together from artifacts, and how they are written and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.compute import replicate
from counterpoise.config.parameters import Compute, Dataset, Seeds
from counterpoise.methods.heads.problem import HeadProblem, factors_of, settings_of, tensors_of
from counterpoise.methods.repair import Result
from counterpoise.nn import Factors
from counterpoise.pipelines.shared.arrays import examples, require_features, require_seeds, rows
from counterpoise.pipelines.shared.compared import compared_groups
from counterpoise.pipelines.shared.progress import trainings_progress


def problem_of(
    samples: pd.DataFrame,
    splits: Checkpoint,
    x: Tensor,
    dataset: Dataset,
    seeds: Seeds,
    head_bank: Checkpoint | None = None,
    head: Factors | None = None,
    learnt: Sequence[str] = ("train",),
) -> HeadProblem:
    """Return what the methods of a stage are given.

    Args:
        learnt: the parts of the data that are learnt from.
        x: features, or the input of networks.
        head_bank: the heads that variants start from. head: the pretrained one.

    Raises:
        InputError: the checkpoints are of other seeds, or of another number of features.
    """
    require_seeds(seeds, splits=splits, **({} if head_bank is None else {"head_bank": head_bank}))
    initial = {} if head_bank is None else read_heads(head_bank)
    for factors in initial.values():
        require_features(x, "head_bank", factors.first.shape[-2])
    return HeadProblem(
        title=dataset.title,
        examples=examples(samples, x),
        train=rows(splits, *learnt),
        validation=rows(splits, "validation"),
        test=rows(splits, "test"),
        seeds=seeds.root,
        groups=dataset.group_names,
        classes=dataset.classes,
        compared=compared_groups(samples, splits, dataset),
        head=head,
        initial=initial,
        variants={} if head_bank is None else head_bank.header["variants"],
    )


@contextmanager
def followed(problem: HeadProblem, compute: Compute | None = None) -> Iterator[HeadProblem]:
    """Show how far the trainings of a problem are; its tasks run where `compute` says.

    Where they are spread, what is counted are trainings; else the epochs of each.
    """
    spread = problem.spread if compute is None else partial(replicate, **compute.model_dump())
    with trainings_progress(unit="epochs" if compute is None else "trainings") as progress:
        yield replace(problem, progress=progress, spread=spread)


def pretrained_head(pretrained: Checkpoint) -> tuple[Float[Tensor, "R d k"], Float[Tensor, "R k"]]:
    """Return W and b of the networks' last layer."""
    last = len(pretrained.header["widths"]) - 2
    return pretrained.tensors[f"weights.{last}"].squeeze(1), pretrained.tensors[f"biases.{last}"].squeeze(1)


def write_heads(heads: Mapping[str, Factors], variants: Mapping[str, Mapping[str, Any]], **header: Any) -> Checkpoint:
    """Store heads as `<variant>.A|B|W|b`, and the variants' settings in the header."""
    tensors = {f"{name}.{key}": tensor for name, head in heads.items() for key, tensor in tensors_of(head).items()}
    return Checkpoint(tensors, as_header(architecture="heads", variants=variants, **header))


def write_results(results: Sequence[Result], **header: Any) -> Checkpoint:
    """Store the heads of results."""
    heads = {result.name: factors_of(result.part("head")) for result in results}
    return write_heads(heads, settings_of(results), **header)


def stacked(results: Sequence[Result], name: str) -> Shaped[Tensor, "R V ..."]:
    """Return one tensor of all results, which become the axis V."""
    return torch.stack([result.tensors[name] for result in results], dim=1)


def read_heads(checkpoint: Checkpoint) -> dict[str, Factors]:
    """Return the heads of `write_heads`, in the order in which they were written."""
    tensors = checkpoint.tensors
    return {
        name: factors_of({key: tensors[f"{name}.{key}"] for key in "WABb" if f"{name}.{key}" in tensors})
        for name in checkpoint.header["variants"]
    }
