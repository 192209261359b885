"""Repairs that fine-tune: adversarially (Savani et al.), the pruned network (the altering paper), and the controls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from counterpoise.bounds import Bounded, Count, NotNegative, Positive
from counterpoise.methods.masks import random_masks
from counterpoise.methods.objective import fairness_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.tuning import WeightTuning
from counterpoise.methods.weights.adversarial import Adversarial, AdversarialFinetuning
from counterpoise.methods.weights.judging import both_epochs, validation_figures
from counterpoise.methods.weights.mask_discovery import discovered, pruned_share
from counterpoise.nn.epochs import Trained
from counterpoise.nn.networks import Masks, State
from counterpoise.nn.optimizers import Optimizer

CRITIC_RATIO = "critic_ratio"


@dataclass(frozen=True)
class Penalty(Bounded):
    """Settings of the control that fine-tunes all weights with a penalty on the soft bias, and prunes none."""

    block: ClassVar[str] = "penalty"
    weight: NotNegative = 5.0
    lr: Positive = 1e-3
    epochs: Count = 80
    batch_size: Count = 256


def finetune_adversarially(
    problem: Problem,
    name: str,
    settings: Adversarial,
    *,
    state: State | None = None,
    masks: Masks | None = None,
    kind: type[AdversarialFinetuning] = AdversarialFinetuning,
    **options: Any,
) -> Trained:
    """Fine-tune networks on the fitting part of `dval` from a state, by default the base's.

    Args:
        masks: weights that are zero from the start, and stay so.
        kind: the trainee, with its own `options`.
    """
    trainee = kind(
        problem.network(state),
        problem.goal,
        settings,
        problem.examples,
        problem.fit,
        generators=problem.generators(f"{name}: noise"),
        critic_generators=problem.generators(f"{name}: critic"),
        masks=masks,
        **options,
    )
    numbers = sorted((option, value) for option, value in options.items() if isinstance(value, float))
    depends = (kind.__name__, settings, numbers, *(state or {}).values(), *(masks or {}).values())
    return problem.train(
        trainee,
        name=name,
        settings=depends,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        rows=problem.fit,
        figures=lambda: validation_figures(
            problem.goal, problem.judged(trainee.network, problem.select, trainee.effective())
        ),
        whole_batches=True,
    )


def adversarial_finetuning(
    problem: Problem, settings: Adversarial, earlier: Mapping[str, list[Result]]
) -> list[Result]:
    """Fine-tune all weights; nothing is pruned."""
    trained = finetune_adversarially(problem, problem.method, settings)
    return both_epochs(problem, trained, facts=critic_facts(trained))


def exact_finetuning(problem: Problem, settings: Adversarial, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """The same with a batch's own soft bias in the place of the critic's estimate."""
    return adversarial_finetuning(problem, replace(settings, critic="exact"), earlier)


def pruned_finetuning(problem: Problem, settings: Adversarial, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Prune, then fine-tune what is left (the altering paper, Section 3.3, "Adversarial Fine-tuning Pruned Model")."""
    return _pruned(problem, settings, discovered(earlier))


def random_finetuning(problem: Problem, settings: Adversarial, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Prune as many weights of each layer by chance, then fine-tune: the control for what a discovery is worth."""
    return _pruned(problem, settings, random_masks(problem, discovered(earlier)))


def _pruned(problem: Problem, settings: Adversarial, masks: Masks) -> list[Result]:
    trained = finetune_adversarially(problem, problem.method, settings, masks=masks)
    return both_epochs(problem, trained, facts=critic_facts(trained) | {"pruned": pruned_share(masks)})


def direct_penalty(problem: Problem, settings: Penalty, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Fine-tune all weights with mask discovery's loss: the control for whether pruning is what helps."""
    steps = settings.epochs * math.ceil(problem.fit.shape[1] / settings.batch_size)
    trainee = WeightTuning(
        problem.network(),
        lambda output, y, s: fairness_loss(problem.goal, output.logits, y, s, settings.weight),
        optimizer=Optimizer(lr=settings.lr, schedule="cosine", fused=True),
        steps=steps,
        batch_size=settings.batch_size,
        generators=problem.generators(f"{problem.method}: noise"),
    )
    trained = problem.train(
        trainee,
        name=problem.method,
        settings=(settings,),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        rows=problem.fit,
        figures=lambda: validation_figures(problem.goal, problem.judged(trainee.network, problem.select)),
    )
    return both_epochs(problem, trained)


def critic_facts(trained: Trained) -> dict[str, Tensor]:
    """Return how well the critics knew the bias in the last epoch: their error over the variance of what they guess."""
    curve = trained.curves.get(CRITIC_RATIO)
    return {} if curve is None or curve.isnan().all() else {CRITIC_RATIO: curve[:, -1]}
