"""What peers stand on: logistic regression and gradient-boosted trees, no larger than validation rows ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from counterpoise.methods.peers.settings import Boosting, EstimatorName

LOGISTIC_ITERATIONS = 1000

START, DECADE, HALF = 1e-2, 10.0, 10.0**0.5
"""Where the search for C begins, and the factors by which it goes on."""

C_BOUNDS = (1e-10, 1e10)
"""A penalty that leaves nothing, and one that leaves everything; beyond them the loss does not change."""

SAME_LOSS = 1e-4
"""Log losses, in nats per row, whose difference is ignored."""

COMPLEXITIES = ("C", "leaves", "rounds")
"""What validation rows may choose, by name."""

Model = Callable[[np.ndarray], np.ndarray]
"""x [m, d] to the probability of every class [m, k]."""


@runtime_checkable
class Estimator(Protocol):
    """A way to fit a classifier, with its complexity."""

    def fit(
        self,
        x: Float[np.ndarray, "n d"],
        target: Int[np.ndarray, "n"],
        *,
        weight: Float[np.ndarray, "n"] | None = None,
        classes: int = 2,
    ) -> Model:
        """Fit to the classes 0 … `classes` − 1; one that has no row gets a probability of zero, or nearly."""
        ...

    @property
    def complexity(self) -> dict[str, float]:
        """What validation rows have chosen, by name."""
        ...


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Softmax of x W + b; of two classes the first has zeros, so that the second column is logistic regression."""

    weight: Float[np.ndarray, "d k"]
    bias: Float[np.ndarray, "k"]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        logits = x.astype(np.float64) @ self.weight + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    @classmethod
    def binary(cls, weight: Float[np.ndarray, "d"], bias: float) -> LinearModel:
        """Return the model whose log odds are x · weight + bias."""
        return cls(np.stack([np.zeros_like(weight), weight], axis=1), np.array([0.0, bias]))


@dataclass(frozen=True)
class Logistic:
    """Logistic regression with an L2 penalty, as in scikit-learn; its inputs are to be standardised."""

    C: float

    def fit(
        self,
        x: Float[np.ndarray, "n d"],
        target: Int[np.ndarray, "n"],
        *,
        weight: Float[np.ndarray, "n"] | None = None,
        classes: int = 2,
    ) -> LinearModel:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=self.C, max_iter=LOGISTIC_ITERATIONS).fit(x, target, sample_weight=weight)
        # Of two classes scikit-learn gives the log odds of the second.
        rows, offsets = (
            np.concatenate([0 * part, part]) if len(part) == 1 else part for part in (model.coef_, model.intercept_)
        )
        coefficients, bias = np.zeros((x.shape[1], classes)), np.full(classes, -np.inf)
        coefficients[:, model.classes_], bias[model.classes_] = rows.T, offsets
        return LinearModel(coefficients, bias)

    @property
    def complexity(self) -> dict[str, float]:
        return {"C": self.C}


@dataclass(frozen=True)
class Boosted:
    """Gradient-boosted trees of LightGBM: so many rounds, a tree of so many leaves for each class in every round."""

    leaves: int
    rounds: int
    learning_rate: float

    def fit(
        self,
        x: Float[np.ndarray, "n d"],
        target: Int[np.ndarray, "n"],
        *,
        weight: Float[np.ndarray, "n"] | None = None,
        classes: int = 2,
    ) -> Model:
        import lightgbm

        rows = lightgbm.Dataset(x, target, weight=weight, params=_parameters(self.leaves, self.learning_rate, classes))
        return _probabilities(
            lightgbm.train(_parameters(self.leaves, self.learning_rate, classes), rows, num_boost_round=self.rounds)
        )

    @property
    def complexity(self) -> dict[str, float]:
        return {"leaves": float(self.leaves), "rounds": float(self.rounds)}


