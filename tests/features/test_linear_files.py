"""Linear classifiers of scikit-learn from files of skops and from MLflow's folders."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from counterpoise.errors import InputError
from counterpoise.features.linear_files import linear_parts, read_skops, taken
from counterpoise.features.mlflow_models import flavour_of, read_sklearn, trees_file

N = 60


@pytest.fixture(scope="module", autouse=True)
def skops() -> Any:
    """Imported by the tests alone: it takes seconds where many libraries are there already."""
    return pytest.importorskip("skops.io")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {"age": generator.normal(size=N), "city": generator.choice(["north", "south"], N), "sex": "f"}
    ).assign(repaid=lambda t: np.where(t["age"] + generator.normal(size=N) > 0, "yes", "no"))


@pytest.fixture(scope="module")
def encoded(table: pd.DataFrame) -> pd.DataFrame:
    return pd.get_dummies(table[["age", "city"]], prefix_sep="=", dtype="float32")


def pipeline(table: pd.DataFrame, last: Any = None) -> Any:
    columns = ColumnTransformer([("numbers", StandardScaler(), ["age"]), ("texts", OneHotEncoder(), ["city"])])
    return make_pipeline(columns, LogisticRegression() if last is None else last).fit(
        table[["age", "city"]], table["repaid"]
    )


def test_a_pipeline_on_the_file_s_columns_is_its_features_and_a_head(
    table: pd.DataFrame, encoded: pd.DataFrame, tmp_path: Path, skops: Any
) -> None:
    estimator = pipeline(table)
    skops.dump(estimator, tmp_path / "a.skops")
    again = read_skops(tmp_path / "a.skops", ())
    rows = taken(again, encoded, table, "encoded", "a.skops").rows
    x, weight, bias = linear_parts(again, rows, ["no", "yes"], "a.skops")
    assert x.shape == (N, 3)
    probability = (x @ weight.T + bias).sigmoid().flatten()
    np.testing.assert_allclose(probability, estimator.predict_proba(table[["age", "city"]])[:, 1], atol=1e-5)


def test_classes_are_put_in_the_order_of_the_data_set(table: pd.DataFrame, encoded: pd.DataFrame) -> None:
    estimator = pipeline(table)
    rows = taken(estimator, encoded, table, "encoded", "a").rows
    _, weight, bias = linear_parts(estimator, rows, ["no", "yes"], "a")
    _, other_weight, other_bias = linear_parts(estimator, rows, ["yes", "no"], "a")
    assert (other_weight == -weight).all()
    assert (other_bias == -bias).all()


def test_three_classes_have_three_outputs(table: pd.DataFrame, encoded: pd.DataFrame) -> None:
    labels = np.array(["a", "b", "c"])[np.arange(N) % 3]
    estimator = LogisticRegression().fit(encoded, labels)
    x, weight, bias = linear_parts(
        estimator, taken(estimator, encoded, table, "encoded", "a").rows, ["c", "a", "b"], "a"
    )
    expected = estimator.decision_function(encoded)[:, [2, 0, 1]]
    np.testing.assert_allclose(x @ weight.T + bias, expected, atol=1e-5)


def test_a_model_without_names_takes_the_encoded_table_or_what_is_named(
    table: pd.DataFrame, encoded: pd.DataFrame
) -> None:
    estimator = LogisticRegression().fit(encoded.to_numpy(), table["repaid"])
    assert taken(estimator, encoded, table, "encoded", "a").rows.shape == (N, 3)
    swapped = LogisticRegression().fit(encoded[["city=north", "age"]].to_numpy(), table["repaid"])
    rows = taken(swapped, encoded, table, ("city=north", "age"), "a").rows
    np.testing.assert_array_equal(rows.to_numpy(), encoded[["city=north", "age"]].to_numpy())
    with pytest.raises(InputError, match="a: takes 2 columns without names, the encoded table has 3"):
        taken(swapped, encoded, table, "encoded", "a")
    with pytest.raises(InputError, match=r"a: takes 'agee', which the table does not have \(did you mean 'age'\?\)"):
        taken(swapped, encoded, table, ("agee", "city=north"), "a")


def gapped(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with gaps in the numbers and the texts, some of them in the same rows."""
    rows = np.arange(N)
    return table.assign(age=table["age"].where(rows % 5 != 0), city=table["city"].where(rows % 7 != 0))


