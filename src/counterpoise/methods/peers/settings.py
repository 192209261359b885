"""Which peers are fitted, in which settings, and how much each may cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from counterpoise.bounds import Count, Inside, NotNegative, Positive, Values, require_increasing
from counterpoise.catalogue import Method, methods_of, require_names
from counterpoise.errors import InputError, shown
from counterpoise.methods.heads.penalties import CONSTRAINTS, Constraint

Input = Literal["features", "columns"]
EstimatorName = Literal["logistic", "boosted"]
ALL_ESTIMATORS: tuple[EstimatorName, ...] = get_args(EstimatorName)
INPUTS: tuple[Input, ...] = get_args(Input)
ESTIMATORS: dict[Input, tuple[EstimatorName, ...]] = {"features": ("logistic",), "columns": ("logistic", "boosted")}
"""What people fit on each kind of input: trees stand on the columns of a table."""

_ROWS = methods_of("peers")
PEERS = tuple(_ROWS)
BINARY = tuple(name for name, row in _ROWS.items() if row.binary)
"""Methods that are defined for two classes alone."""


@dataclass(frozen=True)
class Boosting:
    """Gradient-boosted trees (LightGBM): the leaves of a tree that validation rows prefer, and at most so many rounds.

    patience: rounds without a lower log loss on the validation rows after which no more are added.
    """

    leaves: Values[Count] = (4, 12, 31)
    rounds: Count = 500
    patience: Count = 20
    learning_rate: Inside = 0.1

    def __post_init__(self) -> None:
        require_increasing("leaves", self.leaves)
        if self.leaves[0] < 2:
            raise InputError(f"leaves has {self.leaves[0]}, expected 2 or more: a tree of one leaf is a constant")


@dataclass(frozen=True)
class Reduction:
    """What ExponentiatedGradient may cost with one estimator: so many tolerances, each of so many iterations."""

    max_iter: Count = 50
    tolerances: Values[Positive] = (0.01, 0.02, 0.05, 0.1, 0.2)

    def __post_init__(self) -> None:
        require_increasing("tolerances", self.tolerances)


@dataclass(frozen=True)
class Reductions:
    """ExponentiatedGradient by estimator; None: not run with it."""

    logistic: Reduction | None = Reduction()
    boosted: Reduction | None = Reduction(max_iter=10, tolerances=(0.01, 0.05))


@dataclass(frozen=True)
class Peers:
    """Which methods, on which inputs and estimators, in which settings.

    Attributes:
        inputs: `features` that the frozen base gives, and `columns` of a table; images have none of the latter.
        tolerances: of the post-processing methods, one variant for each and for each constraint; a bound of ΔDP or ΔEO.
            A method with a field of its own name has the strengths, or the budget, that stand there.
        C: inverse strength of the logistic regressions' L2 penalty; None: each replicate takes, for all of its peers on
            one input, the one at which plain logistic regression has the lowest log loss on its validation rows.
        boosting: how trees are chosen. exponentiated_gradient: its budget.
        hsic: strengths of its penalty.
        draws: balanced subsamples over which `balanced_refit` averages.
        folds: of the training rows, each scored by a model that has not seen it, on which thresholds and multipliers
            are set.

    Raises:
        InputError: an unknown method, or a value twice; numbers that do not increase.
    """

    methods: Values[str] = PEERS
    inputs: Values[Input] = INPUTS
    estimators: Values[EstimatorName] = ALL_ESTIMATORS
    tolerances: Values[Positive] = (0.01, 0.02, 0.05, 0.1, 0.2)
    C: Positive | None = None
    boosting: Boosting = Boosting()
    exponentiated_gradient: Reductions = Reductions()
    hsic: Values[NotNegative] = (0.3, 1.0, 3.0, 10.0, 30.0)
    draws: Count = 10
    folds: Count = 3

    def __post_init__(self) -> None:
        require_names(self.methods, PEERS)
        require_increasing("tolerances", self.tolerances)
        require_increasing("hsic", self.hsic)
        for name, values in (("inputs", self.inputs), ("estimators", self.estimators)):
            if len(set(values)) < len(values):
                raise InputError(f"{name} is {shown(list(values))}, expected each value once")
        if self.folds == 1:
            raise InputError("folds is 1, expected 2 or more: the rows of a fold are scored by what the others taught")

    def budget(self, method: str, estimator: EstimatorName) -> Reduction | None:
        """Return what a method may cost with an estimator; None if it has no budget of its own, or is not run."""
        budgets = getattr(self, method, None)
        return getattr(budgets, estimator) if isinstance(budgets, Reductions) else None


@dataclass(frozen=True)
class Peer:
    """A method with its settings; `strength` is a tolerance, for `hsic` the weight of its penalty."""

    method: str
    input: Input = "features"
    estimator: EstimatorName = "logistic"
    constraint: Constraint | None = None
    strength: float | None = None

    @property
    def name(self) -> str:
        """A name that says the settings: `leace_features_logistic`, `error_parity_columns_boosted_eo_0.05`."""
        settings = (self.constraint, None if self.strength is None else f"{self.strength:g}")
        return "_".join([self.method, self.input, self.estimator, *filter(None, settings)])

    @property
    def settings(self) -> dict[str, Any]:
        """The settings under the column names of `metrics.parquet`, and what the choice among peers goes by.

        `scores`: whether the score is the model's degree of belief in class 1, on which other decision thresholds may
        be tried; methods that need the group have set thresholds for each group.
        """
        return {
            "method": self.method,
            "input": self.input,
            "estimator": self.estimator,
            "alpha": None,
            "rank": None,
            "constraint": self.constraint,
            "strength": self.strength,
            "needs_group": self.needs_group,
            "scores": not self.needs_group,
        }

    @property
    def bound(self) -> tuple[Constraint, float]:
        """The constraint and its strength; raises InputError where the method needs both and one is missing."""
        if self.constraint is None or self.strength is None:
            raise InputError(f"peer {self.name}: has no constraint or no strength, expected both")
        return self.constraint, self.strength

    @property
    def row(self) -> Method:
        """Its method's row of the catalogue."""
        return _ROWS[self.method]

    @property
    def needs_group(self) -> bool:
        """Whether it asks for the group of everyone whom it classifies."""
        return self.row.needs_group


