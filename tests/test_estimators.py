"""The library class: scikit-learn's conventions, frames, other tolerances, and no groups at prediction."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_classifiers_train, check_estimator

from counterpoise import estimators
from counterpoise.errors import InputError
from counterpoise.estimators import FairFrontier
from counterpoise.fairness import delta_dp
from counterpoise.methods.frontier import Frontier
from counterpoise.methods.rules.bias_scores import BiasScores

N = 900


@pytest.fixture(scope="module")
def table() -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    rng = np.random.default_rng(0)
    s = pd.Series(np.where(rng.random(N) < 0.4, "women", "men"))
    income = rng.normal(size=N) + 0.9 * (s == "men")
    frame = pd.DataFrame(
        {
            "income": income,
            "owner": rng.random(N) < 0.5,
            "region": rng.choice(["north", "south", "east"], size=N),
            "age": rng.integers(18, 80, size=N),
        }
    )
    y = pd.Series(np.where(income + 0.5 * frame["owner"] + 0.5 * rng.normal(size=N) > 0.6, "yes", "no"))
    return frame, y, s


@pytest.fixture(scope="module")
def model(table: tuple[pd.DataFrame, pd.Series, pd.Series]) -> FairFrontier:
    frame, y, s = table
    return FairFrontier(0.1, "delta_dp", "linear", folds=2).fit(frame, y, sensitive_features=s)


def test_groups_of_several_columns_are_their_intersections(table: tuple[pd.DataFrame, pd.Series, pd.Series]) -> None:
    frame, y, s = table
    joined = s + ", " + frame["owner"].astype(str)
    several = pd.DataFrame({"sex": s, "owner": frame["owner"]})
    models = [
        FairFrontier(0.1, "delta_dp", "linear", folds=0).fit(frame, y, sensitive_features=groups)
        for groups in (joined, several, several.to_numpy())
    ]
    for model in models[1:]:
        assert list(model.groups_) == ["men, False", "men, True", "women, False", "women, True"]
        pd.testing.assert_frame_equal(model.frontier_, models[0].frontier_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"s": None},
            "sensitive_features miss a value in 1 of 900 rows, expected one in each: leave those rows out, or",
        ),
        ({"s": 3}, r"sensitive_features has values of different kinds \(a number, a text\), expected one kind"),
        ({"y": None}, "y misses a class in 1 of 900 rows, expected one in each"),
        ({"y": 3}, r"y has values of different kinds \(a number, a text\), expected one kind"),
        ({"tolerance": -0.1}, r"tolerance is -0\.1, expected a number of at least 0"),
        ({"tolerance": float("nan")}, "tolerance is nan, expected a number of at least 0"),
        ({"criterion": "delta_oe"}, r"criterion is 'delta_oe' \(did you mean 'delta_eo'\?\)"),
    ],
)
def test_what_is_wrong_is_one_sentence_before_anything_is_trained(
    table: tuple[pd.DataFrame, pd.Series, pd.Series],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setattr(estimators.frontier, "train_bases", None)
    frame, *columns = table
    given = dict(zip("ys", (column.astype(object) for column in columns), strict=True))
    for name in given.keys() & change.keys():
        given[name].iloc[0] = change[name]
    settings = {name: value for name, value in change.items() if name not in given}
    with pytest.raises(InputError, match=message):
        FairFrontier(**settings).fit(frame, given["y"], sensitive_features=given["s"])


@pytest.mark.parametrize("nothing", [None, [], pd.DataFrame(index=range(N))])
def test_no_groups_are_refused(table: tuple[pd.DataFrame, pd.Series, pd.Series], nothing: Any) -> None:
    frame, y, _ = table
    with pytest.raises(InputError, match="sensitive_features have no column, expected the group of each row"):
        FairFrontier().fit(frame, y, sensitive_features=nothing)


def test_another_tolerance_that_is_none_is_refused(model: FairFrontier) -> None:
    with pytest.raises(InputError, match=r"tolerance is -1\.0, expected a number of at least 0"):
        model.choose(-1.0)


def test_it_predicts_classes_without_groups(
    model: FairFrontier, table: tuple[pd.DataFrame, pd.Series, pd.Series]
) -> None:
    frame, y, _ = table
    predicted, scores = model.predict(frame), model.predict_proba(frame)
    assert set(predicted) <= {"no", "yes"}
    assert scores.shape == (N, 2)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    assert ((scores[:, 1] > 0.5) == (predicted == "yes")).all()
    assert (predicted == y).mean() > (y == y.mode()[0]).mean() + 0.1, "better than one class for all"


def test_the_choice_is_the_lowest_error_within_the_tolerance(model: FairFrontier) -> None:
    within = model.frontier_[model.frontier_["delta_dp"] <= 0.1]
    assert model.meets_
    assert model.choice_["err"] == within["err"].min()
    assert model.frontier_["chosen"].sum() == 1


def test_another_tolerance_needs_no_fit_and_is_a_trade(
    model: FairFrontier, table: tuple[pd.DataFrame, pd.Series, pd.Series]
) -> None:
    frame, _, s = table
    measured = {}
    for tolerance in (0.05, 0.5):
        decided = (model.choose(tolerance).predict(frame) == "yes").astype(int)
        rates = [decided[s == group].mean() for group in ("women", "men")]
        measured[tolerance] = (abs(rates[0] - rates[1]), model.choice_["err"])
    model.choose(0.1)
    assert measured[0.05][0] < measured[0.5][0]
    assert measured[0.05][1] >= measured[0.5][1]


def test_it_is_deterministic_and_a_clone_is_alike(
    model: FairFrontier, table: tuple[pd.DataFrame, pd.Series, pd.Series]
) -> None:
    frame, y, s = table
    again = clone(model).fit(frame, y, sensitive_features=s)
    np.testing.assert_array_equal(again.predict_proba(frame), model.predict_proba(frame))
    assert clone(model).get_params() == model.get_params()


def test_unknown_categories_and_other_orders_of_columns(
    model: FairFrontier, table: tuple[pd.DataFrame, pd.Series, pd.Series]
) -> None:
    frame, _, _ = table
    changed = frame.head(5).assign(region="moon")
    assert len(model.predict(changed)) == 5
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["age", "income", "owner", "region"]])


def test_arrays_in_pipelines_with_boosted_trees(table: tuple[pd.DataFrame, pd.Series, pd.Series]) -> None:
    frame, y, s = table
    x = frame[["income", "age"]].to_numpy()
    chain = make_pipeline(StandardScaler(), FairFrontier(base="boosted", folds=0))
    chain.fit(x, y, fairfrontier__sensitive_features=s)
    assert chain.score(x, y) > 0.6


def test_more_groups(table: tuple[pd.DataFrame, pd.Series, pd.Series]) -> None:
    frame, y, _ = table
    model = FairFrontier(0.2, "delta_dp", "linear", folds=0).fit(frame, y, sensitive_features=frame["region"])
    assert list(model.groups_) == ["east", "north", "south"]


def test_the_figure_shows_all_models_and_the_choice(model: FairFrontier) -> None:
    traces = model.plot().data
    assert len(traces[0].x) == len(model.frontier_)
    assert traces[2].y[0] == model.choice_["err"]


def test_the_metric_of_the_choice_is_that_of_new_rows() -> None:
    """On rows from the same source the chosen model's gap is near the tolerance's, not near the unrepaired one's."""
    rng = np.random.default_rng(1)
    s = rng.integers(2, size=6000)
    x = rng.normal(size=(6000, 3)) + 0.8 * s[:, None]
    y = (x[:, 0] + rng.normal(size=6000) > 0.5).astype(int)
    model = FairFrontier(0.05, "delta_dp", "linear", folds=2).fit(x[:3000], y[:3000], sensitive_features=s[:3000])
    import torch

    counts = torch.zeros(2, 2, 2, dtype=torch.int64)
    for group, label, decided in zip(s[3000:], y[3000:], model.predict(x[3000:]), strict=True):
        counts[group, label, decided] += 1
    assert float(delta_dp(counts)) < 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": "tree"}, "base is 'tree'"),
        ({"criterion": "delta"}, "criterion is 'delta'"),
        ({"folds": 1}, "folds is 1"),
    ],
)
def test_wrong_settings_are_named(
    table: tuple[pd.DataFrame, pd.Series, pd.Series], change: dict[str, object], message: str
) -> None:
    frame, y, s = table
    settings: dict[str, object] = {"base": "linear", "folds": 0} | change
    with pytest.raises(ValueError, match=message):
        FairFrontier(**settings).fit(frame, y, sensitive_features=s)  # type: ignore[arg-type]


