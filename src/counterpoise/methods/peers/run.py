"""Every peer on every replicate, side by side: each by the function `fit` of the module of its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import groupby, product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.methods.cells import cell_sizes
from counterpoise.methods.heads.problem import HeadProblem
from counterpoise.methods.peers.estimators import Estimator, choose_estimator
from counterpoise.methods.peers.settings import EstimatorName, Input, Peer, Peers, peer_grid
from counterpoise.methods.peers.setup import Decide, Rows, Setup
from counterpoise.methods.repair import Result, prefixed
from counterpoise.nn import Examples

FEWEST = 2
"""Rows of a cell: one to learn from, one that is left out meanwhile."""

Base = tuple[Input, EstimatorName]
Data = Mapping[Input, Examples]


@dataclass(frozen=True)
class Outcome:
    """A classifier's results for m rows: the probability of class 1, or of predicting it, and its predictions.

    Of more than two classes, the probability is that of the predicted one.
    """

    score: Float32[Tensor, "m"]
    prediction: UInt8[Tensor, "m"]


Classifier = Callable[[Tensor, Tensor | None], Outcome]
"""(x [m, d], s [m] if it needs the group, else None) to the outcome of those rows."""


def run(problem: HeadProblem, settings: Peers, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Fit every peer on each replicate's training rows, many tasks side by side.

    A task is a replicate with all quick methods on one input and estimator, which share models, or one mixture of
    ExponentiatedGradient.

    Returns:
        The peers by name; their results for the validation rows as `validation.score` and `validation.prediction`
        [R, m]; as facts their settings, `max_iter` where there is one, and what each replicate chose on its validation
        rows: `C`, or `leaves` and `rounds`.

    Raises:
        InputError: see `require_rows` and `peer_grid`.
    """
    classes = len(problem.classes)
    grid = peer_grid(settings, columns=problem.columns is not None, classes=classes)
    require_rows(grid, problem)
    data: dict[Input, Examples] = {"features": problem.examples}
    if problem.columns is not None:
        data["columns"] = replace(problem.examples, x=problem.columns)
    replicates = range(len(problem.seeds))
    bases = sorted({(peer.input, peer.estimator) for peer in grid})
    choices = list(product(replicates, bases))
    chosen: list[Estimator] = problem.spread(choose, choices, shared=(data, problem.parts, settings, classes))
    estimators = dict(zip(choices, chosen, strict=True))
    tasks = list(product(replicates, _together(grid, settings)))
    outcomes: list[list[dict[str, Outcome]]] = problem.spread(
        fit_together,
        tasks,
        shared=(data, problem.parts, estimators, settings, len(problem.groups), classes, problem.seeds),
        on_done=problem.follow("peers", len(tasks)),
    )
    by_peer: dict[str, list[dict[str, Outcome]]] = {peer.name: [] for peer in grid}
    for (_, peers), fitted in zip(tasks, outcomes, strict=True):
        for peer, outcome in zip(peers, fitted, strict=True):
            by_peer[peer.name].append(outcome)
    return [
        _result(peer, by_peer[peer.name], [estimators[r, (peer.input, peer.estimator)] for r in replicates], settings)
        for peer in grid
    ]


def require_rows(peers: Sequence[Peer], problem: HeadProblem) -> None:
    """Raise InputError unless the peers can be fitted on the training rows of every replicate.

    All need rows of every class, and most no more than two of them. Some need rows of both in every group, since they
    set a threshold in each or draw balanced rows, twice over, since rows are left out in turn.
    """
    classes = len(problem.classes)
    for rows in problem.train:
        y, s = problem.examples.y[rows], problem.examples.s[rows]
        _require_rows(peers, y, s, groups=len(problem.groups), classes=classes)


def choose(
    task: tuple[int, Base], data: Data, members: Mapping[str, Int[Tensor, "R n"]], settings: Peers, classes: int
) -> Estimator:
    """Return the estimator that one replicate's validation rows prefer on one input: a task for `counterpoise.compute`.

    Args:
        data: by input. members: rows by part; those of all replicates.
    """
    r, (name, estimator) = task
    with _one_thread():
        train, validation = (_part(data[name], members[part], r) for part in ("train", "validation"))
        scale = _Scale.of(train.x) if estimator == "logistic" else None
        return _chosen(estimator, _rows(train, scale), _rows(validation, scale), settings, classes)


def fit_together(
    task: tuple[int, Sequence[Peer]],
    data: Data,
    members: Mapping[str, Int[Tensor, "R n"]],
    estimators: Mapping[tuple[int, Base], Estimator],
    settings: Peers,
    groups: int,
    classes: int,
    seeds: Sequence[int],
) -> list[dict[str, Outcome]]:
    """Fit peers of one input and estimator on one replicate's training rows: a task for `counterpoise.compute`.

    Args:
        task: which replicate, and the peers.
        data: by input. members: rows by part; those of all replicates.

    Returns:
        Of each peer the outcome in each part but train.
    """
    r, peers = task
    base = peers[0].input, peers[0].estimator
    with _one_thread():
        parts = {part: _part(data[base[0]], rows, r) for part, rows in members.items()}
        scale = _Scale.of(parts["train"].x) if base[1] == "logistic" else None
        train, validation = (_rows(parts[part], scale) for part in ("train", "validation"))
        setup = Setup(train, validation, estimators[r, base], settings, groups, seeds[r], classes)
        del parts["train"]
        outcomes = []
        for peer in peers:
            classify = _classifier(peer, setup, scale)
            outcomes.append(
                {name: classify(part.x, part.s if peer.needs_group else None) for name, part in parts.items()}
            )
        return outcomes


