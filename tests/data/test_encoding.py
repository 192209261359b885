"""A description of the encoding makes, of rows as their file has them, the features that `encode` made of the table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.artifacts.exported import Encoding
from counterpoise.config.parameters import Dataset
from counterpoise.data.adult import COLUMNS
from counterpoise.data.compas import FEATURES
from counterpoise.data.encoding import EXAMPLE_ROWS, numbers
from counterpoise.experiments import raw_folder
from counterpoise.pipelines.data_split.nodes import encode_table, read_table
from counterpoise.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS

REPOSITORY = Path(__file__).parents[2]
SPLIT = {"fractions": {"pretrain": 0.5, "task": 0.5}, "task": {"train": 2, "validation": 1, "test": 1}}
ROWS = 200
MESSY = Dataset(
    title="messy rows",
    reader="table",
    options={
        "files": "messy.csv",
        "missing_category": {"housing": "unknown", "purpose": "nothing"},
        "impute": ["income", "years", "code", "visits"],
        "missing_values": {"visits": 999, "purpose": ["tv set"]},
        "decimal": ",",
        "thousands": ".",
        "units": ["%", "€"],
        "missing": ["", "?", -1],
    },
    origin="here",
    label="repaid",
    positive="yes",
    classes=("no", "yes"),
    sensitive="gender",
    groups=("f", "m"),
    group_names=("women", "men"),
    categories=("code", "postcode"),
    dates="days",
    split=SPLIT,
)


def messy_rows() -> pd.DataFrame:
    """Texts as a file has them: decimal commas, truth values, codes, dates, a reserved name, ways to be missing."""
    random = np.random.default_rng(0)

    def drawn(*values: str) -> list[str]:
        return [str(value) for value in random.choice(values, ROWS)]

    return pd.DataFrame(
        {
            "income": drawn("1.016,95", "870,5", "12.000", "", "?", "-1"),
            "years": drawn("3", "4", "11", ""),
            "housing": drawn("rent", "own", " own", "None", ""),
            "purpose": drawn("car", "tv set", "1"),
            "code": drawn("1", "2", "7", ""),
            "postcode": drawn("08001", "8002", "AB 1"),
            "employed": drawn("True", "FALSE", "true"),
            "joined": drawn("1969-12-31", "2020-02-29T12:00:00Z", *(f"2021-03-{day}" for day in range(10, 25))),
            "y": drawn("0", "5", "7,25"),
            "gender": drawn("f", "m"),
            "repaid": drawn("yes", "no"),
            "note=": drawn("a=b", "=", "c"),
            "rate": drawn("5,5%", "12 %", "-0,25%", "1.016%"),
            "visits": drawn("3", "999", "40", "0"),
            "debt": drawn("€ 5,5", "€12", "-€1.016,25", "+3€"),
        }
    )


def encoded(table: Path | pd.DataFrame, dataset: Dataset) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return features, and their description as JSON keeps it."""
    rows = table if isinstance(table, pd.DataFrame) else read_table(table, dataset)[0]
    samples, description = encode_table(rows, dataset)
    return samples.drop(columns=["y", "s"]), json.loads(json.dumps(description))


def require_the_same(features: pd.DataFrame, description: dict[str, Any], rows: pd.DataFrame) -> None:
    encoding = Encoding(description)
    x, unknown = encoding.encode(rows)
    assert encoding.features == list(features.columns)
    np.testing.assert_array_equal(x, features.to_numpy())
    assert not any(unknown)


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("messy")
    messy_rows().to_csv(folder / "messy.csv", sep=";", index=False)
    return encoded(folder, MESSY)


