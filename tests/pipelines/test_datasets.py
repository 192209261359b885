"""The data sets of conf/base, from their raw files to samples and splits; those that a machine lacks are skipped."""

from __future__ import annotations

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

from counterpoise.params import Dataset, Parameters, Seeds, check
from counterpoise.pipelines.data_split.nodes import describe_data, encode_samples, read_table, split_samples
from counterpoise.schemas import Samples
from counterpoise.storage import Checkpoint, path_of

REPOSITORY = Path(__file__).parents[2]
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
    table = read_table(raw, dataset)
    samples = encode_samples(table, dataset)
    splits = split_samples(samples, dataset, SEEDS)
    return table, samples, splits, describe_data(samples, splits, dataset)


@pytest.mark.parametrize("name", ["adult_sex", "adult_race"])
def test_adults_variants_read_adults_files(configured: Configured, name: str) -> None:
    parameters, catalog = configured
    assert path_of(catalog.get(f"{name}__raw")) == path_of(catalog.get("adult__raw"))
    assert parameters.datasets[name].checksums == parameters.datasets["adult"].checksums
    tables = [path_of(catalog.get(f"{owner}__table")) for owner in ("adult", "adult_sex", "adult_race")]
    assert len(set(tables)) == 3


@pytest.mark.parametrize(
    ("name", "women_or_others", "rich_among_them"), [("adult_sex", 14_695, 1_669), ("adult_race", 6_319, 1_001)]
)
def test_adult_with_sex_and_race_as_inputs(
    base: Configured, name: str, women_or_others: int, rich_among_them: int
) -> None:
    """The group that is compared and the other one are both inputs; 60/20/20, the second 20 cut 70 to 30."""
    parameters, catalog = base
    table, samples, splits, summary = prepare(parameters.datasets[name], catalog.load(f"{name}__raw"))
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


def test_celebas_pairs_read_celebas_files(configured: Configured) -> None:
    parameters, catalog = configured
    for name, label in (("celeba_smiling", "Smiling"), ("celeba_young", "Young")):
        dataset = parameters.datasets[name]
        assert path_of(catalog.get(f"{name}__raw")) == path_of(catalog.get("celeba__raw"))
        assert (dataset.label, dataset.sensitive, dataset.reader) == (label, "Male", "celeba")
        assert dataset.split == parameters.datasets["compas"].split


@pytest.mark.parametrize(
    "name", ["adult_sex", "adult_race", "compas", "celeba_smiling", "celeba_young", "cifar10s", "cifar10s_99"]
)
def test_generated_data_fill_every_cell_of_every_part(generated: Configured, name: str) -> None:
    """In conf/smoke, as its own raw folder lays them out: no metric is null because a cell is empty."""
    parameters, catalog = generated
    dataset = parameters.datasets[name]
    _, samples, splits, summary = prepare(dataset, catalog.load(f"{name}__raw"))
    Samples.validate(samples)
    cells = pd.DataFrame(summary["cells"])
    assert cells["rows"].min() >= 1
    assert set(cells["split"]) >= {"pretrain", "train", "validation", "test"}
    assert len(splits.tensors["splits"]) == len(SEEDS.root)
