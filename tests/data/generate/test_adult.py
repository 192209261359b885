"""Invented Adult files: the real layout, the same bytes each time, something to learn and something to repair."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from counterpoise.data import adult, draw_splits, encode
from counterpoise.data.generate.adult import MIN_ROWS, write_adult
from counterpoise.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adult")
    write_adult(path)
    return path


def samples(folder: Path) -> pd.DataFrame:
    return encode(
        adult.read(folder),
        source="adult",
        label="income",
        positive=">50K",
        sensitive="sex",
        groups=["Female", "Male"],
        drop=["fnlwgt"],
    )


def test_the_raw_layout(folder: Path) -> None:
    training, test = ((folder / name).read_text() for name in ("adult.data", "adult.test"))
    assert test.startswith("|1x3 Cross validator\n")
    assert training.endswith("K\n\n")
    assert test.endswith("K.\n\n")
    training_rows, test_rows = training.split("\n")[:-2], test.split("\n")[1:-2]
    assert len(training_rows) + len(test_rows) == 1500
    assert {row.count(", ") for row in training_rows + test_rows} == {14}
    assert all(row.endswith(("<=50K.", ">50K.")) for row in test_rows)
    assert 0 < sum(", ?, " in row for row in training_rows) < 0.1 * len(training_rows)


def test_incomplete_rows_are_left_out_and_cells_are_well_populated(folder: Path) -> None:
    table = adult.read(folder)
    assert 1350 < len(table) < 1500
    assert pd.crosstab(table["income"], table["sex"]).to_numpy().min() >= 60


def test_it_can_be_learned_and_men_earn_more(folder: Path) -> None:
    encoded = samples(folder)
    X, y, s = encoded.drop(columns=["y", "s"]), encoded["y"], encoded["s"]
    half = len(y) // 2
    scaler = StandardScaler().fit(X[:half])
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(X[:half]), y[:half])
    accuracy = model.score(scaler.transform(X[half:]), y[half:])
    assert accuracy > (1 - y[half:].mean()) + 0.05
    assert y[s == 1].mean() > y[s == 0].mean() + 0.1


def test_the_smallest_table_reaches_every_part(tmp_path: Path) -> None:
    for seed in range(20):
        write_adult(tmp_path, rows=MIN_ROWS, seed=seed)
        encoded = samples(tmp_path)
        splits = draw_splits(  # warns, hence fails, where a cell misses a part
            encoded["y"].to_numpy(),
            encoded["s"].to_numpy(),
            fractions={"pretrain": 0.6, "task": 0.4},
            task={"train": 12287, "validation": 5000, "test": 10315},
            seeds=[0],
        )
        assert np.unique(splits).tolist() == [0, 1, 2, 3]


def test_the_same_call_gives_the_same_bytes_and_another_seed_others(folder: Path, tmp_path: Path) -> None:
    write_adult(tmp_path)
    for name in adult.CHECKSUMS:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    before = (tmp_path / "adult.data").stat().st_mtime_ns
    write_adult(tmp_path)
    assert (tmp_path / "adult.data").stat().st_mtime_ns == before
    write_adult(tmp_path, seed=1)
    assert (tmp_path / "adult.data").read_bytes() != (folder / "adult.data").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adult.data", "adult.test"]


def test_the_original_files_are_not_overwritten(tmp_path: Path) -> None:
    original = (Path(__file__).parents[3] / "data" / "01_raw" / "adult" / "adult.data").read_bytes()
    (tmp_path / "adult.data").write_bytes(original)
    with pytest.raises(InputError, match=r"adult\.data: this is UCI's original file"):
        write_adult(tmp_path)
    assert (tmp_path / "adult.data").read_bytes() == original


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"rows: found 10, expected at least {MIN_ROWS}"):
        write_adult(tmp_path, rows=10)