def test_messy_rows_as_texts(messy: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    features, description = messy
    assert features["rate"].min() == -0.25
    assert features["debt"].min() == -1016.25
    assert (features["visits"].max(), features["visits_missing"].sum()) == (40, (messy_rows()["visits"] == "999").sum())
    assert "purpose=nothing" in features
    assert "purpose=tv set" not in features
    assert {"y_feature", "income_missing", "housing=unknown", "code=2", "note==a=b"} <= set(features.columns)
    require_the_same(features, description, messy_rows())


@pytest.mark.parametrize("order", [1, -1])
def test_messy_rows_one_by_one_and_with_columns_in_any_order(
    order: int, messy: tuple[pd.DataFrame, dict[str, Any]]
) -> None:
    features, description = messy
    rows = messy_rows().iloc[:, ::order].assign(another="column")
    for row in range(0, ROWS, 20):
        require_the_same(features.iloc[[row]], description, rows.iloc[[row]])


def test_messy_rows_as_values(messy: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    """As a caller has them who has read the file, or who sends JSON: numbers, truth values, dates, null."""
    features, description = messy
    texts = messy_rows()

    def number(text: str) -> float | None:
        return None if text in ("", "?", "-1") else float(text.replace(".", "").replace(",", "."))

    rows = texts.assign(
        income=texts["income"].map(number),
        years=pd.array(texts["years"].map(number), dtype="Int64"),
        housing=texts["housing"].mask(texts["housing"] == "", None),
        purpose=[1 if text == "1" else text for text in texts["purpose"]],
        code=texts["code"].map(number),
        employed=texts["employed"].str.lower() == "true",
        joined=pd.to_datetime(texts["joined"], format="ISO8601", utc=True),
        y=texts["y"].map(number),
        visits=texts["visits"].map(number),
        rate=texts["rate"].str.replace("%", "").map(number),
    )
    require_the_same(features, description, rows)
    records = json.loads(rows.assign(joined=texts["joined"]).to_json(orient="records"))
    require_the_same(features, description, pd.DataFrame(records))


def test_the_example_is_encoded_as_its_rows_are(messy: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    features, description = messy
    example = pd.DataFrame(description["example"])
    assert len(example) == EXAMPLE_ROWS
    assert "gender" not in example
    require_the_same(features.head(EXAMPLE_ROWS), description, example)


def test_parquet_with_dates_and_nullable_types(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    rows = pd.DataFrame(
        {
            "count": pd.array(random.choice([1, 2, None], ROWS), dtype="Int64"),
            "flag": pd.array(random.choice([True, False], ROWS), dtype="boolean"),
            "day": pd.to_datetime(random.choice(["2020-01-01", "2021-05-06"], ROWS)),
            "level": pd.Categorical(random.choice(["low", "high"], ROWS)),
            "gender": random.choice(["f", "m"], ROWS),
            "repaid": random.choice(["yes", "no"], ROWS),
        }
    )
    rows.to_parquet(tmp_path / "rows.parquet")
    dataset = MESSY.model_copy(
        update={"options": {"files": "rows.parquet", "impute": ["count"]}, "categories": (), "dates": "days"}
    )
    features, description = encoded(tmp_path, dataset)
    require_the_same(features, description, rows)
    require_the_same(features, description, rows.assign(day=rows["day"].dt.strftime("%Y-%m-%d")).astype(object))


def test_rare_and_new_categories_are_the_rare_one(tmp_path: Path) -> None:
    rows = messy_rows().assign(city=["Lyon"] * 90 + ["Metz"] * 80 + [f"village {i}" for i in range(30)])
    rows.to_csv(tmp_path / "messy.csv", sep=";", index=False)
    features, description = encoded(tmp_path, MESSY.model_copy(update={"rare_categories": 10}))
    assert sum(name.startswith("city=") for name in features) == 3
    require_the_same(features, description, rows)
    x, unknown = Encoding(description).encode(rows.tail(2).assign(city=["village 3", "a new one"]))
    np.testing.assert_array_equal(x, features.tail(2).to_numpy())
    assert unknown == ["", ""]


def test_gaps_of_rows_that_are_scored_only_are_filled_by_the_model_too(tmp_path: Path) -> None:
    """What says where a column was imputed would be constant among the other rows, and a run would refuse it."""
    rows = pd.DataFrame(
        {"income": [*map(float, range(40))], "sex": ["f", "m"] * 20, "paid": ["no", "no", "yes", "yes"] * 10}
    )
    rows.loc[[4, 8], ["income", "sex"]] = None
    rows.to_csv(tmp_path / "loans.csv", index=False)
    changes = {"sensitive": "sex", "label": "paid", "categories": (), "scored_only": (None,)}
    options = {"files": "loans.csv", "impute": ["income"]}
    features, description = encoded(tmp_path, MESSY.model_copy(update=changes | {"options": options}))
    assert list(features.columns) == ["income"]
    x, _ = Encoding(description).encode(rows)
    there = rows["income"].dropna()
    assert x[rows["income"].isna()].tolist() == [[there.median()]] * 2
    assert x[:, 0][rows["income"].notna()].tolist() == there.to_list()


NAMES = ("adult", "compas", "compas_frontier", "law", "credit", "german")


@pytest.fixture(scope="module")
def blocks() -> dict[str, Dataset]:
    loader = CONFIG_LOADER_CLASS(str(REPOSITORY / "conf"), env="base", **CONFIG_LOADER_ARGS)
    nursery = MESSY.model_copy(
        update={
            "options": {"files": "nursery.csv"},
            "label": "class",
            "positive": "not_recom",
            "classes": ("recommended", "not recommended"),
            "sensitive": "finance",
            "groups": ("convenient", "inconv"),
            "categories": (),
        }
    )
    read = {name: Dataset.model_validate(loader["parameters"]["datasets"][name]) for name in NAMES}
    return read | {"nursery": nursery}


@pytest.mark.parametrize("name", [*NAMES, "nursery"])
def test_real_tables_as_mlflow_reads_their_files(
    name: str, blocks: dict[str, Dataset], raw: Callable[..., Path]
) -> None:
    dataset = blocks[name]
    folder = raw(raw_folder(name), holds="adult.data" if name == "adult" else "*.csv")
    if name == "adult":
        parts = [pd.read_csv(folder / file, names=COLUMNS, comment="|") for file in ("adult.data", "adult.test")]
        file = pd.concat(parts, ignore_index=True)
        complete = ~file.apply(lambda column: column.astype("str").str.strip() == "?").any(axis=1)
    else:
        (path,) = folder.glob("*.csv")
        file = pd.read_csv(path)
        complete = pd.Series(True, index=file.index)
    if name.startswith("compas"):
        complete = (
            file["days_b_screening_arrest"].abs().le(30)
            & (file["is_recid"] != -1)
            & (file["c_charge_degree"] != "O")
            & file[[*FEATURES, "score_text"]].notna().all(axis=1)
        )
    if name == "nursery":  # classes are given by name, so that five of them need no list
        file = file.assign(**{"class": file["class"].where(file["class"] == "not_recom", "recom")})
        features, description = encoded(file, dataset)
    else:
        features, description = encoded(folder, dataset)
    require_the_same(features, description, file[complete].reset_index(drop=True))


class TestNumbers:
    def test_are_features_as_they_are(self) -> None:
        rows = pd.DataFrame({"b": [0.1, 2], "a": [3, 4]})
        x, _ = Encoding(numbers(["a", "b"])).encode(rows)
        assert x.tolist() == rows[["a", "b"]].to_numpy(dtype=np.float32).tolist()
