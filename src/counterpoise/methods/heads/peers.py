"""What people use today for a fairer linear classifier, on the same features as ours: scikit-learn and fairlearn.

    classify = fit_peer(Peer("exponentiated_gradient", "eo", 0.05), Examples(x, y, s))
    outcome = classify(x_test, None)

Two classes, 0 and 1; two groups or more. All of them stand on one logistic regression of standardised features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from counterpoise.bounds import Count, Positive, Values, require_increasing
from counterpoise.catalogue import methods_of, require_names
from counterpoise.errors import InputError
from counterpoise.methods.cells import cell_sizes, require_cells
from counterpoise.methods.heads.erasure import fit_eraser
from counterpoise.methods.heads.penalties import CONSTRAINTS, Constraint
from counterpoise.methods.heads.problem import HeadProblem
from counterpoise.methods.repair import Result, prefixed
from counterpoise.nn import Examples

_ROWS = methods_of("peers")
PEERS = tuple(_ROWS)

LOGISTIC_ITERATIONS = 1000


@dataclass(frozen=True)
class Peers:
    """Which methods, in which settings.

    Attributes:
        tolerances: of exponentiated_gradient, one variant for each and for each constraint.
        max_iter: its iterations.
        C: inverse strengths of the logistic regressions' L2 penalty. Of several, each replicate takes for all of its
            peers the one at which plain logistic regression has the lowest log loss on its validation rows.

    Raises:
        InputError: an unknown method, or one twice; numbers that do not increase.
    """

    methods: Values[str] = PEERS
    tolerances: Values[Positive] = (0.01, 0.02, 0.05, 0.1, 0.2)
    max_iter: Count = 50
    C: Values[Positive] = (0.0001, 0.001, 0.01, 0.1, 1.0)

    def __post_init__(self) -> None:
        require_names(self.methods, PEERS)
        require_increasing("tolerances", self.tolerances)
        require_increasing("C", self.C)


@dataclass(frozen=True)
class Peer:
    """A method with its settings.

    logistic: plain logistic regression, what the others are measured against.
    reweighing: the same with weights that make group and class independent (Kamiran and Calders 2012).
    leace: the same after erasing the group linearly from the features (Belrose et al. 2023).
    exponentiated_gradient: a mixture of weighted logistic regressions (Agarwal et al. 2018, fairlearn). `tolerance` is
        fairlearn's `difference_bound`: how far any group's rate may lie from the overall rate on the training rows, so
        that two groups may lie up to twice as far from each other.
    threshold_optimizer: a randomised threshold for each group, chosen on the training rows (Hardt et al. 2016,
        fairlearn). It asks for the group of everyone whom it classifies.
    """

    method: str
    constraint: Constraint | None = None
    tolerance: float | None = None

    @property
    def name(self) -> str:
        """A name that says the settings: `leace`, `threshold_optimizer_dp`, `exponentiated_gradient_eo_0.05`."""
        settings = (self.constraint, None if self.tolerance is None else f"{self.tolerance:g}")
        return "_".join([self.method, *filter(None, settings)])

    @property
    def settings(self) -> dict[str, Any]:
        """The settings under the column names of `metrics.parquet`."""
        return {
            "method": self.method,
            "alpha": None,
            "rank": None,
            "constraint": self.constraint,
            "strength": self.tolerance,
        }

    @property
    def needs_group_at_prediction(self) -> bool:
        return _ROWS[self.method].needs_group


@dataclass(frozen=True)
class Outcome:
    """What a classifier says of m rows: its probability of predicting class 1 or of class 1, and what it predicts."""

    score: Float32[Tensor, "m"]
    prediction: UInt8[Tensor, "m"]


Classifier = Callable[[Tensor, Tensor | None], Outcome]
"""(x [m, d], s [m] if it needs the group, else None) to the outcome of those rows."""

_Decide = Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray]]


def peer_grid(methods: Sequence[str], tolerances: Sequence[float]) -> list[Peer]:
    """Expand settings into peers: constraints where a method has them, tolerances where it has those too."""
    peers: list[Peer] = []
    for method in methods:
        if method == "exponentiated_gradient":
            peers += [Peer(method, constraint, tolerance) for constraint in CONSTRAINTS for tolerance in tolerances]
        elif method == "threshold_optimizer":
            peers += [Peer(method, constraint) for constraint in CONSTRAINTS]
        else:
            peers.append(Peer(method))
    return peers


def run(problem: HeadProblem, settings: Peers, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Fit every peer on each replicate's training rows, one task per replicate and peer, side by side.

    Returns:
        The peers by name, what they say of the validation rows as `validation.score` and `validation.prediction`
        [R, m]; as facts their settings, and the C that each replicate chose.

    Raises:
        InputError: see `require_rows`.
    """
    grid = sorted(peer_grid(settings.methods, settings.tolerances), key=lambda peer: peer.name)
    data = problem.examples
    for rows in problem.train:
        require_rows(grid, data.y[rows], data.s[rows], groups=len(problem.groups))
    replicates = range(len(problem.seeds))
    C: list[float] = problem.spread(
        choose_replicate_regularization, replicates, shared=(data, problem.parts, settings.C)
    )
    tasks = list(product(replicates, grid))
    outcomes: list[dict[str, Outcome]] = problem.spread(
        fit_replicate,
        tasks,
        shared=(data, problem.parts, C, settings.max_iter, problem.seeds),
        on_done=problem.follow("peers", len(tasks)),
    )

    def stacked(part: str, v: int) -> dict[str, Tensor]:
        answers = [outcome[part] for outcome in outcomes[v :: len(grid)]]
        return {name: torch.stack([getattr(outcome, name) for outcome in answers]) for name in ("score", "prediction")}

    results = []
    for v, peer in enumerate(grid):
        test = stacked("test", v)
        results.append(
            Result(
                peer.name,
                test["score"].unsqueeze(-1),
                test["prediction"].long(),
                tensors=prefixed("validation", stacked("validation", v)),
                facts=peer.settings | {"C": torch.tensor(C, dtype=torch.float64)},
            )
        )
    return results


