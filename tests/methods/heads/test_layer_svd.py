"""Weighted SVD of any linear layers: importance equals per-sample gradients, factors equal the layers at full rank."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from counterpoise.errors import InputError
from counterpoise.methods import group_fisher, importance
from counterpoise.methods.heads.layer_svd import factorised, layer_importance, linear_layers, rank_of, row_sums

N, T, D, K = 12, 3, 5, 2


class Attention(nn.Module):
    """Tokens that look at each other; `shared` is used twice in each pass."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.shared = nn.Linear(D, 4), nn.Linear(D, D)
        self.classifier = nn.Linear(D, K)

    def forward(self, x: Tensor) -> Tensor:
        h = self.shared(x).tanh()
        q = self.query(h)
        h = self.shared((q @ q.mT).softmax(-1) @ h).tanh()
        return self.classifier(h.mean(dim=-2))


@pytest.fixture
def network() -> Attention:
    torch.manual_seed(0)
    return Attention()


@pytest.fixture
def data() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N, T, D, generator=generator)
    return x, torch.randint(K, (N,), generator=generator), torch.arange(N) % 2


def by_autograd(network: nn.Module, x: Tensor, y: Tensor, s: Tensor, name: str) -> Tensor:
    """Another formulation: the gradient of each sample by itself."""
    parameters = {key: value.detach() for key, value in network.named_parameters()}

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        logits = functional_call(network, parameters, (x.unsqueeze(0),))
        return nn.functional.cross_entropy(logits, y.unsqueeze(0))

    gradient = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y)[f"{name}.weight"]  # N, k, d
    squares = gradient.square().sum(dim=1)
    return torch.stack([squares[s == group].mean(dim=0) for group in range(2)]).sqrt()


@pytest.mark.parametrize("batch_size", [5, 64])
def test_importance_is_that_of_per_sample_gradients(
    network: Attention, data: tuple[Tensor, Tensor, Tensor], batch_size: int
) -> None:
    x, y, s = data
    layers = linear_layers(network, ["*"])
    assert list(layers) == ["query", "shared", "classifier"]
    scores = layer_importance(
        network,
        layers,
        lambda rows: nn.functional.cross_entropy(network(x[rows]), y[rows], reduction="none"),
        s,
        groups=2,
        batch_size=batch_size,
    )
    for name, score in scores.items():
        torch.testing.assert_close(score, by_autograd(network, x, y, s, name), rtol=1e-4, atol=1e-6)


def test_of_a_head_alone_it_is_the_closed_form(data: tuple[Tensor, Tensor, Tensor]) -> None:
    x, y, s = data
    torch.manual_seed(2)
    head = nn.Sequential(nn.Linear(D, K))
    scores = layer_importance(
        head,
        linear_layers(head, ["0"]),
        lambda rows: nn.functional.cross_entropy(head(x[rows, 0]), y[rows], reduction="none"),
        s,
        groups=2,
    )
    fisher = group_fisher(x[:, 0], head[0].weight.T.detach(), head[0].bias.detach(), y, s, groups=2)
    torch.testing.assert_close(scores["0"], importance(fisher), rtol=1e-4, atol=1e-6)


def test_frozen_networks_have_importance_too(network: Attention, data: tuple[Tensor, Tensor, Tensor]) -> None:
    x, y, s = data
    network.requires_grad_(False)
    layers = linear_layers(network, ["query", "sh*"])
    losses = lambda rows: nn.functional.cross_entropy(network(x[rows]), y[rows], reduction="none")  # noqa: E731
    scores = layer_importance(network, layers, losses, torch.zeros_like(s), groups=2)
    assert (scores["shared"][0] > 0).all()
    assert scores["query"][1].isnan().all(), "a group without samples"


@pytest.mark.parametrize("tokens", [1, 2, 9])
def test_both_ways_to_the_row_sums_are_the_same(tokens: int) -> None:
    generator = torch.Generator().manual_seed(3)
    x, delta = torch.randn(4, tokens, 6, generator=generator), torch.randn(4, tokens, 5, generator=generator)
    expected = torch.einsum("bti,btj->bij", x, delta).square().sum(dim=2)
    torch.testing.assert_close(row_sums(x, delta), expected, rtol=1e-4, atol=1e-4)


def test_at_full_rank_the_network_is_the_same(network: Attention, data: tuple[Tensor, Tensor, Tensor]) -> None:
    x, *_ = data
    full = {name: min(layer.weight.shape) for name, layer in linear_layers(network, ["*"]).items()}
    weights = {name: torch.rand(D) + 0.1 for name in full}
    torch.testing.assert_close(factorised(network, full, weights)(x), network(x), rtol=1e-4, atol=1e-5)
    low = factorised(network, {"shared": 2})
    assert low.get_submodule("shared.0").weight.shape == (2, D)
    assert isinstance(network.shared, nn.Linear), "the network itself stays"
    assert not torch.allclose(low(x), network(x), atol=1e-3)


def test_importance_decides_what_a_low_rank_keeps(network: Attention) -> None:
    weights = torch.tensor([10.0, 1.0, 1.0, 1.0, 0.1])
    weight = network.shared.weight.detach().T

    def error(importance: dict[str, Tensor] | None) -> float:
        factors = factorised(network, {"shared": 2}, importance).get_submodule("shared")
        product = factors.get_submodule("0").weight.T @ factors.get_submodule("1").weight.T
        return float((weights.unsqueeze(1) * (weight - product)).norm().detach())

    assert error({"shared": weights}) < error(None)


@pytest.mark.parametrize(("ratio", "rank"), [(1.0, 2), (0.5, 1), (0.01, 1), (50.0, 4)])
def test_the_rank_of_a_ratio(ratio: float, rank: int) -> None:
    assert rank_of(ratio, nn.Linear(4, 5)) == rank


def test_layers_that_are_not_there_or_not_used_are_refused(network: Attention) -> None:
    x = torch.randn(4, D)
    with pytest.raises(InputError, match=r"target_layers: no linear layer is called 'encoder\.\*'"):
        linear_layers(network, ["query", "encoder.*"])
    unused = nn.ModuleDict({"used": nn.Linear(D, K), "unused": nn.Linear(D, K)})
    layers = linear_layers(unused, ["*"])
    with pytest.raises(InputError, match="the losses do not depend on 'unused'"):
        layer_importance(unused, layers, lambda rows: unused["used"](x[rows]).sum(1), torch.zeros(4).long(), groups=1)
    with pytest.raises(ValueError, match="rank 9 is outside"):
        factorised(network, {"shared": 9})
