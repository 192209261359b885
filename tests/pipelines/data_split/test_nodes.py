"""The data sets of conf/base, from their raw files to samples and splits; those that a machine lacks are skipped."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog

from counterpoise.artifacts.datasets import Checkpoint, path_of
from counterpoise.artifacts.schemas import Samples
from counterpoise.config.parameters import Dataset, Parameters, Seeds, check
from counterpoise.data import SPLITS
from counterpoise.experiments import EXPERIMENTS, raw_folder
from counterpoise.pipelines.assemble import artifact, raw_of, table_of
from counterpoise.pipelines.data_split.nodes import describe_data, encode_samples, read_table, split_samples
from counterpoise.pipelines.data_split.schemes import warn_about_association

REPOSITORY = Path(__file__).parents[3]
SEEDS = Seeds((0, 5))  # type: ignore[arg-type]

Configured = tuple[Parameters, DataCatalog]


@pytest.fixture(scope="module", params=["base", "smoke"])
def configured(request: pytest.FixtureRequest) -> Configured:
    return load(request.param)


@pytest.fixture(scope="module")
def base() -> Configured:
    return load("base")


@pytest.fixture(scope="module")
def generated(project_factory: Callable[[str], Any]) -> Configured:
    """The environment smoke, in a project of its own, where the raw files are generated once."""
    return load("smoke", project_factory("datasets").path)


@cache
def load(environment: str, path: Path = REPOSITORY) -> Configured:
    bootstrap_project(path)
    with KedroSession.create(path, env=environment) as session:
        context = session.load_context()
        return check(context.config_loader["parameters"]), context.catalog


def prepare(dataset: Dataset, raw: Path) -> tuple[pd.DataFrame, pd.DataFrame, Checkpoint, dict[str, Any]]:
    """Return what the stage data_split makes of a table."""
    table, left_out = read_table(raw, dataset)
    samples = encode_samples(table, dataset)
    splits = split_samples(samples, dataset, SEEDS)
    return table, samples, splits, describe_data(samples, splits, left_out, dataset)


def of_part(name: str) -> str:
    """Return the path of a part's data set: `alter_adult.sex` → parts.alter_adult.sex.dataset."""
    return f"parts.{name}.dataset"


def test_data_sets_of_one_source_read_the_same_files() -> None:
    experiments = {experiment.name: experiment for experiment in EXPERIMENTS}
    for names in (
        ("win_adult", "alter_adult"),
        ("win_celeba", "alter_celeba", "ffw_celeba"),
        ("alter_cifar10s", "alter_cifar10s_skew", "ffw_corrupted_cifar10"),
        ("ffw_biased_mnist", "ffw_multicolor_mnist"),
    ):
        rows = [(experiments[name], part) for name in names for part in (None, *experiments[name].parts)]
        assert len({raw_of(*row) for row in rows}) == 1


def test_adults_parts_have_tables_of_their_own(configured: Configured) -> None:
    parameters, catalog = configured
    (experiment,) = [experiment for experiment in EXPERIMENTS if experiment.name == "alter_adult"]
    tables = {path_of(catalog.get(artifact(table_of(experiment, part), "table"))) for part in experiment.parts}
    assert len(tables | {path_of(catalog.get("adult__table"))}) == 3
    for part in experiment.parts:
        dataset = parameters.at(of_part(f"alter_adult.{part.key}"))
        assert dataset.checksums == parameters.datasets["adult"].checksums


