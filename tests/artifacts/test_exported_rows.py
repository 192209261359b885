"""The exported model takes rows of the user's table: from Python, from the command line's CSV, and by HTTP."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from counterpoise.artifacts.serving import Servable, ServableDataset


def entry(column: str, kind: str, *categories: str, fill: Any = None, indicator: bool = False) -> dict[str, Any]:
    """Return what a column became, as `data.encoding` describes it."""
    features = [f"{column}={name}" for name in categories] or [f"{column}_missing" if indicator else column]
    described = {"column": column, "kind": kind, "features": features, "categories": list(categories)}
    return described | {"rare": None, "fill": fill, "indicator": indicator}


ENCODING: dict[str, Any] = {
    "columns": [
        entry("age", "number"),
        entry("income", "number", fill=9.5),
        entry("housing", "category", "None", "own", "unknown", fill="unknown"),
        entry("area", "category", "01", "2", "True"),
        entry("staff", "boolean"),
        entry("since", "date"),
        entry("income", "boolean", indicator=True),
    ],
    "missing": ["", "?", "-1"],
    "decimal": ".",
    "thousands": ",",
}
ROWS = pd.DataFrame(
    {
        "age": [40, 31, 22],
        "income": [1000.5, None, 20.0],
        "housing": ["own", None, "None"],
        "area": ["2", "01", "True"],
        "staff": [True, False, True],
        "since": ["1970-01-03", "1969-12-31", "1970-01-01T12:00:00Z"],
    }
)
FEATURES = [
    [40, 1000.5, 0, 1, 0, 0, 1, 0, 1, 2, 0],
    [31, 9.5, 0, 0, 1, 1, 0, 0, 0, -1, 1],
    [22, 20.0, 1, 0, 0, 0, 0, 1, 1, 0.5, 0],
]
WEIGHTS = torch.linspace(-0.02, 0.03, len(FEATURES[0]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model"
    layer = (torch.stack([torch.zeros_like(WEIGHTS), WEIGHTS], dim=1), torch.zeros(2))
    model = Servable(ENCODING, layers=(layer,), classes=("no", "yes"), label="repaid", experiment="drawn", example=ROWS)
    ServableDataset(str(path)).save(model)
    return path


def expected(features: Any = FEATURES) -> Any:
    score = torch.sigmoid(torch.tensor(features, dtype=torch.float64) @ WEIGHTS.double())
    return pytest.approx(score.numpy(), abs=1e-7)


def asked(served: Any, body: Any, kind: str = "application/json") -> tuple[int, str]:
    """Return status and answer of MLflow's server to one request."""
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server import invocations

    data = body if isinstance(body, str) else json.dumps(body)
    try:
        response = invocations(data, kind, served, served.metadata.get_input_schema())
    except MlflowException as error:
        return error.get_http_status_code(), error.message
    return response.status, response.response


class TestRowsOfATable:
    def test_in_any_order_beside_other_columns(self, served: Any) -> None:
        answer = served.predict(ROWS.iloc[:, ::-1].assign(gender="f"))
        assert answer["score"].to_numpy() == expected()
        assert answer["unknown_categories"].tolist() == ["", "", ""]

    @pytest.mark.parametrize("row", range(len(ROWS)))
    def test_one_by_one(self, row: int, served: Any) -> None:
        assert served.predict(ROWS.iloc[[row]])["score"].to_numpy() == expected([FEATURES[row]])

    @pytest.mark.parametrize("orient", ["dataframe_split", "dataframe_records"])
    def test_by_http_with_whole_numbers_truth_values_and_null(self, orient: str, served: Any) -> None:
        content = json.loads(ROWS.to_json(orient=orient.removeprefix("dataframe_")))
        status, text = asked(served, {orient: content})
        assert status == 200
        assert [row["score"] for row in json.loads(text)["predictions"]] == expected()

    def test_as_texts_as_a_file_has_them(self, served: Any) -> None:
        texts = ROWS.assign(
            age=["40", " 31", "22.0"],
            income=["1,000.5", "?", "20"],
            housing=[" own", "-1", "None"],
            area=["2.0", "1", "TRUE"],
            staff=["True", "false", "TRUE"],
        )
        assert served.predict(texts)["score"].to_numpy() == expected()

    def test_as_other_types(self, served: Any) -> None:
        rows = ROWS.assign(
            age=pd.array([40, 31, 22], dtype="Int64"),
            income=[1000.5, -1, 20],
            area=[2, 1, True],
            staff=[1, 0, 1],
            since=pd.to_datetime(ROWS["since"], format="ISO8601", utc=True),
            housing=pd.Categorical(ROWS["housing"]),
        )
        assert served.predict(rows)["score"].to_numpy() == expected()

    def test_in_csv_by_the_command_line_a_missing_category_is_one(self, served: Any) -> None:
        """MLflow reads CSV by pandas' rules, to which the category None is missing."""
        from mlflow.pyfunc.scoring_server import parse_csv_input

        rows = parse_csv_input(StringIO(ROWS.head(2).to_csv(index=False)))
        assert served.predict(rows)["score"].to_numpy() == expected(FEATURES[:2])

    def test_of_no_rows(self, served: Any) -> None:
        assert len(served.predict(ROWS.head(0))) == 0


