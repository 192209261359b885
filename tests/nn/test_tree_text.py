"""LightGBM's text on other columns: the same scores, the same leaves, and back."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.nn.tree_text import Codes, Ensemble, Filled, Source, onto, parse, with_leaves_of
from counterpoise.nn.trees import Trees

CITIES = list("abcdefghij")


def rows(seed: int = 0, n: int = 1500) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "income": draws.normal(size=n),
            "city": pd.Categorical(draws.choice(CITIES, n), categories=CITIES),
            "share": draws.integers(0, 9, n) / 10,
            "tenure": pd.Categorical(draws.choice(["own", "rent"], n)),
        }
    )


def labels(x: pd.DataFrame) -> np.ndarray:
    return ((x["income"] > 0) ^ x["city"].isin(list("adg")) ^ (x["share"] > 0.3)).to_numpy(dtype=int)


def grown(x: pd.DataFrame, y: np.ndarray, **settings: Any) -> lightgbm.Booster:
    parameters = {"objective": "binary", "num_leaves": 9, "verbose": -1, "num_threads": 1, "max_cat_to_onehot": 2}
    return lightgbm.train(parameters | settings, lightgbm.Dataset(x, y), 12)


def encoded(x: pd.DataFrame) -> tuple[Tensor, list[str]]:
    wide = pd.get_dummies(x, prefix_sep="=", dtype=float)
    return torch.tensor(wide.to_numpy(dtype=np.float32)), list(wide)


def sources(model: Ensemble, columns: list[str]) -> list[Source]:
    categories = dict(zip(model.categorical, model.pandas_categorical, strict=True))
    return [
        Codes({code: columns.index(f"{name}={value}") for code, value in enumerate(categories[number])})
        if number in categories
        else columns.index(name)
        for number, name in enumerate(model.names)
    ]


@pytest.fixture(scope="module")
def booster() -> lightgbm.Booster:
    return grown(rows(), labels(rows()))


@pytest.fixture(scope="module")
def model(booster: lightgbm.Booster) -> Ensemble:
    return parse(booster.model_to_string(), "model.txt")


def test_the_model_says_the_same_of_encoded_rows(booster: lightgbm.Booster, model: Ensemble) -> None:
    assert any(int(tree["num_cat"]) for tree in model.trees), "a split by a set of categories is what this is about"
    new = rows(seed=1)
    x, columns = encoded(new)
    rewritten = Trees(onto(model, sources(model, columns), len(columns)).text())
    expected = booster.predict(new, raw_score=True)
    assert np.abs(rewritten.margins(x).numpy() - expected).max() < 1e-12


def test_leaves_keep_their_numbers_and_further_ones_are_never_reached(
    booster: lightgbm.Booster, model: Ensemble
) -> None:
    x, columns = encoded(rows(seed=2))
    trees = Trees(onto(model, sources(model, columns), len(columns)).text())
    first = np.concatenate([[0], np.cumsum(trees.sizes)[:-1]])
    assert (trees.leaf_of(x).numpy() - first == booster.predict(rows(seed=2), pred_leaf=True)).all()
    assert trees.leaves > sum(int(tree["num_leaves"]) for tree in model.trees)
    assert trees.leaves == len(trees.values)


def test_repaired_leaf_values_go_back_into_the_file_as_it_came(model: Ensemble) -> None:
    new = rows(seed=3)
    x, columns = encoded(new)
    trees = Trees(onto(model, sources(model, columns), len(columns)).text())
    repaired = trees.with_values(trees.values * 1.3 + 0.01, shift=0.25)
    back = lightgbm.Booster(model_str=with_leaves_of(model, parse(repaired.text, "repaired")).text())
    assert back.feature_name() == list(model.names)
    assert np.abs(back.predict(new, raw_score=True) - repaired.margins(x).numpy()).max() < 1e-12


def test_a_category_that_the_model_does_not_know_goes_where_it_sends_unknown_ones(
    booster: lightgbm.Booster, model: Ensemble
) -> None:
    new = rows(seed=4)
    unknown = new.assign(city=pd.Categorical(["elsewhere"] * len(new), categories=[*CITIES, "elsewhere"]))
    x, columns = encoded(unknown.assign(city=unknown["city"].cat.set_categories(CITIES)))
    trees = Trees(onto(model, sources(model, columns), len(columns)).text())
    expected = booster.predict(unknown, raw_score=True)
    assert np.abs(trees.margins(x).numpy() - expected).max() < 1e-12


def test_codes_that_the_model_took_for_numbers() -> None:
    x, y = rows(), labels(rows())
    coded = x.assign(city=x["city"].cat.codes, tenure=x["tenure"].cat.codes)
    booster = grown(coded, y)
    model = parse(booster.model_to_string(), "coded")
    assert model.categorical == ()
    wide, columns = encoded(x)
    places = [
        Codes({code: columns.index(f"{name}={value}") for code, value in enumerate(x[name].cat.categories)})
        if name in ("city", "tenure")
        else columns.index(name)
        for name in model.names
    ]
    trees = Trees(onto(model, places, len(columns)).text())
    assert np.abs(trees.margins(wide).numpy() - booster.predict(coded, raw_score=True)).max() < 1e-12


def with_gaps(seed: int) -> pd.DataFrame:
    """Return rows that miss a fifth of their numbers, and some categories; some of the numbers are 0."""
    x, draws = rows(seed), np.random.default_rng(100 + seed)
    x["income"] = x["income"].round().where(draws.random(len(x)) > 0.2)
    x["share"] = x["share"].where(draws.random(len(x)) > 0.2)
    x["city"] = x["city"].where(draws.random(len(x)) > 0.2)
    return x


def filled(x: pd.DataFrame) -> tuple[Tensor, list[str]]:
    """Return rows as a table has them: medians in the place of gaps, a column that says so, nothing for categories."""
    numbers = x[["income", "share"]]
    flags = numbers.isna().add_suffix("_missing").astype(float)
    return encoded(pd.concat([numbers.fillna(numbers.median()), x[["city", "tenure"]], flags], axis=1))


@pytest.mark.parametrize("settings", [{}, {"zero_as_missing": True}, {"monotone_constraints": [1, 0, -1, 0]}])
def test_gaps_that_a_table_fills_go_where_the_model_sends_missing_numbers(settings: dict[str, Any]) -> None:
    x = with_gaps(0)
    booster = grown(x, labels(rows()), **settings)
    model, new = parse(booster.model_to_string(), "m"), with_gaps(1)
    wide, columns = filled(new)
    places = [
        Filled(source, columns.index(f"{name}_missing")) if isinstance(source, int) else source
        for name, source in zip(model.names, sources(model, columns), strict=True)
    ]
    trees = Trees(onto(model, places, len(columns)).text())
    assert np.abs(trees.margins(wide).numpy() - booster.predict(new, raw_score=True)).max() < 1e-12
    as_numbers = Trees(onto(model, sources(model, columns), len(columns)).text())
    assert np.abs(as_numbers.margins(wide).numpy() - booster.predict(new, raw_score=True)).max() > 0.1
    repaired = trees.with_values(trees.values * 1.3, shift=0.25)
    back = lightgbm.Booster(model_str=with_leaves_of(model, parse(repaired.text, "repaired")).text())
    assert np.abs(back.predict(new, raw_score=True) - repaired.margins(wide).numpy()).max() < 1e-12


@pytest.mark.parametrize("as_category", [False, True])
def test_gaps_of_numbers_that_a_table_takes_for_categories(as_category: bool) -> None:
    """The table fills them by a category, which the model must not see, be it of numbers or of categories too."""
    x, new = with_gaps(0)[["income", "share"]], with_gaps(1)[["income", "share"]]
    values = sorted(x["income"].dropna().unique())
    seen, asked = (
        rows.assign(income=pd.Categorical(rows["income"], categories=values)) if as_category else rows
        for rows in (x, new[new["income"].isin(values) | new["income"].isna()])
    )
    booster = grown(seen, labels(rows()))
    numbers = asked.astype(float)
    wide, columns = encoded(
        numbers.assign(
            income=numbers["income"].fillna(0.0).add(0.0).astype("str"),
            flag=numbers["income"].isna().astype(float),
            share=0.5,
        )
    )
    places = {
        code if as_category else int(value): columns.index(f"income={value}")
        for code, value in enumerate(values)
        if f"income={value}" in columns
    }
    model = parse(booster.model_to_string(), "m")
    trees = Trees(
        onto(model, [Filled(Codes(places), columns.index("flag")), columns.index("share")], len(columns)).text()
    )
    expected = booster.predict(asked.assign(share=0.5), raw_score=True)
    assert np.abs(trees.margins(wide).numpy() - expected).max() < 1e-12


def test_a_model_that_knew_no_gaps_takes_what_the_table_fills() -> None:
    booster = grown(rows(), labels(rows()))
    model, new = parse(booster.model_to_string(), "m"), with_gaps(1)
    wide, columns = filled(new)
    places = [
        Filled(source, columns.index(f"{name}_missing")) if isinstance(source, int) else source
        for name, source in zip(model.names, sources(model, columns), strict=True)
    ]
    trees = Trees(onto(model, places, len(columns)).text())
    numbers = new[["income", "share"]]
    expected = booster.predict(new.assign(**numbers.fillna(numbers.median())), raw_score=True)
    assert np.abs(trees.margins(wide).numpy() - expected).max() < 1e-12


@pytest.mark.parametrize(
    ("settings", "missing"),
    [({}, -1.0), ({}, np.nan), ({"zero_as_missing": True}, -1.0)],
    ids=["pandas", "NaN", "zero"],
)
def test_categories_without_a_code_go_where_their_users_put_them(settings: dict[str, Any], missing: float) -> None:
    """Pandas writes −1 for a category that is not listed or missing, scikit-learn's encoders a NaN."""
    x, y = with_gaps(0), labels(rows())
    coded = x.assign(city=x["city"].cat.codes.astype(float).replace(-1.0, missing), tenure=x["tenure"].cat.codes)
    booster = grown(coded[["city", "tenure"]], y, **settings)
    model = parse(booster.model_to_string(), "m")
    wide, columns = encoded(x[["city", "tenure"]])
    places = [
        Codes({code: columns.index(f"{name}={value}") for code, value in enumerate(x[name].cat.categories)})
        for name in model.names
    ]
    trees = Trees(onto(model, places, len(columns)).text())
    expected = booster.predict(coded[["city", "tenure"]], raw_score=True)
    assert np.abs(trees.margins(wide).numpy() - expected).max() < 1e-12


