"""The stage peers on generated data in Adult's layout, read and split by the stages before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from counterpoise.artifacts.datasets import Checkpoint, SafetensorsDataset
from counterpoise.config.parameters import Block, Compute, Dataset, Seeds
from counterpoise.data.generate.adult import write_adult
from counterpoise.errors import InputError
from counterpoise.methods.bases.ground import Bases
from counterpoise.methods.bases.perceptron import PerceptronBase
from counterpoise.methods.frontier import Frontier, train_bases
from counterpoise.methods.peers.settings import PEERS, Boosting, Peers, Reduction, Reductions, peer_grid
from counterpoise.pipelines.data_split.nodes import encode_samples, read_table, split_samples
from counterpoise.pipelines.peers import pipeline as peers
from counterpoise.pipelines.shared.arrays import LEARNT, feature_matrix, rows
from counterpoise.pipelines.shared.bases import perceptron_features, write_bases
from counterpoise.pipelines.shared.heads import problem_of

ADULT = Dataset(
    title="generated",
    reader="adult",
    origin="here",
    label="income",
    positive=">50K",
    classes=("<=50K", ">50K"),
    sensitive="sex",
    groups=("Female", "Male"),
    group_names=("women", "men"),
    split={"fractions": {"pretrain": 0.5, "task": 0.5}, "task": {"train": 2, "validation": 1, "test": 1}},
)
QUICK = Peers(
    methods=("plain", "leace", "threshold_optimizer"), C=1.0, boosting=Boosting(leaves=(4,), rounds=10, patience=5)
)
SERIAL = Compute(backend="serial")


BASES = Frontier(
    kinds=("perceptron",),
    strengths=(0.0,),
    bases=Bases(perceptron=PerceptronBase(widths=(4, 8), epochs=20, batch_size=64)),
)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the stage reads of a table: two replicates, each with a perceptron whose features it sees."""
    folder = tmp_path_factory.mktemp("adult")
    write_adult(folder, rows=1500, seed=0)
    samples = encode_samples(read_table(folder, ADULT)[0], ADULT)
    splits = split_samples(samples, ADULT, Seeds((0, 1)))
    return {"samples": samples, "splits": splits, "bases": bases_of(samples, splits, BASES)}


@pytest.fixture(scope="module")
def images(left: dict[str, Any]) -> dict[str, Any]:
    """What the stage reads of images: features beside the rest, each replicate's own, some of them dead units."""
    x = feature_matrix(left["samples"])
    weights = torch.randn(2, x.shape[1], 8, generator=torch.Generator().manual_seed(0))
    features = torch.relu((x - x.mean(dim=0)) / x.std(dim=0).clamp(min=1e-3) @ weights)
    features[..., -1] = 0
    samples = left["samples"][["y", "s"]].assign(image="a.jpg")
    return left | {"samples": samples, "features": Checkpoint({"features": features})}


def bases_of(samples: pd.DataFrame, splits: Checkpoint, settings: Frontier) -> Checkpoint:
    """Train bases as the stage before does."""
    problem = problem_of(samples, splits, feature_matrix(samples), ADULT, Seeds((0, 1)), learnt=LEARNT)
    return write_bases(train_bases(problem, settings), seeds=[0, 1], digests=splits.header["digests"])


def run(
    left: dict[str, Any], settings: Peers = QUICK, compute: Compute = SERIAL, seeds: tuple[int, ...] = (0, 1)
) -> Any:
    """Run the stage, on images where there are features; return the checkpoint it makes."""
    parameters = {"dataset": ADULT, "peers": Block[Peers](settings), "compute": compute, "seeds": Seeds(seeds)}
    data = left | {f"params:{name}": value for name, value in parameters.items()}
    pipeline = peers.create_pipeline(ready="features" in left)
    catalog = DataCatalog({name: MemoryDataset(data[name], copy_mode="assign") for name in pipeline.inputs()})
    return SequentialRunner().run(pipeline, catalog)["peer_outcomes"].load()


