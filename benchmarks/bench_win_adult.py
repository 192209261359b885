"""The numeric work of `win_adult` against the same work as a plain PyTorch loop, timed in the same process.

    python benchmarks/bench_win_adult.py [--seeds 10] [--loop-seeds 2]

The loop is what one writes first: one seed and one method at a time, `DataLoader`, `nn.Sequential`, `torch.optim.Adam`,
the Fisher information from one backward pass per sample. It is given the same splits, initial weights and orders of
batches, so it must arrive at the same predictions; that is checked. It is timed on `--loop-seeds` seeds and scaled.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

from counterpoise.config.loader import ConfigLoader
from counterpoise.config.parameters import Block, Dataset, Network, Report, Seeds
from counterpoise.data import draw_splits, encode, read
from counterpoise.fairness import confusion_counts, err
from counterpoise.methods import neutralize, weighted_svd
from counterpoise.methods.heads.penalties import Penalty
from counterpoise.methods.heads.variants import Variants
from counterpoise.nn import generators
from counterpoise.nn.settings import Training
from counterpoise.pipelines.data_split import nodes as data_split
from counterpoise.pipelines.fairness_report import nodes as fairness_report
from counterpoise.pipelines.finetune import nodes as finetune
from counterpoise.pipelines.group_fisher import nodes as group_fisher
from counterpoise.pipelines.pretrain import nodes as pretrain
from counterpoise.pipelines.weighted_svd import nodes as weighted_svd_stage
from counterpoise.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parents[1]


class Shuffled(Sampler[int]):
    """The order in which the bank draws a replicate's rows: the same generator, a new permutation each epoch."""

    def __init__(self, rows: int, generator: torch.Generator) -> None:
        self.rows, self.generator = rows, generator

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(self.rows, generator=self.generator).tolist())


class LowRank(nn.Module):
    """Two linear layers in the place of the head."""

    def __init__(self, first: Tensor, second: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.first, self.second, self.bias = (nn.Parameter(value.clone()) for value in (first, second, bias))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.first @ self.second + self.bias


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int, batch: int, order: torch.Generator) -> Iterator[None]:
    """Train for `epochs` epochs, pausing after each."""
    loader = DataLoader(TensorDataset(x, y), batch_size=batch, sampler=Shuffled(len(x), order))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for inputs, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
        yield


def error(model: nn.Module, x: Tensor, y: Tensor, s: Tensor) -> float:
    with torch.no_grad():
        return float(err(confusion_counts(y, model(x).argmax(1), s, groups=2, classes=2)))


def fisher_of_single_samples(head: nn.Linear, h: Tensor, y: Tensor) -> Tensor:
    """One backward pass per sample: [d, k]."""
    total = torch.zeros_like(head.weight)
    for features, label in zip(h, y, strict=True):
        head.zero_grad()
        nn.functional.cross_entropy(head(features.unsqueeze(0)), label.unsqueeze(0)).backward()
        assert head.weight.grad is not None
        total += head.weight.grad.square()
    return (total / len(h)).T


def loop(parameters: dict, seeds: list[int]) -> dict[tuple[str, int], Tensor]:
    """Do everything for one seed and one method after the other; return the predictions of the test rows."""
    settings = parameters["datasets"]["adult"]
    table = read("adult", ROOT / "data/01_raw/adult", checksums=settings["checksums"])
    keys = ("label", "positive", "sensitive", "groups", "drop")
    samples = encode(table, source="Adult", **{key: settings[key] for key in keys})
    x = torch.tensor(samples.drop(columns=["y", "s"]).to_numpy()).contiguous()
    y, s = torch.tensor(samples["y"].to_numpy()), torch.tensor(samples["s"].to_numpy())
    split = settings["split"]
    predictions = {}
    for seed in seeds:
        parts = draw_splits(y.numpy(), s.numpy(), fractions=split["fractions"], task=split["task"], seeds=[seed])[0]
        own = [torch.tensor(parts == code).nonzero().flatten() for code in range(4)]
        mean, scale = x[own[0]].mean(0), x[own[0]].std(0, correction=0)
        z = (x - mean) / torch.where(scale > 0, scale, torch.ones_like(scale))

        (initial,) = generators([seed], "initial weights")
        layers = [nn.Linear(z.shape[1], 20), nn.Linear(20, 2)]
        for layer in layers:
            bound = 1 / layer.in_features**0.5
            drawn = (2 * torch.rand(layer.in_features + 1, layer.out_features, generator=initial) - 1) * bound
            layer.load_state_dict({"weight": drawn[:-1].T, "bias": drawn[-1]})
        model = nn.Sequential(layers[0], nn.ReLU(), layers[1])
        (order,) = generators([seed], "pretraining batches")
        pre = parameters["pretrain"]
        for _ in train(model, z[own[0]], y[own[0]], pre["epochs"], pre["batch_size"], order):
            pass
        with torch.no_grad():
            h = model[1](model[0](z))
        head = layers[1]
        groups = [own[1][s[own[1]] == group] for group in (0, 1)]
        importance = torch.stack([fisher_of_single_samples(head, h[rows], y[rows]).sum(1).sqrt() for rows in groups])
        weight, bias = head.weight.detach().T, head.bias.detach()
        heads: dict[str, nn.Module] = {"tl": nn.Linear(20, 2)}
        heads["tl"].load_state_dict({"weight": weight.T, "bias": bias})
        for rank in (1, 2):
            heads[f"svd_r{rank}"] = LowRank(*weighted_svd(weight, None, rank), bias)
            heads[f"win_r{rank}_a0.5"] = LowRank(*weighted_svd(weight, neutralize(importance), rank), bias)
        fine = parameters["finetune"]
        for name, tuned in heads.items():
            (order,) = generators([seed], "fine-tuning batches")
            best, state = float("inf"), {}
            for _ in train(tuned, h[own[1]], y[own[1]], fine["epochs"], fine["batch_size"], order):
                if (now := error(tuned, h[own[2]], y[own[2]], s[own[2]])) < best:
                    best, state = now, {key: value.clone() for key, value in tuned.state_dict().items()}
            tuned.load_state_dict(state)
            with torch.no_grad():
                predictions[name, seed] = tuned(h[own[3]]).argmax(1)
    return predictions


