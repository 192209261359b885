"""Gradient-boosted trees as a frozen base: leaves are features, leaf values are a linear head (METHODS.md, part 4).

An ensemble of T trees with L leaves in all is z(x) = Σ_t v[leaf_t(x)]: the margin z₁ − z₀ of two classes is linear in
sparse indicators with T ones per row. The trees stay as they are; a repair changes v, and what comes out is an ordinary
LightGBM model.

Such features are stored as what they are: not [n, L] zeros and ones, but int32 [n, T], the numbers of the columns that
are one. A row with fewer than T leaves ends in `NO_LEAF`. Everything that multiplies features by weights takes both
kinds, and tells them apart by their type (`is_sparse`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int32, Num, Shaped, UInt8
from torch import Tensor

from counterpoise.bounds import Count, NotNegative, Positive, Share
from counterpoise.errors import InputError

ONE_THREAD = {"num_threads": 1, "deterministic": True, "force_col_wise": True, "verbose": -1}
"""The same sums in the same order everywhere: a model depends on its rows, its settings and its seed alone."""

NO_LEAF = -1
"""Stands in the place of a leaf in rows of replicates that have fewer trees than others."""

_SIZE = re.compile(r"^num_leaves=(\d+)$", re.MULTILINE)

SEED_BOUND = 2**31
"""The first number that LightGBM refuses as a seed."""


@dataclass(frozen=True)
class Boosting:
    """How trees are grown; names and defaults are LightGBM's, but for `rounds`, its `num_iterations`."""

    rounds: Count = 100
    num_leaves: Count = 31
    learning_rate: Positive = 0.1
    min_data_in_leaf: Count = 20
    lambda_l2: NotNegative = 0.0
    feature_fraction: Share = 1.0

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings as LightGBM takes them, without `rounds`."""
        return {
            "num_leaves": self.num_leaves,
            "learning_rate": self.learning_rate,
            "min_data_in_leaf": self.min_data_in_leaf,
            "lambda_l2": self.lambda_l2,
            "feature_fraction": self.feature_fraction,
        }


def as_bytes(text: str) -> UInt8[Tensor, "n"]:
    """Return a text as a tensor, the form in which checkpoints hold one."""
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def as_text(tensor: UInt8[Tensor, "n"]) -> str:
    """Return the text of `as_bytes`."""
    return tensor.numpy().tobytes().decode()


@dataclass(frozen=True, eq=False)
class Trees:
    """A LightGBM model of two classes, as its text."""

    text: str

    @cached_property
    def booster(self) -> Any:
        """The model as LightGBM reads it.

        Raises:
            InputError: it is no LightGBM model, or not one of two classes with one tree per round.
        """
        from lightgbm import Booster
        from lightgbm.basic import LightGBMError

        try:
            booster = Booster(model_str=self.text)
        except LightGBMError as error:
            raise InputError(f"no LightGBM model: {error}, expected the text of one") from None
        if booster.num_model_per_iteration() != 1:
            per_round = booster.num_model_per_iteration()
            raise InputError(f"a LightGBM model with {per_round} trees per round, expected one of two classes")
        return booster

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many leaves each tree has, read from the text: LightGBM's own list of nodes takes much longer."""
        return tuple(map(int, _SIZE.findall(self.text)))

    @property
    def leaves(self) -> int:
        """L, how many leaves all trees have."""
        return sum(self.sizes)

    @cached_property
    def values(self) -> Float[Tensor, "L"]:
        """The value of every leaf, tree by tree, float64."""
        booster = self.booster
        return torch.tensor(
            [booster.get_leaf_output(tree, leaf) for tree, size in enumerate(self.sizes) for leaf in range(size)],
            dtype=torch.float64,
        )

    def leaf_of(self, x: Num[Tensor, "n D"]) -> Int32[Tensor, "n T"]:
        """Return the leaf that each row falls into in each tree, numbered through all trees."""
        first = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        leaves = self.booster.predict(x.numpy(), pred_leaf=True, num_threads=1)
        return torch.from_numpy((leaves.reshape(len(x), -1) + first).astype(np.int32))

    def margins(self, x: Num[Tensor, "n D"]) -> Float[Tensor, "n"]:
        """Return the log odds of class 1, float64."""
        return torch.from_numpy(np.asarray(self.booster.predict(x.numpy(), raw_score=True, num_threads=1)))

    def with_values(self, values: Float[Tensor, "L"], shift: float = 0.0) -> Trees:
        """Return the same trees with other leaf values; `shift` is added to every row's margin.

        Raises:
            InputError: there are not as many values as leaves, or one is not finite.
        """
        from lightgbm import Booster

        if len(values) != self.leaves or not bool(values.isfinite().all()):
            raise InputError(f"{len(values)} leaf values, expected {self.leaves} finite ones, one for each leaf")
        booster = Booster(model_str=self.text)
        position = 0
        for tree, size in enumerate(self.sizes):
            for leaf in range(size):
                booster.set_leaf_output(tree, leaf, float(values[position]) + (0.0 if tree else shift))
                position += 1
        return Trees(booster.model_to_string())


