"""The exported model decides as the frontier's own scores do, for every kind of base, by a head or by a rule."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from counterpoise.artifacts.networks_served import served
from counterpoise.artifacts.serving import Servable, ServableDataset, read_servable
from counterpoise.data.encoding import numbers
from counterpoise.methods.answers import Answers
from counterpoise.methods.bases import ground as grounds
from counterpoise.methods.bases.boosted import BoostedBase
from counterpoise.methods.bases.ground import Bases, Ground, Kind, margins
from counterpoise.methods.bases.perceptron import PerceptronBase
from counterpoise.methods.rules import linear
from counterpoise.methods.rules.dual import SHARPNESS
from counterpoise.nn import Examples
from counterpoise.nn.trees import Boosting

KINDS: tuple[Kind, ...] = ("boosted", "perceptron", "linear", "frozen")
THRESHOLD = 0.4
TOLERANCE = 1e-6
OF_DITHER = 2e-3  # it goes up and down so often that rounding of probabilities is seen: single precision in training
BASES = Bases(
    boosted=BoostedBase(grid=(Boosting(rounds=8, num_leaves=5, min_data_in_leaf=10),), group_rounds=6),
    perceptron=PerceptronBase(widths=(5,), epochs=2, batch_size=64),
)
CLASSES = ("no", "yes")


@pytest.fixture(scope="module")
def data() -> Examples:
    generator = torch.Generator().manual_seed(0)
    x = 2 + 3 * torch.randn(700, 3, generator=generator)
    s = (torch.rand(700, generator=generator) < 0.4).long()
    x[:, 0] += 2 * s
    return Examples(x, (x[:, 0] + x[:, 1] + torch.randn(700, generator=generator) > 5).long(), s)


@pytest.fixture(scope="module")
def trained(data: Examples) -> dict[Kind, Ground]:
    rows, watched = torch.arange(400), torch.arange(400, 550)
    return {kind: grounds.fit(kind, BASES, data, rows, watched, groups=2, classes=2, seed=0) for kind in KINDS}


def exported(ground: Ground, data: Examples, folder: Path, **decision: Any) -> tuple[Servable, pd.DataFrame]:
    """Save a model, load it as MLflow does, and let it classify all rows."""
    import mlflow.pyfunc

    columns = ["f0", "f1", "f2"]
    frame = pd.DataFrame(data.x.double().numpy(), columns=columns)
    described = {"encoding": numbers(columns), "classes": CLASSES, "label": "answer", "experiment": "drawn"} | decision
    model = served(ground, **described, example=frame.head(), metadata={"variant": "drawn"})
    ServableDataset(str(folder)).save(model)
    return model, mlflow.pyfunc.load_model(str(folder)).predict(frame)


def drawn_head(ground: Ground) -> torch.Tensor:
    """A head that is not the unrepaired one."""
    return ground.head + 0.2 * torch.randn(len(ground.head), generator=torch.Generator().manual_seed(1))


def require_the_same(
    answer: pd.DataFrame, expected: torch.Tensor, cut: float = 0.5, tolerance: float = TOLERANCE
) -> None:
    """Scores are the expected ones, and the second class is predicted where they are above the cut."""
    score = torch.tensor(answer["score"].to_numpy())
    torch.testing.assert_close(score, expected.double(), atol=tolerance, rtol=0)
    clear = (expected - cut).abs() > tolerance
    assert clear.float().mean() > 0.99
    decided = torch.tensor((answer["prediction"] == "yes").to_numpy())
    assert decided[clear].equal((expected > cut)[clear])
    assert 0 < int(decided.sum()) < len(decided)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_with_a_threshold(kind: Kind, trained: dict[Kind, Ground], data: Examples, tmp_path: Path) -> None:
    ground = trained[kind]
    head = drawn_head(ground)
    _, answer = exported(ground, data, tmp_path / "model", head=head, rule=None, threshold=THRESHOLD)
    expected = margins(head, *ground.base.view(data.x)).double().sigmoid()
    require_the_same(answer, expected, cut=1 / (1 + math.exp(-THRESHOLD)))


@pytest.mark.parametrize("dithered", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_rule(dithered: bool, kind: Kind, trained: dict[Kind, Ground], data: Examples, tmp_path: Path) -> None:
    import mlflow.pyfunc

    ground = trained[kind]
    shares = linear.Shares.of(data.y, data.s, classes=2, groups=2)
    multipliers = 0.05 * torch.tensor([[1.0, -1.0], [-0.5, 0.5]])
    rule = linear.rule(torch.tensor([1.0, 1.2]), multipliers, shares, "eo")
    rule = linear.dithered(rule, torch.tensor(1 / SHARPNESS)) if dithered else rule
    _, answer = exported(ground, data, tmp_path / "model", head=None, rule=rule, threshold=0.0)
    expected = linear.scores(ground.joint(data.x), rule.unsqueeze(0))[0]
    require_the_same(answer, expected, tolerance=OF_DITHER if dithered else TOLERANCE)
    none = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(
        pd.DataFrame({name: np.empty(0) for name in ("f0", "f1", "f2")})
    )
    assert (len(none), list(none)) == (0, list(answer)), "no rows have no answers"


@pytest.fixture(scope="module")
def of_classes(data: Examples) -> tuple[Examples, dict[Kind, Ground]]:
    """Three classes and three groups, and their bases."""
    s = torch.where(data.x[:, 2] > 4, 2, data.s)
    three = Examples(data.x, data.y + (data.x[:, 1] > 3).long(), s)
    rows, watched = torch.arange(400), torch.arange(400, 550)
    return three, {kind: grounds.fit(kind, BASES, three, rows, watched, groups=3, classes=3, seed=0) for kind in KINDS}


@pytest.mark.parametrize("decision", ["unrepaired", "rule"])
@pytest.mark.parametrize("kind", KINDS)
def test_more_classes(
    kind: Kind, decision: str, of_classes: tuple[Examples, dict[Kind, Ground]], tmp_path: Path
) -> None:
    data, bases = of_classes
    ground, classes = bases[kind], ("low", "mid", "high")
    rule = None
    expected = Answers.of(margins(ground.head, *ground.base.view(data.x)).T)
    if decision == "rule":
        shares = linear.Shares.of(data.y, data.s, classes=3, groups=3)
        multipliers = 0.03 * torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
        rule = linear.rule(torch.tensor([1.0, 1.2, 0.9]), multipliers, shares, "eo")
        rule = linear.dithered(rule, torch.tensor(1 / SHARPNESS))
        expected = linear.answers(ground.joint(data.x), rule.unsqueeze(0))[0]
    head = None if rule is not None else ground.head
    _, answer = exported(ground, data, tmp_path / "model", head=head, rule=rule, threshold=0.0, classes=classes)
    score = torch.tensor(answer["score"].to_numpy())
    torch.testing.assert_close(score, expected.score.double(), atol=TOLERANCE if rule is None else OF_DITHER, rtol=0)
    decided = torch.tensor([classes.index(name) for name in answer["prediction"]])
    assert (decided == expected.decided).double().mean() > 0.99
    assert len(decided.unique()) == 3
    probabilities = answer[[f"probability_{name}" for name in classes]]
    assert probabilities.sum(axis=1).to_numpy() == pytest.approx(1.0)


def test_trees_are_an_ordinary_lightgbm_file(trained: dict[Kind, Ground], data: Examples, tmp_path: Path) -> None:
    import lightgbm

    ground = trained["boosted"]
    head = drawn_head(ground)
    model, answer = exported(ground, data, tmp_path / "model", head=head, rule=None, threshold=THRESHOLD)
    (file,) = (tmp_path / "model").rglob("trees.txt")
    decision = lightgbm.Booster(model_file=str(file)).predict(data.x.numpy(), num_threads=1) > 0.5
    assert (decision == (answer["prediction"] == "yes")).all()
    margin = lightgbm.Booster(model_file=str(file)).predict(data.x.numpy(), raw_score=True, num_threads=1)
    assert answer["score"].to_numpy() == pytest.approx(1 / (1 + np.exp(-margin - THRESHOLD)), abs=TOLERANCE)
    again = read_servable(tmp_path / "model")
    assert again.trees == model.trees
    assert again.rule is None


def test_a_rule_survives_its_folder(trained: dict[Kind, Ground], data: Examples, tmp_path: Path) -> None:
    ground = trained["boosted"]
    rule = torch.randn(4, 2, generator=torch.Generator().manual_seed(2))
    exported(ground, data, tmp_path / "model", head=None, rule=rule, threshold=0.0)
    again = read_servable(tmp_path / "model").rule
    assert again is not None
    assert again.matrix.equal(rule)
    assert (again.temperature, again.group_temperature) == (ground.temperature, ground.group.temperature)
    assert again.group_trees is not None
