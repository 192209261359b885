"""The catalog's files on any file system, versioned or not, as Kedro documents them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pandera.pandas as pa
import plotly.graph_objects as go
import pytest
import torch
from kedro.io import DataCatalog, DatasetError
from kedro.validation.exceptions import DataValidationError
from pandera.typing import Series

from counterpoise.artifacts.datasets import Checkpoint, path_of
from counterpoise.artifacts.lineage import FOLDER, Origin, Recorder, parse_record
from counterpoise.artifacts.schema_fields import Schema
from counterpoise.cli import sentence

KINDS: dict[str, tuple[str, Any, Any]] = {
    "parquet": ("ParquetDataset", lambda n: pd.DataFrame({"x": range(n)}), lambda frame: len(frame)),
    "csv": ("CSVDataset", lambda n: pd.DataFrame({"x": range(n)}), lambda frame: len(frame)),
    "json": ("JSONDataset", lambda n: {"n": n}, lambda document: document["n"]),
    "txt": ("TextDataset", lambda n: "x" * n, len),
    "figure.json": ("FigureDataset", lambda n: go.Figure(go.Scatter(y=[0.0] * n)), lambda f: len(f.data[0].y)),
    "safetensors": (
        "SafetensorsDataset",
        lambda n: Checkpoint({"x": torch.zeros(n)}),
        lambda checkpoint: len(checkpoint.tensors["x"]),
    ),
}


def catalog(kind: str, filepath: str, **entry: Any) -> DataCatalog:
    config = {"type": f"counterpoise.artifacts.datasets.{KINDS[kind][0]}", "filepath": filepath, **entry}
    return DataCatalog.from_config({"file": config}, credentials={"mine": {"skip_instance_cache": True}})


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def _empty_memory() -> None:
    fsspec.filesystem("memory").store.clear()


def test_in_memory(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object store; nothing is written here, not even into a folder called `memory:`."""
    monkeypatch.chdir(tmp_path)
    _, make, size = KINDS[kind]
    files = catalog(kind, f"memory://bucket/folder/file.{kind}", credentials="mine")
    assert not files.exists("file")
    files.save("file", make(3))
    assert files.exists("file")
    assert size(files.load("file")) == 3
    assert [path for path in fsspec.filesystem("memory").store if path.endswith(f"/folder/file.{kind}")]
    assert list(tmp_path.iterdir()) == []
    assert path_of(files.get("file")) is None


