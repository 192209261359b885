"""Stacked networks against the same networks in torch, one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from counterpoise.errors import InputError
from counterpoise.methods.gaps import Bias, soft_bias
from counterpoise.methods.outputs import task_loss
from counterpoise.methods.tuning import WeightTuning
from counterpoise.nn import Examples, Optimizer, generators
from counterpoise.nn.networks import (
    Output,
    SingleNetwork,
    StackedNetwork,
    evaluate,
    keep,
    masked,
    require_maskable,
)

N, D, SEEDS = 150, 7, [0, 1, 5]
WIDTHS = [D, 32, 32, 32, 1]


@pytest.fixture
def data(generator: torch.Generator) -> Examples:
    x = torch.randn(N, D, generator=generator)
    y = (x[:, 0] + torch.randn(N, generator=generator) > 0).long()
    return Examples(x, y, torch.randint(0, 2, (N,), generator=generator))


def rows(seeds: Sequence[int]) -> Tensor:
    return torch.stack([torch.randperm(N, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def stacked(seeds: Sequence[int], widths: Sequence[int] = WIDTHS, dropout: float = 0.0) -> StackedNetwork:
    """Networks with weights, statistics and scales of their own."""
    network = StackedNetwork(
        widths,
        generators=generators(seeds, "weights"),
        dropout=dropout,
        mean=torch.stack([torch.randn(D, generator=g) for g in generators(seeds, "means")]),
        scale=torch.stack([torch.rand(D, generator=g) + 0.5 for g in generators(seeds, "scales")]),
    )
    state = network.copied()
    for name, tensor in state.items():
        if name.startswith(("gamma", "beta", "running")):
            drawn = torch.stack([torch.rand(tensor.shape[1:], generator=g) for g in generators(seeds, name)])
            state[name] = drawn + (0.5 if name.startswith(("gamma", "running_var")) else -0.3)
    network.load(state)
    return network


def plain(network: StackedNetwork, r: int) -> nn.Sequential:
    """The same network in torch's layers."""
    state, layers = {name: tensor[r] for name, tensor in network.copied().items()}, []
    for layer in range(network.layers):
        linear = nn.Linear(network.widths[layer], network.widths[layer + 1])
        linear.load_state_dict({"weight": state[f"weight{layer}"], "bias": state[f"bias{layer}"].squeeze(-1)})
        layers.append(linear)
        if layer < network.layers - 1:
            norm = nn.BatchNorm1d(network.widths[layer + 1])
            names = {
                "weight": "gamma",
                "bias": "beta",
                "running_mean": "running_mean",
                "running_var": "running_var",
            }
            norm.load_state_dict(
                {own: state[f"{known}{layer}"] for own, known in names.items()}
                | {"num_batches_tracked": 0 * state["mean"][:1].long().squeeze()}
            )
            layers += [nn.ReLU(), nn.Dropout(0.0), norm]
    return nn.Sequential(*layers)