def filled(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(age=table["age"].fillna(0.25), city=table["city"].fillna("none"))


NUMBERS = {"imputed": SimpleImputer(strategy="mean", add_indicator=True), "as they are": StandardScaler()}
TEXTS = {
    "ignored": OneHotEncoder(handle_unknown="ignore"),
    "refused": OneHotEncoder(),
    "imputed": make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
}


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("texts", TEXTS)
@pytest.mark.parametrize("trained_on_gaps", [True, False])
def test_gaps_reach_the_steps_that_deal_with_them(
    table: pd.DataFrame, numbers: str, texts: str, trained_on_gaps: bool
) -> None:
    """A pipeline decides as scikit-learn does by rows of the file; only what it cannot take is filled before."""
    with_gaps, without = gapped(table), filled(gapped(table))
    steps = ColumnTransformer([("n", NUMBERS[numbers], ["age"]), ("t", TEXTS[texts], ["city"])])
    rows = without.assign(
        age=with_gaps["age"] if numbers == "imputed" else without["age"],
        city=with_gaps["city"] if trained_on_gaps else without["city"],
    )[["age", "city"]]
    estimator = make_pipeline(steps, LogisticRegression()).fit(rows, table["repaid"])
    encoded = pd.get_dummies(without[["age", "city"]], prefix_sep="=", dtype="float32")
    seen = taken(estimator, encoded, without, "encoded", "a", gapped=with_gaps)
    assert set(seen.gaps) == {
        name for name, is_taken in (("age", numbers == "imputed"), ("city", trained_on_gaps)) if is_taken
    }
    assert seen.of_file
    np.testing.assert_array_equal(
        estimator.decision_function(seen.rows), estimator.decision_function(rows), strict=True
    )


def test_numbers_alone_are_those_of_the_file_where_their_gaps_are(table: pd.DataFrame, encoded: pd.DataFrame) -> None:
    """Else they are the encoded table's, where numbers have the same names."""
    rows = gapped(table)
    imputing = make_pipeline(SimpleImputer(), LogisticRegression()).fit(rows[["age"]].to_numpy(), table["repaid"])
    seen = taken(imputing, encoded, filled(rows), ("age",), "a", gapped=rows)
    assert seen.of_file
    assert seen.rows["age"].isna().tolist() == rows["age"].isna().tolist()
    plain = LogisticRegression().fit(table[["age"]], table["repaid"])
    seen = taken(plain, encoded, filled(rows), "encoded", "a", gapped=rows)
    assert not seen.of_file
    assert not seen.gaps


def test_what_is_not_linear_is_refused(table: pd.DataFrame, encoded: pd.DataFrame) -> None:
    for last, message in (
        (RandomForestClassifier(2), "a: ends in RandomForestClassifier, expected one of LogisticRegression"),
        (SGDClassifier(), "a: ends in SGDClassifier with the loss hinge, expected one of"),
    ):
        estimator = pipeline(table, last)
        with pytest.raises(InputError, match=message):
            linear_parts(estimator, taken(estimator, encoded, table, "encoded", "a").rows, ["no", "yes"], "a")
    estimator = pipeline(table)
    elsewhere = table.assign(city="unheard of")
    with pytest.raises(InputError, match=r"a: fails on the rows of the table \(.*unknown categories"):
        linear_parts(estimator, elsewhere[["age", "city"]], ["no", "yes"], "a")


def shifted(x: Any) -> Any:
    """A function of the user's, which skops does not trust."""
    return x


def test_the_types_of_an_ordinary_pipeline_need_no_trust(table: pd.DataFrame, tmp_path: Path, skops: Any) -> None:
    steps = ColumnTransformer(
        [("n", SimpleImputer(), ["age"]), ("t", OneHotEncoder(handle_unknown="ignore"), ["city"])]
    )
    estimator = make_pipeline(steps, LogisticRegression()).fit(table[["age", "city"]], table["repaid"])
    skops.dump(estimator, tmp_path / "a.skops")
    again = read_skops(tmp_path / "a.skops", ())
    rows = table[["age", "city"]]
    np.testing.assert_array_equal(again.decision_function(rows), estimator.decision_function(rows))


def test_types_that_nobody_trusts_are_named(table: pd.DataFrame, tmp_path: Path, skops: Any) -> None:
    estimator = make_pipeline(FunctionTransformer(shifted), LogisticRegression()).fit(table[["age"]], table["repaid"])
    skops.dump(estimator, tmp_path / "a.skops")
    (name,) = skops.get_untrusted_types(file=tmp_path / "a.skops")
    with pytest.raises(InputError, match=rf"a\.skops: holds {name}, which skops does not trust, .* `trust`"):
        read_skops(tmp_path / "a.skops", ())
    assert hasattr(read_skops(tmp_path / "a.skops", (name,)), "steps")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "b.skops").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"b\.skops: cannot be read \(.*\), expected what skops\.io\.dump writes"):
        read_skops(tmp_path / "b.skops", ())
    with pytest.raises(InputError, match=r"c\.skops: no such file"):
        read_skops(tmp_path / "c.skops", ())


