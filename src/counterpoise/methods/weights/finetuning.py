"""Repairs that fine-tune: adversarially (Savani et al.), the pruned network (the altering paper), and the controls."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from counterpoise.methods.tuning import WeightTuning
from counterpoise.methods.weights.adversarial import Adversarial, AdversarialFinetuning
from counterpoise.methods.weights.mask_discovery import pruned_share
from counterpoise.methods.weights.objective import fairness_loss
from counterpoise.methods.weights.task import Repaired, Task, both_epochs, repaired, validation_figures
from counterpoise.nn.epochs import Trained
from counterpoise.nn.networks import Masks, State, masked
from counterpoise.nn.optimizers import Optimizer

CRITIC_RATIO = "critic_ratio"


@dataclass(frozen=True)
class Penalty:
    """Settings of the control that fine-tunes all weights with a penalty on the soft bias, and prunes none."""

    weight: float = 5.0
    lr: float = 1e-3
    epochs: int = 80
    batch_size: int = 256


def finetune_adversarially(
    task: Task,
    name: str,
    settings: Adversarial,
    *,
    state: State | None = None,
    masks: Masks | None = None,
    kind: type[AdversarialFinetuning] = AdversarialFinetuning,
    **options: Any,
) -> Trained:
    """Fine-tune networks on the fitting part of D_val from a state, by default the base's.

    Args:
        masks: weights that are zero from the start, and stay so.
        kind: the trainee, with its own `options`.
    """
    trainee = kind(
        task.network(state),
        task.objective,
        settings,
        task.examples,
        task.fit,
        generators=task.generators(f"{name}: noise"),
        critic_generators=task.generators(f"{name}: critic"),
        masks=masks,
        **options,
    )
    numbers = sorted((option, value) for option, value in options.items() if isinstance(value, float))
    depends = (kind.__name__, settings, numbers, *(state or {}).values(), *(masks or {}).values())
    return task.train(
        trainee,
        name=name,
        settings=depends,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        rows=task.fit,
        figures=lambda: validation_figures(
            task.objective, task.judged(trainee.network, task.select, trainee.effective())
        ),
        whole_batches=True,
    )


def adversarial_finetuning(task: Task, name: str, settings: Adversarial) -> list[Repaired]:
    """Fine-tune all weights; nothing is pruned."""
    trained = finetune_adversarially(task, name, settings)
    return both_epochs(task, name, trained, facts=critic_facts(trained))


def pruned_finetuning(task: Task, name: str, settings: Adversarial, masks: Masks) -> list[Repaired]:
    """Prune, then fine-tune what is left (the altering paper, Section 3.3, "Adversarial Fine-tuning Pruned Model")."""
    trained = finetune_adversarially(task, name, settings, masks=masks)
    facts = critic_facts(trained) | {"pruned": pruned_share(masks)}
    return both_epochs(task, name, trained, masks=masks, facts=facts)


def masked_only(task: Task, name: str, masks: Masks, **known: Any) -> Repaired:
    """Prune, and change nothing else."""
    pruned = masked(task.base, masks)
    return repaired(task, name, weights=pruned, masks=masks, facts={"pruned": pruned_share(masks)}, **known)


def direct_penalty(task: Task, name: str, settings: Penalty) -> list[Repaired]:
    """Fine-tune all weights with mask discovery's loss: the control for whether pruning is what helps."""
    steps = settings.epochs * math.ceil(task.fit.shape[1] / settings.batch_size)
    trainee = WeightTuning(
        task.network(),
        lambda output, y, s: fairness_loss(task.objective, output.logits, y, s, settings.weight),
        optimizer=Optimizer(lr=settings.lr, schedule="cosine", fused=True),
        steps=steps,
        batch_size=settings.batch_size,
        generators=task.generators(f"{name}: noise"),
    )
    trained = task.train(
        trainee,
        name=name,
        settings=(settings,),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        rows=task.fit,
        figures=lambda: validation_figures(task.objective, task.judged(trainee.network, task.select)),
    )
    return both_epochs(task, name, trained)


def critic_facts(trained: Trained) -> dict[str, Tensor]:
    """Return how well the critics knew the bias in the last epoch: their error over the variance of what they guess."""
    curve = trained.curves.get(CRITIC_RATIO)
    return {} if curve is None or curve.isnan().all() else {CRITIC_RATIO: curve[:, -1]}