def test_wrong_rows_are_named(table: tuple[pd.DataFrame, pd.Series, pd.Series]) -> None:
    frame, y, s = table
    model = FairFrontier(base="linear", folds=0)
    with pytest.raises(ValueError, match="y has one class"):
        model.fit(frame, np.zeros(N), sensitive_features=s)
    with pytest.raises(ValueError, match="one group"):
        model.fit(frame, y, sensitive_features=np.zeros(N))
    with pytest.raises(ValueError, match="expected as many of each"):
        model.fit(frame, y, sensitive_features=s[:-1])
    with pytest.raises(ValueError, match="'income' has no finite number"):
        model.fit(frame.assign(income=np.nan), y, sensitive_features=s)
    with pytest.raises(ValueError, match=r"infinite numbers, .* in the columns \['income'\]"):
        model.fit(frame.assign(income=np.inf), y, sensitive_features=s)
    with pytest.raises(NotFittedError):
        FairFrontier().predict(frame)


class Alternating(FairFrontier):
    """With groups that scikit-learn's checks do not give: every other row's."""

    def fit(self, X: object, y: object, *, sensitive_features: object = None) -> FairFrontier:
        if sensitive_features is None and y is not None:
            sensitive_features = np.arange(len(np.asarray(y))) % 2
        return super().fit(X, y, sensitive_features=sensitive_features)


