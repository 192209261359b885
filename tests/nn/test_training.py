"""Training many models at once against training them one by one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from counterpoise.methods import cross_entropy
from counterpoise.nn import Examples, Factors, HeadBank, Optimizer, fit, generators, predict_logits

N, D, K, SEEDS = 120, 6, 3, [0, 1, 5]


@pytest.fixture
def data(generator: torch.Generator) -> Examples:
    x = torch.randn(N, D, generator=generator)
    y = (x[:, 0] + 0.5 * torch.randn(N, generator=generator) > 0).long() + (x[:, 1] > 1).long()
    return Examples(x, y, torch.randint(0, 2, (N,), generator=generator))


def rows(seeds: list[int], size: int = 70, start: int = 0) -> torch.Tensor:
    return torch.stack([g_perm(seed)[start : start + size] for seed in seeds])


def g_perm(seed: int) -> torch.Tensor:
    return torch.randperm(N, generator=torch.Generator().manual_seed(seed))


def heads(seeds: list[int], names: list[str]) -> dict[str, Factors]:
    def draw(name: str, part: str, *shape: int) -> torch.Tensor:
        return torch.stack([torch.randn(*shape, generator=g) for g in generators(seeds, name + part)])

    made = {}
    for name in names:
        rank = None if name.startswith("d") else int(name[1:])
        made[name] = Factors(
            first=draw(name, "first", D, rank or K),
            second=None if rank is None else draw(name, "second", rank, K),
            bias=draw(name, "bias", K),
        )
    return made


def train(data: Examples, seeds: list[int], names: list[str], optimizer: Optimizer, **options: object) -> HeadBank:
    bank = HeadBank(heads(seeds, names))
    settings = {"epochs": 4, "batch_size": 16, "generators": generators(seeds, "batches"), **options}
    fit(bank, data, rows(seeds), loss=cross_entropy, optimizer=optimizer, **settings)
    return bank


@pytest.mark.parametrize("optimizer", [Optimizer("adam", 0.05, weight_decay=0.01), Optimizer("sgd", 0.1, 0.8, 0.01)])
def test_each_model_trains_as_it_would_alone_in_torch(data: Examples, optimizer: Optimizer) -> None:
    bank = train(data, SEEDS, ["d", "r1", "r2"], optimizer).heads()
    for r, seed in enumerate(SEEDS):
        for name, start in heads(SEEDS, ["d", "r1", "r2"]).items():
            first, bias = nn.Parameter(start.first[r].clone()), nn.Parameter(start.bias[r].clone())
            second = None if start.second is None else nn.Parameter(start.second[r].clone())
            parameters = [first, bias] if second is None else [first, second, bias]
            step: torch.optim.Optimizer
            if optimizer.name == "adam":
                step = torch.optim.Adam(parameters, lr=optimizer.lr, weight_decay=optimizer.weight_decay)
            else:
                step = torch.optim.SGD(parameters, lr=0.1, momentum=0.8, weight_decay=optimizer.weight_decay)
            own, (shuffler,) = rows([seed])[0], generators([seed], "batches")
            for _ in range(4):
                for taken in own[torch.randperm(len(own), generator=shuffler)].split(16):
                    hidden = data.x[taken] @ first
                    logits = (hidden if second is None else hidden @ second) + bias
                    step.zero_grad()
                    nn.functional.cross_entropy(logits, data.y[taken]).backward()
                    step.step()
            torch.testing.assert_close(bank[name].first[r], first.detach(), rtol=2e-4, atol=2e-5)
            torch.testing.assert_close(bank[name].bias[r], bias.detach(), rtol=2e-4, atol=2e-5)


def test_each_model_may_have_its_own_weight_decay(data: Examples) -> None:
    names, decays = ["d", "r1", "r2"], [0.0, 0.3, 0.01]
    together = train(data, SEEDS, names, Optimizer(lr=0.05), weight_decay=torch.tensor(decays).repeat(3, 1)).heads()
    for name, decay in zip(names, decays, strict=True):
        alone = train(data, SEEDS, [name], Optimizer(lr=0.05, weight_decay=decay)).heads()
        assert torch.equal(together[name].first, alone[name].first)
        assert torch.equal(together[name].bias, alone[name].bias)
    assert together["r1"].first.norm() < train(data, SEEDS, ["r1"], Optimizer(lr=0.05)).heads()["r1"].first.norm()


@pytest.mark.parametrize("name", ["adam", "sgd"])
@pytest.mark.parametrize(("seeds", "names"), [([0, 1, 5], ["r2"]), ([5], ["d", "r1", "r2"]), ([1], ["r1"])])
def test_adding_models_changes_no_bit_of_the_others(
    data: Examples, name: str, seeds: list[int], names: list[str]
) -> None:
    everything = train(data, SEEDS, ["d", "r1", "r2"], Optimizer(name, 0.05)).heads()  # type: ignore[arg-type]
    alone = train(data, seeds, names, Optimizer(name, 0.05)).heads()  # type: ignore[arg-type]
    for variant in names:
        for r, seed in enumerate(seeds):
            place = SEEDS.index(seed)
            assert torch.equal(alone[variant].first[r], everything[variant].first[place])
            assert torch.equal(alone[variant].bias[r], everything[variant].bias[place])


def test_each_model_keeps_its_own_best_epoch(data: Examples) -> None:
    bank, validation = HeadBank(heads(SEEDS, ["d", "r1"])), rows(SEEDS, 30, 80)
    states: list[torch.Tensor] = []

    def criterion(logits: torch.Tensor, y: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        states.append(logits.clone())
        return (logits.argmax(-1) != y.unsqueeze(1)).double().mean(-1)

    history = fit(
        bank,
        data,
        rows(SEEDS),
        loss=cross_entropy,
        optimizer=Optimizer("sgd", 2.0),
        epochs=6,
        batch_size=8,
        generators=generators(SEEDS, "batches"),
        validation=validation,
        criterion=criterion,
    )
    assert history.validation is not None
    assert torch.equal(history.best_epoch, history.validation.argmin(-1) + 1)  # argmin: the earliest of equals
    assert history.best_epoch.unique().numel() > 1, "the test needs models that are best at different epochs"
    final = predict_logits(bank, data, validation)
    for r in range(len(SEEDS)):
        for v in range(2):
            torch.testing.assert_close(final[r, v], states[history.best_epoch[r, v] - 1][r, v])


def test_a_model_that_diverges_is_reported_and_disturbs_no_other(data: Examples) -> None:
    def loss(logits: torch.Tensor, y: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        value = cross_entropy(logits, y)
        return torch.cat([value[:, :1], value[:, 1:] * torch.inf], dim=1)

    bank = HeadBank(heads(SEEDS, ["d", "r1"]))
    history = fit(
        bank,
        data,
        rows(SEEDS),
        loss=loss,
        optimizer=Optimizer(lr=0.05),
        epochs=4,
        batch_size=16,
        generators=generators(SEEDS, "batches"),
    )
    assert history.diverged.tolist() == [[False, True]] * 3
    assert history.best_epoch.tolist() == [[4, 0]] * 3
    quiet = train(data, SEEDS, ["d"], Optimizer(lr=0.05)).heads()
    assert torch.equal(bank.heads()["d"].first, quiet["d"].first)
    assert torch.equal(bank.heads()["r1"].first, heads(SEEDS, ["r1"])["r1"].first)  # its initial state


def test_full_batches_and_a_cosine_schedule(data: Examples) -> None:
    steps = 5
    bank = train(data, [0], ["d"], Optimizer("sgd", 0.3, 0.0, 0.0, "cosine"), epochs=steps, batch_size=None).heads()
    start = heads([0], ["d"])["d"]
    weight, bias, own = start.first[0].double(), start.bias[0].double(), rows([0])[0]
    x, target = data.x[own].double(), nn.functional.one_hot(data.y[own], K).double()
    for step in range(steps):
        rate = 0.3 * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / steps, dtype=torch.float64)))
        residual = ((x @ weight + bias).softmax(-1) - target) / len(own)
        weight, bias = weight - rate * x.T @ residual, bias - rate * residual.sum(0)
    torch.testing.assert_close(bank["d"].first[0].double(), weight, rtol=1e-4, atol=1e-5)


def test_features_of_each_replicate(data: Examples) -> None:
    stacked = Examples(torch.stack([data.x, 2 * data.x, -data.x]), data.y, data.s)
    x, y, s = stacked.take(rows(SEEDS))
    for r, (seed, factor) in enumerate(zip(SEEDS, [1, 2, -1], strict=True)):
        assert torch.equal(x[r], factor * data.x[rows([seed])[0]])
        assert torch.equal(y[r], data.y[rows([seed])[0]])
        assert torch.equal(s[r], data.s[rows([seed])[0]])


def test_prediction_in_chunks_is_prediction(data: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    bank, members = HeadBank(heads(SEEDS, ["d", "r2"])), rows(SEEDS)
    whole = predict_logits(bank, data, members, classes=2)
    monkeypatch.setattr("counterpoise.nn.training.EVALUATION_ELEMENTS", 100)
    torch.testing.assert_close(predict_logits(bank, data, members, classes=2), whole)
    assert whole.shape == (3, 2, 70, 2)
