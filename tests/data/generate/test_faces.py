"""Drawn faces: the official layouts, the same bytes every time, CelebA's correlations, and cues that can be learnt."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from counterpoise.data import celeba, lfw
from counterpoise.data.generate import faces
from counterpoise.data.generate.folders import MARKER
from counterpoise.data.images import check_images, decode
from counterpoise.errors import InputError

FEW = 12
MANY = 500


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces") / "celeba"
    faces.write_celeba(folder, images=MANY)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_celeba_layout_is_what_the_reader_expects(drawn: Path) -> None:
    table = celeba.read(drawn)
    assert len(table) == MANY
    assert not check_images(table, drawn)
    assert {"Male", "Wavy_Hair", "Heavy_Makeup", "Young", "Smiling", "Blond_Hair"} <= set(table.columns)
    assert decode(drawn / table["image"].iloc[0]).shape == (3, 109, 89)
    parts = [len(celeba.read(drawn, partition=part)) for part in celeba.PARTITIONS]
    assert parts == [400, 50, 50]


def test_lfwa_layout_is_what_the_reader_expects(tmp_path: Path) -> None:
    faces.write_lfwa(tmp_path / "lfw", images=FEW, size=64)
    table = lfw.read(tmp_path / "lfw")
    assert len(table) == FEW
    assert not check_images(table, tmp_path / "lfw")
    assert list(table.columns[1:]) == list(faces.LFW_COLUMNS)
    assert decode(tmp_path / "lfw" / table["image"].iloc[0]).shape == (3, 64, 64)


def test_same_seed_same_bytes_and_no_image_depends_on_their_number(tmp_path: Path) -> None:
    faces.write_celeba(tmp_path / "one", images=FEW)
    faces.write_celeba(tmp_path / "two", images=FEW)
    faces.write_celeba(tmp_path / "more", images=FEW + 1)
    faces.write_celeba(tmp_path / "other", images=FEW, seed=1)
    one, more, other = (digests(tmp_path / name) for name in ("one", "more", "other"))
    assert digests(tmp_path / "two") == one
    images = [name for name in one if name.endswith(".jpg")]
    assert len({one[name] for name in images}) == FEW
    assert all(more[name] == one[name] for name in images)
    assert not any(other[name] == one[name] for name in images)


def test_faces_that_are_there_are_left_alone_and_others_are_redrawn(tmp_path: Path) -> None:
    folder = tmp_path / "celeba"
    faces.write_celeba(folder, images=FEW)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    faces.write_celeba(folder, images=FEW)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    faces.write_celeba(folder, images=FEW - 1)
    assert len(celeba.read(folder)) == FEW - 1
    assert json.loads((folder / MARKER).read_text())["images"] == FEW - 1
    assert list(tmp_path.iterdir()) == [folder]  # nothing is left of what was written aside


def test_real_data_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "000001.jpg").write_text("a real image")
    with pytest.raises(InputError, match="holds files that were not drawn here"):
        faces.write_celeba(tmp_path, images=FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["000001.jpg"]


def test_a_failure_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Image.Image:
        raise KeyboardInterrupt

    monkeypatch.setattr(faces, "draw_face", fail)
    with pytest.raises(KeyboardInterrupt):
        faces.write_celeba(tmp_path / "celeba", images=FEW)
    assert not list(tmp_path.iterdir())


def test_attributes_depend_on_sex_as_they_do_in_celeba() -> None:
    rng = np.random.default_rng(0)
    people = pd.DataFrame(
        [faces.draw_person(rng, faces.CELEBA_MEN, faces.CELEBA_RATES).attributes for _ in range(8000)]
    )
    men, women = people[people["Male"]], people[~people["Male"]]
    # Five standard errors of a share among the 3,400 men are below 0.045.
    assert people["Male"].mean() == pytest.approx(0.42, abs=0.04)
    assert women["Wavy_Hair"].mean() == pytest.approx(0.45, abs=0.04)
    assert men["Wavy_Hair"].mean() == pytest.approx(0.14, abs=0.04)
    assert women["Heavy_Makeup"].mean() == pytest.approx(0.66, abs=0.04)
    assert men["Heavy_Makeup"].mean() < 0.01
    assert (people[list(faces.HAIR_COLOURS)].sum(axis=1) <= 1).all()
    assert (people["Wearing_Lipstick"] >= people["Heavy_Makeup"]).all()


@pytest.mark.parametrize(("attribute", "least"), [("Wavy_Hair", 0.65), ("Male", 0.85), ("Heavy_Makeup", 0.7)])
def test_a_linear_probe_on_simple_features_reads_the_cue(drawn: Path, attribute: str, least: float) -> None:
    table = celeba.read(drawn)
    images = torch.stack([decode(drawn / name) for name in table["image"]]).float()
    features = StandardScaler().fit_transform(_simple_features(images))
    label, half = table[attribute].to_numpy(), MANY // 2
    probe = LogisticRegression(C=0.003, class_weight="balanced", max_iter=500).fit(features[:half], label[:half])
    assert balanced_accuracy_score(label[half:], probe.predict(features[half:])) > least


def _simple_features(images: torch.Tensor) -> np.ndarray:
    """Mean colour, and mean strength of edges in both directions, in cells of ten pixels."""
    grey = images.mean(1, keepdim=True)
    down, across = grey.diff(dim=2)[..., :-1].abs(), grey.diff(dim=3)[:, :, :-1].abs()
    pooled = [torch.nn.functional.avg_pool2d(each, 10).flatten(1) for each in (images, down, across)]
    return torch.cat(pooled, dim=1).numpy()
