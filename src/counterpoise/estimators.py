"""The frontier as a scikit-learn classifier, without Kedro and MLflow.

from counterpoise.estimators import FairFrontier

model = FairFrontier(tolerance=0.05).fit(X, y, sensitive_features=s)
model.predict(X_new)          # needs no groups
model.frontier_               # what every model costs and how unfair it is, on rows that it has not learnt from
model.choose(0.1).predict(X)  # another tolerance, without fitting again
model.report("report.html")   # one page, to send on
model.save("fair_model")      # what `mlflow models serve` takes, columns as in X
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float64
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from counterpoise.compute import replicate
from counterpoise.data.crossing import group_values
from counterpoise.data.frames import Encoder
from counterpoise.data.values import codes_of, name_of
from counterpoise.errors import InputError, shown
from counterpoise.estimator_inputs import (
    classifier_of,
    frame_of,
    frontier_frame,
    kinds_of,
    labels_of,
    rates_frame,
    require_same_order,
    seeds_of,
    tolerance_of,
    units_of,
    whole_number,
)
from counterpoise.fairness import Compared, choose, groups_compared, typical
from counterpoise.fairness.compared import FEWEST, group_sizes
from counterpoise.methods import frontier
from counterpoise.methods.bases.estimator import Classifier
from counterpoise.methods.bases.ground import Bases, Ground, margins
from counterpoise.methods.cells import fold_numbers
from counterpoise.methods.frontier import Frontier
from counterpoise.methods.frontier_results import HEAD, RULE
from counterpoise.methods.heads.problem import HeadProblem
from counterpoise.methods.rules.linear import class_scores
from counterpoise.methods.selection.candidates import ours
from counterpoise.methods.selection.measuring import AUC, AXES, JUDGED_BY, judged_by
from counterpoise.methods.selection.nested import bounds
from counterpoise.methods.selection.settings import Judge, Names
from counterpoise.nn import Examples
from counterpoise.nn.random import generator

STRENGTHS = (0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5, 2.2)
THRESHOLDS = (-1.2, -0.9, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.9, 1.2)
VALIDATION_FOLDS = 5
"""One of so many folds of the rows is the validation part."""
FEWEST_UNITS = 3
"""What rows belong to has at least so many values: one part judges, and the others are divided into folds."""
MOST_NAMED = 10
"""Groups that a sentence names."""
TOLERANCES = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15)
"""What a report shows beside the tolerance that was asked for."""


@dataclass(frozen=True, eq=False)
class _Outcomes:
    tensors: dict[str, Tensor]
    header: dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Model:
    """What decides: a head with its threshold, or a rule, on a base."""

    ground: Ground
    head: Float[Tensor, "p *k"] | None
    rule: Float[Tensor, "rows k"] | None
    threshold: float

    def scores(self, x: Float[Tensor, "n D"]) -> Float64[Tensor, "n k"]:
        """Return numbers that add up to one and are highest for the class that is decided for; ties go to the first."""
        if self.rule is not None:
            return class_scores(self.ground.joint(x), self.rule)
        features, offset = self.ground.base.view(x)
        reached = margins(self.ground.head if self.head is None else self.head, features, offset).double()
        if reached.ndim > 1:
            return reached.softmax(dim=1)
        second = (reached - self.threshold).sigmoid().float().double()  # as it is judged: above ½ in float32
        return torch.stack([1 - second, second], dim=1)


class FairFrontier(ClassifierMixin, BaseEstimator):
    """The best model whose bias is within a tolerance, among repairs of a base at every strength.

    Two classes or more; two groups or more, which are needed to fit and never to predict. Columns of numbers and truth
    values are taken as they are, dates as days, all others as categories; a category that was not there when the model
    was fitted counts as none of them, a missing number of a frame is the median of those that were there. Of more than
    two classes the models are the unrepaired bases and rules in bias scores: heads under penalties and decision
    thresholds are defined for two.

    Args:
        tolerance: of the bias, on new rows; see `criterion`.
        criterion: a metric of `counterpoise.fairness`: `delta_eo` (|ΔTPR| + |ΔFPR|), `delta_dp`, ….
        base: `boosted` (LightGBM), `linear` (the columns themselves), `perceptron`; or several of them; or a classifier
            of scikit-learn's kind with `predict_proba`, to whose log odds heads on the columns then add. It is cloned,
            and fitted to the encoded columns, a category in each.
        folds: in how many the rows are divided to judge every model by rows that it has not learnt from; 0: by a
            validation part of a fifth alone, which is faster.
        seeds: so many divisions of the rows into what teaches and what is chosen by, or their seeds. Each has a choice;
            the one whose error is the median is predicted by.
        min_group_rows: a group with fewer rows to be judged by is learnt from and has its rates in `rates_`, but is not
            compared: no bias, penalty or rule takes it into account. 0 compares all.
        n_jobs: trainings side by side; None for one.

    Attributes:
        classes_: the classes. groups_: the groups.
        frontier_: one row per model: its settings, `err` (100 − weighted F1, in %), `delta_eo`, `delta_dp` and the
            criterion as judged by rows that it has not learnt from, means over the seeds; whether another model
            `dominated` it in error and criterion, and which is `chosen`.
        choice_: the chosen row, as its own seed judges it.
        rates_: of each group, on rows that the choice has not learnt from: `rows`, whether it is `compared`, and the
            shares that are `selected` for the second class, of those of that class, `true_positive`, and of the others,
            `false_positive`; of more than two classes a row for each group and `class`.
        meets_: whether it is within the tolerance; where none is, the one with the lowest bias is chosen.
    """

    def __init__(
        self,
        tolerance: float = 0.05,
        criterion: str = "delta_eo",
        base: str | Sequence[str] | Classifier = "boosted",
        *,
        folds: int = 3,
        seeds: int | Sequence[int] = 1,
        min_group_rows: int = 30,
        n_jobs: int | None = None,
    ) -> None:
        self.tolerance = tolerance
        self.criterion = criterion
        self.base = base
        self.folds = folds
        self.seeds = seeds
        self.min_group_rows = min_group_rows
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, *, sensitive_features: Any, together: Any = None) -> FairFrontier:
        """Train all models and choose one.

        Args:
            X: [n, D], a frame (pandas, Polars, Arrow) or an array. y: [n], the classes. sensitive_features: [n], the
                group of each row; of several columns [n, c] the groups are their intersections. together: [n], what
                rows belong to, such as people with several rows each: they teach or judge together.

        Raises:
            ValueError: fewer than two classes, groups, or groups to compare, no row of a class in a group that is
                compared, values that are no numbers, missing or infinite, or numbers and dates as texts, a class or
                group that is missing, rows in another order than X by their index, or a setting that is none.
        """
        kinds, seeds, folds = kinds_of(self.base), seeds_of(self.seeds), whole_number("folds", self.folds, 0)
        Judge(tolerance := tolerance_of(self.tolerance), self.criterion)  # known before anything is trained
        labels = labels_of(y)
        x = self._encoded(X, reset=True)
        require_same_order(X, y=y, sensitive_features=sensitive_features, together=together)
        self.classes_, code = codes_of("y", labels)
        check_classification_targets(labels)
        self.groups_, group = codes_of("sensitive_features", group_values(sensitive_features))
        self._require(len(x), len(code), len(group))
        units = units_of(together, len(x), FEWEST_UNITS if folds else VALIDATION_FOLDS + 1)
        data = Examples(x, torch.from_numpy(code).long(), torch.from_numpy(group).long(), units)
        train, validation = _parts(data, seeds)
        members = {"train": train, "validation": validation}
        compared = self._large_groups(data, members)
        problem = HeadProblem(
            title="FairFrontier",
            examples=data,
            train=train,
            validation=validation,
            test=validation,
            seeds=seeds,
            trained=classifier_of(self.base),
            groups=[str(name) for name in self.groups_],
            classes=[str(name) for name in self.classes_],
            compared=compared,
            spread=partial(
                replicate, backend="processes" if self.n_jobs not in (None, 1) else "serial", workers=self.n_jobs
            ),
        )
        settings = Frontier(kinds=kinds, strengths=STRENGTHS, thresholds=THRESHOLDS, folds=folds, bases=Bases())
        bases = frontier.train_bases(problem, settings)
        results = frontier.run(replace(problem, bases=bases), settings, {})
        self._results = {result.name: result for result in results}
        self._grounds = [{ground.kind: ground for ground in each} for each in bases]
        variants, scores = frontier.outcomes_of(results)
        header = {"variants": variants, "thresholds": list(settings.thresholds)}
        self._candidates = ours(_Outcomes(scores, header))
        self._data, self._members, self._compared = data, members, compared
        return self.choose(tolerance, self.criterion)

    def choose(self, tolerance: float, criterion: str | None = None) -> FairFrontier:
        """Choose again among the models that were trained; returns the estimator.

        Raises:
            ValueError: an unknown criterion, one that is undefined here, or a tolerance below 0.
        """
        check_is_fitted(self, "_results")
        criterion = criterion or self.criterion
        judge = Judge(tolerance, criterion, validation="own")
        if criterion == AUC and len(self.classes_) > 2:
            raise InputError(f"criterion is {AUC}, which is defined for two classes, and y has {len(self.classes_)}")
        names = Names("FairFrontier", [*map(str, self.classes_)], [*map(str, self.groups_)], self._compared)
        judged, folded = judged_by(JUDGED_BY, self._candidates, self._data, self._members, names, judge)
        (bound,) = bounds(folded, torch.arange(len(self._candidates.settings)), criterion, [tolerance])
        places, meets = choose(judged["err"], judged[criterion], bound)
        replicates = torch.arange(len(places))
        err, bias = judged["err"][replicates, places], judged[criterion][replicates, places]
        r = typical(err, bias, meets)
        place = int(places[r])
        self.meets_ = bool(meets[r])
        self.frontier_ = frontier_frame(self._candidates, judged, criterion, place)
        self.choice_ = self.frontier_.iloc[place].copy()
        for name in dict.fromkeys(("err", *AXES, criterion)):
            self.choice_[name] = float(judged[name][r, place])
        self.rates_ = self._rates(r, place)
        self._limits = (criterion, tolerance)
        settings = list(self._candidates.settings.values())[place]
        result = self._results[settings["model"]]
        head = result.tensors[HEAD][r] if HEAD in result.tensors else None
        rule = result.tensors[RULE][r] if RULE in result.tensors else None
        self._model = _Model(self._grounds[r][settings["base"]], head, rule, settings["threshold"] or 0.0)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return [n, k], highest for the class that is predicted.

        Of a head these are probabilities, shifted by its decision threshold; of a rule in bias scores they are scores.
        """
        check_is_fitted(self, "_results")
        return self._model.scores(self._encoded(X, reset=False)).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of each row [n]."""
        code = self.predict_proba(X).argmax(axis=1)
        decided: np.ndarray = self.classes_[code]
        return decided

    def plot(self) -> Any:
        """Return a plotly figure of error against the criterion: every model, the frontier and the choice."""
        from counterpoise.reporting.audit_page import frontier_figure

        check_is_fitted(self, "_results")
        return frontier_figure(self.frontier_, self._limits)

    def report(self, path: str | Path) -> Path:
        """Write one HTML page that opens without a network: the choice, rates, the frontier, other tolerances."""
        from counterpoise.reporting.audit_page import estimator_page

        check_is_fitted(self, "_results")
        criterion, tolerance = self._limits
        others = {}
        for other in TOLERANCES:
            self.choose(other, criterion)
            others[other] = (self.choice_, self.meets_)
        self.choose(tolerance, criterion)
        facts = {
            "rows": f"{len(self._data.y):,}",
            "classes": ", ".join(map(str, self.classes_)),
            "groups": ", ".join(map(str, self.groups_)),
            "base": self.base if isinstance(self.base, str) else str(self.base),
            "seeds": str(len(self._grounds)),
        }
        html = estimator_page(self.frontier_, self.choice_, self.rates_, others, facts, (criterion, tolerance))
        Path(path).write_text(html, encoding="utf-8")
        return Path(path)

    def save(self, folder: str | Path) -> Path:
        """Write the chosen model as an MLflow model, whose input are the columns of X and whose answers need no groups.

        Raises:
            ValueError: it stands on an estimator of the user's, which only a pickle could hold; the folder is not new.
        """
        from counterpoise.artifacts.networks_served import served
        from counterpoise.artifacts.serving import write_servable

        check_is_fitted(self, "_results")
        if Path(folder).exists() and (not Path(folder).is_dir() or any(Path(folder).iterdir())):
            raise InputError(f"{folder}: is there already, expected a folder that is new or empty")
        criterion, tolerance = self._limits
        model = self._model
        metadata = {"tolerance": tolerance, "criterion": criterion, "variant": str(self.choice_["variant"])}
        servable = served(
            model.ground,
            head=model.head,
            rule=model.rule,
            threshold=model.threshold,
            encoding=self._encoding.described,
            classes=tuple(name_of(name) for name in self.classes_.tolist()),
            label="y",
            experiment="FairFrontier",
            example=self._encoding.example,
            metadata=metadata
            | {"judged_err": float(self.choice_["err"]), "judged_bias": float(self.choice_[criterion])},
        )
        write_servable(servable, Path(folder))
        return Path(folder)

    def _rates(self, r: int, place: int) -> pd.DataFrame:
        """Return the groups' rates on the rows that a replicate's model has not learnt from."""
        rows = torch.cat([self._members[part][r] for part in self._judges()])
        decided = torch.cat([self._candidates.prediction(part, r, [place])[0] for part in self._judges()])
        names = (self.groups_.tolist(), self.classes_.tolist())
        return rates_frame(decided, self._data.y[rows], self._data.s[rows], *names, self._compared)

    def _judges(self) -> tuple[str, ...]:
        return ("train", "validation") if self.folds else ("validation",)

    def _large_groups(self, data: Examples, members: dict[str, Tensor]) -> Compared:
        """Return the groups that are compared.

        Raises:
            InputError: they are fewer than two.
        """
        rows = torch.cat([members[part] for part in self._judges()], dim=1)
        sizes = group_sizes(data.s[rows], len(self.groups_))
        compared = groups_compared(sizes, whole_number("min_group_rows", self.min_group_rows, 0))
        if compared is not None and len(compared) < FEWEST:
            few = sizes.amin(dim=0).tolist()
            small = [f"{shown(name)} ({few[g]})" for g, name in enumerate(self.groups_.tolist()) if g not in compared]
            raise InputError(
                f"sensitive_features: groups with fewer than {self.min_group_rows} rows to be judged by are not "
                f"compared; these are {', '.join(small[:MOST_NAMED])}, expected two groups to compare: join groups, or "
                "compare all with min_group_rows=0"
            )
        return compared

    def _require(self, rows: int, labels: int, groups: int) -> None:
        if not rows == labels == groups:
            raise InputError(f"X has {rows} rows, y {labels} and sensitive_features {groups}, expected as many of each")
        if len(self.classes_) < 2:
            raise InputError("y has one class, expected at least two classes")
        if len(self.groups_) < 2:
            raise InputError("sensitive_features has one group, expected two or more")

    def _encoded(self, X: Any, *, reset: bool) -> Float[Tensor, "n D"]:
        X = frame_of(X)
        if reset:
            self._of_frame = isinstance(X, pd.DataFrame)
        if self._of_frame:
            frame = validate_data(self, X, reset=reset, skip_check_array=True)
            frame = frame if isinstance(frame, pd.DataFrame) else pd.DataFrame(np.asarray(frame))
            if reset:
                self._encoding = Encoder.of(frame)
            return torch.from_numpy(self._encoding(frame))
        matrix = np.ascontiguousarray(validate_data(self, X, reset=reset, dtype=np.float32))
        if reset:
            self._encoding = Encoder.of_matrix(np.asarray(X, dtype=np.float64))
        return torch.from_numpy(matrix)


def _parts(data: Examples, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the rows of each replicate that teach [R, n], and those that it is chosen by [R, v]."""
    folds = [
        fold_numbers(data.y, data.s, data.unit, folds=VALIDATION_FOLDS, generator=generator(seed, "validation part"))
        for seed in seeds
    ]
    teaching, judging = (
        [side.nonzero()[:, 0] for side in sides] for sides in zip(*((f > 0, f == 0) for f in folds), strict=True)
    )
    # Where rows belong together, folds differ by a few rows: all replicates have as many as the smallest.
    teach, judge = (torch.stack([rows[: min(map(len, side))] for rows in side]) for side in (teaching, judging))
    return teach, judge