def names_in_torch(module: nn.Sequential) -> dict[str, Tensor]:
    """Parameters and statistics of `plain` by the names in the stack."""
    found: dict[str, Tensor] = {}
    linears = [layer for layer in module if isinstance(layer, nn.Linear)]
    norms = [layer for layer in module if isinstance(layer, nn.BatchNorm1d)]
    for number, linear in enumerate(linears):
        found |= {f"weight{number}": linear.weight, f"bias{number}": linear.bias}
    for number, norm in enumerate(norms):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        found |= {f"gamma{number}": norm.weight, f"beta{number}": norm.bias}
        found |= {f"running_mean{number}": norm.running_mean, f"running_var{number}": norm.running_var}
    return found


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("batch", [64, 59])
def test_a_stack_computes_what_torch_s_layers_compute(data: Examples, training: bool, batch: int) -> None:
    network = stacked(SEEDS).train(training)
    modules = [plain(network, r).train(training) for r in range(len(SEEDS))]
    x, y, _ = data.take(rows(SEEDS)[:, :batch])
    output = network(x)
    task_loss(output.logits, y).sum().backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    after = network.state()
    assert network.mean is not None
    assert network.scale is not None
    for r, module in enumerate(modules):
        given = (x[r] - network.mean[r]) / network.scale[r]
        features = module[:-1](given)
        logits = module[-1](features)
        nn.functional.binary_cross_entropy_with_logits(logits.squeeze(-1), y[r].float()).backward()
        torch.testing.assert_close(output.features[r], features)
        torch.testing.assert_close(output.logits[r], logits)
        for name, tensor in names_in_torch(module).items():
            torch.testing.assert_close(after[name][r].flatten(), tensor.detach().flatten(), msg=name)
            if name in gradients:
                gradient = gradients[name]
                assert gradient is not None
                assert tensor.grad is not None
                torch.testing.assert_close(gradient[r].flatten(), tensor.grad.flatten(), rtol=1e-4, atol=1e-6)
    assert training != torch.equal(after["running_mean1"], stacked(SEEDS).state()["running_mean1"])


def trained(
    data: Examples, seeds: Sequence[int], batch: int, widths: Sequence[int]
) -> tuple[dict[str, Tensor], Output]:
    """Some steps with dropout; the state and what it says of rows whose number no vector fits."""
    bias: Bias = "mean_bias" if widths[-1] > 1 else "aod"
    network = stacked(seeds, widths, dropout=0.2)
    trainee = WeightTuning(
        network,
        lambda output, y, s: task_loss(output.logits, y) + soft_bias(bias, output.logits, y, s).abs(),
        optimizer=Optimizer(lr=0.01, schedule="cosine", warmup=0.3),
        steps=8,
        batch_size=batch,
        generators=generators(seeds, "dropout"),
    )
    for step in range(8):
        taken = rows(seeds).roll(-step * batch, 1)[:, :batch]
        trainee.step(*data.take(taken), taken)
    return network.copied(), evaluate(network, data, rows(seeds)[:, :77])


@pytest.mark.parametrize("batch", [64, 59, 17])
@pytest.mark.parametrize("widths", [WIDTHS, [D, 8, 8, 1], [D, 7, 6, 3]], ids=["wide", "narrow", "odd"])
def test_no_bit_of_a_replicate_depends_on_its_neighbours(data: Examples, batch: int, widths: Sequence[int]) -> None:
    state, output = trained(data, SEEDS, batch, widths)
    for seeds in ([5], [0], [5, 0], [0, 1]):
        alone, said = trained(data, seeds, batch, widths)
        for r, seed in enumerate(seeds):
            place = SEEDS.index(seed)
            assert all(torch.equal(alone[name][r], state[name][place]) for name in state)
            assert torch.equal(said.logits[r], output.logits[place])
            assert torch.equal(said.features[r], output.features[place])


def test_dropout_leaves_the_mean_and_needs_training_mode_and_generators(data: Examples) -> None:
    rate, x = 0.3, torch.randn(2, 400, D)
    network = StackedNetwork([D, 50, 1], generators=generators([3, 4], "weights"), dropout=rate, normalized=False)
    with torch.no_grad():
        full = network(x).features
        dropped = network(x, generators=generators([3, 4], "dropout")).features
        assert torch.equal(network.eval()(x, generators=generators([3, 4], "dropout")).features, full)
    alive = full > 0
    gone = alive & (dropped == 0)
    torch.testing.assert_close(dropped[alive & ~gone], full[alive & ~gone] / (1 - rate))
    share = gone.sum(dim=(1, 2)) / alive.sum(dim=(1, 2))
    torch.testing.assert_close(share, torch.full((2,), rate), atol=0.02, rtol=0)
    assert not torch.equal(gone[0], gone[1])


