"""The frontier's bank of penalised heads: against plain PyTorch, against the machine, against fairlearn.

    python benchmarks/bench_frontier.py [--quick]

1. 600 heads (3 methods, 2 constraints, 10 strengths, 10 seeds) of Adult against the same heads one by one in plain
   PyTorch: same initial weights, full batches and epochs; a sample is timed and scaled, and must predict the same.
2. A step on an image's 1,280 features: share of the matrix-product throughput that `torch.bmm` shows at its shapes.
3. Time over the number of variants.
4. All of `frontier_adult`'s grid with ten seeds against ExponentiatedGradient for one seed, both constraints, five
   tolerances.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from counterpoise.methods.heads.penalized_bank import GridPoint, PenalizedBank, penalty_grid, train_bank
from kedro.config import OmegaConfigLoader
from timing import seconds, show, threads
from torch import Tensor, nn

from counterpoise.config.parameters import Block, Compute, Dataset, Network, Seeds
from counterpoise.methods import Variant, head_bank, penalized
from counterpoise.methods.heads.penalties import Penalty
from counterpoise.methods.heads.variants import Variants
from counterpoise.methods.peers.estimators import Logistic
from counterpoise.methods.peers.run import fit_peer
from counterpoise.methods.peers.settings import Peers, peer_grid
from counterpoise.nn import BinaryHeads, Examples, Factors, Optimizer, fit
from counterpoise.nn.settings import Training
from counterpoise.pipelines.data_split import nodes as data_split
from counterpoise.pipelines.frontier.nodes import train_bank as train_stage
from counterpoise.pipelines.group_fisher import nodes as group_fisher
from counterpoise.pipelines.pretrain import nodes as pretrain
from counterpoise.pipelines.shared.arrays import examples, rows
from counterpoise.pipelines.shared.heads import pretrained_head
from counterpoise.pipelines.weighted_svd.nodes import build_head_bank

ROOT = Path(__file__).parents[1]
EPOCHS, RATE, TEMPERATURE = 50, 0.04, 2.0
STRENGTHS = tuple(round(0.02 * 1.5**i, 4) for i in range(10))
SAMPLED = 6
"""Heads that are trained one by one; their mean time stands for the others'."""

IMAGE_FEATURES, IMAGE_ROWS = 1280, 4440


def adult(parameters: dict[str, Any], seeds: Seeds) -> dict[str, Any]:
    """Return what the stages before the frontier leave."""
    dataset = Dataset.model_validate(parameters["datasets"]["adult"])
    table, _ = data_split.read_table(ROOT / "data/01_raw/adult", dataset)
    samples = data_split.encode_samples(table, dataset)
    splits = data_split.split_samples(samples, dataset, seeds)
    network, training = (
        Network.model_validate(parameters["networks"]["mlp2"]),
        Block[Training].model_validate(parameters["pretrain"]),
    )
    none = Block[Penalty].model_validate(parameters["penalties"]["none"])
    pretrained = pretrain.train_networks(samples, splits, dataset, network, none, training, None, seeds)
    features = pretrain.compute_features(samples, pretrained)
    importance = group_fisher.compute_importance(samples, splits, features, pretrained, dataset)
    return {
        "dataset": dataset,
        "samples": samples,
        "splits": splits,
        "pretrained": pretrained,
        "features": features,
        "importance": importance,
    }


class LowRank(nn.Module):
    """Two linear layers in the place of the head."""

    def __init__(self, first: Tensor, second: Tensor | None, bias: Tensor) -> None:
        super().__init__()
        self.first, self.bias = nn.Parameter(first.clone()), nn.Parameter(bias.clone())
        self.second = None if second is None else nn.Parameter(second.clone())

    def forward(self, x: Tensor) -> Tensor:
        hidden = x @ self.first
        return (hidden if self.second is None else hidden @ self.second) + self.bias


def of_replicate(head: Factors, r: int) -> Factors:
    """Return a head as one replicate has it."""
    return Factors(head.first[[r]], head.bias[[r]], None if head.second is None else head.second[[r]])


