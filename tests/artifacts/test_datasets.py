"""Files are written whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kedro.io import AbstractDataset, DatasetError
from safetensors import safe_open
from safetensors.torch import save_file

from counterpoise.artifacts.datasets import (
    HEADER,
    LEADS,
    Checkpoint,
    CSVDataset,
    FigureDataset,
    GeneratedFolder,
    JSONDataset,
    ParquetDataset,
    RawFolder,
    SafetensorsDataset,
    TextDataset,
    as_header,
    path_of,
    read_checkpoint,
    require_writable,
    with_formulas,
    without_formulas,
)
from counterpoise.cli import sentence
from counterpoise.errors import InputError

FULL = 4096
"""Bytes after which the disk of these tests is full."""

LARGE = torch.randn(FULL, generator=torch.Generator().manual_seed(0))

Make = Callable[[int], Any]
KINDS: dict[str, tuple[type[Any], Make]] = {
    "parquet": (ParquetDataset, lambda n: pd.DataFrame({"x": LARGE[:n].numpy()})),
    "csv": (CSVDataset, lambda n: pd.DataFrame({"x": LARGE[:n].numpy()})),
    "json": (JSONDataset, lambda n: {"x": LARGE[:n].tolist()}),
    "txt": (TextDataset, lambda n: str(LARGE[:n].tolist())),
    "figure.json": (FigureDataset, lambda n: go.Figure(go.Scatter(y=LARGE[:n].tolist()))),
    "safetensors": (SafetensorsDataset, lambda n: Checkpoint({"x": LARGE[:n]}, as_header(seeds=[0]))),
}


@contextmanager
def full_disk() -> Iterator[None]:
    """Let the operating system refuse every write beyond the first bytes of a file (Python ignores the signal)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(folder: Path) -> list[str]:
    """Return what lies in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[AbstractDataset[Any, Any], Make, Path]:
    dataset, make = KINDS[request.param]
    path = tmp_path / "folder" / f"file.{request.param}"
    return dataset(filepath=str(path)), make, path


def test_what_is_saved_is_loaded(kind: tuple[Any, Make, Path]) -> None:
    dataset, make, path = kind
    dataset.save(make(3))
    loaded = dataset.load()
    if isinstance(loaded, pd.DataFrame):
        assert loaded["x"].tolist() == pytest.approx(LARGE[:3].tolist())
    elif isinstance(loaded, Checkpoint):
        assert torch.equal(loaded.tensors["x"], LARGE[:3])
        assert loaded.header["seeds"] == [0]
        assert loaded.header["shapes"] == {"x": [3]}
    else:
        assert loaded == make(3)
    assert names(path.parent) == [path.name]
    assert path_of(dataset) == path


def test_a_full_disk_leaves_the_file_that_was_there(kind: tuple[Any, Make, Path]) -> None:
    dataset, make, path = kind
    dataset.save(make(3))
    before = path.read_bytes()
    with full_disk(), pytest.raises(DatasetError) as caught:
        dataset.save(make(len(LARGE)))
    told = sentence(caught.value)
    assert told is not None
    assert told.startswith(f"{path}: cannot be written (")
    assert "large" in told
    assert told.endswith("expected space and a writable folder")
    assert path.read_bytes() == before
    assert names(path.parent) == [path.name]


def test_a_full_disk_leaves_no_file_where_there_was_none(kind: tuple[Any, Make, Path]) -> None:
    dataset, make, path = kind
    with full_disk(), pytest.raises(DatasetError):
        dataset.save(make(len(LARGE)))
    assert names(path.parent) == []


def test_a_defect_of_ours_is_no_full_disk(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        JSONDataset(filepath=str(tmp_path / "file.json")).save({"x": object()})
    assert "not JSON serializable" in str(caught.value)
    assert "cannot be written" not in str(caught.value)


def test_what_a_killed_run_began_is_removed_by_the_next_and_a_running_one_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    killed, running = (tmp_path / f".file.txt.{writer}.part" for writer in (process.pid, os.getppid()))
    for aside in (killed, running):
        aside.write_text("half")
    TextDataset(filepath=str(tmp_path / "file.txt")).save("whole")
    assert not killed.exists()
    assert running.exists()


def test_checkpoints_may_hold_views_of_one_another(tmp_path: Path) -> None:
    dataset, matrix = SafetensorsDataset(str(tmp_path / "x.safetensors")), torch.arange(6.0).reshape(2, 3)
    dataset.save(Checkpoint({"matrix": matrix, "transposed": matrix.T, "row": matrix[1]}))
    tensors = dataset.load().tensors
    assert torch.equal(tensors["transposed"], matrix.T)
    assert torch.equal(tensors["row"], matrix[1])


def test_the_header_is_json_in_the_files_metadata(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    SafetensorsDataset(str(path)).save(Checkpoint({"x": LARGE[:2]}, {"seeds": [5], "architecture": "α"}))
    with safe_open(path, "pt") as file:
        ((key, text),) = file.metadata().items()
    values = LARGE[:2].numpy().tobytes()
    digest = hashlib.sha256(b"torch.float32" + values).hexdigest()
    assert key == HEADER
    assert text == f'{{"architecture": "\\u03b1", "seeds": [5], "sha256": {{"x": "{digest}"}}, "shapes": {{"x": [2]}}}}'


class TestReadCheckpoint:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"x\.safetensors: no such file, expected a safetensors checkpoint"):
            read_checkpoint(tmp_path / "x.safetensors")

    @pytest.mark.parametrize("write", [lambda p: p.write_bytes(pickle.dumps([1])), lambda p: torch.save([1], p)])
    def test_pickle(self, tmp_path: Path, write: Callable[[Path], Any]) -> None:
        path = tmp_path / "x.safetensors"
        write(path)
        with pytest.raises(InputError, match=r"is a pickle, expected a safetensors checkpoint; pickles are never"):
            read_checkpoint(path)

    @pytest.mark.parametrize("size", range(0, 256, 8))
    def test_truncated(self, tmp_path: Path, size: int) -> None:
        """Of whatever length: the format begins with a number, whose first byte may be that of a pickle."""
        path = tmp_path / "x.safetensors"
        SafetensorsDataset(str(path)).save(Checkpoint({"x": LARGE}, {"name": "x" * size}))
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(InputError, match="is not a safetensors file"):
            read_checkpoint(path)

    def test_somebody_elses(self, tmp_path: Path) -> None:
        path = tmp_path / "x.safetensors"
        save_file({"x": LARGE[:2]}, path)
        with pytest.raises(InputError, match="has no 'counterpoise' header in its metadata"):
            read_checkpoint(path)

    @pytest.mark.parametrize(
        ("tensors", "message"),
        [
            ({"x": LARGE[:3]}, r"tensor 'x' has shape \[3\], expected \[2\]"),
            ({"z": LARGE[:2]}, r"tensor 'x' has shape none, expected \[2\]"),
            ({"x": LARGE[:2], "z": torch.zeros(1)}, r"tensor 'z' has shape \[1\], expected none"),
        ],
    )
    def test_other_tensors_than_the_header_says(
        self, tmp_path: Path, tensors: dict[str, torch.Tensor], message: str
    ) -> None:
        path = tmp_path / "x.safetensors"
        save_file(tensors, path, metadata={HEADER: '{"shapes": {"x": [2]}}'})
        with pytest.raises(InputError, match=message):
            read_checkpoint(path)


def test_raw_data_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="raw data are never written by a run"):
        RawFolder(str(tmp_path)).save(tmp_path)


def test_a_generated_folder_is_filled_when_it_is_read(tmp_path: Path) -> None:
    dataset = GeneratedFolder(
        str(tmp_path / "adult"), "counterpoise.data.generate.adult.write_adult", {"rows": 500, "seed": 1}
    )
    assert not dataset.exists()
    folder = dataset.load()
    assert names(folder) == ["adult.data", "adult.test"]
    assert dataset.exists()


def test_require_writable(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "file.csv")
    assert names(tmp_path / "new") == []
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/folder: cannot be written \(Not a directory\), expected a writable"):
        require_writable(tmp_path / "file" / "folder" / "file.csv")


TEXTS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "-", "'=1", "''-x", "'plain", "plain", "a=b", "", "−1 minus"]


def written(frame: pd.DataFrame) -> str:
    return without_formulas(frame).to_csv(index=False)


@pytest.mark.parametrize("kind", ["object", "str", "string", "category"])
def test_no_text_begins_like_a_formula(kind: str) -> None:
    frame = pd.DataFrame({"name": pd.Series(TEXTS).astype(kind)})
    safe = without_formulas(frame)
    assert safe["name"].dtype == frame["name"].dtype or kind in ("object", "category")  # pandas reads text off objects
    assert not [text for text in safe["name"].astype(object) if text.startswith(LEADS)]
    assert list(with_formulas(safe)["name"].astype(object)) == TEXTS
    assert list(frame["name"].astype(object)) == TEXTS  # the frame itself is not changed


@pytest.mark.parametrize("values", [[-1, 2], [-1.5, np.nan], [True, False]])
def test_numbers_stay_numbers(values: list[float]) -> None:
    frame = pd.DataFrame({"difference": values})
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(written(frame))), frame)


def test_numbers_among_text_and_nulls_are_left_alone() -> None:
    frame = pd.DataFrame({"mixed": pd.Series([-1, "=x", None, np.nan, -2.5], dtype=object)})
    safe = without_formulas(frame)["mixed"].tolist()
    assert safe[:2] == [-1, "'=x"]
    assert safe[4] == -2.5
    assert pd.isna(safe[2]) and pd.isna(safe[3])  # noqa: PT018
    nullable = pd.DataFrame({"rank": pd.array([-1, None], dtype="Int64"), "text": pd.array(["-a", None], dtype="str")})
    assert without_formulas(nullable)["text"].tolist()[0] == "'-a"
    pd.testing.assert_series_equal(without_formulas(nullable)["rank"], nullable["rank"])


def test_heads_and_names_of_rows_count_too() -> None:
    safe = without_formulas(pd.DataFrame({"=cmd": [1], "plain": [2]}, index=["@x"]))
    assert list(safe) == ["'=cmd", "plain"]
    assert list(safe.index) == ["'@x"]
    assert list(without_formulas(pd.DataFrame([[1]], columns=[7]))) == [7]
    assert len(without_formulas(pd.DataFrame(columns=["=a"]))) == 0
    twice = pd.DataFrame([["=a", "=b"]], columns=["x", "x"])
    assert without_formulas(twice).iloc[0].tolist() == ["'=a", "'=b"]


@given(st.lists(st.text(alphabet="=+-@\t\r'a1", max_size=4), max_size=6))
def test_what_is_read_is_what_was_written(texts: list[str]) -> None:
    frame = pd.DataFrame({"name": pd.Series(texts, dtype="object")})
    safe = without_formulas(frame)
    assert not [text for text in safe["name"] if text.startswith(LEADS)]
    assert list(with_formulas(safe)["name"]) == texts