def fit_peer(peer: Peer, train: Examples, *, C: float = 1.0, max_iter: int = 50, seed: int = 0) -> Classifier:
    """Fit one peer on the training rows (x [n, d]).

    Args:
        C: inverse strength of the logistic regression's L2 penalty, as in scikit-learn.
        max_iter: iterations of exponentiated_gradient.
        seed: of the randomised predictions; the same rows in the same order get the same ones.

    Returns:
        The classifier. The score is the probability of class 1; for exponentiated_gradient and threshold_optimizer it
        is that of *predicting* 1 (of the mixture, of the randomised thresholds), and the prediction is drawn with that
        probability, as fairlearn does. Only where `peer.needs_group_at_prediction` does it look at the groups.

    Raises:
        InputError: a single class, or a cell without rows that the method needs; see `require_rows`. The classifier
            raises it for rows without groups, or of groups that it has not seen, where it needs them.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    require_rows([peer], train.y, train.s, groups=int(train.s.max()) + 1)
    scaler = StandardScaler()
    x, y, s = scaler.fit_transform(train.x.numpy()), train.y.numpy(), train.s.numpy()
    logistic = LogisticRegression(C=C, max_iter=LOGISTIC_ITERATIONS)
    if peer.method == "exponentiated_gradient":
        decide = _exponentiated_gradient(logistic, peer, x, y, s, max_iter=max_iter, seed=seed)
    elif peer.method == "threshold_optimizer":
        decide = _threshold_optimizer(logistic, peer, x, y, s, seed=seed)
    elif peer.method == "leace":
        decide = _leace(logistic, x, y, train.s)
    else:
        weight = reweighing(train.y, train.s).numpy() if peer.method == "reweighing" else None
        decide = _logistic(logistic.fit(x, y, sample_weight=weight))

    def classify(x: Float[Tensor, "m d"], s: Int[Tensor, "m"] | None) -> Outcome:
        groups = s.numpy() if s is not None and peer.needs_group_at_prediction else None
        score, prediction = decide(scaler.transform(x.numpy()), groups)
        return Outcome(
            torch.from_numpy(np.asarray(score, dtype=np.float32)),
            torch.from_numpy(np.asarray(prediction, dtype=np.uint8)),
        )

    return classify


def choose_regularization(train: Examples, validation: Examples, candidates: Sequence[float]) -> float:
    """Return the C at which plain logistic regression has the lowest log loss on the validation rows.

    Ties go to the first. With many features the default of 1 overfits, and every peer would look worse than it is.
    """
    if len(candidates) == 1:
        return candidates[0]
    labels = validation.y.float()
    losses = [
        binary_cross_entropy(fit_peer(Peer("logistic"), train, C=C)(validation.x, None).score, labels).item()
        for C in candidates
    ]
    return candidates[losses.index(min(losses))]


def reweighing(y: Int[Tensor, "n"], s: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Return the weight P(s) P(y) / P(s, y) of every row (Kamiran and Calders 2012, Section 4.3), float64.

    Weighted by it, the classes are shared out alike in every group, and neither groups nor classes change their size.
    """
    table = cell_sizes(y, s, groups=int(s.max()) + 1, classes=int(y.max()) + 1).double()
    independent = table.sum(dim=1, keepdim=True) * table.sum(dim=0, keepdim=True) / len(y)
    return independent[s, y] / table[s, y]


