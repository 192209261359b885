"""A user's LightGBM file: base of all replicates, repaired, and back in the form in which it came."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import torch

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.models import TreeFile
from counterpoise.config.parameters import Block, Compute, Dataset, Seeds, Selection
from counterpoise.data import table
from counterpoise.data.encode import encode
from counterpoise.errors import InputError
from counterpoise.methods.frontier import Frontier
from counterpoise.methods.peers.settings import Peers
from counterpoise.nn.trees import Trees
from counterpoise.pipelines.frontier.nodes import train_frontier
from counterpoise.pipelines.peers.nodes import fit_peers
from counterpoise.pipelines.pretrain.tree_files import read_tree_file, train_bases_on_trees
from counterpoise.pipelines.pretrain.trees import compute_leaves
from counterpoise.pipelines.select.nodes import collect, judge
from counterpoise.pipelines.select.trained import repaired_tree_file
from counterpoise.pipelines.shared.arrays import feature_matrix
from counterpoise.pipelines.shared.heads import pretrained_head
from counterpoise.pipelines.shared.trained import trees_on_table

DATASET: dict[str, Any] = {
    "title": "loans",
    "reader": "table",
    "options": {"files": "loans.csv"},
    "origin": "drawn",
    "label": "repaid",
    "positive": "yes",
    "classes": ["no", "yes"],
    "sensitive": "sex",
    "groups": ["f", "m"],
    "group_names": ["women", "men"],
    "split": {
        "fractions": {"pretrain": 0.4, "task": 0.6},
        "task": {"train": 0.2, "validation": 0.2, "test": 0.2},
    },
}
FRONTIER = {
    "kinds": ["linear"],  # of bases that are trained here, of which there is none
    "strengths": [0, 0.3],
    "folds": 0,
    "bases": {"boosted": {"pulls": [10], "group_rounds": 5}},
    "bias_scores": {"levels": [0.05], "weights": [1], "draws": 1},
}
CITIES = ["east", "north", "south", "west"]


def loans(seed: int, n: int = 600) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    sex = draws.choice(["f", "m"], n)
    income = draws.normal(size=n).round(4) + 0.8 * (sex == "m")
    city = draws.choice(CITIES, n)
    repaid = income + (city == "north") - (city == "south") + draws.normal(size=n) > 0.3
    return pd.DataFrame({"income": income, "city": city, "sex": sex, "repaid": np.where(repaid, "yes", "no")})


def as_the_user_trains(table: pd.DataFrame) -> pd.DataFrame:
    return table[["city", "income"]].assign(city=pd.Categorical(table["city"], categories=CITIES))


def write_model(folder: Path, positive: str = "yes") -> None:
    old = loans(0)
    parameters = {"objective": "binary", "num_leaves": 6, "verbose": -1, "num_threads": 1, "max_cat_to_onehot": 1}
    data = lightgbm.Dataset(as_the_user_trains(old), (old["repaid"] == positive).astype(int))
    folder.mkdir(parents=True, exist_ok=True)
    lightgbm.train(parameters, data, 15).save_model(folder / "scorer.txt")


@pytest.fixture(scope="module")
def samples() -> pd.DataFrame:
    table = loans(1)
    wide = pd.get_dummies(table[["income", "city"]], prefix_sep="=", dtype=np.float32)
    return wide.assign(y=(table["repaid"] == "yes").astype(int), s=(table["sex"] == "m").astype(int))


@dataclass(frozen=True)
class Finished:
    """What the stages of a frontier on a user's trees leave."""

    folder: Path
    bases: Checkpoint
    selection: pd.DataFrame
    predictions: pd.DataFrame
    repaired: lightgbm.Booster