class TwoClasses(Alternating):
    """Of more classes, scikit-learn's checks have too few rows for one in each group's validation part."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


TOO_FEW_ROWS = {
    "check_n_features_in_after_fitting",
    "check_estimators_dtypes",
    "check_estimators_nan_inf",
    "check_fit2d_1feature",
    "check_classifier_data_not_an_array",
}
"""Checks with so few rows that a class is missing in a group's train or validation part, which is an error here."""


@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of conventions, in a hundred fits, three quarters of each the forty rules by bias scores: two are enough."""
    monkeypatch.setattr(estimators, "Frontier", partial(Frontier, bias_scores=BiasScores(levels=(0.05, 0.1), draws=4)))
    results = check_estimator(TwoClasses(base="linear", folds=0, min_group_rows=0), on_fail=None, on_skip=None)
    failed = {result["check_name"] for result in results if result["status"] == "failed"}
    failed -= {"check_do_not_raise_errors_in_init_or_set_params"}  # types are checked at runtime only in tests
    failed -= {"check_classifier_not_supporting_multiclass"}  # it supports them
    assert len(results) > 50
    assert failed <= TOO_FEW_ROWS
    check_classifiers_train(
        "Alternating", Alternating(base="linear", folds=0, min_group_rows=0)
    )  # three classes of a hundred rows


def test_a_report_answers_and_leaves_the_choice_alone(
    model: FairFrontier, table: tuple[pd.DataFrame, pd.Series, pd.Series], tmp_path: Path
) -> None:
    frame, _, _ = table
    before = model.predict_proba(frame)
    html = model.report(tmp_path / "report.html").read_text()
    assert str(model.choice_["variant"]) in html
    assert "within the tolerance" in html
    for group in ("women", "men"):
        assert f">{group}<" in html
    assert "http://" not in html.split("<main>")[0].split("</style>")[-1]
    np.testing.assert_array_equal(model.predict_proba(frame), before)


def test_rates_are_those_of_rows_that_the_choice_has_not_learnt_from(model: FairFrontier) -> None:
    assert model.rates_["rows"].sum() == N
    gap = abs(model.rates_["selected"].diff().iloc[-1])
    assert gap == pytest.approx(model.choice_["delta_dp"], abs=0.05)  # the latter without what chance adds


@pytest.mark.parametrize("base", ["linear", "boosted"])
def test_a_saved_model_says_the_same_of_the_original_columns(
    table: tuple[pd.DataFrame, pd.Series, pd.Series], base: str, tmp_path: Path
) -> None:
    import mlflow

    frame, y, s = table
    since = pd.Series(pd.date_range("2020-01-01", periods=N, freq="7h"))
    frame = frame.assign(since=since.where(np.arange(N) % 9 > 0), age=frame["age"].where(np.arange(N) % 7 > 0))
    model = FairFrontier(0.1, "delta_dp", base, folds=0).fit(frame, y, sensitive_features=s)
    loaded = mlflow.pyfunc.load_model(str(model.save(tmp_path / "model")))
    rows = frame.head(40).copy()
    rows.loc[0, "region"], rows.loc[1, "region"] = "moon", None
    with pytest.raises(ValueError, match="is there already"):
        model.save(tmp_path / "model")
    asked = rows[["since", "region", "age", "owner", "income"]]  # another order of columns
    answers = loaded.predict(asked.assign(since=asked["since"].map(pd.Timestamp.isoformat, na_action="ignore")))
    assert answers["prediction"].tolist() == model.predict(rows).tolist()
    if model.choice_["threshold"] in (None, 0):
        # A rule's dither multiplies what single precision loses of a probability.
        np.testing.assert_allclose(answers["score"], model.predict_proba(rows)[:, 1], atol=1e-4)


def test_an_estimator_of_the_users_is_a_base(table: tuple[pd.DataFrame, pd.Series, pd.Series], tmp_path: Path) -> None:
    from sklearn.ensemble import RandomForestClassifier

    frame, y, s = table
    forest = RandomForestClassifier(30, max_depth=4, random_state=0)
    model = FairFrontier(0.05, "delta_dp", forest, folds=2).fit(frame, y, sensitive_features=s)
    unrepaired = model.frontier_[model.frontier_["method"] == "unrepaired"].iloc[0]
    assert unrepaired["delta_dp"] > model.choice_["delta_dp"]
    assert (model.predict(frame) == y).mean() > 0.6
    assert not hasattr(forest, "classes_")  # the user's own is not touched
    with pytest.raises(ValueError, match="cannot be saved without a pickle"):
        model.save(tmp_path / "model")


def test_several_seeds_are_judged_together_and_one_is_predicted_by(
    table: tuple[pd.DataFrame, pd.Series, pd.Series],
) -> None:
    frame, y, s = table
    both = FairFrontier(0.1, "delta_dp", "linear", folds=0, seeds=2).fit(frame, y, sensitive_features=s)
    each = [
        FairFrontier(0.1, "delta_dp", "linear", folds=0, seeds=[seed]).fit(frame, y, sensitive_features=s)
        for seed in (0, 1)
    ]
    means = np.mean([one.frontier_["err"] for one in each], axis=0)
    np.testing.assert_allclose(both.frontier_["err"], means, rtol=1e-6)
    best = min(each, key=lambda one: (not one.meets_, one.choice_["err"]))
    assert both.choice_["err"] == best.choice_["err"]
    np.testing.assert_array_equal(both.predict_proba(frame), best.predict_proba(frame))
    for wrong in ([], [1, 1], 0):
        with pytest.raises(ValueError, match="seeds is"):
            FairFrontier(seeds=wrong).fit(frame, y, sensitive_features=s)


@pytest.fixture(scope="module")
def three_classes() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    s = rng.integers(3, size=N)
    x = pd.DataFrame(rng.normal(size=(N, 3)), columns=["a", "b", "c"])
    x["a"] += 1.2 * (s == 1)
    scores = np.stack([2 * x["a"], 2 * x["b"], np.zeros(N)], axis=1) + rng.gumbel(size=(N, 3))
    return x, np.array(["low", "mid", "top"])[scores.argmax(axis=1)], np.array(["x", "y", "z"])[s]


@pytest.mark.parametrize("base", ["linear", "forest"])
def test_more_than_two_classes(
    three_classes: tuple[pd.DataFrame, np.ndarray, np.ndarray], base: str, tmp_path: Path
) -> None:
    import mlflow
    from sklearn.ensemble import RandomForestClassifier

    x, y, s = three_classes
    frozen = RandomForestClassifier(20, max_depth=4, random_state=0) if base == "forest" else base
    model = FairFrontier(0.15, "delta_dp", frozen, folds=2).fit(x, y, sensitive_features=s)
    shares, decided = model.predict_proba(x), model.predict(x)
    assert shares.shape == (N, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (model.classes_[shares.argmax(axis=1)] == decided).all()
    assert (decided == y).mean() > 0.45
    unrepaired = model.frontier_[model.frontier_["method"] == "unrepaired"].iloc[0]
    assert model.choice_["delta_dp"] < unrepaired["delta_dp"] - 0.1
    rates = model.rates_
    assert len(rates) == 9
    np.testing.assert_allclose(rates.groupby("group")["selected"].sum(), 1)
    recall = np.array([(decided[(y == label) & (s == "x")] == label).mean() for label in model.classes_])
    np.testing.assert_allclose(rates.loc[rates["group"] == "x", "true_positive"], recall, atol=0.2)  # other rows
    assert ">mid<" in model.report(tmp_path / "report.html").read_text()
    with pytest.raises(ValueError, match="auc, which is defined for two classes"):
        model.choose(0.1, "auc")
    if base == "linear":
        answers = mlflow.pyfunc.load_model(str(model.save(tmp_path / "model"))).predict(x.head(30))
        assert answers["prediction"].tolist() == decided[:30].tolist()


def test_rows_of_one_person_teach_or_judge_together(table: tuple[pd.DataFrame, pd.Series, pd.Series]) -> None:
    frame, y, s = table
    person = np.random.default_rng(1).integers(250, size=N)
    model = FairFrontier(0.1, "delta_dp", "linear", folds=0, seeds=2).fit(
        frame, y, sensitive_features=s, together=person
    )
    for teach, judge in zip(model._members["train"], model._members["validation"], strict=True):
        assert not set(person[teach]) & set(person[judge])
        assert len(teach) + len(judge) > 0.95 * N
    with pytest.raises(ValueError, match="together has 3 values, expected 900, one for each row of X"):
        FairFrontier().fit(frame, y, sensitive_features=s, together=[1, 2, 3])
