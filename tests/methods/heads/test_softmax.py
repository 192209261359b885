"""Softmax regression against its own gradient, and against probabilities that are known."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from counterpoise.methods.heads.softmax import softmax_head


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_objective_is_lowest_there(classes: int, generator: torch.Generator) -> None:
    x = torch.randn(300, 4, generator=generator)
    target = (2 * x[:, 0] + torch.randn(300, generator=generator)).clamp(0, classes - 0.01).long()
    head = softmax_head(x, target, pull=0.01, classes=classes).requires_grad_()
    coefficients = head[:-1] if classes > 2 else head[:-1, 1]
    loss = cross_entropy(x.double() @ head[:-1] + head[-1], target) + 0.005 * coefficients.square().sum()
    (gradient,) = torch.autograd.grad(loss, head)
    assert (gradient if classes > 2 else gradient[:, 1]).abs().max() < 2e-4


def test_a_class_without_rows_is_never_likely(generator: torch.Generator) -> None:
    x = torch.randn(100, 2, generator=generator)
    for target in (2 * (x[:, 0] > 0).long(), torch.full((100,), 2)):
        head = softmax_head(x, target, pull=0.1, classes=3)
        probability = (x.double() @ head[:-1] + head[-1]).softmax(dim=1)
        assert probability[:, 1].max() < 1e-6
        assert probability.mean(dim=0)[2] == pytest.approx(float((target == 2).double().mean()), abs=1e-3)
