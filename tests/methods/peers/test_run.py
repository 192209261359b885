"""Every peer on every replicate, and one of them on rows at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from tests.support.peers import fit_peer

from counterpoise.errors import InputError
from counterpoise.methods.heads.problem import HeadProblem
from counterpoise.methods.peers.estimators import Logistic
from counterpoise.methods.peers.run import require_rows, run
from counterpoise.methods.peers.settings import BINARY, PEERS, Peer, peer_grid
from counterpoise.methods.repair import Result
from counterpoise.nn import Examples

from .conftest import SMALL, N, draw

GRID = peer_grid(SMALL, columns=True)
ONCE = [peer for peer in GRID if peer.input == "columns"]


@pytest.fixture(scope="module")
def problem() -> HeadProblem:
    """Two replicates with features of their own, and columns that they share."""
    generator = torch.Generator().manual_seed(20240301)
    data = draw(generator, 2)
    order = torch.stack([torch.randperm(N, generator=generator) for _ in range(2)])
    train, validation, test = order.split([240, 80, 80], dim=1)
    features = torch.stack([data.x[:, :3], data.x[:, :3].square()])
    return HeadProblem(
        title="drawn",
        examples=Examples(features, data.y, data.s),
        columns=data.x,
        train=train,
        validation=validation,
        test=test,
        seeds=(0, 1),
        groups=("a", "b"),
        classes=("no", "yes"),
    )


@pytest.fixture(scope="module")
def results(problem: HeadProblem) -> dict[str, Result]:
    """Every peer on the problem, by name."""
    return {result.name: result for result in run(problem, SMALL, {})}


@pytest.fixture(scope="module")
def three(problem: HeadProblem) -> HeadProblem:
    """The problem with three classes."""
    assert problem.columns is not None
    y = problem.examples.y + (problem.columns[:, 1] > 102).long()
    return replace(problem, examples=replace(problem.examples, y=y), classes=("no", "maybe", "yes"))


@pytest.fixture(scope="module")
def results_of_three(three: HeadProblem) -> dict[str, Result]:
    return {result.name: result for result in run(three, SMALL, {})}


def changed(one: list[Result], other: list[Result]) -> set[str]:
    """Return the names of results whose scores or predictions are not the same to the bit."""
    assert [result.name for result in one] == [result.name for result in other]
    return {
        first.name
        for first, second in zip(one, other, strict=True)
        if not torch.equal(first.score, second.score)
        or not torch.equal(first.prediction, second.prediction)
        or any(not torch.equal(tensor, second.tensors[name]) for name, tensor in first.tensors.items())
    }


@cache
def fitted(peer: Peer, groups: int) -> Callable[..., Any]:
    """Return a peer fitted on the rows of the fixtures `train` and `test`."""
    generator = torch.Generator().manual_seed(20240301)
    return fit_peer(peer, draw(generator, groups), draw(generator, groups, 300), settings=SMALL, seed=5)


@pytest.mark.parametrize("peer", ONCE, ids=lambda peer: peer.name)
def test_every_peer_classifies_better_than_the_majority(peer: Peer, train: Examples, test: Examples) -> None:
    """Turned-round classes or scores would be worse than chance. The same rows get the same answer again."""
    classify = fitted(peer, int(train.s.max()) + 1)
    outcome, again = (classify(test.x, test.s) for _ in range(2))
    assert torch.equal(outcome.score, again.score)
    assert torch.equal(outcome.prediction, again.prediction)
    majority = max(test.y.double().mean().item(), 1 - test.y.double().mean().item())
    assert (outcome.prediction == test.y).double().mean() > majority
    assert outcome.score[test.y == 1].mean() > outcome.score[test.y == 0].mean() + 0.1
    assert ((outcome.score >= 0) & (outcome.score <= 1)).all()


def test_groups_are_asked_for_only_where_a_peer_says_so(train: Examples, generator: torch.Generator) -> None:
    shuffled = train.s[torch.randperm(N, generator=generator)]
    for peer in ONCE:
        classify = fitted(peer, int(train.s.max()) + 1)
        first, second = (classify(train.x, s).prediction for s in (train.s, shuffled))
        assert torch.equal(first, second) != peer.needs_group, peer.name


def test_the_scale_of_the_inputs_does_not_matter_to_what_is_standardised(train: Examples, test: Examples) -> None:
    """A dead unit neither, though its mean is not exactly its value."""
    dead = [torch.cat([data.x * 1000 - 7, torch.full((len(data.y), 1), 0.1)], dim=1) for data in (train, test)]
    plain = fit_peer(Peer("plain"), train)(test.x, None).score
    scaled = fit_peer(Peer("plain"), Examples(dead[0], train.y, train.s))(dead[1], None).score
    torch.testing.assert_close(plain, scaled, atol=1e-3, rtol=0)


class TestRun:
    def test_results_say_their_settings(self, results: dict[str, Result]) -> None:
        assert list(results) == [peer.name for peer in GRID]
        for peer in GRID:
            result = results[peer.name]
            facts = {name: value for name, value in result.facts.items() if not isinstance(value, torch.Tensor)}
            assert facts | {"max_iter": None} == peer.settings | {"max_iter": None}
            assert result.score.shape == (2, 80, 1)
            assert result.tensors["validation.score"].shape == (2, 80)
        budget = {name: result.facts["max_iter"] for name, result in results.items() if result.facts["max_iter"]}
        assert set(budget) == {name for name in results if name.startswith("exponentiated_gradient")}
        assert {budget[name] for name in budget if "boosted" in name} == {2}
        chosen = results["plain_features_logistic"].facts["C"]
        assert chosen[0] != chosen[1], "replicates choose by themselves"
        assert results["plain_columns_boosted"].facts["rounds"].shape == (2,)

    def test_is_what_fit_peer_does(self, problem: HeadProblem, results: dict[str, Result]) -> None:
        """Models that peers share in a task are those that each would fit."""
        data = {"features": problem.examples.x[1], "columns": problem.columns}
        for peer in GRID:
            parts = [
                Examples(data[peer.input][rows], problem.examples.y[rows], problem.examples.s[rows])
                for rows in (problem.train[1], problem.validation[1], problem.test[1])
            ]
            outcome = fit_peer(peer, parts[0], parts[1], settings=SMALL, seed=1)(parts[2].x, parts[2].s)
            assert torch.equal(outcome.prediction.long(), results[peer.name].prediction[1]), peer.name

    def test_labels_of_test_rows_are_never_looked_at(self, problem: HeadProblem) -> None:
        settings = replace(SMALL, methods=("plain", "linear_postprocessing", "error_parity", "balanced_refit"))
        before = run(problem, settings, {})
        for rows, everything in ((problem.test, False), (problem.train, True)):
            y = problem.examples.y.clone()
            used = rows[0][~torch.isin(rows[0], torch.cat([problem.train[1], problem.validation[1]]))]
            used = used if not everything else rows[0]
            y[used] = 1 - y[used]
            other = replace(problem, examples=Examples(problem.examples.x, y, problem.examples.s))
            assert (changed(before, run(other, settings, {})) == {result.name for result in before}) == everything

    def test_images_stand_on_features_alone(self, problem: HeadProblem) -> None:
        settings = replace(SMALL, methods=("plain",))
        (result,) = run(replace(problem, columns=None), settings, {})
        assert result.name == "plain_features_logistic"


class TestRowsThatCannotBeFitted:
    @pytest.mark.parametrize("method", PEERS)
    def test_a_single_class(self, train: Examples, method: str) -> None:
        ones = Examples(train.x, torch.ones_like(train.y), train.s)
        with pytest.raises(InputError, match=r"the classes \[1\] in column y, expected both 0 and 1"):
            fit_peer(Peer(method, constraint="dp", strength=0.1), ones)

    def test_an_empty_cell(self, train: Examples) -> None:
        """Nobody of the last group is of class 1."""
        last = int(train.s.max())
        y = torch.where(train.s == last, 0, train.y)
        for peer in (peer for peer in GRID if peer.input == "features"):
            if peer.row.needs_cells:
                with pytest.raises(
                    InputError, match=rf"has 0 rows of y = 1 among s = {last}, expected 2 .* {peer.name}"
                ):
                    fit_peer(peer, Examples(train.x, y, train.s))
            else:
                outcome = fit_peer(peer, Examples(train.x, y, train.s), settings=SMALL)(train.x, None)
                assert outcome.score.isfinite().all()

    def test_two_rows_of_a_cell_are_enough(self, generator: torch.Generator) -> None:
        """Each is scored by what the other has taught."""
        data = draw(generator, 2)
        rare = (data.s == 0) & (data.y == 1)
        members = torch.cat([(~rare).nonzero()[:, 0], rare.nonzero()[:2, 0]])
        few = Examples(data.x[members], data.y[members], data.s[members])
        for peer in (peer for peer in ONCE if peer.row.needs_cells):
            assert fit_peer(peer, few, settings=SMALL)(few.x, few.s).score.isfinite().all()

    def test_a_group_that_has_no_rows(self, problem: HeadProblem) -> None:
        wider = replace(problem, groups=("a", "b", "c"))
        require_rows([Peer("leace")], wider)
        with pytest.raises(InputError, match=r"has 0 rows of y = 0 among s = 2, expected 2 or more"):
            require_rows([Peer("error_parity", constraint="eo", strength=0.1)], wider)

    def test_peers_of_two_classes_alone_are_refused_more(self, train: Examples) -> None:
        three = replace(train, y=train.y + (train.x[:, 1] > 100).long())
        for peer in (peer for peer in GRID if peer.method in BINARY):
            with pytest.raises(InputError, match=rf"peer {peer.name}: is defined for two classes, .* found 3"):
                fit_peer(peer, three)


class TestMoreClasses:
    def test_peers_that_are_defined_for_them_are_fitted(
        self, three: HeadProblem, results_of_three: dict[str, Result]
    ) -> None:
        methods = {str(result.facts["method"]) for result in results_of_three.values()}
        assert methods == set(PEERS) - set(BINARY) == {"plain", "reweighing", "leace"}
        majority = torch.bincount(three.examples.y).max() / N
        for result in results_of_three.values():
            right = (result.prediction == three.examples.y[three.test]).double().mean(dim=1)
            assert (right > majority).all() or "features" in result.name
            assert set(result.prediction.unique().tolist()) == {0, 1, 2}
            assert (result.score >= 1 / 3 - 1e-6).all()

    def test_weights_make_a_difference(self, results_of_three: dict[str, Result]) -> None:
        plain, weighted = (results_of_three[f"{name}_columns_logistic"].score for name in ("plain", "reweighing"))
        assert not plain.equal(weighted)

    def test_settings_without_such_a_peer(self) -> None:
        with pytest.raises(InputError, match=r"leave no peer, expected at least one .* is defined for 3 classes"):
            peer_grid(replace(SMALL, methods=("hsic", "error_parity")), columns=True, classes=3)


def test_a_strength_that_is_given_is_not_searched_for(train: Examples, test: Examples) -> None:
    fixed = fit_peer(Peer("plain"), train, test, settings=replace(SMALL, C=0.01))(test.x, None)
    expected = fit_peer(Peer("plain"), train, estimator=Logistic(0.01))(test.x, None)
    assert torch.equal(fixed.score, expected.score)
