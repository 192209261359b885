"""What win_adult_boosted leaves: trees, their leaves as features, their values as the pretrained head."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch

from counterpoise.artifacts.datasets import Checkpoint, read_checkpoint
from counterpoise.commands.exporting import Request, export
from counterpoise.errors import InputError
from counterpoise.nn.trees import NO_LEAF, Boosting, grow
from counterpoise.pipelines.pretrain.trees import compute_leaves
from counterpoise.pipelines.shared.arrays import feature_matrix, rows
from counterpoise.pipelines.shared.heads import pretrained_head, read_heads
from counterpoise.pipelines.shared.trees import read_trees, repaired_trees, write_trees

SMOKE = Boosting(rounds=20, num_leaves=7, min_data_in_leaf=5)


@pytest.fixture(scope="module")
def boosted(run_once: Callable[..., Any]) -> Any:
    return run_once("boosted", "win_adult_boosted", tracking=True)


@pytest.fixture(scope="module")
def stored(boosted: Any) -> dict[str, Checkpoint]:
    names = ("splits", "features", "pretrained", "importance", "finetuned_heads")
    return {name: read_checkpoint(boosted.file(f"*/*/{name}.safetensors")) for name in names}


@pytest.fixture(scope="module")
def samples(boosted: Any) -> pd.DataFrame:
    return pd.read_parquet(boosted.file("05_model_input/*/samples.parquet"))


def test_trees_are_grown_on_each_replicates_pretraining_rows(
    samples: pd.DataFrame, stored: dict[str, Checkpoint]
) -> None:
    x, y = feature_matrix(samples), torch.tensor(samples["y"].to_numpy())
    for r, members in enumerate(rows(stored["splits"], "pretrain")):
        expected, _ = grow(x[members], y[members], SMOKE, seed=r)
        assert read_trees(stored["pretrained"], r).text == expected.text


def test_the_pretrained_head_on_the_leaves_says_what_the_trees_say(
    samples: pd.DataFrame, stored: dict[str, Checkpoint], boosted: Any
) -> None:
    weight, bias = pretrained_head(stored["pretrained"])
    leaf, x = stored["features"].tensors["features"], feature_matrix(samples)
    assert leaf.dtype == torch.int32
    predictions = boosted.predictions.query("variant == 'pretrained'")
    for r in range(3):
        margins = read_trees(stored["pretrained"], r).margins(x)
        z = weight[r][leaf[r].long()].sum(dim=1) + bias[r]
        torch.testing.assert_close((z[:, 1] - z[:, 0]).double(), margins, rtol=0, atol=1e-5)
        own = predictions[predictions["seed"] == r]
        score = torch.tensor(own["score"].to_numpy())
        torch.testing.assert_close(score, margins[torch.tensor(own["row"].to_numpy())].sigmoid(), rtol=0, atol=1e-6)


def test_importance_is_the_mean_squared_residual_of_the_rows_in_a_leaf(
    samples: pd.DataFrame, stored: dict[str, Checkpoint]
) -> None:
    y, s = (torch.tensor(samples[name].to_numpy()) for name in "ys")
    chosen = rows(stored["splits"], "train")[2]
    chosen = chosen[s[chosen] == 1]
    leaf = stored["features"].tensors["features"][2, chosen]
    margins = read_trees(stored["pretrained"], 2).margins(feature_matrix(samples))[chosen]
    squares = 2 * (margins.sigmoid() - y[chosen].double()).square()  # both classes' residuals are the same but for sign
    for column in leaf.unique()[::9].tolist():
        expected = (squares * (leaf == column).any(dim=1)).sum() / len(chosen)
        assert stored["importance"].tensors["importance"][2, 1, column].item() == pytest.approx(expected.sqrt().item())


def test_repaired_trees_are_a_lightgbm_model_with_the_same_scores(
    samples: pd.DataFrame, stored: dict[str, Checkpoint], boosted: Any, tmp_path: Any
) -> None:
    import lightgbm

    from counterpoise.artifacts.datasets import TextDataset

    x, predictions = feature_matrix(samples).numpy(), boosted.predictions
    before = predictions.query("variant == 'pretrained' and seed == 1")["score"].to_numpy()
    for name, head in read_heads(stored["finetuned_heads"]).items():
        path = tmp_path / f"{name}.txt"
        TextDataset(filepath=str(path)).save(repaired_trees(stored["pretrained"], head, 1).text)
        own = predictions.query("variant == @name and seed == 1")
        score = lightgbm.Booster(model_file=path).predict(x[own["row"].to_numpy()])
        assert abs(score - own["score"].to_numpy()).max() < 1e-6
        assert abs(score - before).max() > 1e-3, "the head is another one"
        shifted = repaired_trees(stored["pretrained"], head, 1, shift=-0.4).margins(torch.from_numpy(x))
        assert (
            (shifted > 0).numpy()[own["row"].to_numpy()] == (own["score"] > torch.tensor(0.4).sigmoid().item())
        ).all()


def test_an_exported_head_on_leaves_takes_rows_of_the_file(boosted: Any, tmp_path: Any, monkeypatch: Any) -> None:
    from mlflow.pyfunc import load_model

    boosted.bootstrap()
    monkeypatch.chdir(boosted.path)
    request = Request("win_adult_boosted", tmp_path / "model", method="win_r1_a0.5", seed=1, environment="smoke")
    assert export(request)[0].startswith(f"written: {tmp_path / 'model'}, which takes age, ")
    ours = boosted.predictions.query("variant == 'win_r1_a0.5' and seed == 1")
    table = pd.read_parquet(boosted.file("02_intermediate/adult.parquet"))
    answer = load_model(str(tmp_path / "model")).predict(table.iloc[ours["row"]].reset_index(drop=True))
    assert answer["score"].to_numpy() == pytest.approx(ours["score"].to_numpy(), abs=1e-6)


def test_the_report_and_mlflow_have_it(boosted: Any) -> None:
    folder = boosted.data / "08_reporting" / "win_adult_boosted"
    report = json.loads((folder / "report.json").read_text())
    assert report["experiment"] == "win_adult_boosted"
    assert report["settings"]["boosting"]["rounds"] == SMOKE.rounds
    assert "rank one" in (folder / "report.html").read_text()
    summary = pd.read_csv(folder / "summary.csv")
    assert {"pretrained", "tl", "svd_r1", "win_r2_a0.5"} == set(summary["variant"]) - {"svd_r2", "win_r1_a0.5"}
    assert summary.query("metric == 'leakage'")["mean"].between(0, 1).all()


def test_replicates_with_fewer_trees_are_padded() -> None:
    frame = pd.DataFrame({"a": [0.0, 1.0] * 20, "y": [0, 1] * 20, "s": 0})
    x, y = feature_matrix(frame), torch.tensor(frame["y"].to_numpy())
    constant, _ = grow(torch.zeros(40, 1), y, SMOKE)
    grown, _ = grow(x, y, SMOKE)
    assert len(constant.sizes) < len(grown.sizes)
    stored = write_trees([constant.text, grown.text], seeds=[0, 1], digests={})
    leaf = compute_leaves(frame, stored).tensors["features"]
    assert leaf.shape == (2, 40, len(grown.sizes))
    assert (leaf[0, :, len(constant.sizes) :] == NO_LEAF).all()
    assert (leaf[1] >= 0).all()
    weight, _ = pretrained_head(stored)
    assert weight.shape == (2, grown.leaves, 2)
    assert not weight[0, constant.leaves :].any()


def test_other_checkpoints_are_refused(checkpoints: dict[str, Checkpoint]) -> None:
    with pytest.raises(InputError, match="has the architecture 'mlp', expected 'trees'"):
        read_trees(checkpoints["pretrained"], 0)


def test_more_than_two_classes_are_refused(preflight: Callable[..., None]) -> None:
    changed = {"datasets": {"adult": {"positive": None, "classes": ["a", "b", "c"]}}}
    with pytest.raises(InputError, match=r"datasets\.adult has 3 classes, expected 2: boosted trees have one margin"):
        preflight(changed, "win_adult_boosted")
