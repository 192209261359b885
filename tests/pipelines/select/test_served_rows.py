"""The exported model gives the rows of the file the scores and predictions that the run gave them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.catalogue import CHOSEN


def test_scores_of_raw_rows_are_those_of_the_run(frontier_run: Any, artifacts: dict[str, Any]) -> None:
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(str(frontier_run.file("06_models/*/model/MLmodel").parent))
    described = model.metadata.metadata
    table = pd.read_parquet(frontier_run.file("02_intermediate/adult.parquet"))
    assert set(model.metadata.get_input_schema().input_names()) == set(table.columns) - {"sex", "income", "fnlwgt"}
    predictions = artifacts["predictions"]
    ours = predictions[(predictions["method"] == CHOSEN) & (predictions["seed"] == described["seed"])]
    answer = model.predict(table.drop(columns=["sex", "income"]).iloc[ours["row"]].reset_index(drop=True))
    assert answer["score"].to_numpy() == pytest.approx(ours["score"].to_numpy(), abs=1e-6)
    assert answer["prediction"].tolist() == np.array(described["classes"])[ours["prediction"]].tolist()
    assert 0 < (ours["prediction"] == 1).sum() < len(ours)
    assert not answer["unknown_categories"].any()
