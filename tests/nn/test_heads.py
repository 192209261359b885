"""The head bank against heads evaluated one by one."""

from __future__ import annotations

import pytest
import torch

from counterpoise.nn import Factors, HeadBank

R, D, K = 3, 7, 4


def factors(rank: int | None, generator: torch.Generator) -> Factors:
    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    if rank is None:
        return Factors(first=draw(R, D, K), bias=draw(R, K))
    return Factors(first=draw(R, D, rank), second=draw(R, rank, K), bias=draw(R, K))


@pytest.fixture
def heads(generator: torch.Generator) -> dict[str, Factors]:
    ranks = {"b2": 2, "dense": None, "a1": 1, "c2": 2, "dense2": None}
    return {name: factors(rank, generator) for name, rank in ranks.items()}


def test_logits_equal_the_heads_own_products(heads: dict[str, Factors], generator: torch.Generator) -> None:
    x = torch.randn(R, 11, D, generator=generator)
    bank = HeadBank(heads)
    logits = bank(x)
    assert logits.shape == (R, len(heads), 11, K)
    assert set(bank.names) == set(heads)
    for v, head in enumerate(heads[name] for name in bank.names):
        weight = head.first if head.second is None else head.first @ head.second
        torch.testing.assert_close(logits[:, v], x @ weight + head.bias.unsqueeze(1))


def test_heads_come_back_as_they_were_given(heads: dict[str, Factors]) -> None:
    returned = HeadBank(heads).heads()
    assert list(returned) == list(heads)
    for name, head in heads.items():
        assert torch.equal(returned[name].first, head.first)
        assert torch.equal(returned[name].bias, head.bias)
        assert (head.second is None) == (returned[name].second is None)
        if head.second is not None:
            assert torch.equal(returned[name].second, head.second)


def test_keep_copies_the_chosen_models_and_no_other(heads: dict[str, Factors], generator: torch.Generator) -> None:
    bank = HeadBank(heads)
    x = torch.randn(R, 5, D, generator=generator)
    before, snapshot = bank(x).detach(), bank.snapshot()
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    after = bank(x).detach()
    chosen = torch.zeros(R, len(heads), dtype=torch.bool)
    chosen[0, 1] = chosen[2, 0] = chosen[1, 4] = True
    bank.keep(snapshot, chosen)
    bank.restore(snapshot)
    mixed = bank(x).detach()
    torch.testing.assert_close(mixed[chosen], after[chosen])
    torch.testing.assert_close(mixed[~chosen], before[~chosen])


def test_parameter_counts_are_the_papers() -> None:
    # WIN, Table 3: 46 trainable parameters for 20 features, two classes, rank 2; plain fine-tuning has 42.
    low_rank = Factors(first=torch.zeros(1, 20, 2), second=torch.zeros(1, 2, 2), bias=torch.zeros(1, 2))
    dense = Factors(first=torch.zeros(1, 20, 2), bias=torch.zeros(1, 2))
    assert (low_rank.parameters_per_replicate, dense.parameters_per_replicate) == (46, 42)