def peer_grid(settings: Peers, *, columns: bool, classes: int = 2) -> list[Peer]:
    """Expand settings into peers, by name; of more than two classes those that are defined for them.

    Args:
        columns: whether the data have columns beside their features.

    Raises:
        InputError: the settings leave none.
    """
    inputs = [name for name in settings.inputs if name != "columns" or columns]
    bases = [(name, estimator) for name in inputs for estimator in settings.estimators if estimator in ESTIMATORS[name]]
    peers = [
        Peer(method, name, estimator, constraint, strength)
        for method in settings.methods
        for name, estimator in bases
        if (estimator == "logistic" or not _ROWS[method].linear) and (classes == 2 or not _ROWS[method].binary)
        for constraint, strength in _variants(method, estimator, settings)
    ]
    if not peers:
        there = "of a table, boosted trees on its columns alone" if columns else "here, where there are no columns"
        there += f", and is defined for {classes} classes" if classes > 2 else ""
        raise InputError(
            f"peers: methods {shown(list(settings.methods))} with inputs {shown(list(settings.inputs))} and estimators "
            f"{shown(list(settings.estimators))} leave no peer, expected at least one that stands on the inputs {there}"
        )
    return sorted(peers, key=lambda peer: peer.name)


def _variants(
    method: str, estimator: EstimatorName, settings: Peers
) -> Iterator[tuple[Constraint | None, float | None]]:
    row, strengths = _ROWS[method], getattr(settings, method, settings.tolerances)
    if not row.constrained:
        yield None, None
        return
    if isinstance(strengths, Reductions):
        budget = settings.budget(method, estimator)
        strengths = budget.tolerances if budget else ()
    for constraint in CONSTRAINTS:
        for strength in (None,) if row.exact else strengths:
            yield constraint, strength