@pytest.fixture(scope="module")
def finished(samples: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("scorer")
    write_model(folder)
    seeds, dataset, trees = Seeds((0, 1)), Dataset(**DATASET), TreeFile(trees="scorer.txt")
    parts = torch.stack([torch.randperm(len(samples), generator=torch.Generator().manual_seed(r)) % 4 for r in (0, 1)])
    splits = Checkpoint({"splits": parts.to(torch.uint8)}, {"seeds": [0, 1], "digests": {}})
    frontier, serial = Block[Frontier].model_validate(FRONTIER), Compute(backend="serial")
    bases = train_bases_on_trees(samples, splits, folder, dataset, trees, frontier, serial, seeds)
    models, outcomes = train_frontier(samples, splits, bases, dataset, frontier, serial, seeds)
    peers = Block[Peers].model_validate({"methods": ["plain"], "estimators": ["logistic"], "inputs": ["columns"]})
    others = fit_peers(samples, splits, bases, dataset, peers, serial, seeds)
    _, selection, _, chosen, _ = judge(outcomes, others, samples, splits, dataset, Selection(), seeds)
    chosen_models, predictions = collect(selection, chosen, models, samples, splits)
    text = repaired_tree_file(samples, bases, chosen_models, selection, folder, dataset, trees)
    return Finished(folder, bases, selection, predictions, lightgbm.Booster(model_str=text))


def test_the_repaired_file_decides_as_the_choice_did(finished: Finished) -> None:
    original = lightgbm.Booster(model_file=finished.folder / "scorer.txt")
    assert finished.repaired.feature_name() == original.feature_name() == ["city", "income"]
    decided = np.asarray(finished.repaired.predict(as_the_user_trains(loans(1)))) > 0.5
    leaves = finished.predictions[finished.predictions["variant"] == "chosen_leaves"]
    agreeing = [(decided[own["row"]] == (own["prediction"] == 1)).all() for _, own in leaves.groupby("seed")]
    assert any(agreeing), "it is the choice of one seed"
    assert set(finished.selection[finished.selection["own"]]["base"].dropna()) == {"boosted"}


def test_what_is_not_repaired_is_the_users_model(finished: Finished) -> None:
    original = lightgbm.Booster(model_file=finished.folder / "scorer.txt")
    score = np.asarray(original.predict(as_the_user_trains(loans(1))))
    own = finished.predictions[finished.predictions["variant"] == "unrepaired"]
    assert np.abs(own["score"] - score[own["row"]]).max() < 1e-6
    assert own["seed"].nunique() == 2


def test_replicates_stand_on_the_same_trees(finished: Finished) -> None:
    assert [choice[0]["trained"] for choice in finished.bases.header["chosen"]] == [True, True]
    tensors = finished.bases.tensors
    assert torch.equal(tensors["0.boosted.base.trees"], tensors["1.boosted.base.trees"])
    assert not torch.equal(tensors["0.boosted.base.directions"], tensors["1.boosted.base.directions"])


SPLITS = Checkpoint({}, {"seeds": [0, 1, 2], "digests": {}})


def read(samples: pd.DataFrame, folder: Path, **settings: Any) -> Checkpoint:
    model = TreeFile(trees="scorer.txt", **settings)
    return read_tree_file(samples, SPLITS, folder, Dataset(**DATASET), model, Seeds((0, 1, 2)))


def test_all_replicates_share_the_leaves_and_the_head(samples: pd.DataFrame, tmp_path: Path) -> None:
    write_model(tmp_path)
    pretrained = read(samples, tmp_path)
    leaf = compute_leaves(samples, pretrained).tensors["features"]
    weight, _ = pretrained_head(pretrained)
    assert leaf.shape == (len(samples), 15)
    assert weight.shape[0] == 3
    assert torch.equal(weight[0], weight[2])
    margins = (weight[1][:, 1] - weight[1][:, 0])[leaf.long()].sum(dim=1)
    expected = lightgbm.Booster(model_file=tmp_path / "scorer.txt").predict(
        as_the_user_trains(loans(1)), raw_score=True
    )
    assert np.abs(margins.numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("impute", [["income"], []])
def test_rows_of_the_file_that_miss_values_have_the_scores_of_the_users_library(
    tmp_path: Path, impute: list[str]
) -> None:
    """The model was trained on gaps as they are; a table has none: its reader fills them, or leaves the rows out."""
    old, new = (loans(seed).where(lambda t: np.random.default_rng(t.size).random(t.shape) > 0.2) for seed in (0, 1))
    labelled = old.dropna(subset=["repaid", "sex"])
    parameters = {"objective": "binary", "num_leaves": 6, "verbose": -1, "num_threads": 1}
    data = lightgbm.Dataset(as_the_user_trains(labelled), (labelled["repaid"] == "yes").astype(int))
    booster = lightgbm.train(parameters, data, 15)
    booster.save_model(tmp_path / "scorer.txt")
    new.to_csv(tmp_path / "loans.csv", index=False)
    options = {"files": "loans.csv", "missing_category": {"city": "(none)"}, "impute": impute}
    dataset = Dataset(**DATASET | {"options": options})
    rows = table.read(tmp_path, **options)
    encoded = encode(rows, source="t", label="repaid", sensitive="sex", groups=["f", "m"], positive="yes")
    complete = new.dropna(subset=["repaid", "sex", *([] if impute else ["income"])])
    trees = Trees(trees_on_table(encoded, tmp_path, dataset, TreeFile(trees="scorer.txt"))[1].text())
    expected = booster.predict(as_the_user_trains(complete), raw_score=True)
    assert np.abs(trees.margins(feature_matrix(encoded)).numpy() - expected).max() < 1e-6


def test_a_model_of_the_other_class_is_refused(samples: pd.DataFrame, tmp_path: Path) -> None:
    write_model(tmp_path, positive="no")
    with pytest.raises(InputError, match=r"ranks 'yes' below 'no' \(an AUC of 0\.\d+ on 600 rows\), expected"):
        read(samples, tmp_path)


def test_a_file_of_other_columns_is_refused(samples: pd.DataFrame, tmp_path: Path) -> None:
    write_model(tmp_path)
    with pytest.raises(InputError, match=r"scorer\.txt: 1 of its 2 columns are not in the table: 'income', expected"):
        read(samples.rename(columns={"income": "wage"}), tmp_path)


def test_a_path_out_of_the_models_folder_is_refused(samples: pd.DataFrame, tmp_path: Path) -> None:
    settings = TreeFile(trees="../elsewhere.txt")
    with pytest.raises(InputError, match="leads out of the folder of the model"):
        read_tree_file(samples, SPLITS, tmp_path / "scorer", Dataset(**DATASET), settings, Seeds((0, 1, 2)))
