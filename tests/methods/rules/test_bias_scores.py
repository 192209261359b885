"""The rule against brute force over all classifiers of a small discrete distribution, and against Bayes' rule."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from scipy.stats import gumbel_r, kstest, spearmanr
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.fairness import confusion_counts
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.methods.heads.penalties import Constraint
from counterpoise.methods.rules import bias_scores
from counterpoise.methods.rules.bias_scores import BiasScores, choose
from counterpoise.methods.rules.dual import SHARPNESS, dual
from counterpoise.methods.rules.linear import (
    MARGIN_SCALE,
    Shares,
    answers,
    decide,
    dither,
    dithered,
    margins,
    rule,
    scores,
    share_divided,
)

ATOMS, COPIES = 8, 40


def distribution(
    seed: int, *, classes: int = 2, groups: int = 2, atoms: int = ATOMS, together: int = 1
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return rows of a distribution over a few points: the point, y, s, and the exact p(y, s | point) of each row.

    Args:
        together: how many times more rows of a point are of its own class, and how many times more of the group of the
            same number; 1: points say no more of the group than chance.
    """
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, COPIES, size=(atoms, classes, groups))
    if together > 1:
        frequent = rng.integers(classes, size=atoms)
        counts[np.arange(atoms), frequent] *= together
        counts[np.arange(atoms), :, frequent % groups] *= together
    point, y, s = (torch.from_numpy(each) for each in np.nonzero(counts))
    times = torch.from_numpy(counts[counts > 0])
    point, y, s = (each.repeat_interleave(times) for each in (point, y, s))
    exact = torch.from_numpy(counts / counts.sum(axis=(1, 2), keepdims=True)).float().flatten(1)
    return point, y, s, exact[point]


def gap(constraint: str, decision: Tensor, y: Tensor, s: Tensor) -> float:
    """Independent of the metrics' code."""

    def difference(rows: Tensor) -> float:
        rates = [decision[rows & (s == group)].double().mean().item() for group in (0, 1)]
        return abs(rates[0] - rates[1])

    if constraint == "dp":
        return difference(torch.ones_like(y, dtype=torch.bool))
    return difference(y == 0) + difference(y == 1)