def choose_logistic(
    x: Float[np.ndarray, "n d"],
    y: Int[np.ndarray, "n"],
    held_x: Float[np.ndarray, "v d"],
    held_y: Int[np.ndarray, "v"],
    *,
    held_weight: Float[np.ndarray, "v"] | None = None,
    classes: int = 2,
) -> Logistic:
    """Return logistic regression with the C at which its log loss on held-out rows is lowest.

    Args:
        held_weight: what each held-out row counts; all the same by default.
    """

    def loss(C: float) -> float:
        return log_loss(Logistic(C).fit(x, y, classes=classes)(held_x), held_y, held_weight)

    return Logistic(minimum_of(loss))


def minimum_of(loss: Callable[[float], float]) -> float:
    """Return where a loss over a positive number is lowest: first among powers of ten, then between them.

    The search goes on until the loss rises again on both sides (by more than `SAME_LOSS`), so that no end of a range is
    chosen. It supposes that there is one minimum; ties go to the smaller number, the stronger penalty.
    """
    values: dict[float, float] = {}

    def at(number: float) -> float:
        if number not in values:
            values[number] = loss(number)
        return values[number]

    best = START
    for factor in (1 / DECADE, DECADE):
        while C_BOUNDS[0] < best * factor < C_BOUNDS[1] and at(best * factor) < at(best) - SAME_LOSS:
            best *= factor
    nearby = [best / HALF, best, best * HALF]
    lowest = min(map(at, nearby))
    return next(number for number in nearby if at(number) <= lowest + SAME_LOSS)


def choose_boosted(
    x: Float[np.ndarray, "n d"],
    target: Int[np.ndarray, "n"],
    held_x: Float[np.ndarray, "v d"],
    held_target: Int[np.ndarray, "v"],
    settings: Boosting,
    *,
    classes: int = 2,
) -> Boosted:
    """Return trees with the number of leaves and rounds at which the log loss on held-out rows is lowest.

    Rounds are added until the loss has not fallen for `settings.patience` of them. Ties go to fewer leaves.
    """
    import lightgbm

    choices = []
    for leaves in settings.leaves:
        parameters = _parameters(leaves, settings.learning_rate, classes)
        rows = lightgbm.Dataset(x, target, params=parameters)
        held = lightgbm.Dataset(held_x, held_target, reference=rows, params=parameters)
        stop = lightgbm.early_stopping(settings.patience, verbose=False)
        trees = lightgbm.train(parameters, rows, settings.rounds, valid_sets=[held], callbacks=[stop])
        (lowest,) = trees.best_score["valid_0"].values()
        choices.append((float(lowest), Boosted(leaves, trees.best_iteration, settings.learning_rate)))
    return min(choices, key=lambda choice: choice[0])[1]


def choose_estimator(
    name: EstimatorName,
    x: Float[np.ndarray, "n d"],
    y: Int[np.ndarray, "n"],
    held_x: Float[np.ndarray, "v d"],
    held_y: Int[np.ndarray, "v"],
    *,
    C: float | None,
    boosting: Boosting,
    classes: int = 2,
) -> Estimator:
    """Return an estimator of y as complex as held-out rows ask for.

    Args:
        C: of logistic regression, if it is not to be chosen.
    """
    if name == "boosted":
        return choose_boosted(x, y, held_x, held_y, boosting, classes=classes)
    return choose_logistic(x, y, held_x, held_y, classes=classes) if C is None else Logistic(C)


def log_loss(
    probability: Float[np.ndarray, "n k"], target: Int[np.ndarray, "n"], weight: Float[np.ndarray, "n"] | None = None
) -> float:
    """Return the mean of −log p(true class), in nats; weighted, if there are weights."""
    true = np.take_along_axis(probability, target[:, None], axis=1)[:, 0]
    return float(np.average(-np.log(np.maximum(true, np.finfo(np.float64).tiny)), weights=weight))


def _parameters(leaves: int, learning_rate: float, classes: int) -> dict[str, Any]:
    """Return LightGBM's parameters; the same rows give the same trees to the bit."""
    task = {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}
    return task | {
        "num_leaves": leaves,
        "learning_rate": learning_rate,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "seed": 0,
        "verbosity": -1,
    }


def _probabilities(trees: Any) -> Model:
    def predict(x: np.ndarray) -> np.ndarray:
        answer = np.asarray(trees.predict(x, num_threads=1))
        return answer if answer.ndim == 2 else np.stack([1 - answer, answer], axis=1)

    return predict