def test_a_pass_that_does_not_track_leaves_the_statistics_alone(data: Examples) -> None:
    network = stacked(SEEDS).train()
    x, _, _ = data.take(rows(SEEDS)[:, :32])
    before = network.copied()
    untracked = network(x, track=False)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state().items())
    assert torch.equal(untracked.logits, network(x).logits)  # of the same batch statistics
    assert not torch.equal(before["running_mean0"], network.state()["running_mean0"])


def convolutional(seed: int = 0, classes: int = 1) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, classes),
    )


def single(module: nn.Module | None = None) -> SingleNetwork:
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
    return SingleNetwork(module or convolutional(), head="8", mean=mean, std=std)


@pytest.fixture
def images(generator: torch.Generator) -> Tensor:
    return torch.randint(0, 256, (1, 6, 3, 12, 12), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("training", [True, False])
def test_a_single_network_is_its_module(images: Tensor, training: bool) -> None:
    network, module = single().train(training), convolutional().train(training)
    given = (images[0] / 255 - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.25]).view(
        3, 1, 1
    )
    output = network(images)
    torch.testing.assert_close(output.features[0], module[:-1](given), rtol=1e-4, atol=1e-5)
    for name, buffer in convolutional().named_buffers():  # one pass each so far
        assert training or torch.equal(network.state()[f"{name}"][0], buffer)
    fresh = convolutional().train(training)
    torch.testing.assert_close(output.logits[0], fresh(given), rtol=1e-4, atol=1e-5)
    for name, tensor in fresh.state_dict().items():
        torch.testing.assert_close(network.state()[name][0], tensor, rtol=1e-4, atol=1e-5)
    assert network.maskable() == ("0.weight", "3.weight", "8.weight")
    assert not network._seen, "features of past batches are not kept"


def test_a_single_network_that_does_not_track_leaves_its_statistics_alone(images: Tensor) -> None:
    network = single().train()
    before = network.copied()
    untracked = network(images, track=False).logits
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state().items())
    assert torch.equal(untracked, network(images).logits)


@pytest.mark.parametrize("kind", ["stacked", "single"])
def test_masks_of_ones_and_a_loaded_state_change_no_bit(kind: str, data: Examples, images: Tensor) -> None:
    network, other, x = (
        (stacked(SEEDS), stacked([7, 8, 9]), data.take(rows(SEEDS)[:, :20])[0])
        if kind == "stacked"
        else (single(), single(convolutional(1)), images)
    )
    for training in (False, True):
        network.train(training), other.train(training)
        ones = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in network.weights().items()}
        logits = network(x, track=False).logits
        assert torch.equal(network(x, masked(network.weights(), ones), track=False).logits, logits)
        assert not torch.equal(other(x, track=False).logits, logits) or training
        other.load(network.copied())
        assert torch.equal(other(x, track=False).logits, logits)


def test_keep_copies_the_chosen_replicates(data: Examples) -> None:
    first, second = stacked(SEEDS).copied(), stacked([7, 8, 9]).copied()
    kept = {name: tensor.clone() for name, tensor in first.items()}
    keep(kept, second, torch.tensor([False, True, False]))
    for name, tensor in kept.items():
        assert torch.equal(tensor[[0, 2]], first[name][[0, 2]])
        assert torch.equal(tensor[1], second[name][1])


def test_evaluation_uses_running_statistics_whatever_the_mode(data: Examples) -> None:
    network, members = stacked(SEEDS, dropout=0.2).train(), rows(SEEDS)
    before = network.copied()
    output = evaluate(network, data, members)
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state().items())
    with torch.no_grad():
        torch.testing.assert_close(output.logits, network.eval()(data.take(members)[0]).logits)


def test_a_network_without_a_layer_to_mask_is_refused() -> None:
    module = nn.Sequential(nn.Flatten(), nn.ReLU())
    with pytest.raises(InputError, match="no linear or convolutional layer"):
        require_maskable(SingleNetwork(module, head="1", mean=[0.5] * 3, std=[0.5] * 3))
