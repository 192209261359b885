"""Duplicates, beside comparing every row with every other."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from counterpoise.data.audit import duplicates, files_of, row_ids
from counterpoise.errors import InputError


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    random = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "a": random.choice([0.5, 1.5, np.nan], 60),
            "b": random.choice(["u", "v", "w", None], 60),
            "c": random.integers(0, 4, 60),
            "y": random.integers(0, 3, 60),
            "part": random.choice(["train", "test"], 60),
        }
    )


def test_pairs_are_those_of_a_double_loop(rows: pd.DataFrame) -> None:
    part = pd.Series(pd.Categorical(rows["part"], categories=["train", "test", "unused"]))
    found = duplicates(row_ids(rows[["a", "b", "c"]]), rows["y"].to_numpy(), part).set_index(["part", "other"])
    keys = [repr(tuple(row)) for row in rows[["a", "b", "c"]].itertuples(index=False)]
    for own in ("train", "test"):
        for other in ("train", "test"):
            same = different = 0
            for i in np.flatnonzero(rows["part"] == own):
                near = [j for j in np.flatnonzero(rows["part"] == other) if j != i and keys[j] == keys[i]]
                same += any(rows["y"][j] == rows["y"][i] for j in near)
                different += any(rows["y"][j] != rows["y"][i] for j in near)
            assert found.loc[(own, other), ["same_label", "other_label"]].tolist() == [same, different]
        assert found.at[(own, "train"), "rows"] == (rows["part"] == own).sum()
    assert found.loc["unused"].to_numpy().sum() == 0
    assert found["same_label"].sum() > 0
    assert found["other_label"].sum() > 0


def test_a_row_is_no_duplicate_of_itself() -> None:
    found = duplicates(np.arange(4), np.zeros(4, dtype=np.int64), pd.Series(["a"] * 4))
    assert found[["same_label", "other_label"]].to_numpy().sum() == 0


def test_rows_without_columns_are_all_alike_and_numbers_are_not_texts() -> None:
    assert set(row_ids(pd.DataFrame(index=range(3)))) == {0}
    assert len(set(row_ids(pd.DataFrame({"a": [1, "1"]})))) == 2


@pytest.mark.parametrize("factor", [0x9E3779B97F4A7C15, 0])
def test_rows_have_one_number_if_and_only_if_they_agree(factor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a factor of 0 all rows have one digest, and are compared value by value."""
    monkeypatch.setattr(import_module("counterpoise.data.audit.duplicates"), "_MIX", (np.uint64(factor), np.uint64(32)))
    random = np.random.default_rng(1)
    other_nan = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)[0]
    columns = {
        "number": random.choice([0.0, -0.0, 1.5, np.nan, other_nan, np.inf], 300),
        "single": random.choice(np.array([0.1, -2], dtype=np.float32), 300),
        "whole": random.choice([-1, 2**62, 7], 300),
        "truth": random.random(300) < 0.5,
        "gap": pd.array(random.choice([1, 2, None], 300), dtype="Int64"),
        "text": random.choice(["a", "b", None], 300),
    }
    frame = pd.DataFrame(columns)
    as_text = [repr(row) for row in frame.assign(number=frame["number"] + 0.0).itertuples(index=False)]
    assert (pd.factorize(row_ids(frame))[0] == pd.factorize(np.array(as_text))[0]).all()


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match="4 labels and 3 parts"):
        duplicates(np.arange(4), np.zeros(4, dtype=np.int64), pd.Series(["a"] * 3))


def test_the_same_bytes_have_the_same_number(tmp_path: Path) -> None:
    for name, content in {"a.png": b"one", "b.png": b"two", "c.png": b"one", "d.png": b"four"}.items():
        (tmp_path / name).write_bytes(content)
    found = files_of(tmp_path, ["a.png", "b.png", "c.png", "d.png", "a.png"])
    assert found is not None
    ids, sizes = found
    assert ids[0] == ids[2] == ids[4]
    assert len(set(ids)) == 3
    assert sizes.tolist() == [3, 3, 3, 4, 3]


def test_images_that_are_no_files_have_neither(tmp_path: Path) -> None:
    assert files_of(tmp_path, ["train/3/0001.png"]) is None


def test_no_path_leads_out_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.\."):
        files_of(tmp_path, ["../a.png"])
