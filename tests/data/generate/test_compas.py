"""An invented COMPAS file: the real layout, the same bytes each time, something to learn and something to repair."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from counterpoise.artifacts.schemas import CompasTable
from counterpoise.data import compas, draw_splits, encode
from counterpoise.data.generate.compas import HEADER, MIN_ROWS, write_compas
from counterpoise.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compas")
    write_compas(path)
    return path


def samples(folder: Path) -> pd.DataFrame:
    return encode(
        compas.read(folder),
        source="compas",
        label="two_year_recid",
        positive=1,
        sensitive="sex",
        groups=["Female", "Male"],
        keep_sensitive=True,
    )


def test_the_raw_layout(folder: Path, raw: Callable[..., Path]) -> None:
    with (raw("compas", compas.FILE) / compas.FILE).open(newline="") as stream:
        assert next(csv.reader(stream)) == list(HEADER)
    with (folder / compas.FILE).open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == list(HEADER)
    assert {len(row) for row in rows} == {53}
    assert len(rows) == 1201


def test_the_filter_has_something_to_leave_out_and_cells_are_well_populated(folder: Path) -> None:
    table = compas.read(folder)
    CompasTable.validate(table)
    assert 900 < len(table) < 1150
    assert pd.crosstab(table["two_year_recid"], table["sex"]).to_numpy().min() >= 60
    everybody = pd.read_csv(folder / compas.FILE, keep_default_na=False)
    assert (everybody["is_recid"] == -1).any()
    assert (everybody["score_text"] == "N/A").any()
    assert (everybody["days_b_screening_arrest"] == "").any()


def test_it_can_be_learned_and_men_are_charged_more_often(folder: Path) -> None:
    encoded = samples(folder)
    X, y, s = encoded.drop(columns=["y", "s"]), encoded["y"], encoded["s"]
    half = len(y) // 2
    scaler = StandardScaler().fit(X[:half])
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(X[:half]), y[:half])
    assert model.score(scaler.transform(X[half:]), y[half:]) > max(y[half:].mean(), 1 - y[half:].mean()) + 0.05
    assert y[s == 1].mean() > y[s == 0].mean() + 0.1


def test_the_smallest_file_reaches_every_part(tmp_path: Path) -> None:
    for seed in range(20):
        write_compas(tmp_path, rows=MIN_ROWS, seed=seed)
        encoded = samples(tmp_path)
        splits = draw_splits(  # warns, hence fails, where a cell misses a part
            encoded["y"].to_numpy(),
            encoded["s"].to_numpy(),
            fractions={"pretrain": 0.6, "task": 0.4},
            task={"train": 0.14, "validation": 0.06, "test": 0.2},
            seeds=[0],
        )
        assert np.unique(splits).tolist() == [0, 1, 2, 3]


def test_the_same_call_gives_the_same_bytes_and_another_seed_others(folder: Path, tmp_path: Path) -> None:
    write_compas(tmp_path)
    assert (tmp_path / compas.FILE).read_bytes() == (folder / compas.FILE).read_bytes()
    before = (tmp_path / compas.FILE).stat().st_mtime_ns
    write_compas(tmp_path)
    assert (tmp_path / compas.FILE).stat().st_mtime_ns == before
    write_compas(tmp_path, seed=1)
    assert (tmp_path / compas.FILE).read_bytes() != (folder / compas.FILE).read_bytes()


def test_the_original_file_is_not_overwritten(tmp_path: Path, raw: Callable[..., Path]) -> None:
    original = (raw("compas", compas.FILE) / compas.FILE).read_bytes()
    (tmp_path / compas.FILE).write_bytes(original)
    with pytest.raises(InputError, match=r"this is ProPublica's original file"):
        write_compas(tmp_path)
    assert (tmp_path / compas.FILE).read_bytes() == original


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"rows: found 10, expected at least {MIN_ROWS}"):
        write_compas(tmp_path, rows=10)