def changed(one: Checkpoint, other: Checkpoint) -> set[str]:
    """Return the variants whose outcomes are not the same to the bit."""
    names = list(one.header["variants"])
    assert names == list(other.header["variants"])
    return {
        name
        for v, name in enumerate(names)
        if any(not torch.equal(tensor[:, v], other.tensors[key][:, v]) for key, tensor in one.tensors.items())
    }


def first(left: dict[str, Any]) -> dict[str, Any]:
    """Return what the stage reads, of the first replicate alone."""
    splits = Checkpoint({"splits": left["splits"].tensors["splits"][:1]}, {**left["splits"].header, "seeds": [0]})
    header = {**left["bases"].header, "seeds": [0], "chosen": left["bases"].header["chosen"][:1]}
    tensors = {name: tensor for name, tensor in left["bases"].tensors.items() if name.startswith("0.")}
    return left | {"splits": splits, "bases": Checkpoint(tensors, header)}


@pytest.fixture(scope="module")
def made(left: dict[str, Any]) -> Checkpoint:
    return run(left)


def test_all_peers(left: dict[str, Any], tmp_path: Path) -> None:
    """Every setting is there, predicts better than a coin would, and is found under its name in the file."""
    few = Reduction(max_iter=2, tolerances=(0.05,))
    settings = replace(
        QUICK, methods=PEERS, tolerances=(0.3,), C=None, hsic=(3.0,), exponentiated_gradient=Reductions(few, few)
    )
    made = run(left, settings)
    file = SafetensorsDataset(str(tmp_path / "outcomes.safetensors"))
    file.save(made)
    header = file.load().header
    assert list(header["variants"]) == list(made.header["variants"]), "axis V is in the order of the names"
    grid = peer_grid(settings, columns=True)
    assert list(header["variants"]) == [peer.name for peer in grid]
    for peer in grid:
        budget = 2 if peer.method == "exponentiated_gradient" else None
        assert header["variants"][peer.name] == peer.settings | {"max_iter": budget}
        chosen = {"C"} if peer.estimator == "logistic" else {"leaves", "rounds"}
        assert {name: len(values) for name, values in header["complexity"][peer.name].items()} == dict.fromkeys(
            chosen, 2
        )
    assert (made.header["seeds"], made.header["digests"]) == ([0, 1], left["splits"].header["digests"])
    for part in ("validation", "test"):
        members = rows(left["splits"], part)
        labels = torch.tensor(left["samples"]["y"].to_numpy())[members].unsqueeze(1)
        score, prediction = made.tensors[f"{part}.score"], made.tensors[f"{part}.prediction"]
        assert (score.dtype, prediction.dtype) == (torch.float32, torch.uint8)
        assert score.shape == prediction.shape == (2, len(grid), members.shape[1])
        rates = torch.stack([((prediction == 1) & (labels == y)).sum(-1) / (labels == y).sum(-1) for y in (0, 1)])
        assert (rates[1] > rates[0]).all(), "class 1 is predicted more often where it is true"
        assert ((score * labels).sum(-1) / labels.sum(-1) > (score * (1 - labels)).sum(-1) / (1 - labels).sum(-1)).all()


def test_only_some_look_at_the_group_of_those_they_classify(left: dict[str, Any], made: Checkpoint) -> None:
    """Groups of validation and test rows are shuffled: those whose flag says so notice, no others do."""
    alone = first(left)
    asking = {name for name, settings in made.header["variants"].items() if settings["needs_group"]}
    samples = left["samples"].copy()
    for part in ("validation", "test"):
        own = rows(alone["splits"], part)[0].numpy()
        samples.loc[own, "s"] = np.random.default_rng(0).permutation(samples.loc[own, "s"].to_numpy())
    before, after = (run(alone | {"samples": groups}, seeds=(0,)) for groups in (left["samples"], samples))
    assert changed(before, after) == asking
    bases = ("features_logistic", "columns_logistic", "columns_boosted")
    assert asking == {f"threshold_optimizer_{base}_{constraint}" for base in bases for constraint in ("dp", "eo")}