def require_rows(peers: Sequence[Peer], y: Int[Tensor, "n"], s: Int[Tensor, "n"], *, groups: int) -> None:
    """Raise InputError unless the peers can be fitted on training rows with these classes and groups.

    All need both classes; threshold_optimizer needs both in every group, since it sets a threshold in each.
    """
    classes = sorted(set(y.tolist()))
    if classes != [0, 1]:
        raise InputError(f"samples: the training rows have the classes {classes} in column y, expected both 0 and 1")
    for peer in peers:
        if peer.method == "threshold_optimizer":
            require_cells(
                y,
                s,
                groups=groups,
                classes=2,
                where="samples: the training part",
                why=f"for the peer {peer.name}, which sets a threshold in every group",
            )


def choose_replicate_regularization(
    r: int, data: Examples, members: Mapping[str, Int[Tensor, "R n"]], candidates: Sequence[float]
) -> float:
    """Return `choose_regularization` of one replicate: a task for `counterpoise.compute`.

    Args:
        data, members: those of all replicates; `members` (part → rows) has train and validation.
    """
    with _one_thread():
        return choose_regularization(
            _part(data, members["train"], r), _part(data, members["validation"], r), candidates
        )


def fit_replicate(
    task: tuple[int, Peer],
    data: Examples,
    members: Mapping[str, Int[Tensor, "R n"]],
    C: Sequence[float],
    max_iter: int,
    seeds: Sequence[int],
) -> dict[str, Outcome]:
    """Fit one peer on one replicate's training rows, and classify the others: a task for `counterpoise.compute`.

    Args:
        task: which replicate, and the peer.
        data, members, C, seeds: those of all replicates; `members` (part → rows) has train and the parts to classify.

    Returns:
        The outcome in each part but train.
    """
    r, peer = task
    with _one_thread():
        classify = fit_peer(peer, _part(data, members["train"], r), C=C[r], max_iter=max_iter, seed=seeds[r])
        others = {name: _part(data, rows, r) for name, rows in members.items() if name != "train"}
        return {
            name: classify(part.x, part.s if peer.needs_group_at_prediction else None) for name, part in others.items()
        }


def _part(data: Examples, members: Int[Tensor, "R n"], r: int) -> Examples:
    """Return rows of a replicate as it sees them."""
    single, rows = data.replicate(r), members[r]
    return Examples(single.x[rows], single.y[rows], single.s[rows])


def _one_thread() -> AbstractContextManager[Any]:
    """Keep numpy's and scikit-learn's libraries on one thread: the same sums in the same order on every backend."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(1)


def _logistic(model: Any) -> _Decide:
    return lambda x, _: (model.predict_proba(x)[:, 1], model.predict(x))


def _leace(logistic: Any, x: np.ndarray, y: np.ndarray, s: Int[Tensor, "n"]) -> _Decide:
    eraser = fit_eraser(torch.from_numpy(x), s)
    decide = _logistic(logistic.fit(eraser(torch.from_numpy(x)).numpy(), y))
    return lambda x, s: decide(eraser(torch.from_numpy(x)).numpy(), s)


def _exponentiated_gradient(
    logistic: Any, peer: Peer, x: np.ndarray, y: np.ndarray, s: np.ndarray, *, max_iter: int, seed: int
) -> _Decide:
    from fairlearn.reductions import DemographicParity, EqualizedOdds, ExponentiatedGradient

    parity = DemographicParity if peer.constraint == "dp" else EqualizedOdds
    model = ExponentiatedGradient(logistic, parity(difference_bound=peer.tolerance), max_iter=max_iter)
    model.fit(x, y, sensitive_features=s)
    # fairlearn has no public name for the probability that `predict` draws with.
    return lambda x, _: (model._pmf_predict(x)[:, 1], model.predict(x, random_state=seed))


def _threshold_optimizer(
    logistic: Any, peer: Peer, x: np.ndarray, y: np.ndarray, s: np.ndarray, *, seed: int
) -> _Decide:
    from fairlearn.postprocessing import ThresholdOptimizer

    parity = "demographic_parity" if peer.constraint == "dp" else "equalized_odds"
    model = ThresholdOptimizer(estimator=logistic, constraints=parity, predict_method="predict_proba")
    # float64: fairlearn fails on float32 scores with pandas 3.
    model.fit(x.astype(np.float64), y, sensitive_features=s)
    seen = set(s.tolist())

    def decide(x: np.ndarray, s: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        if s is None:
            raise InputError(f"{peer.name}: the rows come without their groups, which it needs to classify them")
        if unseen := sorted(set(s.tolist()) - seen):
            raise InputError(f"{peer.name}: found s = {unseen[0]}, expected one of {sorted(seen)}, as in training")
        exact = x.astype(np.float64)
        score = model._pmf_predict(exact, sensitive_features=s)[:, 1]
        return score, model.predict(exact, sensitive_features=s, random_state=seed)

    return decide
