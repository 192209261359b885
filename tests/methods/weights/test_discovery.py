"""Masks of a task's base: both readings of the paper, and masks that mimic a teacher (Eq. 10)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy, cross_entropy

from counterpoise.errors import InputError
from counterpoise.methods.objective import fairness_loss
from counterpoise.methods.outputs import task_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights import discovery
from counterpoise.methods.weights.discovery import (
    PaperMasks,
    TeacherMasks,
    _Student,
    balanced_rows,
    both_masks,
    discover,
    mask_only,
    mask_only_paper,
    soft_cross_entropy,
    teacher_pruning,
)
from counterpoise.methods.weights.mask_discovery import MaskSettings, pruned_share
from counterpoise.nn.networks import State, evaluate, masked

Earlier = dict[str, list[Result]]
SETTINGS = MaskSettings(epochs=3, batch_size=64, lr=0.3)


def fairer(task: Problem) -> State:
    """A teacher: the base with other last weights."""
    last = list(task.network().weights())[-1]
    return task.base | {last: -0.5 * task.base[last]}


def test_masks_make_the_base_fairer_by_its_own_loss(unfair: Callable[..., Problem]) -> None:
    task = unfair()
    trained = discover(task, "masks", replace(SETTINGS, epochs=25, lr=0.1))
    y, s = task.labels(task.fit)
    network = task.network()
    before, after = (
        fairness_loss(task.goal, evaluate(network, task.examples, task.fit, weights).logits, y, s, 5.0)
        for weights in (None, masked(network.weights(), trained.last))
    )
    assert (after < before).all()
    assert (pruned_share(trained.last) > 0).all()
    torch.testing.assert_close(trained.curves["pruned"][:, -1], pruned_share(trained.last))


def test_figures_of_an_epoch_are_those_of_its_masks(unfair: Callable[..., Problem]) -> None:
    task = unfair()
    best, last = mask_only(replace(task, method="masks"), SETTINGS, {})
    assert best.epoch is not None
    chosen = (best.epoch - 1).unsqueeze(1)
    torch.testing.assert_close(best.facts["phi"], best.curves["judgement"].gather(1, chosen).squeeze(1))
    torch.testing.assert_close(best.facts["bias"], best.curves["bias"].gather(1, chosen).squeeze(1))
    assert last.name == "masks_last"
    assert last.facts["phi"].tolist() == pytest.approx(best.curves["judgement"][:, -1].tolist())
    assert torch.equal(best.facts["pruned"], pruned_share(best.part("masks")))


def test_the_paper_s_reading_fits_on_as_many_of_each_group_and_class(
    unfair: Callable[..., Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = unfair()
    rows = balanced_rows(task)
    y, s = task.labels(rows)
    smallest = min(
        int(((task.labels(task.fit)[0] == a) & (task.labels(task.fit)[1] == b)).sum(dim=1).min())
        for a in (0, 1)
        for b in (0, 1)
    )
    for r in range(len(rows)):
        assert [int(((y[r] == a) & (s[r] == b)).sum()) for a in (0, 1) for b in (0, 1)] == [smallest] * 4
        assert set(rows[r].tolist()) <= set(task.fit[r].tolist())
        assert len(rows[r].unique()) == rows.shape[1]

    used = []
    train = discovery._train

    def watched(
        task: Problem, name: str, settings: MaskSettings, loss: object, rows: torch.Tensor, *more: object
    ) -> object:
        used.append((loss, rows))
        return train(task, name, settings, loss, rows, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(discovery, "_train", watched)
    mask_only_paper(replace(task, method="mask_only_paper"), PaperMasks(epochs=1, lr=0.3), {})
    mask_only(replace(task, method="mask_only"), replace(SETTINGS, epochs=1), {})
    (paper_loss, paper_rows), (default_loss, default_rows) = used
    assert torch.equal(paper_rows, rows)
    assert torch.equal(default_rows, task.fit)
    output = task.network().eval()(task.examples.take(rows)[0])
    assert torch.equal(paper_loss(output, y, s, rows), task_loss(output.logits, y))
    assert torch.equal(default_loss(output, y, s, rows), fairness_loss(task.goal, output.logits, y, s, 5.0))


def test_rows_that_cannot_be_balanced_are_refused(unfair: Callable[..., Problem]) -> None:
    task = unfair()
    y, s = task.labels(task.fit)
    lacking = replace(task)
    rows = task.fit.clone()
    rows[0] = task.fit[0][~((y[0] == 1) & (s[0] == 0))].repeat(3)[: task.fit.shape[1]]
    object.__setattr__(lacking, "fit", rows)  # a problem refuses such rows itself
    with pytest.raises(InputError, match="dval: a class of a group has no row"):
        balanced_rows(lacking)


def test_soft_cross_entropy_is_torch_s(generator: torch.Generator) -> None:
    one, many = torch.randn(2, 9, 1, generator=generator), torch.randn(2, 9, 5, generator=generator)
    p, q = torch.rand(2, 9, 1, generator=generator), torch.randn(2, 9, 5, generator=generator).softmax(-1)
    for r in range(2):
        torch.testing.assert_close(soft_cross_entropy(one, p)[r], binary_cross_entropy(one[r].sigmoid(), p[r]))
        torch.testing.assert_close(soft_cross_entropy(many, q)[r], cross_entropy(many[r], q[r]))


@pytest.mark.parametrize("kind", ["two classes", "three classes", "images"])
def test_a_student_s_loss_is_eq_10(
    kind: str, unfair: Callable[..., Problem], unfair_images: Callable[..., Problem]
) -> None:
    """H(teacher, student) + γ H(student an epoch before, student), for the rows of the batch."""
    task = {
        "two classes": lambda: unfair(),
        "three classes": lambda: unfair(classes=3, bias="mean_bias"),
        "images": lambda: unfair_images(),
    }[kind]()
    teacher = fairer(task)
    student = _Student(
        task.network(),
        lambda output, y, s, rows: task_loss(output.logits, y),
        SETTINGS,
        steps=4,
        generators=task.generators("noise"),
        problem=task,
        teacher=teacher,
        consistency=0.3,
    )
    with torch.no_grad():
        student.m.add_(torch.randn_like(student.m) * 2)  # masks that differ from ones
    student.begin_epoch(1)
    earlier = masked(student.network.weights(), student.masks())
    with torch.no_grad():
        student.m.add_(torch.randn_like(student.m))  # a step of the epoch
    rows = task.fit[:, 5:25]
    x, y, s = task.examples.take(rows)
    with torch.no_grad():
        output = student.network(x, masked(student.network.weights(), student.masks()))
        said = [
            task.read(evaluate(network, task.examples, rows, weights).logits)
            for network, weights in ((task.network(teacher), None), (task.network(), earlier))
        ]
    expected = soft_cross_entropy(output.logits, said[0]) + 0.3 * soft_cross_entropy(output.logits, said[1])
    torch.testing.assert_close(student.loss(output, y, s, rows), expected)
    assert not torch.allclose(said[0], said[1])


def test_a_student_keeps_its_weights_and_comes_nearer_to_its_teacher(
    unfair: Callable[..., Problem], after_repair: Callable[..., Earlier]
) -> None:
    task = unfair()
    teacher = fairer(task)
    settings = TeacherMasks(epochs=25, batch_size=64, lr=0.2, consistency=0.1)
    (_, last) = teacher_pruning(replace(task, method="student"), settings, after_repair(task, teacher))
    masks = last.part("masks")
    assert masks
    for name, tensor in last.part("network").items():
        assert torch.equal(tensor, task.base[name] * masks[name] if name in masks else task.base[name])
    wanted = evaluate(task.network(teacher), task.examples, task.fit).logits.sigmoid()
    before, after = (
        soft_cross_entropy(evaluate(task.network(state), task.examples, task.fit).logits, wanted)
        for state in (None, last.part("network"))
    )
    assert (after < before).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_convolutional_networks_are_masked_too(
    classes: int, unfair_images: Callable[..., Problem], after_repair: Callable[..., Earlier]
) -> None:
    task = unfair_images(classes)
    settings = replace(SETTINGS, epochs=2, lr=1.5)
    student = TeacherMasks(epochs=2, batch_size=64, lr=1.5)
    results = mask_only(replace(task, method="masks"), settings, {})
    results += teacher_pruning(replace(task, method="student"), student, after_repair(task, fairer(task)))
    for result in results:
        assert result.score.isfinite().all()
        axes = {mask.ndim for mask in result.part("masks").values()}
        assert axes == {3, 5}  # linear layers and filters, replicates in front
        assert 0 < result.facts["pruned"].item() < 1
    paper, _ = mask_only_paper(replace(task, method="paper"), PaperMasks(epochs=1, batch_size=64, lr=1.5), {})
    assert paper.score.isfinite().all()


def test_a_discovery_that_empties_a_layer_says_so(
    unfair: Callable[..., Problem], caplog: pytest.LogCaptureFixture
) -> None:
    task = unfair()
    with caplog.at_level(logging.WARNING):
        trained = discover(task, "masks", replace(SETTINGS, initial=-3.0, epochs=1))
    assert not any(mask.any() for mask in trained.best.values())
    assert [message for message in caplog.messages if "weight0" in message] == [
        "masks: all weights of layer weight0 are pruned with seeds [0, 1, 5]"
    ]
    for result in both_masks(replace(task, method="masks"), trained):
        assert result.score.isfinite().all()
        assert result.facts["phi"].tolist() == [0.5] * 3  # one answer for all is fair