def _together(grid: Sequence[Peer], settings: Peers) -> list[tuple[Peer, ...]]:
    """Divide the grid into tasks: what takes long alone, all else with what it shares models with; long ones first."""
    slow = [peer for peer in grid if settings.budget(peer.method, peer.estimator)]
    rest = sorted((peer for peer in grid if peer not in slow), key=lambda peer: (peer.input, peer.estimator))
    boosted_first = sorted(slow, key=lambda peer: peer.estimator)
    return [
        *((peer,) for peer in boosted_first),
        *(tuple(peers) for _, peers in groupby(rest, key=lambda peer: (peer.input, peer.estimator))),
    ]


def _result(
    peer: Peer, outcomes: Sequence[Mapping[str, Outcome]], estimators: Sequence[Estimator], settings: Peers
) -> Result:
    def stacked(part: str) -> dict[str, Tensor]:
        return {
            name: torch.stack([getattr(outcome[part], name) for outcome in outcomes])
            for name in ("score", "prediction")
        }

    budget = settings.budget(peer.method, peer.estimator)
    facts: dict[str, Any] = peer.settings | {"max_iter": budget.max_iter if budget else None}
    for name in estimators[0].complexity:
        facts[name] = torch.tensor([estimator.complexity[name] for estimator in estimators], dtype=torch.float64)
    test = stacked("test")
    return Result(
        peer.name,
        test["score"].unsqueeze(-1),
        test["prediction"].long(),
        tensors=prefixed("validation", stacked("validation")),
        facts=facts,
    )


def _classifier(peer: Peer, setup: Setup, scale: _Scale | None) -> Classifier:
    fit: Callable[[Peer, Setup], Decide] = import_module(f"counterpoise.methods.peers.{peer.method}").fit
    decide = fit(peer, setup)

    def classify(x: Float[Tensor, "m d"], s: Int[Tensor, "m"] | None) -> Outcome:
        groups = s.numpy() if s is not None and peer.needs_group else None
        score, prediction = decide(x.numpy() if scale is None else scale(x), groups)
        return Outcome(
            torch.from_numpy(np.asarray(score, dtype=np.float32)),
            torch.from_numpy(np.asarray(prediction, dtype=np.uint8)),
        )

    return classify


def _chosen(name: EstimatorName, train: Rows, held: Rows, settings: Peers, classes: int) -> Estimator:
    return choose_estimator(
        name, train.x, train.y, held.x, held.y, C=settings.C, boosting=settings.boosting, classes=classes
    )


def _require_rows(
    peers: Sequence[Peer], y: Int[Tensor, "n"], s: Int[Tensor, "n"], *, groups: int, classes: int
) -> None:
    there = sorted(set(y.tolist()))
    if there != list(range(classes)):
        expected = "both 0 and 1" if classes == 2 else f"all of 0 to {classes - 1}"
        raise InputError(f"samples: the training rows have the classes {there} in column y, expected {expected}")
    sizes = cell_sizes(y, s, groups=groups, classes=classes)
    few = (sizes < FEWEST).nonzero().tolist()
    for peer in peers:
        if classes > 2 and peer.row.binary:
            raise InputError(f"peer {peer.name}: is defined for two classes, expected no more of them, found {classes}")
        if few and peer.row.needs_cells:
            group, label = few[0]
            raise InputError(
                f"samples: the training part has {int(sizes[group, label])} rows of y = {label} among s = {group}, "
                f"expected {FEWEST} or more, for the peer {peer.name}"
            )


@dataclass(frozen=True, eq=False)
class _Scale:
    """Standardises by the training rows; what does not vary there is centred alone."""

    mean: Float[Tensor, "d"]
    deviation: Float[Tensor, "d"]

    @classmethod
    def of(cls, x: Float[Tensor, "n d"]) -> _Scale:
        exact = x.double()
        deviation = exact.std(dim=0, correction=0)
        varies = deviation > 10 * torch.finfo(x.dtype).eps * exact.abs().amax(dim=0)
        return cls(exact.mean(dim=0), torch.where(varies, deviation, torch.ones_like(deviation)))

    def __call__(self, x: Float[Tensor, "m d"]) -> np.ndarray:
        return np.asarray(((x.double() - self.mean) / self.deviation).float().numpy())


def _rows(examples: Examples, scale: _Scale | None) -> Rows:
    x = examples.x.numpy() if scale is None else scale(examples.x)
    unit = None if examples.unit is None else examples.unit.numpy()
    return Rows(x, examples.y.numpy(), examples.s.numpy(), unit)


def _part(data: Examples, members: Int[Tensor, "R n"], r: int) -> Examples:
    """Return rows of a replicate as it sees them."""
    single, rows = data.replicate(r), members[r]
    return Examples(single.x[rows], single.y[rows], single.s[rows], single.units(rows))


def _one_thread() -> AbstractContextManager[Any]:
    """Keep numpy's and scikit-learn's libraries on one thread: the same sums in the same order on every backend."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(1)
