"""The tables that have experiments of their own: what docs/data.md says of them, from the files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from counterpoise.config.parameters import Dataset
from counterpoise.errors import InputError
from counterpoise.experiments import raw_folder
from counterpoise.pipelines.data_split.nodes import encode_samples, read_table
from counterpoise.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS

REPOSITORY = Path(__file__).parents[2]
NAMES = ("compas_frontier", "law", "credit", "german")


@pytest.fixture(scope="module")
def blocks() -> dict[str, Dataset]:
    loader = CONFIG_LOADER_CLASS(str(REPOSITORY / "conf"), env="base", **CONFIG_LOADER_ARGS)
    return {name: Dataset.model_validate(loader["parameters"]["datasets"][name]) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_rows_and_rates_are_those_of_the_page(name: str, blocks: dict[str, Dataset], raw: Callable[..., Path]) -> None:
    dataset = blocks[name]
    samples = encode_samples(read_table(raw(raw_folder(name), holds="*.csv"), dataset)[0], dataset)
    (line,) = (
        text for text in (REPOSITORY / "docs/data.md").read_text().splitlines() if text.startswith(f"| `{name}`")
    )
    _, _, _, rows, share, groups, rates, _ = (cell.strip() for cell in line.split("|"))
    assert rows.split(" of ")[0] == f"{len(samples):,}"
    assert share.endswith(f", {samples['y'].mean():.1%}")
    counts = samples["s"].value_counts()
    assert groups == "; ".join(f"{group} {counts[s]:,}" for s, group in enumerate(dataset.group_names))
    assert rates == "; ".join(f"{rate:.1%}" for rate in samples.groupby("s")["y"].mean())


@pytest.mark.parametrize("name", NAMES)
def test_no_sensitive_column_is_a_feature(name: str, blocks: dict[str, Dataset], raw: Callable[..., Path]) -> None:
    dataset = blocks[name]
    samples = encode_samples(read_table(raw(raw_folder(name), holds="*.csv"), dataset)[0], dataset)
    features = {column.partition("=")[0] for column in samples.columns}
    assert dataset.sensitive not in features
    assert not {"ID", dataset.label} & features


@pytest.mark.parametrize("name", ["law", "credit", "german"])
def test_an_absent_file_is_one_sentence_on_where_from_and_where_to(
    name: str, blocks: dict[str, Dataset], tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        read_table(tmp_path / name, blocks[name])
    sentence = str(caught.value)
    assert sentence.startswith(f"{tmp_path / name / name}.csv: no such file; save ")
    assert re.search(r"Wightman, 1998|doi:10\.24432/\w+", sentence)
    assert sentence.endswith("(docs/data.md)")


def test_60_20_20(blocks: dict[str, Any]) -> None:
    for dataset in blocks.values():
        shares = dataset.split.task
        assert shares["validation"] == shares["test"] == pytest.approx(0.2)
        assert dataset.split.fractions["pretrain"] + sum(shares.values()) == pytest.approx(1)