def bank(parameters: dict, seeds: list[int]) -> dict[tuple[str, int], Tensor]:
    """The same by the stages' own functions; metrics included."""
    dataset = Dataset.model_validate(parameters["datasets"]["adult"])
    drawn = Seeds.model_validate(seeds)
    table, _ = data_split.read_table(ROOT / "data/01_raw/adult", dataset)
    samples = data_split.encode_samples(table, dataset)
    splits = data_split.split_samples(samples, dataset, drawn)
    network = Network.model_validate(parameters["networks"]["mlp2"])
    training = Block[Training].model_validate(parameters["pretrain"])
    penalty = Block[Penalty].model_validate(parameters["penalties"]["none"])
    pretrained = pretrain.train_networks(samples, splits, dataset, network, penalty, training, None, drawn)
    features = pretrain.compute_features(samples, pretrained)
    importance = group_fisher.compute_importance(samples, splits, features, pretrained, dataset)
    variants = Block[Variants].model_validate(parameters["variants"]["win"])
    heads = weighted_svd_stage.build_head_bank(pretrained, importance, variants)
    fine = Block[Training].model_validate(parameters["finetune"])
    tuned, _, predictions = finetune.train_heads(
        samples, splits, features, pretrained, heads, dataset, fine, None, drawn
    )
    data = {"samples": samples, "splits": splits, "features": features}
    fairness_report.measure(predictions, dataset, Report(leakage=False), **data, heads=tuned)
    return {
        (str(variant), int(seed)): torch.tensor(own["prediction"].to_numpy())
        for (variant, seed), own in predictions.groupby(["variant", "seed"])
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", type=int, default=10)
    arguments.add_argument("--loop-seeds", type=int, default=2)
    options = arguments.parse_args()
    loader = ConfigLoader(str(ROOT / "conf"), env="base", **CONFIG_LOADER_ARGS | {"default_run_env": "base"})
    parameters = loader["parameters"]
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # its first use imports a compiler: not counted
    torch.set_num_threads(1)  # the loop's best: its tensors are too small to share
    loop_seeds = list(range(options.loop_seeds))
    began = time.perf_counter()
    expected = loop(parameters, loop_seeds)
    slow = (time.perf_counter() - began) * options.seeds / options.loop_seeds
    torch.set_num_threads(2)
    times = []
    for _ in range(2):
        began = time.perf_counter()
        found = bank(parameters, list(range(options.seeds)))
        times.append(time.perf_counter() - began)
    agreement = min(float((found[key] == value).float().mean()) for key, value in expected.items())
    print(f"win_adult, {options.seeds} seeds, 5 variants (loop timed on {options.loop_seeds} seeds and scaled)")
    print(f"  plain loop {slow:8.1f} s")
    print(f"  bank       {min(times):8.1f} s (first call {times[0]:.1f} s)")
    print(f"  ratio      {slow / min(times):8.1f}   predictions that agree, worst head: {agreement:.2%}")
    if agreement < 0.99:
        raise SystemExit("the loop and the bank do not compute the same")


if __name__ == "__main__":
    main()
