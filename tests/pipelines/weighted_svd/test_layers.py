"""Other layers of a network that came trained, beside the network itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from drawn import loans

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.models import TorchModule
from counterpoise.config.parameters import Block
from counterpoise.errors import InputError
from counterpoise.fairness import evaluate
from counterpoise.features.modules import build
from counterpoise.methods.heads.layer_svd import factorised
from counterpoise.pipelines.shared.trained import Trained
from counterpoise.pipelines.weighted_svd.layers import COLUMNS, factor_layers
from counterpoise.reporting.tables_parts import layer_factors

CODE = """
import torch
from torch import nn

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 1))
"""
DATASET = loans(min_test_rows=0)
N = 240
SPLITS = Checkpoint(
    {"splits": torch.stack([torch.arange(N) % 4, (torch.arange(N) + 1) % 4]).to(torch.uint8)},
    {"seeds": [3, 4], "digests": {}},
)


@pytest.fixture
def samples() -> pd.DataFrame:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, 3, generator=generator)
    y, s = (torch.randint(2, (N,), generator=generator) for _ in range(2))
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": y, "s": s})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "user_layers.py").write_text(CODE)
    return tmp_path


def measured(samples: pd.DataFrame, folder: Path, **settings: Any) -> pd.DataFrame:
    model = Block[Trained](TorchModule(module="user_layers:network", **settings))
    return factor_layers(samples, SPLITS, samples, folder, DATASET, model)


def test_every_layer_share_and_way_is_measured_in_each_seed(samples: pd.DataFrame, folder: Path) -> None:
    frame = measured(samples, folder, target_layers=["0", "2"])
    assert list(frame) == list(COLUMNS)
    assert frame.groupby(["seed", "layer"]).size().to_dict() == {
        (seed, layer): 2 * 3 for seed in (3, 4) for layer in ("0", "2", "all layers")
    }
    assert (frame["worst_drift"] >= frame["drift"]).all()
    plain, others = (frame[frame["factors"] == way].reset_index() for way in ("plain", "neutralized"))
    assert (plain["weight_error"] <= others["weight_error"] + 1e-6).all()
    assert len(layer_factors(frame).rows) == len(frame) / 2


def test_decisions_are_those_of_the_changed_network(samples: pd.DataFrame, folder: Path) -> None:
    frame = measured(samples, folder, target_layers=["2"], target_ratios=[0.5])
    (plain,) = frame[(frame["seed"] == 4) & (frame["factors"] == "plain")].to_dict("records")
    network = factorised(build("user_layers:network", {}, folder).eval(), {"2": plain["rank"]})
    test = SPLITS.tensors["splits"][1] == 3
    x, y, s = (torch.tensor(samples[names].to_numpy())[test] for names in (["a", "b", "c"], "y", "s"))
    decided = (network(x.float()).squeeze(1) > 0).long()
    expected = evaluate(y, s, decided, groups=2, classes=2, names=["err", "delta_eo", "delta_dp"])
    assert {name: plain[name] for name in expected} == pytest.approx({k: float(v) for k, v in expected.items()})


def test_without_target_layers_there_is_no_row(samples: pd.DataFrame, folder: Path) -> None:
    assert measured(samples, folder).empty


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("4", "'4' is the head"), ("body.*", "no linear layer is called 'body"), ("1", "no linear layer is called '1'")],
)
def test_layers_that_cannot_be_meant(samples: pd.DataFrame, folder: Path, pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measured(samples, folder, target_layers=[pattern])