@pytest.mark.parametrize(
    ("name", "women_or_others", "rich_among_them"),
    [("alter_adult.sex", 14_695, 1_669), ("alter_adult.race", 6_319, 1_001)],
)
def test_adult_with_sex_and_race_as_inputs(
    base: Configured, name: str, women_or_others: int, rich_among_them: int
) -> None:
    """The group that is compared and the other one are both inputs; 60/20/20, the second 20 cut 70 to 30."""
    parameters, catalog = base
    table, samples, splits, summary = prepare(parameters.at(of_part(name)), catalog.load("adult__raw"))
    assert len(samples) == 45_222
    np.testing.assert_array_equal(samples["sex=Female"], table["sex"] == "Female")
    np.testing.assert_array_equal(samples["race=White"], table["race"] == "White")
    assert "fnlwgt" not in samples
    assert (samples["s"] == 0).sum() == women_or_others
    assert samples["y"][samples["s"] == 0].sum() == rich_among_them
    for replicate in splits.tensors["splits"]:
        assert np.bincount(replicate).tolist() == [27_133, 6_331, 2_713, 9_045]
    assert {cell["split"] for cell in summary["cells"]} == {"pretrain", "train", "validation", "test"}


def test_compas_with_sex_as_an_input(base: Configured, raw: Callable[..., Path]) -> None:
    dataset = base[0].datasets["compas"]
    table, samples, splits, _ = prepare(dataset, raw("compas", "*.csv"))
    assert len(samples) == 6_172
    np.testing.assert_array_equal(samples["s"], samples["sex=Male"])
    np.testing.assert_array_equal(samples["y"], table["two_year_recid"])
    parts = np.array([np.bincount(replicate) for replicate in splits.tensors["splits"]])
    assert parts.tolist() == [[3_703, 864, 370, 1_235]] * 2
    test = splits.tensors["splits"][0].numpy() == 3
    assert 82 <= (samples["y"][test] * (1 - samples["s"][test])).sum() <= 83  # a fifth of 413 women charged again


def test_cifar10s_at_full_size(base: Configured, raw: Callable[..., Path]) -> None:
    """METHODS, part 2: 95/5 within each class, 4,000 images to repair with, 10,000 test images in either domain."""
    dataset = base[0].datasets["cifar10s"]
    _, samples, splits, summary = prepare(dataset, raw("cifar10", "train"))
    Samples.validate(samples)
    counts = pd.DataFrame(summary["cells"]).pivot_table(index="label", columns=["split", "group"], values="rows")
    colour_majority = [dataset.classes[label] for label in counts.index[counts["pretrain"][0] == 4_370]]
    assert colour_majority == ["automobile", "cat", "dog", "horse", "truck"]
    assert (counts["pretrain"].sum(axis=1) == 4_600).all()
    for part, rows in (("train", 140), ("validation", 60), ("test", 1_000)):
        assert (counts[part] == rows).all(axis=None)
    assert summary["features"] == 1
    assert splits.header["parts"] == ["pretrain", "train", "validation", "test", "unused"]
    assert pd.DataFrame(summary["cells"])["rows"].sum() == 120_000


def test_celebas_parts_differ_in_the_label(configured: Configured) -> None:
    parameters, _ = configured
    for name, label in (("smiling", "Smiling"), ("young", "Young")):
        dataset = parameters.at(of_part(f"alter_celeba.{name}"))
        assert (dataset.label, dataset.sensitive, dataset.reader) == (label, "Male", "celeba")
        assert dataset.split == parameters.datasets["compas"].split


def cells(summary: dict[str, Any]) -> Any:
    """Return the rows of each part by class and group, [label, group] for each part."""
    return lambda part: (
        pd.DataFrame(summary["cells"]).query("split == @part").pivot(index="label", columns="group", values="rows")
    ).to_numpy()


MNIST = (5_923, 6_742, 5_958, 6_131, 5_842, 5_421, 5_918, 6_265, 5_851, 5_949)


