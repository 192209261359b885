"""The head bank against heads evaluated one by one."""

from __future__ import annotations

import pytest
import torch

from counterpoise.methods import penalized
from counterpoise.nn import Examples, Factors, HeadBank, Optimizer, fit, generators, predict_logits

R, D, K = 3, 7, 4
RANKS = {"b2": 2, "dense": None, "a1": 1, "c2": 2, "dense2": None}


def factors(rank: int | None, generator: torch.Generator, classes: int = K) -> Factors:
    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    if rank is None:
        return Factors(first=draw(R, D, classes), bias=draw(R, classes))
    return Factors(first=draw(R, D, rank), second=draw(R, rank, classes), bias=draw(R, classes))


@pytest.fixture
def heads(generator: torch.Generator) -> dict[str, Factors]:
    return {name: factors(rank, generator) for name, rank in RANKS.items()}


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


class TestSparseFeatures:
    """Leaf numbers and the matrix of zeros and ones that they stand for are the same features."""

    @pytest.fixture
    def leaf(self, generator: torch.Generator) -> torch.Tensor:
        return (torch.randint(0, 3, (R, 60, 2), generator=generator) + torch.tensor([0, 4])).int()

    @pytest.fixture
    def matrix(self, leaf: torch.Tensor) -> torch.Tensor:
        return torch.zeros(R, 60, D).scatter_(2, leaf.long(), 1.0)

    def test_logits_and_gradients(self, leaf: torch.Tensor, matrix: torch.Tensor, generator: torch.Generator) -> None:
        heads = {name: factors(rank, generator, classes=2) for name, rank in RANKS.items()}
        sparse, dense = HeadBank(heads), HeadBank(heads)
        torch.testing.assert_close(sparse(leaf), dense(matrix))
        weights = torch.randn(dense(matrix).shape, generator=generator)
        for bank, x in ((sparse, leaf), (dense, matrix)):
            (bank(x) * weights).sum().backward()
        for one, other in zip(sparse.parameters(), dense.parameters(), strict=True):
            assert one.grad is not None
            torch.testing.assert_close(one.grad, other.grad)

    def test_training_and_prediction(
        self, heads: dict[str, Factors], leaf: torch.Tensor, matrix: torch.Tensor, generator: torch.Generator
    ) -> None:
        y, s = torch.randint(0, K, (60,), generator=generator), torch.randint(0, 2, (60,), generator=generator)
        members, logits = torch.arange(60).expand(R, -1), []
        for x in (leaf, matrix):
            bank, data = HeadBank(heads), Examples(x, y, s)
            history = fit(
                bank,
                data,
                members[:, :40],
                loss=penalized({"dp": 0.2}, groups=2),
                optimizer=Optimizer(name="sgd", lr=0.1),
                epochs=5,
                batch_size=16,
                generators=generators(range(R), "batches"),
            )
            assert not history.diverged.any()
            logits.append(predict_logits(bank, data, members))
        torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)