@dataclass(frozen=True, eq=False)
class ClassTrees:
    """A LightGBM model of more than two classes, as its text: each round has a tree for each class."""

    text: str

    @cached_property
    def booster(self) -> Any:
        """The model as LightGBM reads it."""
        from lightgbm import Booster

        return Booster(model_str=self.text)

    @property
    def rounds(self) -> int:
        """How many times trees were added."""
        return int(self.booster.current_iteration())

    def log_odds(self, x: Num[Tensor, "n D"]) -> Float[Tensor, "n k"]:
        """Return numbers whose softmax are the probabilities of the classes, float64."""
        return torch.from_numpy(np.asarray(self.booster.predict(x.numpy(), raw_score=True, num_threads=1)))


def grow_classes(
    x: Num[Tensor, "n D"],
    y: Num[Tensor, "n"],
    settings: Boosting,
    *,
    classes: int,
    seed: int = 0,
    watched: tuple[Tensor, Tensor] | None = None,
    patience: int = 20,
) -> tuple[ClassTrees, float]:
    """Grow trees on rows with more than two classes; otherwise as `grow`."""
    text, loss = _grown(x, y, settings, "multiclass", "multi_logloss", seed, watched, patience, num_class=classes)
    return ClassTrees(text), loss


def grow(
    x: Num[Tensor, "n D"],
    y: Num[Tensor, "n"],
    settings: Boosting,
    *,
    seed: int = 0,
    watched: tuple[Tensor, Tensor] | None = None,
    patience: int = 20,
) -> tuple[Trees, float]:
    """Grow trees on rows with classes 0 and 1.

    Args:
        watched: features and classes of rows that end the training: when their log loss has not improved for `patience`
            rounds, the round where it was lowest is the last one that counts.

    Returns:
        The trees, and the log loss of the watched rows; NaN without any.
    """
    text, loss = _grown(x, y, settings, "binary", "binary_logloss", seed, watched, patience)
    return Trees(text), loss


def _grown(
    x: Num[Tensor, "n D"],
    y: Num[Tensor, "n"],
    settings: Boosting,
    objective: str,
    metric: str,
    seed: int,
    watched: tuple[Tensor, Tensor] | None,
    patience: int,
    **further: Any,
) -> tuple[str, float]:
    import lightgbm

    parameters = {**ONE_THREAD, **settings.parameters, "objective": objective, "metric": metric, **further}
    parameters["seed"] = seed % SEED_BOUND
    data = lightgbm.Dataset(x.numpy(), y.numpy(), params=ONE_THREAD)
    if watched is None:
        return lightgbm.train(parameters, data, settings.rounds).model_to_string(), float("nan")
    held_out = lightgbm.Dataset(watched[0].numpy(), watched[1].numpy(), reference=data, params=ONE_THREAD)
    stop = lightgbm.early_stopping(patience, verbose=False)
    booster = lightgbm.train(parameters, data, settings.rounds, [held_out], callbacks=[stop])
    rounds = booster.best_iteration
    return booster.model_to_string(num_iteration=rounds), float(booster.best_score["valid_0"][metric])


def is_sparse(features: Shaped[Tensor, "..."]) -> bool:
    """Whether features are the numbers of leaves, not the features themselves."""
    return not features.is_floating_point()


def columns(features: Shaped[Tensor, "*batch n d"]) -> int:
    """Return how many weights a head on these features has at least: d, or one more than the highest leaf."""
    if not is_sparse(features):
        return features.shape[-1]
    return int(features.max()) + 1 if features.numel() else 0


def sparse_product(leaf: Int32[Tensor, "b n T"], w: Float[Tensor, "b L q"]) -> Float[Tensor, "b n q"]:
    """Return the indicators of each `b` times `w`, with the exact gradient; each column's bits depend on it alone.

    Sums run over the leaves of a row, and in the gradient over the rows of a leaf, in their order, column by column.
    """
    product: Tensor = _SparseProduct.apply(leaf, w)
    return product


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, leaf: Tensor, w: Tensor) -> Tensor:
        ctx.leaf, ctx.leaves = leaf, w.shape[1]
        return torch.stack([leaf_sums(rows, values) for rows, values in zip(leaf, w.detach(), strict=True)])

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[None, Tensor]:
        pairs = zip(ctx.leaf, upstream[0], strict=True)
        return None, torch.stack([leaf_totals(rows, gradient, ctx.leaves) for rows, gradient in pairs])


def leaf_sums(leaf: Int32[Tensor, "n T"], values: Float[Tensor, "L q"]) -> Float[Tensor, "n q"]:
    """Return the sum over the trees of each row's leaves: the product of the sparse indicators with `values`."""
    return torch.from_numpy(_indicators(leaf, len(values)) @ values.numpy())


def leaf_totals(leaf: Int32[Tensor, "n T"], rows: Float[Tensor, "n q"], leaves: int) -> Float[Tensor, "L q"]:
    """Return the sum over each leaf's rows: the product of the transposed indicators with `rows`."""
    return torch.from_numpy(_indicators(leaf, leaves).T @ rows.numpy())


def _indicators(leaf: Int32[Tensor, "n T"], leaves: int) -> Any:
    from scipy.sparse import csr_array

    n, trees = leaf.shape
    places = leaf.numpy()
    there = places != NO_LEAF
    if there.all():
        used, ends = places.ravel(), np.arange(0, n * trees + 1, trees, dtype=np.int32)
    else:
        used, ends = places[there], np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
    return csr_array((np.ones(len(used), dtype=np.float32), used, ends), shape=(n, leaves))