@pytest.mark.parametrize(
    ("name", "rho"),
    [("ffw_biased_mnist.990", 0.99), ("ffw_biased_mnist.995", 0.995), ("ffw_biased_mnist.997", 0.997)],
)
def test_biased_mnist_at_full_size(base: Configured, raw: Callable[..., Path], name: str, rho: float) -> None:
    """METHODS, part 3: int(n ρ) of a class are aligned; 10,000 unbiased images for gates, 10,000 to choose on."""
    parameters, catalog = base
    dataset = parameters.at(of_part(name))
    assert path_of(catalog.get("mnist__raw")).name == "mnist"
    _, samples, splits, summary = prepare(dataset, raw("mnist", "MNIST/raw/*"))
    Samples.validate(samples)
    rows = cells(summary)
    for label, there in enumerate(MNIST):
        assert rows("pretrain")[label].sum() == there - 2_000
        assert rows("pretrain")[label, label] == int((there - 2_000) * rho)
    assert (rows("train") == 100).all()
    assert (rows("validation") == 100).all()
    assert rows("test").sum() == 10_000
    assert (rows("test").max(axis=1) - rows("test").min(axis=1) <= 1).all()
    assert splits.header["parts"] == ["pretrain", "train", "validation", "test", "unused"]
    found = {entry["split"]: entry["cramers_v"] for entry in summary["associations"]}
    assert found["pretrain"] > 0.98
    assert found["train"] == found["validation"] == found["test"] == 0


def test_multicolor_mnist_keeps_its_second_bias(base: Configured, raw: Callable[..., Path]) -> None:
    dataset = base[0].datasets["multicolor_mnist"]
    table, samples, splits, summary = prepare(dataset, raw("mnist", "MNIST/raw/*"))
    Samples.validate(samples)
    assert samples.columns.tolist() == ["image", "official_part", "right", "y", "s"]
    np.testing.assert_array_equal(samples["right"], table["right"].map(dataset.further_sensitive["right"].index))
    for codes in splits.tensors["splits"].numpy():
        pretrain, test = samples[codes == 0], samples[codes == 3]
        assert (pretrain["s"] == pretrain["y"]).sum() == sum(int(0.99 * (n - 2_000)) for n in MNIST)
        assert (pretrain["right"] == pretrain["y"]).sum() == sum(int(0.95 * (n - 2_000)) for n in MNIST)
        both = ((pretrain["s"] != pretrain["y"]) & (pretrain["right"] != pretrain["y"])).sum()
        assert abs(both - 40_000 * 0.01 * 0.05) < 5 * np.sqrt(20)  # drawn on their own
        assert ((test["s"] != test["y"]) & (test["right"] != test["y"])).mean() == pytest.approx(0.81, abs=0.01)
    assert {(entry["split"], entry["column"]) for entry in summary["associations"]} == {
        (part, column) for part in ("pretrain", "train", "validation", "test") for column in ("left", "right")
    }


@pytest.mark.parametrize(("name", "conflicting"), [("ffw_corrupted_cifar10.05", 15), ("ffw_corrupted_cifar10.50", 150)])
def test_corrupted_cifar10_at_full_size(
    base: Configured, raw: Callable[..., Path], name: str, conflicting: int
) -> None:
    """Of 5,000 images of a class 2,000 are unbiased, and of the other 3,000 so many conflict."""
    _, _, _, summary = prepare(base[0].at(of_part(name)), raw("cifar10", "train"))
    rows = cells(summary)
    assert (np.diag(rows("pretrain")) == 3_000 - conflicting).all()
    assert (rows("pretrain").sum(axis=1) == 3_000).all()
    for part in ("train", "validation", "test"):
        assert (rows(part) == 100).all()


def test_blond_hair_in_celeba_is_balanced_but_for_pretraining(base: Configured, raw: Callable[..., Path]) -> None:
    """Gates and validation are 60 to 40 up to one row per cell; as large as the rarest cell allows."""
    dataset = base[0].datasets["celeba_blond"]
    _, samples, _, summary = prepare(dataset, raw("celeba"))
    rows = cells(summary)
    smallest = samples.groupby(["y", "s"]).size().min()
    for part, share in (("train", 0.24), ("validation", 0.16), ("test", 0.25)):
        assert (rows(part) == int(share * smallest + 1e-9)).all()
    assert rows("pretrain").sum() == len(samples) - sum(rows(part).sum() for part in ("train", "validation", "test"))
    assert {entry["split"]: entry["cramers_v"] > 0.2 for entry in summary["associations"]} == {
        "pretrain": True,
        "train": False,
        "validation": False,
        "test": False,
    }


