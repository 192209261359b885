"""The library class with rows, classes, groups and settings as strangers bring them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from counterpoise import estimators
from counterpoise.errors import InputError
from counterpoise.estimators import FairFrontier
from counterpoise.methods.frontier import Frontier
from counterpoise.methods.rules.bias_scores import BiasScores

N = 400


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "STRENGTHS", (0.0, 0.3))
    monkeypatch.setattr(estimators, "Frontier", partial(Frontier, bias_scores=BiasScores(levels=(0.05,), draws=4)))


@pytest.fixture
def rows() -> dict[str, Any]:
    """Return X with a name for each row, classes, groups, and what rows belong to."""
    rng = np.random.default_rng(0)
    groups = rng.choice(["men", "women"], N)
    income = rng.normal(size=N) + 0.5 * (groups == "men")
    names = [f"r{row}" for row in range(N)]
    frame = pd.DataFrame({"income": income, "region": rng.choice(["north", "south"], N)}, index=names)
    return {
        "X": frame,
        "y": pd.Series(np.where(income + rng.normal(size=N) > 0.5, "yes", "no"), names),
        "sensitive_features": pd.Series(groups, names),
        "together": pd.Series(np.arange(N) // 2, names),
    }


LINEAR = partial(FairFrontier, 0.1, "delta_dp", "linear", folds=0)


def test_frames_of_other_libraries_are_frames(rows: dict[str, Any]) -> None:
    expected = LINEAR().fit(**rows)
    frame = rows["X"].reset_index(drop=True)
    table = pa.table(frame)
    columns = {name: pa.array(rows[name]) for name in ("y", "sensitive_features", "together")}
    model = LINEAR().fit(table, **columns)
    np.testing.assert_array_equal(model.predict_proba(table), expected.predict_proba(rows["X"]))
    groups = pa.table({"sex": columns["sensitive_features"], "region": table["region"]})
    several = LINEAR(min_group_rows=0).fit(table, columns["y"], sensitive_features=groups)
    assert several.groups_.tolist() == ["men, north", "men, south", "women, north", "women, south"]


def test_an_array_has_the_columns_of_the_frame_that_was_fitted(rows: dict[str, Any]) -> None:
    gaps = rows["X"].assign(income=rows["X"]["income"].mask(np.arange(N) % 7 == 0))
    model = LINEAR().fit(**rows | {"X": gaps})
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        np.testing.assert_array_equal(model.predict_proba(gaps.to_numpy()), model.predict_proba(gaps))


@pytest.mark.parametrize("name", ["y", "sensitive_features", "together"])
def test_rows_in_another_order_are_refused(rows: dict[str, Any], name: str) -> None:
    turned = rows[name].iloc[::-1]
    with pytest.raises(InputError, match=f"^{name} has the rows of X in another order, by its index"):
        LINEAR().fit(**rows | {name: turned})
    expected = LINEAR().fit(**rows)
    overlapping = rows[name].set_axis([f"r{row + 1}" for row in range(N)])
    for right in (turned.loc[rows["X"].index], rows[name].to_numpy(), overlapping):
        np.testing.assert_array_equal(
            LINEAR().fit(**rows | {name: right}).predict(rows["X"]), expected.predict(rows["X"])
        )


def test_classes_may_be_a_column(rows: dict[str, Any]) -> None:
    expected = LINEAR().fit(**rows).predict_proba(rows["X"])
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        model = LINEAR().fit(**rows | {"y": rows["y"].to_frame()})
    np.testing.assert_array_equal(model.predict_proba(rows["X"]), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.eye(2)[np.arange(N) % 2]}, r"y has the shape \[400, 2\], expected the class of each row"),
        ({"y": np.where(np.arange(N) == 3, np.nan, np.arange(N) % 2)}, "y misses a class in 1 of 400 rows"),
        ({"y": pd.array([None, *[0, 1] * N][:N], dtype="Int64")}, "y misses a class in 1 of 400 rows"),
        ({"sensitive_features": "region"}, "sensitive_features is 'region', expected the group of each row"),
        ({"sensitive_features": 3}, "sensitive_features is 3, expected the group of each row"),
        ({"together": ["a"] * N}, "together has 1 different values, expected at least 6 to divide the rows by"),
        ({"together": np.ones((N, 2))}, "together has 800 values, expected 400, one for each row of X"),
    ],
)
def test_columns_that_are_none(rows: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        LINEAR().fit(**rows | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.set_axis(["a", "a"], axis=1), "X: the column 'a' occurs more than once"),
        (lambda frame: frame[[]], "X has 400 rows and 0 columns"),
        (lambda frame: frame.iloc[:0], "X has 0 rows and 2 columns"),
        (lambda frame: frame[["income"]].to_numpy() * 1e-4 + 1e9, "X: the numbers of the column 'x0' are too close"),
    ],
)
def test_tables_that_are_none(rows: dict[str, Any], change: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LINEAR().fit(**rows | {"X": change(rows["X"])})


def test_no_rows_to_predict(rows: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="X has 0 rows and 2 columns, expected at least one of each"):
        LINEAR().fit(**rows).predict(rows["X"].iloc[:0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({"seeds": seeds}, f"seeds is {shown}") for seeds, shown in (("3", "'3'"), (2.0, "2.0"), ([1.5], ".1.5."))),
        *(({"seeds": seeds}, "seeds is ") for seeds in (None, 0, [], [1, 1])),
        *(({name: value}, f"{name} is ") for name in ("folds", "min_group_rows") for value in (-1, "3", 2.5, None)),
        *(({"tolerance": value}, "tolerance is ") for value in ("0.05", None, [0.1])),
        *(({"base": base}, "base is ") for base in (None, 3, RidgeClassifier(), SGDClassifier(), LogisticRegression)),
    ],
)
def test_settings_that_are_none(rows: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}.*, expected "):
        LINEAR().set_params(**change).fit(**rows)


def test_numbers_of_numpy_are_settings(rows: dict[str, Any]) -> None:
    settings = {"seeds": np.int64(1), "folds": np.int8(0), "min_group_rows": np.int32(30), "tolerance": np.float32(0.1)}
    expected = LINEAR().fit(**rows).predict_proba(rows["X"])
    np.testing.assert_array_equal(LINEAR().set_params(**settings).fit(**rows).predict_proba(rows["X"]), expected)


def test_a_base_that_cannot_be_fitted_to_encoded_columns_is_named(rows: dict[str, Any]) -> None:
    base = make_pipeline(make_column_transformer((OneHotEncoder(), ["region"])), LogisticRegression())
    with pytest.raises(InputError, match=r"base: Pipeline.* cannot be fitted to the 3 encoded columns"):
        LINEAR().set_params(base=base).fit(**rows)


def test_a_group_that_is_not_compared_may_have_one_class(rows: dict[str, Any]) -> None:
    few = rows["sensitive_features"].mask(np.arange(N) < 3, "others")
    model = LINEAR().fit(**rows | {"sensitive_features": few, "y": rows["y"].mask(np.arange(N) < 3, "no")})
    rates = model.rates_.set_index("group")
    assert rates["compared"].to_dict() == {"men": True, "others": False, "women": True}
    assert model.frontier_[["err", "delta_dp", "delta_eo"]].notna().all(axis=None)
    with pytest.raises(InputError, match="has no row of 'yes' among 'women'"):
        LINEAR().fit(**rows | {"y": rows["y"].mask(rows["sensitive_features"] == "women", "no")})


def test_names_of_columns_that_are_no_texts_are_saved(rows: dict[str, Any], tmp_path: Path) -> None:
    import mlflow

    for place, names in enumerate(([0, 1], pd.MultiIndex.from_tuples([("a", 1), ("a", 2)]))):
        frame = rows["X"].set_axis(names, axis=1)
        model = LINEAR().fit(**rows | {"X": frame})
        loaded = mlflow.pyfunc.load_model(str(model.save(tmp_path / str(place))))
        answers = loaded.predict(frame.set_axis([str(name) for name in frame], axis=1))
        assert answers["prediction"].tolist() == model.predict(frame).tolist()


ROWS = 900

Table = tuple[pd.DataFrame, np.ndarray, pd.Series]


@pytest.fixture(scope="module")
def table() -> Table:
    """Return a column, classes and groups, which differ in it."""
    rng = np.random.default_rng(0)
    s = pd.Series(np.where(rng.random(ROWS) < 0.4, "women", "men"))
    income = rng.normal(size=ROWS) + 0.9 * (s == "men")
    return pd.DataFrame({"income": income}), np.where(income + rng.normal(size=ROWS) > 0.6, "yes", "no"), s


def test_a_small_group_is_reported_and_not_compared(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimators, "STRENGTHS", (0.0, 0.3, 1.0))
    monkeypatch.setattr(estimators, "Frontier", partial(Frontier, bias_scores=BiasScores(levels=(0.05, 0.1), draws=4)))
    frame, y, s = table
    few = s.mask(np.arange(ROWS) % 45 == 0, "others")  # 20 of 900 rows
    model = FairFrontier(0.1, "delta_dp", "linear", folds=2).fit(frame, y, sensitive_features=few)
    rates = model.rates_.set_index("group")
    assert rates["compared"].to_dict() == {"men": True, "others": False, "women": True}
    assert rates.loc["others", "rows"] == 20
    gap = abs(rates.loc["men", "selected"] - rates.loc["women", "selected"])
    assert gap == pytest.approx(model.choice_["delta_dp"], abs=0.05)  # the latter without what chance adds
    assert ">others (not compared)<" in model.report(tmp_path / "report.html").read_text()


def test_two_groups_have_to_be_large_enough(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators.frontier, "train_bases", None)
    frame, y, s = table
    few = s.mask(s == "women", "men").mask(np.arange(ROWS) % 45 == 0, "others")
    message = (
        r"sensitive_features: groups with fewer than 30 rows to be judged by are not compared; these are 'others' "
        r"\(20\), expected two groups to compare: join groups, or compare all with min_group_rows=0"
    )
    with pytest.raises(InputError, match=message):
        FairFrontier().fit(frame, y, sensitive_features=few)
    with pytest.raises(InputError, match=r"'men' \(\d+\), 'others' \(\d\), expected two"):  # a fifth judges
        FairFrontier(folds=0, min_group_rows=300).fit(frame, y, sensitive_features=few)
