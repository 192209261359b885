"""Bases as a checkpoint: what is written comes back from a file, kinds in their order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from counterpoise.artifacts.datasets import Checkpoint, SafetensorsDataset
from counterpoise.methods.bases import ground as grounds
from counterpoise.methods.bases.boosted import BoostedBase
from counterpoise.methods.bases.ground import Bases, Ground, Kind
from counterpoise.methods.bases.perceptron import PerceptronBase
from counterpoise.nn import Examples
from counterpoise.nn.trees import Boosting
from counterpoise.pipelines.shared.bases import read_bases, write_bases

KINDS: tuple[Kind, ...] = ("perceptron", "boosted", "linear")
"""Neither in alphabetical order nor in that of any table."""


@pytest.fixture(scope="module")
def data() -> Examples:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 3, generator=generator)
    s = (x[:, 2] > 0).long()
    return Examples(x, (x[:, 0] + 0.5 * torch.randn(300, generator=generator) > 0).long(), s)


@pytest.fixture(scope="module")
def bases(data: Examples) -> list[list[Ground]]:
    settings = Bases(
        boosted=BoostedBase(grid=(Boosting(rounds=4, num_leaves=3, min_data_in_leaf=10),), group_rounds=4),
        perceptron=PerceptronBase(widths=(3,), epochs=1),
    )
    rows, watched = torch.arange(200), torch.arange(200, 300)
    return [
        [grounds.fit(kind, settings, data, rows, watched, groups=2, classes=2, seed=seed) for kind in KINDS]
        for seed in (7, 4)
    ]


@pytest.fixture(scope="module")
def stored(bases: list[list[Ground]], tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    file = SafetensorsDataset(str(tmp_path_factory.mktemp("bases") / Path("bases.safetensors")))
    file.save(write_bases(bases, seeds=[7, 4], digests={}))
    return file.load()


def test_bases_come_back_from_a_file(bases: list[list[Ground]], stored: Checkpoint, data: Examples) -> None:
    again = read_bases(stored, groups=2, classes=2)
    assert stored.header["seeds"] == [7, 4]
    assert len(again) == 2
    for mine, others in zip(bases, again, strict=True):
        for ground, other in zip(mine, others, strict=True):
            assert other.kind == ground.kind
            assert other.choice == ground.choice
            assert other.head.equal(ground.head)
            assert other.joint(data.x).equal(ground.joint(data.x))
            for view, same in zip(ground.base.view(data.x), other.base.view(data.x), strict=True):
                assert view.equal(same)


def test_kinds_keep_their_order(stored: Checkpoint) -> None:
    assert [[ground.kind for ground in each] for each in read_bases(stored, groups=2, classes=2)] == [[*KINDS]] * 2


def test_replicates_are_kept_apart(bases: list[list[Ground]], stored: Checkpoint) -> None:
    swapped = replace(stored, header=stored.header | {"chosen": stored.header["chosen"][::-1]})
    networks = [read_bases(each, groups=2, classes=2)[0][0].head for each in (stored, swapped)]
    assert networks[0].equal(networks[1]), "tensors go by the number of the replicate"
    assert not bases[0][0].head.equal(bases[1][0].head)
    assert {name.split(".")[0] for name in stored.tensors} == {"0", "1"}
