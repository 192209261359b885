"""p(y, s | x): distributions over the cells, with temperatures that calibrate them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from counterpoise.methods.rules.joint import (
    TEMPERATURES,
    GroupHeads,
    GroupTrees,
    choose_group_heads,
    fit_group_heads,
    fit_group_trees,
    joint,
)
from counterpoise.nn.trees import Boosting

PULL = 0.01
BOOSTING = Boosting(rounds=30, num_leaves=5, min_data_in_leaf=10)
Rows = tuple[Tensor, Tensor, Tensor]


def drawn(rows: int, groups: int, seed: int, *, lone: bool = False) -> Rows:
    """Draw features, classes and groups; `lone` puts all rows of class 1 into group 0."""
    generator = torch.Generator().manual_seed(seed)
    s = torch.randint(groups, (rows,), generator=generator)
    x = torch.randn(rows, 3, generator=generator)
    x[:, 0] += s
    y = (x[:, 1] + 0.3 * s + 0.7 * torch.randn(rows, generator=generator) > 0.3).long()
    return x, y, torch.where(y == 1, 0, s) if lone else s


def fitted(kind: str, train: Rows, watched: Rows | None, groups: int) -> GroupHeads | GroupTrees:
    sizes = {"groups": groups, "classes": 2, "watched": watched}
    if kind == "heads":
        return fit_group_heads(*train, PULL, **sizes)  # type: ignore[arg-type]
    return fit_group_trees(BOOSTING, *train, **sizes, patience=5, seed=0)  # type: ignore[arg-type]


def loss(probability: Tensor, y: Tensor, s: Tensor) -> float:
    return -float(probability[torch.arange(len(y)), y, s].log().mean())


@pytest.mark.parametrize("kind", ["heads", "trees"])
@pytest.mark.parametrize("groups", [2, 3])
def test_probabilities_sum_to_one_and_say_more_than_the_shares(kind: str, groups: int) -> None:
    train, watched, test = (drawn(rows, groups, seed) for seed, rows in enumerate((800, 400, 400)))
    of_group = fitted(kind, train, watched, groups)(test[0])
    assert of_group.shape == (400, 2, groups)
    torch.testing.assert_close(of_group.sum(dim=-1), torch.ones(400, 2, dtype=torch.float64))
    shares = torch.stack([torch.bincount(train[2][train[1] == c], minlength=groups).double() for c in (0, 1)])
    shares = (shares / shares.sum(dim=1, keepdim=True)).expand(400, 2, groups)
    assert loss(of_group, test[1], test[2]) < loss(shares, test[1], test[2]) - 0.03
    of_class = torch.rand(400, 1, generator=torch.Generator().manual_seed(5)).double()
    cells = joint(torch.cat([1 - of_class, of_class], dim=1), of_group)
    assert cells.shape == (400, 2 * groups)
    torch.testing.assert_close(cells.sum(dim=1), torch.ones(400))
    torch.testing.assert_close(cells[:, groups:].sum(dim=1), of_class.squeeze(1).float())
    torch.testing.assert_close(cells[:, groups + 1], (of_class.squeeze(1) * of_group[:, 1, 1]).float())


@pytest.mark.parametrize("groups", [2, 3])
def test_heads_are_scikit_learns_within_each_class(groups: int) -> None:
    x, y, s = drawn(500, groups, 0)
    of_group = fitted("heads", (x, y, s), None, groups)(x)
    for label in (0, 1):
        rows = y == label
        model = LogisticRegression(C=1 / (PULL * int(rows.sum())), max_iter=5000, tol=1e-9)
        expected = model.fit(x[rows].numpy(), s[rows].numpy()).predict_proba(x.numpy())
        np.testing.assert_allclose(of_group[:, label].numpy(), expected, atol=2e-3)


@pytest.mark.parametrize("kind", ["heads", "trees"])
def test_the_temperature_is_the_likeliest_on_watched_rows(kind: str) -> None:
    train, watched = drawn(150, 2, 0), drawn(600, 2, 1)
    model = fitted(kind, train, watched, 2)
    losses = {
        temperature: loss(replace(model, temperature=temperature)(watched[0]), *watched[1:])
        for temperature in TEMPERATURES
    }
    assert losses[model.temperature] == pytest.approx(min(losses.values()), abs=1e-9)


def test_a_model_that_is_too_sure_is_made_flatter() -> None:
    """Groups of watched rows that are drawn at random are best guessed by flat probabilities."""
    train, (x, y, s) = drawn(800, 2, 0), drawn(800, 2, 1)
    shuffled = s[torch.randperm(800, generator=torch.Generator().manual_seed(2))]
    assert fitted("heads", train, (x, y, shuffled), 2).temperature > fitted("heads", train, (x, y, s), 2).temperature


@pytest.mark.parametrize("groups", [2, 3])
def test_a_class_with_a_single_group_tells_it_for_sure(groups: int) -> None:
    train = drawn(400, groups, 0, lone=True)
    of_group = fitted("heads", train, drawn(200, groups, 1, lone=True), groups)(train[0])
    assert (of_group[:, 1, 0] > 0.999).all()
    assert of_group.isfinite().all()
    assert (of_group[:, 0].amax(dim=1) < 0.999).any(), "the other class has all groups"


def test_a_group_that_a_class_lacks_is_not_expected_there() -> None:
    x, y, s = drawn(600, 3, 0)
    s = torch.where((y == 1) & (s == 2), 1, s)
    of_group = fitted("heads", (x, y, s), None, 3)(x)
    assert (of_group[:, 1, 2] < 1e-6).all()
    assert (of_group[:, 0, 2] > 1e-3).any()
    expected = LogisticRegression(C=1 / (PULL * int((y == 1).sum())), max_iter=5000, tol=1e-9)
    expected = expected.fit(x[y == 1].numpy(), s[y == 1].numpy()).predict_proba(x.numpy())
    np.testing.assert_allclose(of_group[:, 1, :2].numpy(), expected, atol=2e-3)


def test_trees_count_their_rounds_and_stop_early() -> None:
    train = drawn(300, 2, 0)
    shuffled = drawn(300, 2, 1)
    noise = (shuffled[0], shuffled[1], shuffled[2][torch.randperm(300, generator=torch.Generator().manual_seed(2))])
    everything = fitted("trees", train, None, 2)
    stopped = fitted("trees", train, noise, 2)
    assert isinstance(everything, GroupTrees)
    assert isinstance(stopped, GroupTrees)
    assert everything.rounds == BOOSTING.rounds
    assert stopped.rounds < BOOSTING.rounds
    assert everything.temperature == 1.0


def test_the_groups_heads_are_held_as_watched_rows_like_it() -> None:
    """Few rows of many columns: the pull that suits is far from where the search sets out, on either side."""
    generator = torch.Generator().manual_seed(7)
    wide = []
    for rows in (160, 800, 800):
        x, y, s = drawn(rows, 2, rows)
        wide.append((torch.cat([x, torch.randn(rows, 40, generator=generator)], dim=1), y, s))
    train, watched, test = wide
    sizes = {"groups": 2, "classes": 2, "watched": watched}
    losses = {}
    for start in (1e-4, 30.0):
        model = choose_group_heads(*train, start, **sizes)  # type: ignore[arg-type]
        losses[start] = loss(model(watched[0]), watched[1], watched[2])
        for factor in (3.0, 1 / 3.0):
            beside = fit_group_heads(*train, model.pull * factor, **sizes)  # type: ignore[arg-type]
            assert losses[start] <= loss(beside(watched[0]), watched[1], watched[2]) + 1e-9
        as_set_out = fit_group_heads(*train, start, **sizes)  # type: ignore[arg-type]
        assert loss(model(test[0]), test[1], test[2]) < loss(as_set_out(test[0]), test[1], test[2]) - 0.01
    assert losses[1e-4] == pytest.approx(losses[30.0], abs=0.01)
