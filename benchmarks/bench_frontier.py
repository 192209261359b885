"""How fast the frontier is, as ratios to what it replaces, on Adult and on drawn features. One thread.

    python benchmarks/bench_frontier.py [--skip-reductions]

1. 200 heads on trained trees against growing the trees.
2. Rules in bias scores at 100 levels against one ExponentiatedGradient run around the same trees.
3. The second-order solver against 50 epochs of full-batch Adam, on 20 dense features, on the directions of leaf values,
   and on 1,280 features: passes over the rows and seconds until the solver's objective is as low as Adam's last.
4. `FairFrontier` on Adult against one ExponentiatedGradient run.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from counterpoise.config.loader import ConfigLoader
from counterpoise.config.parameters import check
from counterpoise.estimators import FairFrontier
from counterpoise.methods.bases import boosted
from counterpoise.methods.bases.boosted import BoostedBase
from counterpoise.methods.heads.newton import Goal, Newton, Rows, contrasts, plain, row_weights, solve
from counterpoise.methods.rules.bias_scores import BiasScores, choose
from counterpoise.methods.rules.joint import fit_group_trees, joint
from counterpoise.nn.optimizers import Optimizer
from counterpoise.nn.trees import Boosting, grow
from counterpoise.pipelines.data_split.nodes import encode_samples, read_table
from counterpoise.pipelines.shared.arrays import feature_matrix
from counterpoise.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parents[1]
LEARNT = 35_185
"""Rows that frontier_adult learns from."""


def adult() -> tuple[Tensor, Tensor, Tensor]:
    """Return features, classes and groups of Adult's complete rows."""
    loader = ConfigLoader(str(ROOT / "conf"), env="base", **CONFIG_LOADER_ARGS | {"default_run_env": "base"})
    dataset = check(loader["parameters"]).datasets["adult"]
    samples = encode_samples(read_table(ROOT / "data" / "01_raw" / "adult", dataset)[0], dataset)
    y, s = (torch.tensor(samples[name].to_numpy()) for name in ("y", "s"))
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))[:LEARNT]
    return feature_matrix(samples)[order], y[order], s[order]


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of processor time that a call takes, and what it returns."""
    start = process_time()
    value = function()
    return process_time() - start, value


def goals(pulls: tuple[float, ...], each: int) -> list[Goal]:
    """Return a grid: both constraints, so many strengths, every pull."""
    strengths = np.geomspace(0.03, 2.2, each).tolist()
    return [Goal(constraint, strength, pull) for constraint in ("dp", "eo") for strength in strengths for pull in pulls]  # type: ignore[arg-type]


def adam(rows: Rows, grid: list[Goal], epochs: int, rate: float) -> Tensor:
    """Train the same heads by full-batch Adam with a cosine schedule, and return their objectives."""
    x = torch.cat([rows.x, torch.ones(len(rows.x), 1)], dim=1)
    heads = torch.zeros(x.shape[1], len(grid), requires_grad=True)
    move = Optimizer(lr=rate, schedule="cosine").build([heads], epochs)
    settings, sign = Newton(), (2 * rows.y - 1).float().unsqueeze(1)
    pull = torch.tensor([goal.pull for goal in grid])
    gaps = {name: contrasts(name, rows.y, rows.s, 2) for name in ("dp", "eo")}  # type: ignore[arg-type]
    strength = {
        name: torch.tensor([goal.strength if goal.constraint == name else 0.0 for goal in grid]) for name in gaps
    }

    def objective() -> Tensor:
        z = rows.offset.unsqueeze(1) + x @ heads
        value = rows.weights @ softplus(-z * sign) + 0.5 * pull * heads[:-1].square().sum(dim=0)
        soft = (settings.temperature * z).sigmoid()
        for name, weights in gaps.items():
            size = ((weights @ soft).square() + settings.smoothing**2).sqrt() - settings.smoothing
            value = value + strength[name] * size.sum(dim=0)
        return value

    for _ in range(epochs):
        objective().sum().backward()
        move()
    with torch.no_grad():
        return objective()


def compare(name: str, rows: Rows, pulls: tuple[float, ...], start: float) -> None:
    """Print the solver beside Adam on the same rows and grid."""
    grid = goals(pulls, 15)
    settings = Newton()
    slow, target = timed(lambda: adam(rows, grid, 50, 0.04))
    fast, solved = timed(lambda: solve(rows, grid, plain(rows, start), groups=2, settings=settings))
    reached = (solved.objective <= target.unsqueeze(1) + 1e-4).float()
    passes = torch.where(reached.any(dim=1), reached.argmax(dim=1), settings.steps + 1).float()
    print(
        f"{name}: {len(grid)} heads, {settings.steps} steps of the solver take {fast:.2f} s, 50 epochs of Adam "
        f"{slow:.2f} s: {slow / fast:.1f} times as long. The solver is as low as Adam ends after {passes.median():.0f} "
        f"passes (median; {int((passes <= settings.steps).sum())} of {len(grid)} heads get there), and ends "
        f"{float((target - solved.objective[:, -1]).mean()):.4f} lower on average"
    )


def main() -> None:
    """Print all ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skip-reductions", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    x, y, s = adult()
    growing, _ = timed(lambda: grow(x, y, Boosting()))
    base = boosted.fit(BoostedBase(), Boosting(), x, y, s, groups=2, seed=0)
    preparing, view = timed(lambda: base.view(x))
    features, margin = view
    rows = Rows(features, margin, y, s, row_weights(y))
    grid = goals((10.0, 30.0), 50)
    training, _ = timed(lambda: solve(rows, grid, plain(rows, 1.0, steps=0), groups=2, settings=Newton()))
    print(
        f"{len(grid)} heads on {base.trees.leaves} leaves: {training:.2f} s, {training / growing:.1f} times what "
        f"growing the trees takes ({growing:.2f} s); their features take {preparing:.2f} s (goal: at most 5)"
    )
    group = fit_group_trees(
        Boosting(), x, y, s, groups=2, classes=2, watched=(x[::5], y[::5], s[::5]), patience=20, seed=0
    )
    positive = rows.offset.double().sigmoid()
    probability = joint(torch.stack([1 - positive, positive], dim=1), group(x))
    levels = tuple(np.linspace(0.005, 0.25, 50).tolist())
    settings, fold = BiasScores(levels=levels), torch.arange(len(y)) % 3
    deriving, _ = timed(
        lambda: [choose(settings, c, probability, y, s, fold, classes=2, groups=2, seed=0) for c in ("dp", "eo")]  # type: ignore[arg-type]
    )
    print(f"rules at 100 levels on the probabilities of one base: {deriving:.2f} s")
    generator = torch.Generator().manual_seed(0)
    compare(
        "20 features",
        Rows(torch.randn(8000, 20, generator=generator), torch.zeros(8000), y[:8000], s[:8000], row_weights(y[:8000])),
        (0.01,),
        0.01,
    )
    compare("directions of leaf values", rows, (10.0,), 10.0)
    wide = torch.randn(4000, 1280, generator=generator) + 0.1 * y[:4000, None] + 0.05 * s[:4000, None]
    compare("1,280 features", Rows(wide, torch.zeros(4000), y[:4000], s[:4000], row_weights(y[:4000])), (0.3,), 0.3)
    if arguments.skip_reductions:
        return
    ours, _ = timed(lambda: FairFrontier(0.05).fit(x.numpy(), y.numpy(), sensitive_features=s.numpy()))
    theirs, _ = timed(lambda: reduction(x, y, s))
    print(
        f"one ExponentiatedGradient around 100 trees, 20 iterations: {theirs:.1f} s: {theirs / deriving:.0f} times the "
        f"rules at 100 levels (goal: 50), {theirs / ours:.1f} times FairFrontier ({ours:.1f} s)"
    )


def reduction(x: Tensor, y: Tensor, s: Tensor) -> Any:
    """Fit fairlearn's ExponentiatedGradient around LightGBM."""
    from fairlearn.reductions import EqualizedOdds, ExponentiatedGradient
    from lightgbm import LGBMClassifier

    trees = LGBMClassifier(n_estimators=100, num_leaves=31, n_jobs=1, verbose=-1)
    model = ExponentiatedGradient(trees, EqualizedOdds(difference_bound=0.02), max_iter=20)
    return model.fit(x.numpy(), y.numpy(), sensitive_features=s.numpy())


if __name__ == "__main__":
    main()
