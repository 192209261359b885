"""The frontier as a scikit-learn classifier, without Kedro and MLflow.

from counterpoise.estimators import FairFrontier

model = FairFrontier(tolerance=0.05).fit(X, y, sensitive_features=s)
model.predict(X_new)          # needs no groups
model.frontier_               # what every model costs and how unfair it is, on rows that it has not learnt from
model.choose(0.1).predict(X)  # another tolerance, without fitting again
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import DataConversionWarning
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from counterpoise.catalogue import CHOSEN
from counterpoise.compute import replicate
from counterpoise.errors import InputError, shown, suggest
from counterpoise.fairness import CRITERIA, choose, non_dominated
from counterpoise.methods import frontier
from counterpoise.methods.bases.ground import Bases, Ground, Kind, margins
from counterpoise.methods.cells import fold_numbers
from counterpoise.methods.frontier import HEAD, RULE, Frontier
from counterpoise.methods.heads.problem import HeadProblem
from counterpoise.methods.rules import bias_scores
from counterpoise.methods.selection.candidates import Candidates, ours
from counterpoise.methods.selection.measuring import AXES, JUDGED_BY, judged_by
from counterpoise.methods.selection.settings import Judge, Names
from counterpoise.nn import Examples
from counterpoise.nn.random import generator

STRENGTHS = (0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5, 2.2)
THRESHOLDS = (-1.2, -0.9, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.9, 1.2)
BASES: tuple[Kind, ...] = ("boosted", "linear", "perceptron")
VALIDATION_FOLDS = 5
"""One of so many folds of the rows is the validation part."""


@dataclass(frozen=True, eq=False)
class _Outcomes:
    tensors: dict[str, Tensor]
    header: dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Model:
    """What decides: a head with its threshold, or a rule, on a base."""

    ground: Ground
    head: Float[Tensor, "p"] | None
    rule: Float[Tensor, "cells k"] | None
    threshold: float

    def score(self, x: Float[Tensor, "n D"]) -> Float[Tensor, "n"]:
        """Return a number that is above ½ where the second class is decided for."""
        if self.rule is not None:
            return bias_scores.scores(self.ground.joint(x), self.rule.unsqueeze(0))[0]
        features, offset = self.ground.base.view(x)
        head = self.ground.head if self.head is None else self.head
        return (margins(head, features, offset).double() - self.threshold).sigmoid().float()


class FairFrontier(ClassifierMixin, BaseEstimator):
    """The best model whose bias is within a tolerance, among repairs of a base at every strength.

    Two classes; two groups or more, which are needed to fit and never to predict. Columns of numbers and truth values
    are taken as they are, all others as categories; a category that was not there when the model was fitted counts as
    none of them.

    Args:
        tolerance: of the bias, on new rows; see `criterion`.
        criterion: a metric of `counterpoise.fairness`: `delta_eo` (|ΔTPR| + |ΔFPR|), `delta_dp`, ….
        base: `boosted` (LightGBM), `linear` (the columns themselves), `perceptron`; or several of them.
        folds: in how many the rows are divided to judge every model by rows that it has not learnt from; 0: by a
            validation part of a fifth alone, which is faster.
        seed: of the division of the rows and of what is drawn in training.
        n_jobs: trainings side by side; None for one.

    Attributes:
        classes_: the two classes. groups_: the groups.
        frontier_: one row per model: its settings, `err` (100 − weighted F1, in %), `delta_eo`, `delta_dp` and the
            criterion as judged, whether another model `dominated` it in error and criterion, and which is `chosen`.
        choice_: the chosen row.
        meets_: whether it is within the tolerance; where none is, the one with the lowest bias is chosen.
    """

    def __init__(
        self,
        tolerance: float = 0.05,
        criterion: str = "delta_eo",
        base: str | Sequence[str] = "boosted",
        *,
        folds: int = 3,
        seed: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.tolerance = tolerance
        self.criterion = criterion
        self.base = base
        self.folds = folds
        self.seed = seed
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: Any, *, sensitive_features: Any) -> FairFrontier:
        """Train all models and choose one.

        Args:
            X: [n, D], a frame or an array. y: [n], two classes. sensitive_features: [n], the group of each row.

        Raises:
            ValueError: not two classes, fewer than two groups, no row of a class in a group, or values that are no
                numbers, missing or infinite.
        """
        kinds = self._kinds()
        if y is None:
            raise InputError("FairFrontier requires y to be passed, but the target y is None")
        x = self._encoded(X, reset=True)
        labels = np.asarray(y).ravel() if not isinstance(y, pd.Series) else y.to_numpy()
        check_classification_targets(labels)
        if np.ndim(y) > 1:
            warnings.warn(
                "A column-vector y was passed when a 1d array was expected", DataConversionWarning, stacklevel=2
            )
        self.classes_, code = np.unique(labels, return_inverse=True)
        self.groups_, group = np.unique(np.asarray(sensitive_features).ravel(), return_inverse=True)
        self._require(len(x), len(code), len(group))
        data = Examples(x, torch.from_numpy(code).long(), torch.from_numpy(group).long())
        fold = fold_numbers(data.y, data.s, folds=VALIDATION_FOLDS, generator=generator(self.seed, "validation part"))
        train, validation = ((fold > 0).nonzero().T, (fold == 0).nonzero().T)
        problem = HeadProblem(
            title="FairFrontier",
            examples=data,
            train=train,
            validation=validation,
            test=validation,
            seeds=[self.seed],
            groups=[str(name) for name in self.groups_],
            classes=[str(name) for name in self.classes_],
            spread=partial(
                replicate, backend="processes" if self.n_jobs not in (None, 1) else "serial", workers=self.n_jobs
            ),
        )
        settings = Frontier(kinds=kinds, strengths=STRENGTHS, thresholds=THRESHOLDS, folds=self.folds, bases=Bases())
        bases = frontier.train_bases(problem, settings)
        results = frontier.run(replace(problem, bases=bases), settings, {})
        self._results = {result.name: result for result in results}
        self._grounds = {ground.kind: ground for ground in bases[0]}
        variants, scores = frontier.outcomes_of(results)
        header = {"variants": variants, "thresholds": list(settings.thresholds)}
        self._candidates = ours(_Outcomes(scores, header))
        self._members = {"train": train, "validation": validation}
        self._data = data
        return self.choose(self.tolerance, self.criterion)

    def choose(self, tolerance: float, criterion: str | None = None) -> FairFrontier:
        """Choose again among the models that were trained; returns the estimator.

        Raises:
            ValueError: an unknown criterion, or one that is undefined here.
        """
        check_is_fitted(self, "_results")
        criterion = criterion or self.criterion
        if criterion not in CRITERIA:
            raise InputError(f"criterion is {shown(criterion)}{suggest(criterion, CRITERIA)}")
        names = Names("FairFrontier", [str(name) for name in self.classes_], [str(name) for name in self.groups_])
        judge = Judge(tolerance, criterion, validation="own")
        judged = judged_by(JUDGED_BY, self._candidates, self._data, self._members, names, judge)
        best, meets = choose(judged["err"], judged[criterion], tolerance)
        place = int(best)
        self.meets_ = bool(meets)
        self.frontier_ = _frame(self._candidates, judged, criterion, place)
        self.choice_ = self.frontier_.iloc[place]
        settings = list(self._candidates.settings.values())[place]
        result = self._results[settings["model"]]
        head = result.tensors[HEAD][0] if HEAD in result.tensors else None
        rule = result.tensors[RULE][0] if RULE in result.tensors else None
        self._model = _Model(self._grounds[settings["base"]], head, rule, settings["threshold"] or 0.0)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return [n, 2]: the second column is above ½ where the second class is predicted.

        Of a head it is a probability, shifted by its decision threshold; of a rule in bias scores it is a score.
        """
        check_is_fitted(self, "_results")
        score = self._model.score(self._encoded(X, reset=False)).double().numpy()
        return np.stack([1 - score, score], axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of each row [n]."""
        second = self.predict_proba(X)[:, 1] > 0.5
        decided: np.ndarray = self.classes_[second.astype(int)]
        return decided

    def plot(self) -> Any:
        """Return a plotly figure of error against the criterion: every model, the frontier and the choice."""
        import plotly.graph_objects as go

        check_is_fitted(self, "_results")
        bias = self._criterion
        best = self.frontier_[~self.frontier_["dominated"]].sort_values(bias)
        chosen = self.frontier_[self.frontier_["chosen"]]
        traces = [
            go.Scatter(x=self.frontier_[bias], y=self.frontier_["err"], mode="markers", opacity=0.3, name="all models"),
            go.Scatter(x=best[bias], y=best["err"], mode="lines+markers", name="not dominated", text=best["variant"]),
            go.Scatter(
                x=chosen[bias], y=chosen["err"], mode="markers", marker={"symbol": "star", "size": 16}, name="choice"
            ),
        ]
        figure = go.Figure(traces)
        figure.update_layout(xaxis_title=bias, yaxis_title="error (100 − weighted F1), %")
        return figure

    @property
    def _criterion(self) -> str:
        return str(self.frontier_.attrs["criterion"])

    def _kinds(self) -> tuple[Kind, ...]:
        kinds = (self.base,) if isinstance(self.base, str) else tuple(self.base)
        for kind in kinds:
            if kind not in BASES:
                raise InputError(f"base is {shown(kind)}{suggest(kind, BASES)}")
        if not kinds:
            raise InputError(f"base is empty, expected one of {', '.join(BASES)}")
        return tuple(kind for kind in BASES if kind in kinds)

    def _require(self, rows: int, labels: int, groups: int) -> None:
        if not rows == labels == groups:
            raise InputError(f"X has {rows} rows, y {labels} and sensitive_features {groups}, expected as many of each")
        if len(self.classes_) != 2:
            raise InputError(
                f"Only binary classification is supported: y has {len(self.classes_)} classes, expected two"
            )
        if len(self.groups_) < 2:
            raise InputError("sensitive_features has one group, expected two or more")

    def _encoded(self, X: Any, *, reset: bool) -> Float[Tensor, "n D"]:
        if isinstance(X, pd.DataFrame):
            if reset:
                self._encoder = _encoder(X).fit(X)
            checked = validate_data(self, X, reset=reset, skip_check_array=True)
            matrix = self._encoder.transform(checked)
            dense = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float32)
            if not np.isfinite(dense).all():
                raise InputError("X has missing or infinite numbers, expected finite ones")
            return torch.from_numpy(np.ascontiguousarray(dense))
        matrix = validate_data(self, X, reset=reset, dtype=np.float32)
        if reset:
            self._encoder = None
        return torch.from_numpy(np.ascontiguousarray(matrix))


def _encoder(frame: pd.DataFrame) -> ColumnTransformer:
    numbers = [
        name for name in frame if pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name])
    ]
    others = [name for name in frame if name not in numbers]
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([("numbers", "passthrough", numbers), ("categories", categories, others)])


def _frame(candidates: Candidates, judged: dict[str, Tensor], criterion: str, place: int) -> pd.DataFrame:
    columns = ("base", "method", "constraint", "strength", "weight_decay", "threshold")
    frame = pd.DataFrame(
        [{"variant": name} | {key: model.get(key) for key in columns} for name, model in candidates.settings.items()]
    )
    for name in dict.fromkeys(("err", *AXES, criterion)):
        frame[name] = judged[name][0].numpy()
    points = torch.stack([judged["err"][0], judged[criterion][0]], dim=1)
    frame["dominated"] = ~non_dominated(points).numpy()
    frame[CHOSEN] = np.arange(len(frame)) == place
    frame.attrs["criterion"] = criterion
    return frame
