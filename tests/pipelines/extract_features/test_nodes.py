"""The image pipelines on drawn faces: features are computed once, broken images are named."""

from __future__ import annotations

import base64
import json
import logging
import re
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from counterpoise.errors import InputError

TO_SAMPLES = {"to_nodes": ["data_split.encode_samples"]}
TO_PREDICTIONS = {"to_nodes": ["finetune.train_heads"]}
FEWER = {"seeds": [0], "epochs": 2, "compute": {"backend": "serial"}}
# Two epochs teach little.
pytestmark = pytest.mark.filterwarnings("ignore::counterpoise.fairness.UndefinedMetricWarning")


@pytest.fixture(scope="module")
def finished(project_factory: Any) -> Any:
    """A run with example images, that tests copy."""
    made = project_factory("win_celeba")
    made.run("win_celeba", params=FEWER | {"report": {"examples": 1}})
    return made


@pytest.fixture
def run_again(finished: Any, tmp_path: Path) -> Any:
    """The finished run in a project of the test's own."""
    return type(finished)(Path(shutil.copytree(finished.path, tmp_path / "project")))


def test_win_celeba_and_what_a_broken_image_does(run_again: Any, caplog: pytest.LogCaptureFixture) -> None:
    project = run_again
    predictions = project.predictions
    assert set(predictions["method"]) == {"pretrained", "tl", "svd", "win"}
    summary = pd.read_csv(project.file("08_reporting/win_celeba/summary.csv"))
    assert {"err", "delta_eo", "leakage"} <= set(summary["metric"])
    cached = set(project.data.glob("04_feature/cache/*/features.npy"))
    assert len(cached) == 1

    project.run("win_celeba", params=FEWER, **TO_PREDICTIONS)
    assert set(project.data.glob("04_feature/cache/*/features.npy")) == cached, (
        "nothing changed, so nothing is computed"
    )
    pd.testing.assert_frame_equal(project.predictions, predictions)

    broken = sorted(project.data.glob("01_raw/generated/celeba/img_align_celeba/*.jpg"))[3]
    broken.write_bytes(b"not an image")
    with pytest.raises(InputError, match=broken.name):
        project.run("win_celeba", params=FEWER, **TO_SAMPLES)
    with caplog.at_level(logging.WARNING):
        project.run("win_celeba", params=FEWER | {"datasets": {"celeba": {"max_bad_fraction": 0.01}}}, **TO_SAMPLES)
    report = json.loads(project.file("08_reporting/win_celeba/bad_images.json").read_text())
    assert report["dropped"] == 1
    assert f"img_align_celeba/{broken.name}" in report["examples"]
    samples = pd.read_parquet(project.file("05_model_input/win_celeba/samples.parquet"))
    assert not samples["image"].str.endswith(broken.name).any()
    assert len(set(project.data.glob("04_feature/cache/*/features.npy"))) == 2


SHOWN = re.compile(r'<img src="data:image/jpeg;base64,([^"]+)" alt="([^"]*)" title="([^"]*)">')
CELLS = re.compile(r'data-cell="(\d+) (\d+) (right|wrong)">(.*?)</div>', re.DOTALL)


def pixels(source: Path | BytesIO, size: tuple[int, int] | None = None) -> Any:
    with Image.open(source) as image:
        return np.asarray(image.convert("RGB").resize(size or image.size), dtype=np.float64)


def test_a_report_shows_an_image_of_each_cell_where_asked_and_none_otherwise(run_again: Any) -> None:
    project = run_again
    report = project.file("08_reporting/win_celeba/report.html")
    shown = {cell[:3]: SHOWN.findall(cell[3]) for cell in CELLS.findall(report.read_text())}

    predictions = project.predictions
    model = predictions[(predictions["variant"] == "win_r2_a0.5") & (predictions["seed"] == 0)]
    verdict = (model["prediction"] == model["y"]).map({True: "right", False: "wrong"})
    cells = {tuple(map(str, key)): set(rows["row"]) for key, rows in model.groupby(["s", "y", verdict])}
    assert shown.keys() == cells.keys()
    assert {len(images) for images in shown.values()} == {1}

    samples = pd.read_parquet(project.file("05_model_input/win_celeba/samples.parquet"))
    raw = project.data / "01_raw" / "generated" / "celeba"
    faces = {row: raw / samples["image"][row] for row in model["row"]}
    for key, ((encoded, alt, name),) in shown.items():
        seen = pixels(BytesIO(base64.b64decode(encoded)))
        size = (seen.shape[1], seen.shape[0])
        nearest = min(faces, key=lambda row: np.abs(pixels(faces[row], size) - seen).mean())
        assert nearest in cells[key]
        assert name == samples["image"][nearest]
        assert alt.startswith(f"row {nearest}: ")

    project.run("win_celeba", params=FEWER, from_nodes=["fairness_report.measure", "fairness_report.pick_examples"])
    assert "data:image/jpeg" not in report.read_text()
    assert json.loads(report.with_name("example_images.json").read_text()) == {}
    assert "examples" not in json.loads(report.with_suffix(".json").read_text())