def test_a_number_that_equals_a_threshold_goes_left_though_rows_are_of_single_precision() -> None:
    x = pd.DataFrame({"share": np.repeat([0.1, 0.3], 40)})
    model = parse(grown(x, np.repeat([0, 1], 40)).model_to_string(), "m")
    (tree, *_) = model.trees
    equal = Ensemble(model.header, ({**tree, "threshold": "0.3"},))  # above 0.3 rounded to single precision is 0.3
    leaf = Trees(onto(equal, [0], 1).text()).leaf_of(torch.tensor([[0.3], [0.31]]))
    exact = lightgbm.Booster(model_str=equal.text()).predict(np.array([[0.3], [0.31]]), pred_leaf=True)
    assert leaf.tolist() == exact.reshape(-1, 1).tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "regression"}, "was trained with the objective 'regression', expected binary"),
        ({"sigmoid": 2.0}, "option sigmoid:2, expected sigmoid:1"),
        (
            {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5, "feature_fraction": 0.9},
            "its trees are averaged",
        ),
        ({"linear_tree": True}, "has linear models in its leaves"),
        ({"objective": "multiclass", "num_class": 2}, "has 2 trees per round, expected one"),
    ],
)
def test_models_whose_leaves_are_no_log_odds_are_refused(settings: dict[str, Any], message: str) -> None:
    booster = grown(rows()[["income", "share"]], labels(rows()), **settings)
    with pytest.raises(InputError, match=f"m.txt: .*{message}"):
        parse(booster.model_to_string(), "m.txt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "age,income\n1,2\n", "m.txt: begins with 'age,income.*expected the text of a LightGBM model"),
        (lambda text: text[: len(text) // 3], "m.txt: ends in the middle of tree"),
        (lambda text: "", "expected the text of a LightGBM model"),
    ],
)
def test_other_texts_are_refused(booster: lightgbm.Booster, change: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(change(booster.model_to_string()), "m.txt")
