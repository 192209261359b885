"""Invented law, credit and German tables: the real columns, the same bytes each time, something to learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from counterpoise.config.parameters import Dataset
from counterpoise.data.generate.tables import MIN_ROWS, write_credit, write_german, write_law
from counterpoise.errors import InputError
from counterpoise.pipelines.data_split.nodes import encode_samples, read_table
from counterpoise.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS

CONF = Path(__file__).parents[3] / "conf"
WRITERS: dict[str, Callable[..., None]] = {"law": write_law, "credit": write_credit, "german": write_german}


@pytest.fixture(scope="module")
def datasets() -> dict[str, Dataset]:
    blocks = CONFIG_LOADER_CLASS(str(CONF), env="smoke", **CONFIG_LOADER_ARGS)["parameters"]["datasets"]
    return {name: Dataset.model_validate(blocks[name]) for name in WRITERS}


@pytest.mark.parametrize("name", WRITERS)
def test_columns_and_categories_are_those_of_the_real_table(
    name: str, tmp_path: Path, raw: Callable[..., Path]
) -> None:
    WRITERS[name](tmp_path / name)
    drawn = pd.read_csv(tmp_path / name / f"{name}.csv", keep_default_na=False)
    real = pd.read_csv(raw(name, holds="*.csv") / f"{name}.csv", keep_default_na=False)
    assert list(drawn) == list(real)
    for column in real:
        assert pd.api.types.is_numeric_dtype(drawn[column]) == pd.api.types.is_numeric_dtype(real[column]), column
        if not pd.api.types.is_numeric_dtype(real[column]):
            assert {*drawn[column]} <= {*real[column]}, column


@pytest.mark.parametrize("name", WRITERS)
def test_it_can_be_learned_and_one_group_is_favoured(name: str, tmp_path: Path, datasets: dict[str, Dataset]) -> None:
    WRITERS[name](tmp_path / name)
    encoded = encode_samples(read_table(tmp_path / name, datasets[name])[0], datasets[name])
    x, y, s = encoded.drop(columns=["y", "s"]).astype(float), encoded["y"], encoded["s"]
    half = len(y) // 2
    scaler = StandardScaler().fit(x[:half])
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(x[:half]), y[:half])
    assert model.score(scaler.transform(x[half:]), y[half:]) > max(y.mean(), 1 - y.mean()) + 0.02
    assert abs(y[s == 1].mean() - y[s == 0].mean()) > 0.1
    assert pd.crosstab(y, s).to_numpy().min() >= 30


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_call_gives_the_same_bytes_and_another_seed_others(name: str, tmp_path: Path) -> None:
    for folder, seed in (("first", 0), ("second", 0), ("third", 1)):
        WRITERS[name](tmp_path / folder, seed=seed)
    first, second, third = ((tmp_path / f / f"{name}.csv").read_bytes() for f in ("first", "second", "third"))
    assert first == second != third


@pytest.mark.parametrize("name", WRITERS)
def test_real_data_and_too_few_rows_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"rows: found 10, expected at least {MIN_ROWS}"):
        WRITERS[name](tmp_path, rows=10)
    (tmp_path / f"{name}.csv").write_text("real\n")
    with pytest.raises(InputError, match="holds files that were not drawn here"):
        WRITERS[name](tmp_path)
    assert (tmp_path / f"{name}.csv").read_text() == "real\n"
