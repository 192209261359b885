"""Φ, the thresholds it is chosen at, and the soft bias, against other formulations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from counterpoise.errors import InputError
from counterpoise.fairness import confusion_counts
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.methods.gaps import soft_bias
from counterpoise.methods.objective import THRESHOLDS, Judged, Objective, fairness_loss, judge
from counterpoise.methods.outputs import decide, scores, task_loss
from counterpoise.methods.problem import Problem

R, M, K = 3, 120, 4
TWO = ["spd", "eod", "aod"]


@pytest.fixture
def labels(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return tuple(torch.randint(0, 2, (R, M), generator=generator) for _ in range(2))  # type: ignore[return-value]


@pytest.fixture
def score(labels: tuple[Tensor, Tensor], generator: torch.Generator) -> Tensor:
    """Right more often than not, higher for group 1, with many scores exactly on the grid."""
    y, s = labels
    raw = (0.3 + 0.25 * y + 0.15 * s + 0.2 * torch.randn(R, M, generator=generator)).clamp(0, 1)
    return torch.where(torch.rand(R, M, generator=generator) < 0.5, (raw * 1000).round() / 1000, raw).unsqueeze(-1)


@pytest.mark.parametrize("bias", TWO)
@pytest.mark.parametrize("aim", ["phi", "performance"])
def test_the_threshold_is_the_best_of_the_grid(
    bias: str, aim: str, labels: tuple[Tensor, Tensor], score: Tensor
) -> None:
    objective = Objective(bias, "balanced_accuracy", tolerance=0.12)  # type: ignore[arg-type]
    judged = judge(objective, score, *labels, aim=aim)  # type: ignore[arg-type]
    y, s = labels
    for r in range(R):
        grid = torch.linspace(0, 1, THRESHOLDS, dtype=torch.float64)
        decisions = (score[r, :, 0].double() > grid.unsqueeze(1)).long()
        counts = confusion_counts(y[r], decisions, s[r], groups=2, classes=2)
        performances, gaps = COUNT_METRICS["balanced_accuracy"](counts), COUNT_METRICS[bias](counts)
        found = []
        for threshold, performance, gap in zip(grid.tolist(), performances.tolist(), gaps.tolist(), strict=True):
            phi = performance if abs(gap) < objective.bound else 0.0
            found.append((phi if aim == "phi" else performance, -abs(threshold - 0.5), phi, performance, gap))
        _, distance, phi, performance, gap = max(found)
        assert judged.phi[r].item() == pytest.approx(phi)
        assert judged.performance[r].item() == pytest.approx(performance)
        assert judged.bias[r].item() == pytest.approx(gap)
        assert -abs(judged.threshold[r].item() - 0.5) == pytest.approx(distance)
    prediction = decide(score, judged.threshold)
    counts = confusion_counts(y, prediction, s, groups=2, classes=2)
    torch.testing.assert_close(COUNT_METRICS[bias](counts), judged.bias)  # what is decided is what was judged


def test_of_equal_thresholds_the_one_nearest_to_one_half_is_taken(labels: tuple[Tensor, Tensor]) -> None:
    y, s = labels
    objective = Objective("spd", "balanced_accuracy", tolerance=0.9)
    perfect = torch.where(y == 1, 0.9, 0.62).unsqueeze(-1)
    assert judge(objective, perfect, y, s).threshold.tolist() == pytest.approx([0.62] * R, abs=1.1e-3)
    assert judge(objective, 1 - torch.where(y == 0, 0.9, 0.62).unsqueeze(-1), y, s).threshold.tolist() == (
        pytest.approx([0.379] * R, abs=1.1e-3)
    )
    assert judge(objective, torch.where(y == 1, 0.7, 0.2).unsqueeze(-1), y, s).threshold.tolist() == [0.5] * R


def test_a_trivial_classifier_is_always_within_the_tolerance(labels: tuple[Tensor, Tensor]) -> None:
    y, s = labels
    unfair = s.double().unsqueeze(-1) * 0.8 + 0.1  # decides by the group alone
    judged = judge(Objective("spd", "balanced_accuracy"), unfair, y, s)
    assert judged.phi.tolist() == [0.5] * R
    assert judged.bias.tolist() == [0.0] * R


def test_of_many_classes_the_likeliest_is_judged(generator: torch.Generator) -> None:
    y, s = torch.randint(0, K, (R, M), generator=generator), torch.randint(0, 2, (R, M), generator=generator)
    score = torch.randn(R, M, K, generator=generator).softmax(-1)
    objective = Objective("mean_bias", "accuracy", tolerance=0.9, classes=K)
    judged = judge(objective, score, y, s)
    torch.testing.assert_close(judged.performance, (score.argmax(-1) == y).double().mean(dim=1))
    shares = torch.stack(
        [
            torch.stack([s[r][score[r].argmax(-1) == c].double().mean() for c in range(K)]).sub(0.5).abs().mean()
            for r in range(R)
        ]
    )
    torch.testing.assert_close(judged.bias, shares)
    assert judged.threshold.isnan().all()
    assert torch.equal(decide(score, judged.threshold), score.argmax(-1))


def test_the_losses_are_torch_s(generator: torch.Generator) -> None:
    y, s = torch.randint(0, 2, (R, 37), generator=generator), torch.randint(0, 2, (R, 37), generator=generator)
    one, many = torch.randn(R, 37, 1, generator=generator), torch.randn(R, 37, K, generator=generator)
    objective = Objective("spd", "balanced_accuracy")
    for r in range(R):
        expected = binary_cross_entropy_with_logits(one[r, :, 0], y[r].float())
        torch.testing.assert_close(task_loss(one, y)[r], expected)
        torch.testing.assert_close(task_loss(many, y)[r], cross_entropy(many[r], y[r]))
        excess = max(0.0, abs(soft_bias("spd", one, y, s)[r].item()) - (0.05 - 0.02))
        assert fairness_loss(objective, one, y, s, 5.0)[r].item() == pytest.approx(expected.item() + 5 * excess)
    torch.testing.assert_close(scores(one), one.sigmoid())
    torch.testing.assert_close(scores(many), many.softmax(-1))


def test_an_objective_that_cannot_be_met_is_refused() -> None:
    with pytest.raises(InputError, match=r"tolerance 0\.02 is not above the margin 0\.02"):
        Objective("spd", "balanced_accuracy", tolerance=0.02, margin=0.02)
    with pytest.raises(InputError, match="bias 'mean_bias' with 2 classes"):
        Objective("mean_bias", "accuracy")
    with pytest.raises(InputError, match="bias 'aod' with 10 classes"):
        Objective("aod", "accuracy", classes=10)


@pytest.mark.parametrize("part", ["fit", "select"])
@pytest.mark.parametrize("lacking", ["group", "class", "cell"])
def test_validation_rows_without_a_group_a_class_or_a_cell_are_refused(
    part: str, lacking: str, unfair: Callable[..., Problem]
) -> None:
    task = unfair()
    rows = getattr(task, part)
    y, s = task.labels(rows)
    absent = {"group": s[1] == 1, "class": y[1] == 0, "cell": (s[1] == 0) & (y[1] == 1)}[lacking]
    left = rows.clone()
    left[1] = rows[1][~absent].repeat(rows.shape[1])[: rows.shape[1]]
    with pytest.raises(InputError, match=rf"dval \({part}\): a replicate has no row of y = [01] among s = [01], "):
        replace(task, **{part: left})


def test_a_class_that_is_never_predicted_is_within_no_tolerance() -> None:
    y, s = torch.tensor([[0, 1, 2, 0, 1, 2]]), torch.tensor([[0, 0, 0, 1, 1, 1]])
    score = torch.nn.functional.one_hot(torch.tensor([[0, 1, 0, 0, 1, 0]]), 3).double()
    judged = judge(Objective("mean_bias", "accuracy", classes=3), score, y, s)
    assert judged.bias.isnan().all()
    assert judged.phi.tolist() == [0.0]
    assert judged.performance.tolist() == pytest.approx([4 / 6])


def test_where_nothing_is_within_the_bound_what_comes_nearest_is_preferred() -> None:
    """Within it Φ decides alone; a bias that is undefined comes last."""
    objective = Objective(bias="mean_bias", performance="accuracy", classes=3)
    bias = torch.tensor([0.02, -0.01, 0.08, -0.3, torch.nan], dtype=torch.float64)
    performance = torch.tensor([0.6, 0.5, 0.9, 0.95, 0.99], dtype=torch.float64)
    phi = performance.where(bias.abs() < objective.bound, 0)
    found = Judged(phi, performance, bias, torch.full_like(bias, torch.nan)).preference(objective)
    torch.testing.assert_close(found[:4], torch.tensor([0.6, 0.5, -0.05, -0.27], dtype=torch.float64))
    assert found.argsort(descending=True).tolist() == [0, 1, 2, 3, 4]