def described(folder: Path, **flavours: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavours | {"python_function": {}}}))
    return folder


def test_a_folder_of_mlflow_with_skops(table: pd.DataFrame, tmp_path: Path) -> None:
    import mlflow.sklearn

    mlflow.sklearn.save_model(pipeline(table), tmp_path / "model", serialization_format="skops", pip_requirements=[])
    name, flavour = flavour_of(tmp_path / "model")
    assert name == "sklearn"
    estimator = read_sklearn(tmp_path / "model", flavour, False)
    assert type(estimator.steps[-1][1]).__name__ == "LogisticRegression"


def test_a_pickle_is_read_where_it_is_trusted_alone(table: pd.DataFrame, tmp_path: Path) -> None:
    folder = described(tmp_path / "m", sklearn={"pickled_model": "model.pkl", "serialization_format": "cloudpickle"})
    (folder / "model.pkl").write_bytes(pickle.dumps(pipeline(table)))
    _, flavour = flavour_of(folder)
    for trust in (False, ("sklearn",)):
        with pytest.raises(InputError, match=r"model\.pkl: is a pickle, which runs code .* `trust: true`"):
            read_sklearn(folder, flavour, trust)
    assert hasattr(read_sklearn(folder, flavour, True), "predict_proba")


def test_folders_that_are_none_of_these(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"MLmodel: has the flavours .*prophet.*, expected one of sklearn, pytorch"):
        flavour_of(described(tmp_path / "m", prophet={}))
    with pytest.raises(InputError, match=r"MLmodel: cannot be read .*, expected a model folder of MLflow's"):
        flavour_of(tmp_path)
    outside = described(tmp_path / "o", sklearn={"pickled_model": "../b.pkl", "serialization_format": "skops"})
    with pytest.raises(InputError, match=r"names '\.\./b\.pkl', expected a file in the folder"):
        read_sklearn(outside, flavour_of(outside)[1], False)


def test_trees_of_a_folder(tmp_path: Path) -> None:
    folder = described(tmp_path / "m", lightgbm={"data": "model.lgb"})
    (folder / "model.lgb").write_text("tree")
    assert trees_file(folder) == folder / "model.lgb"
    assert trees_file(folder / "model.lgb") == folder / "model.lgb"
    with pytest.raises(InputError, match="has the flavour sklearn, expected lightgbm or xgboost"):
        trees_file(described(tmp_path / "s", sklearn={}))


@pytest.mark.parametrize(
    ("flavour", "advice"), [("lightgbm", r"model\.booster_"), ("xgboost", r"model\.get_booster\(\)")]
)
def test_trees_in_an_object_of_python_are_refused_with_what_to_save(tmp_path: Path, flavour: str, advice: str) -> None:
    described(tmp_path / "m", **{flavour: {"data": "model.skops", "model_class": "LGBMClassifier"}})
    (tmp_path / "m" / "model.skops").write_bytes(b"PK")
    with pytest.raises(
        InputError, match=rf"model\.skops: holds a LGBMClassifier, expected the booster in it: save {advice}"
    ):
        trees_file(tmp_path / "m")