class TestUnknownCategories:
    @pytest.mark.parametrize(("column", "value"), [("housing", "castle"), ("area", "3"), ("area", 7.5)])
    def test_have_no_feature_and_are_named(self, column: str, value: Any, served: Any) -> None:
        answer = served.predict(ROWS.head(1).assign(**{column: [value]}))
        features = np.array(FEATURES[:1])
        features[0, [2, 3, 4] if column == "housing" else [5, 6, 7]] = 0
        assert answer["score"].to_numpy() == expected(features)
        assert answer["unknown_categories"].tolist() == [column]

    def test_of_two_columns_in_one_row(self, served: Any) -> None:
        answer = served.predict(ROWS.assign(housing=["castle", "own", "own"], area=["3", "2", "2"]))
        assert answer["unknown_categories"].tolist() == ["housing, area", "", ""]

    def test_are_refused_where_a_request_asks_for_it(self, served: Any) -> None:
        body = {"dataframe_records": [{**ROWS.iloc[0].to_dict(), "age": 40, "housing": "castle"}]}
        status, text = asked(served, body | {"params": {"unknown": "refuse"}})
        assert status == 400
        assert text.endswith(
            "column 'housing': found 'castle' in row 0, expected one of the 3 categories that the model was trained on"
        )
        assert asked(served, body | {"params": {"unknown": "ignore"}})[0] == 200
        status, text = asked(served, body | {"params": {"unknown": "whatever"}})
        assert status == 400
        assert text.endswith("params: 'unknown' is 'whatever', expected 'ignore' or 'refuse'")


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("age", None, "column 'age': the value in row 0 is missing, expected a finite number"),
        ("age", "old", "column 'age': found 'old' in row 0, expected a finite number"),
        ("age", "true", "column 'age': found 'true' in row 0, expected a finite number"),
        ("age", "1,5", "column 'age': found '1,5' in row 0, expected a finite number"),
        ("age", [1], "column 'age': found '[1]' in row 0, expected a finite number"),
        ("age", 1e40, "column 'age': found '1e+40' in row 0, expected a finite number (below 3.4e38)"),
        ("staff", "maybe", "column 'staff': found 'maybe' in row 0, expected a truth value"),
        ("since", "yesterday", "column 'since': found 'yesterday' in row 0, expected a date as in 2024-12-31"),
        ("since", 19723, "column 'since': found '19723' in row 0, expected a date as in 2024-12-31"),
        ("since", None, "column 'since': the value in row 0 is missing, expected a date as in 2024-12-31"),
        ("area", None, "column 'area': the value in row 0 is missing, expected a text, a number or a truth value"),
        ("area", {"a": 1}, "column 'area': found \"{'a': 1}\" in row 0, expected a text, a number or a truth value"),
        ("area", "x" * 500, None),
    ],
)
def test_a_request_with_a_value_that_the_model_cannot_take(
    column: str, value: Any, sentence: str | None, served: Any
) -> None:
    row = {**json.loads(ROWS.to_json(orient="records"))[0], column: value}
    status, text = asked(served, {"dataframe_records": [row]})
    if sentence is None:
        assert status == 200
    else:
        assert status == 400
        assert text.splitlines()[-1] == f"Error: {sentence}"


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        {},
        {"rows": []},
        {"dataframe_split": {"columns": ["age"], "data": [[1]]}},
        {"dataframe_split": {"columns": ["age"], "data": [[1, 2]]}},
        {"dataframe_records": 3},
        {"dataframe_records": [{"age": 1}]},
    ],
)
def test_a_malformed_request_is_the_callers_mistake(body: Any, served: Any) -> None:
    assert asked(served, body)[0] == 400


def test_a_text_that_csv_takes_for_missing_is_hinted_at(served: Any) -> None:
    from mlflow.exceptions import MlflowException

    code = served.unwrap_python_model()
    housing = next(column for column in code.encoding.entries if column["column"] == "housing")
    housing["fill"] = None
    try:
        with pytest.raises(MlflowException, match=r"MLflow reads the category 'None' in CSV as missing: send JSON"):
            served.predict(ROWS)
    finally:
        housing["fill"] = "unknown"


def test_the_folder_says_what_its_columns_hold_and_encodes_rows(served: Any) -> None:
    assert served.metadata.metadata["inputs"] == {
        "age": "number",
        "income": "number, may be missing",
        "housing": "one of 3 categories, may be missing",
        "area": "one of 3 categories",
        "staff": "boolean",
        "since": "date",
    }
    encoded = served.unwrap_python_model().encode(ROWS)
    assert list(encoded) == [name for column in ENCODING["columns"] for name in column["features"]]
    assert encoded.to_numpy().tolist() == FEATURES
