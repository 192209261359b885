"""A stack of models: each parameter's entries belong to one model, which alone is kept, restored and trained."""

from __future__ import annotations

import pytest
import torch

from counterpoise.nn import Bank, Factors, HeadBank, StackedMLP, generators

R, V, D, K, B = 2, 3, 4, 2, 5


@pytest.fixture
def bank(generator: torch.Generator) -> Bank:
    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(R, *shape, generator=generator)

    low_rank = Factors(draw(D, 1), draw(K), draw(1, K))
    return HeadBank({"a": Factors(draw(D, K), draw(K)), "b": Factors(draw(D, K), draw(K)), "c": low_rank})


def altered(bank: Bank) -> None:
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter += 1


def test_a_forward_pass_leaves_its_batch_as_it_is(generator: torch.Generator) -> None:
    mean, scale = torch.randn(R, D, generator=generator), 1 + torch.rand(R, D, generator=generator)
    network = StackedMLP((D, 3, K), mean=mean, scale=scale, generators=generators(range(R), "test"), variants=V)
    x = torch.randn(R, B, D, generator=generator)
    before = x.clone()
    logits = network(x)
    assert x.equal(before)
    assert logits.equal(network.logits(network.standardize_(x)))
    assert not x.equal(before), "a training loop's own batch is written over"


def test_only_the_chosen_models_are_kept(bank: Bank, generator: torch.Generator) -> None:
    x = torch.randn(R, B, D, generator=generator)
    snapshot, before = bank.snapshot(), bank(x).detach()
    altered(bank)
    after = bank(x).detach()
    chosen = torch.tensor([[True, False, False], [False, True, True]])
    bank.keep(snapshot, chosen)
    assert bank(x).equal(after), "to keep changes the snapshot alone"
    bank.restore(snapshot)
    torch.testing.assert_close(bank(x).detach(), torch.where(chosen[:, :, None, None], after, before))


def test_a_snapshot_is_a_copy_and_a_restored_bank_has_no_gradients(bank: Bank, generator: torch.Generator) -> None:
    x = torch.randn(R, B, D, generator=generator)
    before, snapshot = bank(x).detach(), bank.snapshot()
    bank(x).sum().backward()
    altered(bank)
    bank.restore(snapshot)
    assert bank(x).equal(before)
    assert all(parameter.grad is None for parameter in bank.parameters())


def test_every_entry_of_every_parameter_belongs_to_one_model(bank: Bank, generator: torch.Generator) -> None:
    """The logits of a model depend on its own entries, and on no others."""
    x = torch.randn(R, B, D, generator=generator)
    for r in range(R):
        for v in range(V):
            bank.zero_grad()
            bank(x)[r, v].square().sum().backward()
            owned = torch.zeros(R, V, dtype=torch.bool)
            owned[r, v] = True
            for parameter, entries in zip(bank.parameters(), bank.owners(owned), strict=True):
                assert parameter.grad is not None
                assert not parameter.grad[~entries.expand_as(parameter)].any()
