"""`counterpoise export`: what a run has left, as a folder that gives the rows of the file the run's scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.commands.exporting import Request, export
from counterpoise.errors import InputError

VARIANT = "win_r1_a0.5"


@pytest.fixture
def _inside(smoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    smoke.bootstrap()
    monkeypatch.chdir(smoke.path)


@pytest.mark.usefixtures("_inside")
def test_a_fine_tuned_head_takes_the_columns_of_the_file(smoke: Any, tmp_path: Path) -> None:
    import mlflow.pyfunc

    request = Request("win_adult", tmp_path / "model", method=VARIANT, seed=1, environment="smoke")
    assert export(request)[0].startswith(f"written: {tmp_path / 'model'}, which takes age, workclass, ")
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert model.metadata.metadata["variant"] == VARIANT
    predictions = smoke.predictions
    ours = predictions[(predictions["variant"] == VARIANT) & (predictions["seed"] == 1)]
    table = pd.read_parquet(smoke.file("02_intermediate/adult.parquet"))
    answer = model.predict(table.iloc[ours["row"]].reset_index(drop=True))
    assert answer["score"].to_numpy() == pytest.approx(ours["score"].to_numpy(), abs=1e-6)
    classes = np.array(model.metadata.metadata["classes"])
    assert answer["prediction"].tolist() == classes[ours["prediction"]].tolist()


@pytest.mark.usefixtures("_inside")
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"experiment": "win_adul"}, r"experiment: 'win_adul' is unknown \(did you mean 'win_adult'\?\), expected the"),
        ({"method": "win_r1"}, r"--method is 'win_r1'.*, expected one of .*win_r1_a0.5"),
        ({"method": None}, "--method is not given, expected one of "),
        ({"seed": 99}, "seed is 99, expected one of 0, 1, 2"),
        ({"part": "sex"}, "--part is 'sex', expected none: win_adult has no parts"),
        ({"experiment": "alter_adult", "method": None}, "--part is not given, expected one of sex, race"),
        ({"experiment": "alter_compas", "method": None}, "there is no 'compact_networks' in its folders, expected it"),
        ({"experiment": "frontier_adult"}, "frontier_adult: is on a table, expected one on images"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    names = {"experiment": "win_adult", "method": VARIANT, "environment": "smoke"} | changes
    with pytest.raises(InputError, match=sentence):
        export(Request(to=tmp_path / "model", **names))
    assert not (tmp_path / "model").exists()