def test_a_local_file_with_its_protocol(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, make, size = KINDS[kind]
    files = catalog(kind, f"file://{tmp_path}/folder/file.{kind}")
    files.save("file", make(3))
    assert size(files.load("file")) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert path_of(files.get("file")) == tmp_path / "folder" / f"file.{kind}"


@pytest.mark.parametrize("place", ["local", "memory"])
def test_versions(kind: str, place: str, tmp_path: Path) -> None:
    """Each save is a version of its own; the latest is loaded unless another one is asked for."""
    _, make, size = KINDS[kind]
    root = str(tmp_path) if place == "local" else "memory://bucket"
    config = {
        "file": {
            "type": f"counterpoise.artifacts.datasets.{KINDS[kind][0]}",
            "filepath": f"{root}/file.{kind}",
            "versioned": True,
        }
    }
    for version, length in (("2026-01-01T00.00.00.000Z", 2), ("2026-01-02T00.00.00.000Z", 5)):
        DataCatalog.from_config(config, save_version=version).save("file", make(length))
    assert size(DataCatalog.from_config(config).load("file")) == 5
    earlier = DataCatalog.from_config(config, load_versions={"file": "2026-01-01T00.00.00.000Z"})
    assert size(earlier.load("file")) == 2
    if place == "local":
        assert sorted(path.name for path in (tmp_path / f"file.{kind}").iterdir()) == [
            "2026-01-01T00.00.00.000Z",
            "2026-01-02T00.00.00.000Z",
        ]


def test_a_file_system_that_is_not_installed_is_one_sentence(kind: str) -> None:
    with pytest.raises(DatasetError) as caught:
        catalog(kind, f"nosuch://bucket/file.{kind}").get("file")
    assert "\n" not in (sentence(caught.value) or "\n")


@pytest.mark.parametrize("entry", ["RawFolder", "GeneratedFolder"])
def test_a_folder_is_on_a_local_disk(entry: str) -> None:
    config = {"type": f"counterpoise.artifacts.datasets.{entry}", "filepath": "s3://bucket/raw"}
    if entry == "GeneratedFolder":
        config["generator"] = "counterpoise.data.generate.adult.write_adult"
    with pytest.raises(DatasetError) as caught:
        DataCatalog.from_config({"raw": config}).get("raw")
    assert sentence(caught.value) == "s3://bucket/raw: is a folder on 's3', expected one on a local disk"


def recorder(files: DataCatalog) -> Recorder:
    """A run in which a node without inputs makes `file`."""
    run = {"command": "kedro run", "code": "c0de", "versions": {}}
    dataset: Any = files.get("file")
    started = Recorder(
        run=run,
        values=lambda path: {"seeds": 3}[path],
        raw=lambda name: None,
        record_of=lambda name: dataset.record(),
        origins={"file": Origin("node", {"seeds": 3}, {})},
        inputs={"file": ()},
        remedy=lambda name, cause: "kedro run",
    )
    dataset.follow("file", started)
    return started


@pytest.mark.parametrize("root", ["local", "memory://bucket"])
def test_a_record_is_written_and_compared_on_any_file_system(kind: str, root: str, tmp_path: Path) -> None:
    _, make, size = KINDS[kind]
    filepath = f"{tmp_path if root == 'local' else root}/file.{kind}"
    files = catalog(kind, filepath)
    recorder(files)
    files.save("file", make(3))
    assert size(files.load("file")) == 3
    again = catalog(kind, filepath)
    recorder(again)
    assert again.exists("file")
    assert size(again.load("file")) == 3
    dataset: Any = again.get("file")
    path = dataset.place()
    content = bytearray(dataset._fs.cat_file(str(path)))
    content[-1] ^= 1
    dataset._fs.pipe_file(str(path), bytes(content))
    for reader in (again, catalog(kind, filepath)):  # in a run, and without one
        with pytest.raises(DatasetError) as caught:
            reader.load("file")
        assert "is damaged or was altered" in (sentence(caught.value) or "")
    assert not again.exists("file")


def test_what_changes_while_a_run_goes_on_is_noticed(tmp_path: Path) -> None:
    files = catalog("txt", f"{tmp_path}/file.txt")
    recorder(files)
    files.save("file", "mine")
    (tmp_path / "file.txt").write_text("somebody else's")
    with pytest.raises(DatasetError) as caught:
        files.load("file")
    assert "was changed by another program during this run" in (sentence(caught.value) or "")


def test_a_record_is_json_that_others_can_read(tmp_path: Path) -> None:
    files = catalog("txt", f"{tmp_path}/file.txt")
    recorder(files)
    files.save("file", "text")
    path = tmp_path / FOLDER / "file.txt.json"
    stored = json.loads(path.read_text())
    assert stored["parameters"] == {"seeds": 3}
    assert parse_record(path.read_text(), path).digest == stored["digest"]


CHECKED: list[int] = []
"""Rows of the frames that `Counted` has checked."""


class Counted(Schema):
    """A column of numbers."""

    x: Series[np.int64]

    @pa.dataframe_check
    def counted(cls, frame: pd.DataFrame) -> bool:  # noqa: N805
        CHECKED.append(len(frame))
        return True


class TestChecks:
    """A frame that a run has saved has passed its schema; one that was there is checked when it is read."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> DataCatalog:
        CHECKED.clear()
        return catalog("parquet", f"{tmp_path}/file.parquet", validator=f"{__name__}.Counted")

    def test_what_the_run_has_saved_is_checked_once(self, files: DataCatalog) -> None:
        recorder(files)
        files.save("file", pd.DataFrame({"x": range(3)}))
        assert [len(files.load("file")) for _ in range(2)] == [3, 3]
        assert CHECKED == [3]

    def test_what_was_there_is_checked_on_reading(self, files: DataCatalog) -> None:
        files.save("file", pd.DataFrame({"x": range(3)}))
        for _ in range(2):
            files.load("file")
        assert CHECKED == [3, 3, 3]

    def test_a_frame_that_was_changed_after_reading_is_checked(self, files: DataCatalog) -> None:
        recorder(files)
        files.save("file", pd.DataFrame({"x": range(3)}))
        frame = files.load("file")
        frame["y"] = "a text"
        frame["x"] = 0.5
        with pytest.raises(DataValidationError):
            files.save("file", frame)

    def test_the_frame_that_was_given_stays_as_it_is(self) -> None:
        frame = pd.DataFrame({"x": [1, 2]}, dtype="int32")

        class Widened(Schema):
            x: Series[np.int64] = pa.Field(coerce=True)

        assert Widened.validate(frame)["x"].dtype == np.int64
        assert frame["x"].dtype == np.int32
