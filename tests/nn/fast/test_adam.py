"""The private hook takes the steps of the public optimiser, and those of the paper's Algorithm 1."""

from __future__ import annotations

import torch

from counterpoise.nn.fast.adam import fused_adam

RATE, BETAS, EPSILON, STEPS = 0.05, (0.9, 0.99), 1e-8, 7


def run(start: torch.Tensor, gradients: list[torch.Tensor]) -> torch.Tensor:
    values, means, squares = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    for number, gradient in enumerate(gradients, start=1):
        fused_adam(values, gradient, means, squares, torch.tensor(float(number)), RATE, BETAS, EPSILON)
    return values


def test_a_step_is_that_of_torchs_fused_adam_to_the_bit(generator: torch.Generator) -> None:
    start = torch.randn(101, generator=generator)
    gradients = [torch.randn(101, generator=generator) for _ in range(STEPS)]
    parameter = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([parameter], lr=RATE, betas=BETAS, eps=EPSILON, fused=True)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    assert run(start, gradients).equal(parameter.detach())


def test_a_step_is_that_of_the_algorithm(generator: torch.Generator) -> None:
    start = torch.randn(9, generator=generator)
    gradients = [torch.randn(9, generator=generator) for _ in range(STEPS)]
    values, m, v = start.double(), torch.zeros(9).double(), torch.zeros(9).double()
    for t, gradient in enumerate(gradients, start=1):
        m = BETAS[0] * m + (1 - BETAS[0]) * gradient
        v = BETAS[1] * v + (1 - BETAS[1]) * gradient**2
        values = values - RATE * (m / (1 - BETAS[0] ** t)) / ((v / (1 - BETAS[1] ** t)).sqrt() + EPSILON)
    torch.testing.assert_close(run(start, gradients).double(), values, rtol=1e-5, atol=1e-6)