def test_labels_of_test_rows_are_never_looked_at(left: dict[str, Any]) -> None:
    settings = Peers(methods=("plain",), inputs=("features",))
    alone = first(left)
    before = run(alone, settings, seeds=(0,))
    for part, expected in (("test", set()), ("train", {"plain_features_logistic"})):
        samples = left["samples"].copy()
        own = rows(alone["splits"], part)[0].numpy()
        samples.loc[own, "y"] = 1 - samples.loc[own, "y"]
        assert changed(before, run(alone | {"samples": samples}, settings, seeds=(0,))) == expected, part


def test_processes_find_the_same(left: dict[str, Any], made: Checkpoint) -> None:
    assert changed(made, run(left, compute=Compute(backend="processes", workers=2))) == set()


def test_a_replicate_reads_its_own_features(images: dict[str, Any]) -> None:
    """Features that the replicates share, as images have them, give what they give each replicate on its own."""
    features = images["features"].tensors["features"]
    each, shared = run(images), run(images | {"features": Checkpoint({"features": features[1]})})
    assert {variant["input"] for variant in shared.header["variants"].values()} == {"features"}, "there are no columns"
    for key, tensor in shared.tensors.items():
        assert torch.equal(tensor[1], each.tensors[key][1])
        assert not torch.equal(tensor[0], each.tensors[key][0])


def test_features_of_a_table_are_those_of_its_perceptron(left: dict[str, Any], made: Checkpoint) -> None:
    features = perceptron_features(left["bases"], feature_matrix(left["samples"]), ADULT)
    assert features is not None
    given = run(left | {"features": Checkpoint({"features": features})})
    assert {variant["input"] for variant in given.header["variants"].values()} == {"columns", "features"}
    assert changed(made, given) == set()


def test_a_table_without_a_perceptron_has_columns_alone(left: dict[str, Any], made: Checkpoint) -> None:
    linear = bases_of(left["samples"], left["splits"], replace(BASES, kinds=("linear",)))
    alone = run(left | {"bases": linear})
    on_columns = [v for v, variant in enumerate(made.header["variants"].values()) if variant["input"] == "columns"]
    assert len(alone.header["variants"]) == len(on_columns) < len(made.header["variants"])
    for key, tensor in alone.tensors.items():
        assert torch.equal(tensor, made.tensors[key][:, on_columns]), key


class TestWhatCannotBeFitted:
    def test_bases_of_other_seeds(self, left: dict[str, Any]) -> None:
        with pytest.raises(InputError, match=r"bases\.safetensors has the seeds \[0, 1\], expected \[0, 4\]"):
            run(left, seeds=(0, 4))

    def test_a_cell_without_rows(self, left: dict[str, Any]) -> None:
        samples = left["samples"].copy()
        samples.loc[samples["s"] == 0, "y"] = 0
        with pytest.raises(InputError, match=r"0 rows of y = 1 among s = 0, expected .* threshold_optimizer_columns"):
            run(left | {"samples": samples})
        assert run(left | {"samples": samples}, Peers(methods=("reweighing",), estimators=("logistic",))).tensors

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"tolerances": [0.1, 0.05]}, r"tolerances are \[0.1, 0.05\], expected increasing numbers"),
            ({"tolerances": [0.1, 0.1]}, r"tolerances are \[0.1, 0.1\], expected increasing numbers"),
            ({"tolerances": [0.0, 0.1]}, "greater than 0"),
            ({"tolerances": [float("nan")]}, "finite number"),
            ({"C": 0.0}, "greater than 0"),
            ({"boosting": {"leaves": [1]}}, "leaves has 1, expected 2 or more"),
            ({"exponentiated_gradient": {"boosted": {"max_iter": 0}}}, "greater than or equal to 1"),
            ({"inputs": ["rows"]}, "'features' or 'columns'"),
            ({"methods": ["leace", "leace"]}, "method leace is given more than once"),
            ({"methods": []}, "at least 1 item"),
            ({"methods": ["leece"]}, r"methods has 'leece' \(did you mean 'leace'\?\)"),
        ],
    )
    def test_settings(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Block[Peers].model_validate(settings)
