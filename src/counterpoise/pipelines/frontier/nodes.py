"""Train what can be chosen: heads under penalties and rules in bias scores, on every base."""

from __future__ import annotations

import logging
from dataclasses import replace

import pandas as pd

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Block, Compute, Dataset, Seeds
from counterpoise.methods import frontier as methods
from counterpoise.methods.frontier import Frontier
from counterpoise.methods.frontier_results import HEAD, RULE
from counterpoise.pipelines.shared.arrays import LEARNT, origin, require_seeds
from counterpoise.pipelines.shared.bases import inputs_of, read_bases
from counterpoise.pipelines.shared.heads import followed, problem_of

LOG = logging.getLogger(__name__)

NAMED = 5
"""How many diverged models a warning names; the header of the checkpoint names all."""


def train_frontier(
    samples: pd.DataFrame,
    splits: Checkpoint,
    bases: Checkpoint,
    dataset: Dataset,
    frontier: Block[Frontier],
    compute: Compute,
    seeds: Seeds,
    features: Checkpoint | None = None,
) -> tuple[Checkpoint, Checkpoint]:
    """Train every base's heads and rules on each replicate's rows to learn from.

    Returns:
        The models, `<variant>.head` [R, q + 1] or `<variant>.rule` [R, k·G + k, k], and their outcomes:
        `validation.score` and `test.score` [R, V, m]; with `frontier.folds`, also `train.score` [R, V, n], of every row
        that was learnt from by models that were made without its fold. Of more than two classes, heads are
        [R, q + 1, k], and `<part>.prediction` int8 stands beside each score, which is that of the decided class. Axis V
        is in the order of the names in the header's `variants`, which is alphabetical. A model that diverged is NaN,
        and named in the header.

    Raises:
        InputError: the checkpoints are of other seeds, or a class or group is missing where it is needed.
    """
    require_seeds(seeds, bases=bases)
    problem = problem_of(samples, splits, inputs_of(samples, features), dataset, seeds, learnt=LEARNT)
    grounds = read_bases(bases, groups=len(dataset.groups), classes=len(dataset.classes))
    settings = frontier.root
    if grounds[0][0].choice.trained:  # the only one, whatever the kinds of bases that are trained here
        settings = replace(settings, kinds=(grounds[0][0].kind,))
    with followed(replace(problem, bases=grounds), compute) as problem:
        results = methods.run(problem, settings, {})
    diverged = [
        [seed, result.name] for r, seed in enumerate(seeds.root) for result in results if result.fact("diverged", r)
    ]
    if diverged:
        LOG.warning(
            "%d of %d models diverged and are left out of every choice and mean: %s",
            len(diverged),
            len(results) * len(seeds.root),
            ", ".join(f"{name} of seed {seed}" for seed, name in diverged[:NAMED]) + (" …" if diverged[NAMED:] else ""),
        )
    variants, outcomes = methods.outcomes_of(results, test=True)
    header = {
        "variants": variants,
        "thresholds": list(frontier.root.thresholds) if len(dataset.classes) == 2 else [0.0],
        "diverged": diverged,
        "hold_out": frontier.root.hold_out,
        **origin(splits),
    }
    models = {
        f"{result.name}.{kind}": result.tensors[kind]
        for result in results
        for kind in (HEAD, RULE)
        if kind in result.tensors
    }
    return (
        Checkpoint(models, as_header(architecture="frontier", **header)),
        Checkpoint(outcomes, as_header(architecture="outcomes", **header)),
    )