def test_a_part_that_should_be_unbiased_and_is_not_is_warned_about(generated: Configured) -> None:
    """Of a third of its images the class can be told from the colour; pretraining may be as biased as it likes."""
    parameters, catalog = generated
    dataset = parameters.datasets["biased_mnist"]
    samples = encode_samples(read_table(catalog.load("mnist__raw"), dataset)[0], dataset)
    splits = split_samples(samples, dataset, SEEDS).tensors["splits"].numpy()
    aligned = (samples["s"] == samples["y"]).to_numpy()
    wrong = np.where((splits == 0) & aligned & (np.arange(len(samples)) % 10 == 0), 1, splits).astype(np.uint8)
    found = r"in the part 'train', which should be unbiased, .* 'colour' have .* of 0\.\d+, expected at most 0\.05"
    with pytest.warns(UserWarning, match=found) as all_:
        warn_about_association(samples, wrong, dataset)
    assert len(all_) == 1


RENDERED = (
    *("datasets.biased_mnist", "datasets.multicolor_mnist", "datasets.corrupted_cifar10"),
    *(of_part("ffw_biased_mnist.990"), of_part("ffw_corrupted_cifar10.05"), of_part("ffw_corrupted_cifar10.50")),
)


@pytest.mark.parametrize("path", RENDERED)
def test_groups_stand_in_the_order_of_the_classes(configured: Configured, path: str) -> None:
    """So that an image is aligned where s equals y."""
    from counterpoise.data import biased_mnist, corrupted_cifar10, multicolor_mnist

    dataset = configured[0].at(path)
    values = {
        "colour": biased_mnist.PALETTE,
        "left": multicolor_mnist.LEFT_PALETTE,
        "right": multicolor_mnist.RIGHT_PALETTE,
        "corruption": corrupted_cifar10.CORRUPTIONS,
    }
    assert all(list(groups) == list(values[column]) for column, groups in dataset.biases.items())


@pytest.mark.parametrize(
    "path",
    [
        *(
            "datasets.compas",
            "datasets.celeba_blond",
            "datasets.cifar10s",
            of_part("alter_cifar10s_skew.99"),
            *RENDERED,
        ),
        *map(of_part, ("alter_adult.sex", "alter_adult.race", "alter_celeba.smiling", "alter_celeba.young")),
    ],
)
def test_generated_data_fill_every_cell_of_every_part(generated: Configured, path: str) -> None:
    """In conf/smoke, as its own raw folder lays them out: no metric is null because a cell is empty."""
    parameters, catalog = generated
    dataset = parameters.at(path)
    _, samples, splits, summary = prepare(dataset, catalog.load(f"{raw_folder(dataset.reader)}__raw"))
    Samples.validate(samples)
    cells = pd.DataFrame(summary["cells"])
    assert cells["rows"].min() >= 1
    assert set(cells["split"]) >= {"pretrain", "train", "validation", "test"}
    assert len(splits.tensors["splits"]) == len(SEEDS.root)


def test_splits_have_the_papers_shares_and_equal_cells(smoke: Any, checkpoints: dict[str, Checkpoint]) -> None:
    samples = pd.read_parquet(smoke.file("05_model_input/*/samples.parquet"))
    cells = []
    for replicate in range(3):
        part = checkpoints["splits"].tensors["splits"][replicate].numpy()
        share = np.bincount(part) / len(part)
        np.testing.assert_allclose(share, [0.6, *(0.4 * np.array([12287, 5000, 10315]) / 27602)], atol=2 / len(part))
        cells.append(pd.crosstab(part, [samples["y"], samples["s"]]))
    pd.testing.assert_frame_equal(cells[0], cells[1])
    pd.testing.assert_frame_equal(cells[0], cells[2])
    summary = json.loads(smoke.file("05_model_input/*/data_summary.json").read_text())
    for cell in summary["cells"]:
        part = SPLITS.index(cell["split"])
        assert cell["rows"] == cells[0].loc[part, (cell["label"], cell["group"])]
