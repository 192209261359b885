"""Predictions: one table in memory and on disk, of which other programs read texts and numbers as they always did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from counterpoise.artifacts import predictions as room
from counterpoise.artifacts.predictions import COLUMNS, PredictionsDataset, compact, grouped, has_row_twice, models_of


@pytest.fixture
def frame() -> pd.DataFrame:
    """Two variants, two seeds, three rows each, as the contract says."""
    rows = pd.MultiIndex.from_product([["win_r2", "tl"], [0, 300], [2, 70_000, 5]], names=["variant", "seed", "row"])
    frame = rows.to_frame(index=False).assign(method=lambda table: table["variant"].str[:2], split="test", s=1)
    frame["score"] = np.linspace(0, 1, len(frame), dtype=np.float32)
    frame["y"], frame["prediction"] = frame["row"] % 2, (frame["score"] > 0.5).astype("int64")
    return frame.astype(COLUMNS)[list(COLUMNS)]


def small(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({name: compact(frame[name]) for name in frame})


@pytest.mark.parametrize("rows_at_once", [1, 5, 100])
def test_other_programs_read_what_was_given(
    frame: pd.DataFrame, tmp_path: Path, rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "ROWS_AT_ONCE", rows_at_once)
    path = tmp_path / "predictions.parquet"
    stored = PredictionsDataset(filepath=str(path))
    for given in (frame, small(frame)):
        stored.save(given)
        pd.testing.assert_frame_equal(pd.read_parquet(path), frame)
        kinds = {field.name: str(field.type) for field in pq.read_schema(path)}
        assert {name: kinds[name] for name in ("variant", "row", "score")} == {
            "variant": "string",
            "row": "int64",
            "score": "double",
        }
        pd.testing.assert_frame_equal(stored.load(), small(frame))


def test_a_file_that_pandas_has_written_is_read(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_parquet(tmp_path / "predictions.parquet")
    loaded = PredictionsDataset(filepath=str(tmp_path / "predictions.parquet")).load()
    pd.testing.assert_frame_equal(loaded.astype(COLUMNS), frame)


def test_numbers_become_no_smaller_than_their_values(frame: pd.DataFrame) -> None:
    assert small(frame).dtypes.astype(str).to_dict() == {
        **dict.fromkeys(("method", "variant", "split"), "category"),
        **dict.fromkeys(("y", "s", "prediction"), "int8"),
        "seed": "int16",
        "row": "int32",
        "score": "float32",
    }
    for values in ([0.1], [np.nan], [1e300], [2**40], []):
        column = pd.Series(values)
        assert compact(column).dtype == column.dtype
    assert compact(pd.Series([-129, 5])).dtype == np.int16


def test_rows_of_each_model_come_together_in_order(frame: pd.DataFrame) -> None:
    shuffled = frame.sample(frac=1, random_state=1, ignore_index=True)
    expected = list(dict.fromkeys(zip(shuffled["method"], shuffled["variant"], shuffled["seed"], strict=True)))
    for given in (shuffled, small(shuffled)):
        together = grouped(given)
        models = dict(models_of(together))
        assert list(models) == expected
        for (_, variant, seed), place in models.items():
            of_model = together.iloc[place].astype(COLUMNS)
            assert of_model["row"].tolist() == [2, 5, 70_000]
            assert set(of_model["variant"]) == {variant}
            assert set(of_model["seed"]) == {seed}
    in_order = grouped(frame)
    assert grouped(in_order) is in_order
    assert not dict(models_of(frame.iloc[:0]))


def test_a_row_said_twice_is_noticed_wherever_it_stands(frame: pd.DataFrame) -> None:
    assert not has_row_twice(frame)
    assert not has_row_twice(small(frame))
    assert has_row_twice(pd.concat([frame, frame.iloc[:1]], ignore_index=True))
    assert not has_row_twice(frame.assign(row=5).iloc[[0, 3, 6, 9]])  # the same row of four models