@pytest.mark.parametrize("constraint", ["dp", "eo"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_classifier_is_more_accurate_at_the_gap_of_a_rule(constraint: str, seed: int) -> None:
    """Each rule is optimal at the gap that it attains: it maximises a Lagrangian with the multipliers of the dual."""
    point, y, s, probability = distribution(seed)
    shares = Shares.of(y, s, classes=2, groups=2)
    levels = [0.02, 0.1, 0.2, 0.4]
    solved = dual(probability, shares, constraint, levels, torch.ones(1, 2))[0]  # type: ignore[arg-type]
    decided = decide(probability, rule(torch.ones(4, 2), solved, shares, constraint))  # type: ignore[arg-type]
    every = torch.tensor(list(product((0, 1), repeat=ATOMS)))[:, point]
    accuracy = (every == y).double().mean(dim=1)
    gaps = torch.tensor([gap(constraint, one, y, s) for one in every])
    for decision in decided:
        within = gaps <= gap(constraint, decision, y, s) + 1e-9
        # The dual is smoothed and solved to a small error, so that points at the edge may fall on the other side.
        assert float(accuracy[within].max()) <= float((decision == y).double().mean()) + 0.03


@pytest.mark.parametrize("constraint", ["dp", "eo"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_bank_attains_the_optimum_of_each_tolerance(constraint: str, seed: int) -> None:
    """Against a linear programme over all classifiers, randomised ones included, which is above what we may attain.

    A vertex of it randomises as many points as there are constraints; with 200 of them that is 1% of the rows.
    """
    point, y, s, probability = distribution(seed, atoms=200)
    levels = [0.01 * step for step in range(1, 41)]
    shares = Shares.of(y, s, classes=2, groups=2)
    solved = dual(probability, shares, constraint, levels, torch.ones(1, 2))[0]  # type: ignore[arg-type]
    decided = decide(probability, rule(torch.ones(len(levels), 2), solved, shares, constraint))  # type: ignore[arg-type]
    accuracy = (decided == y).double().mean(dim=1)
    gaps = torch.tensor([gap(constraint, one, y, s) for one in decided])
    for tolerance in (0.05, 0.1, 0.2, 0.3):
        best = _optimum(constraint, tolerance, point, y, s)
        assert best - 0.015 <= float(accuracy[gaps <= tolerance].max()) <= best + 1e-9


def _optimum(constraint: str, tolerance: float, point: Tensor, y: Tensor, s: Tensor) -> float:
    """Return the highest accuracy within a tolerance: maximise over q(point), the probability of predicting 1."""
    atoms = int(point.max()) + 1
    gain = torch.zeros(atoms, dtype=torch.float64).index_add_(0, point, (2 * y - 1).double() / len(y)).numpy()

    def rate(rows: Tensor) -> np.ndarray:
        return np.bincount(point[rows].numpy(), minlength=atoms) / int(rows.sum())

    strata = [torch.ones_like(y, dtype=torch.bool)] if constraint == "dp" else [y == 0, y == 1]
    gaps = [rate(stratum & (s == 0)) - rate(stratum & (s == 1)) for stratum in strata]
    return float((y == 0).double().mean()) + _largest_gain(gain, gaps, tolerance)


def _largest_gain(gain: np.ndarray, gaps: list[np.ndarray], tolerance: float) -> float:
    """Return the most that q · gain can be if the sizes of all q · gap add up to the tolerance at most."""
    bounds, limits = [], []  # the gaps' sizes are further variables
    for number, one in enumerate(gaps):
        for sign in (1, -1):
            size = np.zeros(len(gaps))
            size[number] = -1
            bounds.append(np.concatenate([sign * one, size]))
            limits.append(0.0)
    bounds.append(np.concatenate([np.zeros(len(gain)), np.ones(len(gaps))]))
    limits.append(tolerance)
    solved = linprog(
        np.concatenate([-gain, np.zeros(len(gaps))]),
        A_ub=np.array(bounds),
        b_ub=limits,
        bounds=[(0, 1)] * (len(gain) + len(gaps)),
    )
    return -float(solved.fun)


@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_the_bank_attains_the_optimum_of_three_classes_and_groups(constraint: str) -> None:
    """As above, for the gaps of `fairness.metrics` over all classes and pairs of groups.

    There are up to 18 constraints, so that up to 18 of 400 points may be randomised in the optimum.
    """
    point, y, s, probability = distribution(2, classes=3, groups=3, atoms=400, together=3)
    levels = [0.01 * step for step in range(1, 41)]
    shares = Shares.of(y, s, classes=3, groups=3)
    solved = dual(probability, shares, constraint, levels, torch.ones(1, 3))[0]  # type: ignore[arg-type]
    decided = decide(probability, rule(torch.ones(len(levels), 3), solved, shares, constraint))  # type: ignore[arg-type]
    counts = confusion_counts(y, decided, s, groups=3, classes=3)
    accuracy, gaps = COUNT_METRICS["accuracy"](counts), COUNT_METRICS[f"delta_{constraint}"](counts)
    unbound = float(COUNT_METRICS["accuracy"](confusion_counts(y, _likeliest(probability), s, groups=3, classes=3)))
    for tolerance in (0.05, 0.1, 0.2):
        best = _optimum_of_classes(constraint, tolerance, point, y, s)
        assert best < unbound
        assert best - 0.02 <= float(accuracy[gaps <= tolerance].max()) <= best + 1e-9


def _likeliest(probability: Tensor) -> Tensor:
    return probability.unflatten(1, (3, 3)).sum(dim=2).argmax(dim=1)


def _optimum_of_classes(constraint: str, tolerance: float, point: Tensor, y: Tensor, s: Tensor) -> float:
    """Return the highest accuracy within a tolerance: maximise over q(point, class), randomised ones included."""
    atoms = int(point.max()) + 1

    def rate(rows: Tensor, label: int) -> np.ndarray:
        each = np.zeros((atoms, 3))
        each[:, label] = np.bincount(point[rows].numpy(), minlength=atoms) / int(rows.sum())
        return each.ravel()

    every = torch.ones_like(y, dtype=torch.bool)
    pairs = [(0, 1), (0, 2), (1, 2)]
    kinds = 1 if constraint == "dp" else 2
    sizes = 3 * len(pairs) * kinds  # further variables: of each class and pair one for each of its gaps
    bounds, limits = [], []
    for number, (label, (g, h)) in enumerate(product(range(3), pairs)):
        strata = [every] if constraint == "dp" else [y == label, y != label]
        of_pair = np.zeros(sizes)
        for kind, stratum in enumerate(strata):
            difference = rate(stratum & (s == g), label) - rate(stratum & (s == h), label)
            size = np.zeros(sizes)
            size[number * kinds + kind] = -1
            of_pair[number * kinds + kind] = 1
            bounds += [np.concatenate([sign * difference, size]) for sign in (1, -1)]
            limits += [0.0, 0.0]
        bounds.append(np.concatenate([np.zeros(3 * atoms), of_pair]))
        limits.append(tolerance)
    gain = sum(rate(y == label, label) * float((y == label).double().mean()) for label in range(3))
    one_class = np.concatenate([np.kron(np.eye(atoms), np.ones((1, 3))), np.zeros((atoms, sizes))], axis=1)
    solved = linprog(
        np.concatenate([-np.asarray(gain), np.zeros(sizes)]),
        A_ub=np.array(bounds),
        b_ub=limits,
        A_eq=one_class,
        b_eq=np.ones(atoms),
        bounds=[(0, 1)] * (3 * atoms) + [(0, None)] * sizes,
    )
    return -float(solved.fun)


def test_with_two_classes_the_form_for_more_decides_alike() -> None:
    _, _, _, probability = distribution(8)
    rules = torch.randn(5, 4, 2, generator=torch.Generator().manual_seed(1))
    said, odds = answers(probability, rules), MARGIN_SCALE * (rules.mT @ probability.T)
    general = type(said).of(odds)
    assert said.decision is None
    assert general.decided.equal(said.decided)
    torch.testing.assert_close(general.score, torch.maximum(said.score, 1 - said.score))
    assert general.decided.long().equal(decide(probability, rules))


def test_what_classes_are_numbered_does_not_matter() -> None:
    """Of three classes, each is weighted in turn, and each is compared with the rest."""
    _, y, s, probability = distribution(9, classes=3, groups=2)
    order = torch.tensor([2, 0, 1])  # the new number of each class
    renumbered = probability.unflatten(1, (3, 2))[:, order.argsort()].flatten(1)
    settings = BiasScores(levels=(0.05, 0.2), weights=(1.0, 1.4), draws=1, spread=1e-9)
    folds = torch.arange(len(y)) % 2
    for constraint in ("dp", "eo"):
        first = choose(settings, constraint, probability, y, s, folds, classes=3, groups=2, seed=0)
        other = choose(settings, constraint, renumbered, order[y], s, folds, classes=3, groups=2, seed=0)
        same = decide(renumbered, other.rules) == order[decide(probability, first.rules)]
        assert float(same.double().mean()) > 0.98


def test_one_group_leaves_the_rule_of_bayes() -> None:
    point, y, s, _ = distribution(3)
    table = torch.zeros(ATOMS, 2)
    table.index_put_((point, y), torch.ones(len(y)), accumulate=True)
    posterior = (table / table.sum(dim=1, keepdim=True))[point]
    shares = Shares.of(y, torch.zeros_like(s), classes=2, groups=1)
    for constraint in ("dp", "eo"):
        solved = dual(posterior, shares, constraint, [0.01], torch.ones(1, 2))  # type: ignore[arg-type]
        matrix = rule(torch.ones(2), solved[0, 0], shares, constraint)  # type: ignore[arg-type]
        assert decide(posterior, matrix.unsqueeze(0)).equal(posterior.argmax(dim=1).unsqueeze(0))


def test_more_classes_and_groups() -> None:
    _, y, s, probability = distribution(4, classes=3, groups=3)
    settings = BiasScores(levels=(0.1, 0.5), weights=(1.0,), draws=100)
    banks = {
        constraint: choose(
            settings, constraint, probability, y, s, torch.arange(len(y)) % 2, classes=3, groups=3, seed=0
        )
        for constraint in ("dp", "eo")
    }
    for bank in banks.values():
        decisions = decide(probability, bank.rules)
        assert decisions.shape == (2, len(y))
        assert bool((decisions < 3).all())
        accuracy = (decisions == y).double().mean(dim=1)
        assert accuracy[0] <= accuracy[1] + 0.05


def test_multipliers_alike_in_all_groups_change_nothing() -> None:
    _, y, s, _ = distribution(5)
    shares = Shares.of(y, s, classes=2, groups=2)
    for constraint in ("dp", "eo"):
        plain = rule(torch.ones(2), torch.zeros(2, 2), shares, constraint)  # type: ignore[arg-type]
        shifted = rule(torch.ones(2), torch.full((2, 2), 0.7), shares, constraint)  # type: ignore[arg-type]
        torch.testing.assert_close(plain, shifted)


def test_scores_are_above_a_half_where_the_rule_decides_for_the_second_class() -> None:
    _, _, _, probability = distribution(6)
    rules = torch.randn(5, 4, 2, generator=torch.Generator().manual_seed(0))
    assert (scores(probability, rules) > 0.5).equal(margins(probability, rules) > 0)
    assert decide(probability, rules).equal((probability @ rules).argmax(dim=-1))


def test_what_is_chosen_without_a_fold_does_not_see_it() -> None:
    _, y, s, probability = distribution(7)
    fold = torch.arange(len(y)) % 3
    settings = BiasScores(levels=(0.05, 0.1, 0.2), weights=(1.0, 1.3), draws=30)
    first = choose(settings, "eo", probability, y, s, fold, classes=2, groups=2, seed=0)
    # Classes change places within the fold and the groups, so that the shares, and with them the candidates, stay.
    changed = y.clone()
    for group in (0, 1):
        rows = ((fold == 1) & (s == group)).nonzero().flatten()
        changed[rows] = y[rows].sort().values
    again = choose(settings, "eo", probability, changed, s, fold, classes=2, groups=2, seed=0)
    assert first.without.shape == (3, len(settings.levels), 6, 2), "cells, and the dither of each class"
    assert again.without[1].equal(first.without[1])
    for before, after in zip((*first.without[[0, 2]], first.rules), (*again.without[[0, 2]], again.rules), strict=True):
        assert not after.equal(before)
    best = choose(settings, "eo", *(each[fold != 1] for each in (probability, y, s, fold)), classes=2, groups=2, seed=0)
    decided, expected = (decide(probability[fold != 1], rules) for rules in (first.without[1], best.rules))
    accuracy = [(each == y[fold != 1]).double().mean(dim=1) for each in (decided, expected)]
    torch.testing.assert_close(*accuracy, atol=0.05, rtol=0)


@pytest.mark.parametrize("wrong", [{"levels": (0.2, 0.1)}, {"weights": (1.0, 1.0)}])
def test_values_that_do_not_increase_are_refused(wrong: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(InputError, match="expected"):
        BiasScores(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_a_rule_pays_nothing_for_a_group_that_is_not_compared(constraint: Constraint) -> None:
    _, y, s, probability = distribution(0, groups=3)
    shares = Shares.of(y, s, classes=2, groups=3, compared=(0, 1))
    solved = dual(probability, shares, constraint, [0.02, 0.1], torch.ones(1, 2))
    matrix = rule(torch.ones(1, 2, 2), solved, shares, constraint)[0].unflatten(1, (2, 3))
    assert matrix[:, :, 2].equal(torch.eye(2).expand(2, 2, 2)), "what is right counts, and no rate is paid for"
    assert (matrix[:, :, :2] != torch.eye(2).unsqueeze(1)).any()
    prices = matrix[:, :, :2] - torch.eye(2).unsqueeze(1)
    mass = shares.cells[:, :2] if constraint == "eo" else shares.groups[:2].expand(2, 2)
    torch.testing.assert_close((prices * mass.unsqueeze(-1)).sum(dim=2), torch.zeros(2, 2, 2), atol=1e-5, rtol=0)


def test_rules_are_chosen_by_the_gaps_of_groups_that_are_compared() -> None:
    _, y, s, probability = distribution(1, groups=3)
    settings, folds = BiasScores(levels=(0.05, 0.2), draws=4), torch.arange(len(y)) % 2
    bank = choose(settings, "dp", probability, y, s, folds, classes=2, groups=3, seed=0, compared=(0, 1))
    for decided, level in zip(decide(probability, bank.rules), settings.levels, strict=True):
        assert gap("dp", decided, y, s) <= level


def told_apart(rows: int = 20_000) -> tuple[Tensor, Tensor, Tensor]:
    """Return p(y, s | x), y and s where x tells the group, and the classes of group 0 better than those of group 1."""
    rng = torch.Generator().manual_seed(11)
    s = torch.randint(2, (rows,), generator=rng)
    of_class = torch.sigmoid(torch.randn(rows, generator=rng) * torch.where(s == 0, 6.0, 1.5))
    y = (torch.rand(rows, generator=rng) < of_class).long()
    is_second = torch.where(s == 1, 0.999, 0.001)
    of_group = torch.stack([1 - is_second, is_second], dim=1)
    return torch.cat([(1 - of_class)[:, None] * of_group, of_class[:, None] * of_group], dim=1), y, s


@pytest.mark.parametrize("tolerance", [0.05, 0.1, 0.2])
def test_where_one_group_is_told_better_the_bank_attains_the_optimum_too(tolerance: float) -> None:
    """There the best classifier divides rows that are nearly alike, which a rule without dither takes or leaves."""
    probability, y, s = told_apart()
    cells = probability.double().numpy()
    rates = cells / cells.sum(axis=0)
    gain = (cells[:, 2:].sum(axis=1) - cells[:, :2].sum(axis=1)) / len(y)
    constant = float(cells[:, :2].sum() / len(y))
    best = constant + _largest_gain(gain, [rates[:, 0] - rates[:, 1], rates[:, 2] - rates[:, 3]], tolerance)
    fold = torch.arange(len(y)) % 3

    def chosen(**settings: float) -> Tensor:
        bank = choose(
            BiasScores(levels=(0.6 * tolerance, 0.8 * tolerance, tolerance), weights=(1.0,), **settings),  # type: ignore[arg-type]
            "eo", probability, y, s, fold, classes=2, groups=2, seed=0,
        )  # fmt: skip
        return decide(probability, bank.rules)[-1]

    decision = chosen()
    assert gap("eo", decision, y, s) <= tolerance
    assert abs(float((decision == y).double().mean()) - best) < 0.01
    assert gap("eo", chosen(dither=0.0), y, s) > 0.1, "whatever the tolerance"


def test_dither_is_distributed_like_independent_draws_of_gumbel() -> None:
    probability, _, _ = told_apart()
    drawn = dither(probability, 2).numpy()
    for one in drawn.T:
        assert kstest(one, gumbel_r.cdf).statistic < 0.02
    assert abs(spearmanr(drawn).statistic) < 0.03
    for cell in probability.T:
        assert abs(spearmanr(drawn[:, 0] - drawn[:, 1], cell).statistic) < 0.03, "it says nothing of the row"


def test_rounding_of_probabilities_hardly_changes_dither() -> None:
    probability, _, _ = told_apart()
    rounded = probability * (1 + 1e-7 * torch.randn(probability.shape, generator=torch.Generator().manual_seed(0)))
    assert float((dither(rounded, 2) - dither(probability, 2)).abs().quantile(0.999)) < 0.01
    assert float(dither(torch.eye(4), 2).abs().max()) < 9.3, "bounded"


def test_only_a_rule_that_misses_its_level_is_dithered() -> None:
    probability, y, s = told_apart()
    settings, fold = BiasScores(levels=(0.02, 0.4), weights=(1.0,), draws=4), torch.arange(len(y)) % 2
    tight, loose = choose(settings, "eo", probability, y, s, fold, classes=2, groups=2, seed=0).rules
    assert tight[4:].equal(torch.eye(2) / SHARPNESS)
    assert not loose[4:].any()


def test_dither_moves_scores_by_its_size() -> None:
    _, _, _, probability = distribution(6)
    rules = torch.randn(5, 4, 2, generator=torch.Generator().manual_seed(0))
    size = torch.linspace(0, 1, 5)
    moved = margins(probability, dithered(rules, size)) - margins(probability, rules)
    difference = dither(probability, 2) @ torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(moved, size[:, None] * difference, atol=1e-5, rtol=1e-5)
    shares = [share_divided(probability, one) for one in dithered(rules, size)]
    decided = [decide(probability, each) for each in (dithered(rules, size), rules)]
    assert shares == pytest.approx((decided[0] != decided[1]).double().mean(dim=1).tolist())
    assert shares[0] == 0 < shares[-1]


def test_of_two_classes_the_second_is_weighted_and_of_more_each_in_turn() -> None:
    settings = BiasScores(weights=(1.0, 2.0))
    assert bias_scores._weightings(settings, 2).tolist() == [[1, 1], [1, 2]]
    assert bias_scores._weightings(settings, 3).tolist() == [[1, 1, 1], [2, 1, 1], [1, 2, 1], [1, 1, 2]]
