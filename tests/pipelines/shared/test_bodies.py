"""A user's own model that leaves with a head on it takes rows of the file and answers as the run does."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import loans

from counterpoise.artifacts.serving import Servable, read_servable, write_servable
from counterpoise.config.models import SklearnFile, TorchModule
from counterpoise.data.encode import feature_names
from counterpoise.pipelines.data_split.nodes import encode_table, read_divided
from counterpoise.pipelines.shared.bodies import body_of, on_body
from counterpoise.pipelines.shared.served import predictions
from counterpoise.pipelines.shared.trained import Trained, network_on_table

ROWS = 120
CODE = """
import torch
from torch import nn

class Scorer(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        torch.manual_seed(1)
        self.hidden, self.out = nn.Linear(inputs, 5), nn.Linear(5, 1)

    def forward(self, x):
        return self.out(self.hidden(x).tanh()).sigmoid().squeeze(-1)

class Choosy(Scorer):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)
"""
DATASET = loans(
    options={"files": "t.csv", "impute": ["income"], "missing_category": "none"}, drop=["branch"], min_test_rows=0
)


@pytest.fixture
def file(tmp_path: Path) -> pd.DataFrame:
    """The rows as the user has them, with gaps."""
    draw = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "age": draw.integers(18, 80, ROWS),
            "income": np.where(draw.random(ROWS) < 0.2, np.nan, draw.normal(3, 1, ROWS).round(3)),
            "city": draw.choice(["north", "south", None], ROWS),
            "branch": draw.choice(["a", "b"], ROWS),
            "sex": draw.choice(["f", "m"], ROWS),
            "repaid": draw.choice(["no", "yes"], ROWS),
        }
    )
    rows.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "user_bodies.py").write_text(CODE)
    return rows


def prepared(folder: Path) -> tuple[pd.DataFrame, dict[str, Any], pd.DataFrame]:
    table, _, _ = read_divided(folder, DATASET)
    samples, encoding = encode_table(table, DATASET)
    return samples, encoding, table


def pipeline(table: pd.DataFrame, columns: list[str], *, imputing: bool = False) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [name for name in columns if name in ("age", "income")]
    texts = [name for name in columns if name not in numbers]
    scaling = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()) if imputing else StandardScaler()
    steps = make_column_transformer((scaling, numbers), (OneHotEncoder(), texts))
    return make_pipeline(steps, LogisticRegression()).fit(table[columns], table["repaid"])


def head_of(samples: pd.DataFrame, table: pd.DataFrame, folder: Path, settings: Trained) -> tuple[Any, torch.Tensor]:
    """Return another head than the model's own, and its logits for every row."""
    network, x = network_on_table(samples, table, folder, settings, DATASET)
    generator = torch.Generator().manual_seed(3)
    features = network.features(x)
    weight = torch.randn(features.shape[1], 2, generator=generator)
    margins = features @ (weight[:, 1] - weight[:, 0])
    layer = weight, torch.stack([torch.zeros(()), -margins.median() + 1e-4])
    return layer, features @ weight + layer[1]


@pytest.mark.parametrize("kind", ["network", "file", "gaps", "dropped", "encoded"])
def test_rows_of_the_file_get_the_decisions_of_the_head(tmp_path: Path, file: pd.DataFrame, kind: str) -> None:
    import skops.io

    samples, encoding, table = prepared(tmp_path)
    settings: Trained
    if kind == "network":
        chosen = tuple(reversed(feature_names(samples)[:4]))
        settings = TorchModule(module="user_bodies:Scorer", arguments={"inputs": 4}, columns=chosen)
    else:
        columns = {"file": ["city", "income", "age"], "dropped": ["branch", "age"]}
        rows = samples.drop(columns=["y", "s"]).assign(repaid=table["repaid"])
        if kind == "gaps":
            estimator = pipeline(file, ["city", "income", "age"], imputing=True)
        else:
            estimator = pipeline(rows, ["income", "age"]) if kind == "encoded" else pipeline(table, columns[kind])
        skops.io.dump(estimator, tmp_path / "scorer.skops")
        settings = SklearnFile(sklearn="scorer.skops")
    layer, logits = head_of(samples, table, tmp_path, settings)
    written = body_of(samples, table, tmp_path, settings, DATASET, encoding)
    assert written is not None
    bare = Servable({"columns": []}, (layer,), DATASET.classes, "repaid", "e", example=pd.DataFrame({"f0": [0.0]}))
    write_servable(on_body(bare, *written), tmp_path / "model")
    model = read_servable(tmp_path / "model")
    expected = {
        "network": {"age", "income", "city"},
        "file": {"age", "income", "city"},
        "gaps": {"age", "income", "city"},
        "dropped": {"age", "branch"},
        "encoded": {"age", "income"},
    }
    assert set(model.columns) == expected[kind]
    assert set(model.inputs()) == set(model.columns)
    answer = predictions(tmp_path / "model", file.sample(frac=1, random_state=0)[list(model.columns)], DATASET.classes)
    order = file.sample(frac=1, random_state=0).index
    assert 0 < answer.mean() < 1
    assert answer.tolist() == logits.argmax(dim=1)[torch.tensor(order)].tolist()
    gaps = file[file[["income", "city"]].isna().all(axis=1)].index
    for row in gaps:  # what a server gets: one row, whose columns hold nothing at all
        (alone,) = predictions(tmp_path / "model", file.loc[[row], list(model.columns)], DATASET.classes)
        assert alone == logits[row].argmax()
    assert len(gaps)


def test_what_has_no_form_without_pickles_is_said(
    tmp_path: Path, file: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    samples, encoding, table = prepared(tmp_path)
    inputs = len(feature_names(samples))
    settings = TorchModule(module="user_bodies:Choosy", arguments={"inputs": inputs})
    with caplog.at_level(logging.WARNING):
        assert body_of(samples, table, tmp_path, settings, DATASET, encoding) is None
    assert "user_bodies:Choosy: cannot be written down without pickled objects" in caplog.text


def test_a_value_that_the_steps_refuse_is_one_sentence(tmp_path: Path, file: pd.DataFrame) -> None:
    import mlflow.pyfunc
    import skops.io
    from mlflow.exceptions import MlflowException

    samples, encoding, table = prepared(tmp_path)
    skops.io.dump(pipeline(table, ["branch", "age"]), tmp_path / "scorer.skops")
    settings = SklearnFile(sklearn="scorer.skops")
    layer, _ = head_of(samples, table, tmp_path, settings)
    written = body_of(samples, table, tmp_path, settings, DATASET, encoding)
    assert written is not None
    bare = Servable({"columns": []}, (layer,), DATASET.classes, "repaid", "e", example=pd.DataFrame({"f0": [0.0]}))
    write_servable(on_body(bare, *written), tmp_path / "model")
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    with pytest.raises(MlflowException, match="the model's own steps refuse the rows"):
        model.predict(pd.DataFrame({"branch": ["never seen"], "age": [30]}))
    with pytest.raises(MlflowException, match=r"branch.*row 0"):
        model.predict(pd.DataFrame({"branch": [None], "age": [30]}))