def one_by_one(head: Factors, point: GridPoint, x: Tensor, y: Tensor, s: Tensor) -> nn.Module:
    """Train one head as one writes it first."""
    model = LowRank(head.first[0], None if head.second is None else head.second[0], head.bias[0])
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    cells = [y == 0, y == 1] if point.constraint == "eo" else [torch.ones_like(y, dtype=torch.bool)]
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        logits = model(x)
        soft = (logits * TEMPERATURE).softmax(-1)[:, 1]
        gaps = [(soft[cell & (s == 0)].mean() - soft[cell & (s == 1)].mean()).abs() for cell in cells]
        (nn.functional.cross_entropy(logits, y) + point.strength * sum(gaps)).backward()
        optimizer.step()
        schedule.step()
    return model


def against_pytorch(made: dict[str, Any], seeds: Seeds) -> None:
    weight, bias = pretrained_head(made["pretrained"])
    data = examples(made["samples"], made["features"].tensors["features"])
    train, test = rows(made["splits"], "train"), rows(made["splits"], "test")
    variants = [Variant("tl"), Variant("svd", 2), Variant("win", 2, 0.5)]
    heads = head_bank(variants, weight, bias, made["importance"].tensors["importance"])
    points = penalty_grid(list(heads), ("dp", "eo"), STRENGTHS, (0.0,))
    optimizer = Optimizer(lr=RATE, schedule="cosine")
    scores: list[Tensor] = []

    def bank() -> None:
        scores.clear()
        for r in range(len(seeds.root)):
            own = {
                n: Factors(h.first[[r]], h.bias[[r]], None if h.second is None else h.second[[r]])
                for n, h in heads.items()
            }
            trained = train_bank(
                own, points, data.replicate(r), train[[r]], {"test": test[[r]]},
                groups=2, optimizer=optimizer, epochs=EPOCHS, temperature=TEMPERATURE,
            )  # fmt: skip
            scores.append(trained.scores["test"][0])

    with threads(1):
        fast = seconds(bank)
        torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # its first use imports a compiler: not counted
        sample = [(r, v) for r, v in zip(range(SAMPLED), range(0, len(points), len(points) // SAMPLED), strict=False)]
        slow, agreement = 0.0, 1.0
        for r, v in sample:
            own = data.replicate(r)
            single = of_replicate(heads[points[v].head], r)
            began = time.perf_counter()
            model = one_by_one(single, points[v], own.x[train[r]], own.y[train[r]], own.s[train[r]])
            slow += time.perf_counter() - began
            with torch.no_grad():
                predicted = model(own.x[test[r]]).argmax(-1) == 1
            agreement = min(agreement, float((predicted == (scores[r][v] > 0.5)).float().mean()))
    total = len(points) * len(seeds.root)
    slow *= total / len(sample)
    show(
        f"{total} heads of Adult, {EPOCHS} epochs of full batches, one thread (goal: at least 25)",
        ["", "seconds", "ratio"],
        [
            ["one by one in PyTorch", f"{slow:.1f}", f"{slow / fast:.1f}"],
            ["the bank", f"{fast:.1f}", "1.0"],
            ["predictions that agree, worst head", f"{agreement:.2%}", ""],
        ],
    )
    if agreement < 0.995:
        raise SystemExit("the bank and the plain loop do not compute the same")


def image_data(generator: torch.Generator) -> Examples:
    x = torch.randn(IMAGE_ROWS, IMAGE_FEATURES, generator=generator)
    draw = torch.randint(0, 2, (2, IMAGE_ROWS), generator=generator)
    return Examples(x, draw[0], draw[1])


STEPS = 5
"""Steps that are timed at once."""


def image_step(count: int, generator: torch.Generator) -> tuple[float, float]:
    """Return the seconds of `STEPS` steps of a bank of dense heads, and of their matrix products alone."""
    heads = {
        f"{v:04d}": Factors(torch.randn(1, IMAGE_FEATURES, 2, generator=generator), torch.zeros(1, 2))
        for v in range(count)
    }
    data, bank = image_data(generator), BinaryHeads(heads)
    x, members = data.x.unsqueeze(0), torch.arange(IMAGE_ROWS).unsqueeze(0)
    w = torch.randn(1, IMAGE_FEATURES, count, generator=generator)
    g = torch.randn(1, IMAGE_ROWS, count, generator=generator)
    loss = penalized({"eo": 0.2}, groups=2, temperature=TEMPERATURE)

    def train() -> None:
        fit(bank, data, members, loss=loss, optimizer=Optimizer(), epochs=STEPS, batch_size=None, generators=())

    def products() -> None:
        for _ in range(STEPS):
            torch.bmm(x, w)
            torch.bmm(x.mT, g)

    train()
    products()
    ours, bare = (min(seconds(function) for _ in range(3)) for function in (train, products))
    return ours, bare


def throughput(variants: tuple[int, ...]) -> None:
    """Compare a step's products per second with those of `torch.bmm` at the same shapes."""
    generator = torch.Generator().manual_seed(0)
    line = []
    with threads(1):
        for count in variants:
            ours, bare = image_step(count, generator)
            work = 2 * 2 * IMAGE_ROWS * IMAGE_FEATURES * count * STEPS / 1e9
            figures = (f"{ours / STEPS * 1e3:.0f}", f"{work / ours:.0f}", f"{work / bare:.0f}", f"{bare / ours:.0%}")
            line.append([str(count), *figures])
    show(
        f"a step of one replicate on {IMAGE_FEATURES} features, {IMAGE_ROWS} rows, one thread (goal: at least 50%)",
        ["heads", "ms a step", "GFLOP/s", "of torch.bmm", "share"],
        line,
    )


def scaling(made: dict[str, Any], counts: tuple[int, ...]) -> None:
    """Time training over the number of variants."""
    weight, bias = pretrained_head(made["pretrained"])
    data = examples(made["samples"], made["features"].tensors["features"]).replicate(0)
    train = rows(made["splits"], "train")[:1]
    line, before = [], 0.0
    with threads(1):
        for count in counts:
            strengths = tuple(0.001 * (1 + i) for i in range(count // 2))
            points = penalty_grid(["tl"], ("dp", "eo"), strengths, (0.0,))
            heads = {"tl": Factors(weight[:1], bias[:1])}
            taken = min(
                seconds(
                    lambda points=points, heads=heads: train_bank(
                        heads, points, data, train, {}, groups=2, optimizer=Optimizer(), epochs=10, temperature=1.0
                    )
                )
                for _ in range(2)
            )
            line.append([str(count), f"{taken:.2f}", f"{taken / before:.2f}" if before else ""])
            before = taken
    show("one replicate of Adult, 10 epochs, one thread", ["variants", "seconds", "ratio to half as many"], line)


def against_fairlearn(made: dict[str, Any], parameters: dict[str, Any], seeds: Seeds) -> None:
    frontier = Block[PenalizedBank].model_validate(parameters["frontiers"]["tables"])
    initial = build_head_bank(
        made["pretrained"], made["importance"], Block[Variants].model_validate(parameters["variants"]["win"])
    )
    names = ("samples", "splits", "features")
    began = time.perf_counter()
    train_stage(*(made[name] for name in names), initial, made["dataset"], frontier, None, Compute(), seeds)
    ours = time.perf_counter() - began
    began = time.perf_counter()
    train_stage(*(made[name] for name in names), initial, made["dataset"], frontier, None, Compute(), seeds)
    again = time.perf_counter() - began
    peers = Block[Peers].model_validate(parameters["peers"]).root
    grid = [
        peer
        for peer in peer_grid(replace(peers, methods=("exponentiated_gradient",)), columns=True)
        if peer.input == "features"
    ]
    data = examples(made["samples"], made["features"].tensors["features"]).replicate(0)
    train = rows(made["splits"], "train")[0]
    part = Examples(data.x[train], data.y[train], data.s[train])
    line = []
    for C in (1.0, 0.01):
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for peer in grid:
                fit_peer(peer, part, settings=peers, estimator=Logistic(C))
        taken = time.perf_counter() - began
        line.append([f"ExponentiatedGradient, one seed, C = {C:g}", f"{taken:.1f}", f"{taken / again:.2f}"])
    line += [
        ["frontier_adult's grid, ten seeds, first call (processes start)", f"{ours:.1f}", ""],
        ["frontier_adult's grid, ten seeds, second call", f"{again:.1f}", "1.00"],
    ]
    show("the frontier against fairlearn (goal: sooner)", ["", "seconds", "ratio"], line)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true")
    options = arguments.parse_args()
    parameters = OmegaConfigLoader(str(ROOT / "conf"), base_env="base", default_run_env="base")["parameters"]
    seeds = Seeds.model_validate(10)
    made = adult(parameters, seeds)
    against_pytorch(made, seeds)
    throughput((60, 240) if options.quick else (60, 200, 600, 1200))
    scaling(made, (60, 120) if options.quick else (60, 120, 240, 480, 960, 1920, 2400))
    if not options.quick:
        against_fairlearn(made, parameters, seeds)


if __name__ == "__main__":
    main()
