"""A base with its unrepaired head and its probabilities of class and group."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.methods.bases import ground as grounds
from counterpoise.methods.bases.boosted import BoostedBase
from counterpoise.methods.bases.dense import DenseBase
from counterpoise.methods.bases.ground import Bases, Ground, Kind, from_tensors, margins
from counterpoise.methods.bases.perceptron import PerceptronBase
from counterpoise.methods.heads.newton import plain
from counterpoise.methods.rules.joint import GroupHeads
from counterpoise.nn import Examples
from counterpoise.nn.trees import Boosting, grow

KINDS: tuple[Kind, ...] = ("boosted", "perceptron", "linear", "frozen")
BASES = Bases(
    boosted=BoostedBase(grid=(Boosting(rounds=25, num_leaves=5, min_data_in_leaf=10),), patience=5, group_rounds=20),
    perceptron=PerceptronBase(widths=(6,), epochs=4, batch_size=64, lr=0.01),
)
TRAIN, WATCHED, REST = torch.arange(0, 600), torch.arange(600, 900), torch.arange(900, 1400)


def drawn(groups: int = 2) -> Examples:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1400, 4, generator=generator)
    s = torch.randint(groups, (1400,), generator=generator)
    x[:, 0] += 1.2 * s
    y = (x[:, 0] + x[:, 1] + 0.5 * torch.randn(1400, generator=generator) > 0.5 * groups).long()
    return Examples(x, y, s)


def fitted(kind: Kind, data: Examples, groups: int = 2) -> Ground:
    return grounds.fit(kind, BASES, data, TRAIN, WATCHED, groups=groups, classes=2, seed=1)


@pytest.fixture(scope="module")
def data() -> Examples:
    return drawn()


@pytest.fixture(scope="module")
def trained(data: Examples) -> dict[Kind, Ground]:
    return {kind: fitted(kind, data) for kind in KINDS}


def unrepaired(ground: Ground, x: Tensor) -> Tensor:
    return margins(ground.head, *ground.base.view(x))


@pytest.mark.parametrize("kind", KINDS)
def test_the_unrepaired_model_predicts_rows_that_it_has_not_seen(
    kind: Kind, trained: dict[Kind, Ground], data: Examples
) -> None:
    ground = trained[kind]
    assert roc_auc_score(data.y[REST], unrepaired(ground, data.x[REST])) > 0.85
    odds = unrepaired(ground, data.x[WATCHED]).double()
    assert ground.choice.log_loss == pytest.approx(log_loss(data.y[WATCHED].numpy(), odds.sigmoid().numpy()), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_of_class_and_group_are_a_distribution_and_calibrated(
    kind: Kind, trained: dict[Kind, Ground], data: Examples
) -> None:
    ground = trained[kind]
    joint = ground.joint(data.x[REST])
    assert joint.shape == (len(REST), 4)
    assert (joint >= 0).all()
    torch.testing.assert_close(joint.sum(dim=1), torch.ones(len(REST)), atol=1e-5, rtol=0)
    of_class = joint.view(-1, 2, 2).sum(dim=2)[:, 1]
    expected = (unrepaired(ground, data.x[REST]).double() / ground.temperature).sigmoid().float()
    torch.testing.assert_close(of_class, expected, atol=1e-5, rtol=0)
    shares = torch.bincount(2 * data.y[REST] + data.s[REST], minlength=4) / len(REST)
    torch.testing.assert_close(joint.mean(dim=0), shares, atol=0.06, rtol=0)
    assert ground.joint(data.x[REST], ground.base.view(data.x[REST])).equal(joint), "a view at hand is used"


@pytest.mark.parametrize("kind", KINDS)
def test_a_ground_survives_its_tensors(kind: Kind, trained: dict[Kind, Ground], data: Examples) -> None:
    ground = trained[kind]
    again = from_tensors(kind, ground.choice, ground.tensors(), groups=2, classes=2)
    assert again.joint(data.x[REST]).equal(ground.joint(data.x[REST]))
    assert again.head.equal(ground.head)
    assert again.temperature == ground.temperature


@pytest.mark.parametrize("kind", KINDS)
def test_a_choice_is_kept_and_the_same_rows_give_the_same_base(
    kind: Kind, trained: dict[Kind, Ground], data: Examples
) -> None:
    ground = trained[kind]
    again = grounds.fit(kind, BASES, data, TRAIN, WATCHED, groups=2, classes=2, seed=1, choice=ground.choice)
    assert (again.choice.boosting, again.choice.shape) == (ground.choice.boosting, ground.choice.shape)
    assert again.choice.pull == ground.choice.pull
    if isinstance(ground.group, GroupHeads):
        strong = replace(ground.choice, group_pull=5.0)  # not what watched rows would choose
        again = grounds.fit(kind, BASES, data, TRAIN, WATCHED, groups=2, classes=2, seed=1, choice=strong)
        assert again.choice.group_pull == 5.0
        assert ground.choice.group_pull < 5.0
    torch.testing.assert_close(unrepaired(again, data.x), unrepaired(ground, data.x), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_with_everything_chosen_no_row_is_watched(kind: Kind, trained: dict[Kind, Ground], data: Examples) -> None:
    ground = trained[kind]
    turned = replace(data, y=torch.where(torch.arange(1400) >= 600, 1 - data.y, data.y))
    first, second = (
        grounds.fit(kind, BASES, each, TRAIN, None, groups=2, classes=2, seed=1, choice=ground.choice)
        for each in (data, turned)
    )
    assert first.joint(data.x).equal(second.joint(data.x))
    assert first.choice == ground.choice
    torch.testing.assert_close(unrepaired(first, data.x), unrepaired(ground, data.x), atol=1e-3, rtol=1e-3)


def test_neither_watched_rows_nor_a_choice(data: Examples) -> None:
    with pytest.raises(InputError, match="a linear base: neither rows to choose its settings on nor a choice"):
        grounds.fit("linear", BASES, data, TRAIN, None, groups=2, classes=2, seed=1)


def test_trees_need_no_head(trained: dict[Kind, Ground], data: Examples) -> None:
    assert not trained["boosted"].head.any()
    assert trained["linear"].head.any()


@pytest.mark.parametrize("kind", ["boosted", "linear"])
def test_more_groups(kind: Kind) -> None:
    three = drawn(3)
    joint = fitted(kind, three, groups=3).joint(three.x[REST])
    assert joint.shape == (500, 6)
    torch.testing.assert_close(joint.sum(dim=1), torch.ones(500), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_more_classes(kind: Kind, data: Examples) -> None:
    """Probabilities are a distribution that is about as likely as it says, and survive their tensors."""
    y = data.y + (data.x[:, 1] > 0.5).long()
    three = replace(data, y=y)
    ground = grounds.fit(kind, BASES, three, TRAIN, WATCHED, groups=2, classes=3, seed=1)
    odds = margins(ground.head, *ground.base.view(data.x[WATCHED])).double()
    assert odds.shape == (300, 3)
    assert ground.choice.log_loss == pytest.approx(log_loss(y[WATCHED].numpy(), odds.softmax(dim=1).numpy()), abs=1e-5)
    joint = ground.joint(data.x[REST])
    torch.testing.assert_close(joint.sum(dim=1), torch.ones(500), atol=1e-5, rtol=0)
    of_class = joint.unflatten(1, (3, 2)).sum(dim=2)
    assert (of_class.argmax(dim=1) == y[REST]).double().mean() > 0.75
    torch.testing.assert_close(of_class.mean(dim=0), torch.bincount(y[REST]) / 500, atol=0.06, rtol=0)
    again = from_tensors(kind, ground.choice, ground.tensors(), groups=2, classes=3)
    assert again.joint(data.x[REST]).equal(joint)
    refitted = grounds.fit(kind, BASES, three, TRAIN, None, groups=2, classes=3, seed=1, choice=ground.choice)
    torch.testing.assert_close(refitted.joint(data.x[REST]), joint, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_heads_start_at_the_unrepaired_one(kind: Kind, trained: dict[Kind, Ground], data: Examples) -> None:
    ground = trained[kind]
    rows = ground.rows(data, TRAIN)
    start = grounds.start(ground, rows)
    torch.testing.assert_close(start.head, ground.head)
    bent = plain(rows, 1.0, steps=0, start=ground.head).curvature
    torch.testing.assert_close(start.curvature, bent)


def test_pulls_are_those_of_the_kind() -> None:
    bases = Bases(
        boosted=BoostedBase(pulls=(4.0,)), perceptron=PerceptronBase(pulls=(5.0,)), dense=DenseBase(pulls=(6.0, 7.0))
    )
    assert [bases.pulls(kind) for kind in KINDS] == [(4.0,), (5.0,), (6.0, 7.0), (6.0, 7.0)]


def test_a_head_that_comes_trained_is_the_unrepaired_model(data: Examples) -> None:
    own = torch.tensor([0.9, 1.1, 0.0, -0.2, -1.0])
    ground = grounds.fit("frozen", BASES, data, TRAIN, WATCHED, groups=2, classes=2, seed=1, trained=own)
    expected = data.x[REST] @ own[:-1] + own[-1]
    torch.testing.assert_close(unrepaired(ground, data.x[REST]), expected, atol=1e-5, rtol=1e-5)
    assert isinstance(ground.trained, Tensor)
    torch.testing.assert_close(ground.trained, own)
    fold = grounds.fit(
        *("frozen", BASES, data, TRAIN[:300], None), groups=2, classes=2, seed=1, choice=ground.choice, trained=own
    )
    torch.testing.assert_close(unrepaired(fold, data.x[REST]), expected, atol=1e-5, rtol=1e-5)
    again = from_tensors("frozen", ground.choice, ground.tensors(), groups=2, classes=2)
    torch.testing.assert_close(unrepaired(again, data.x[REST]), expected, atol=1e-5, rtol=1e-5)


def test_trees_that_come_trained_stay_as_they_are(data: Examples) -> None:
    trees, _ = grow(data.x[REST], data.y[REST], Boosting(rounds=7, num_leaves=4))
    ground = grounds.fit("boosted", BASES, data, TRAIN, WATCHED, groups=2, classes=2, seed=1, trained=trees)
    fold = grounds.fit(
        *("boosted", BASES, data, TRAIN[:300], None), groups=2, classes=2, seed=1, choice=ground.choice, trained=trees
    )
    for each in (ground, fold):
        assert each.trained is trees
        torch.testing.assert_close(
            unrepaired(each, data.x[WATCHED]).double(), trees.margins(data.x[WATCHED]), atol=1e-5, rtol=1e-5
        )


def test_what_is_trained_here_does_not_come_trained(trained: dict[Kind, Ground]) -> None:
    assert {ground.trained for ground in trained.values()} == {None}
