"""The image pipelines on drawn faces: features are computed once, broken images are named."""

from __future__ import annotations

import json
import logging
from typing import Any

import pandas as pd
import pytest

from counterpoise.errors import InputError

FEWER = {"seeds": [0], "epochs": 2, "compute": {"backend": "serial"}}


@pytest.mark.filterwarnings("ignore::counterpoise.fairness.UndefinedMetricWarning")  # two epochs teach little
def test_win_celeba_and_what_a_broken_image_does(project: Any, caplog: pytest.LogCaptureFixture) -> None:
    project.run("win_celeba", params=FEWER)
    predictions = project.predictions
    assert set(predictions["method"]) == {"pretrained", "tl", "svd", "win"}
    summary = pd.read_csv(project.file("08_reporting/win_celeba/summary.csv"))
    assert {"err", "delta_eo", "leakage"} <= set(summary["metric"])
    cached = set(project.data.glob("04_feature/cache/*/features.npy"))
    assert len(cached) == 1

    project.run("win_celeba", params=FEWER)
    assert set(project.data.glob("04_feature/cache/*/features.npy")) == cached, (
        "nothing changed, so nothing is computed"
    )
    pd.testing.assert_frame_equal(project.predictions, predictions)

    broken = sorted(project.data.glob("01_raw/generated/celeba/img_align_celeba/*.jpg"))[3]
    broken.write_bytes(b"not an image")
    with pytest.raises(InputError, match=broken.name):
        project.run("win_celeba", params=FEWER)
    with caplog.at_level(logging.WARNING):
        project.run("win_celeba", params=FEWER | {"datasets": {"celeba": {"max_bad_fraction": 0.01}}})
    report = json.loads(project.file("08_reporting/win_celeba/bad_images.json").read_text())
    assert report["dropped"] == 1
    assert f"img_align_celeba/{broken.name}" in report["examples"]
    samples = pd.read_parquet(project.file("05_model_input/win_celeba/samples.parquet"))
    assert not samples["image"].str.endswith(broken.name).any()
    assert len(set(project.data.glob("04_feature/cache/*/features.npy"))) == 2
