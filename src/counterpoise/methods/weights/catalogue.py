"""The methods by name, in the order in which a stage runs them. To add one: write its module and its row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor

from counterpoise.errors import InputError, suggest
from counterpoise.methods.masks import random_masks
from counterpoise.methods.weights import discovery, finetuning, grafting, netaug, postprocessing
from counterpoise.methods.weights.adversarial import Adversarial
from counterpoise.methods.weights.adversarial_debiasing import adversarial_debiasing
from counterpoise.methods.weights.domains import domain_discriminative, domain_independent
from counterpoise.methods.weights.inprocessing import Contested, InProcessing
from counterpoise.methods.weights.layerwise import Layerwise, layerwise_optimization
from counterpoise.methods.weights.mask_discovery import MaskSettings
from counterpoise.methods.weights.objective import Judged
from counterpoise.methods.weights.perturbation import Perturbation, random_perturbation
from counterpoise.methods.weights.task import Repaired, Task, repaired
from counterpoise.methods.weights.uniform_confusion import uniform_confusion
from counterpoise.nn.networks import State, Weights

Stage = Literal["mask_discovery", "reconstruct", "baselines"]

FIRST, SECOND, PAPER = "first", "second", "paper"
"""Discoveries: the one that methods prune by, an independent one for external grafts, and the paper's reading."""

GUIDE = "prune_guided_by_"


@dataclass(frozen=True)
class Settings:
    """Settings of all methods; defaults as METHODS.md fixes them.

    Attributes:
        masks: of mask discovery; the paper's reading has its own rows and batch size.
        in_processing, contested: of the peers that train from scratch, without and with an opponent.
        rounds: of external grafting.
        diversity, scale: of network augmentation: the chance of a pruned weight to be back in an epoch, and α.
        consistency: γ of teacher pruning.
    """

    masks: MaskSettings = field(default_factory=MaskSettings)
    paper_masks: MaskSettings = field(default_factory=lambda: MaskSettings(reading="paper", batch_size=64))
    adversarial: Adversarial = field(default_factory=Adversarial)
    penalty: finetuning.Penalty = field(default_factory=finetuning.Penalty)
    perturbation: Perturbation = field(default_factory=Perturbation)
    layerwise: Layerwise = field(default_factory=Layerwise)
    reject_option: postprocessing.RejectOption = field(default_factory=postprocessing.RejectOption)
    calibrated: postprocessing.CalibratedOdds = field(default_factory=postprocessing.CalibratedOdds)
    in_processing: InProcessing = field(default_factory=InProcessing)
    contested: Contested = field(default_factory=Contested)
    rounds: int = 5
    diversity: float = 0.05
    scale: float = 1.0
    consistency: float = 1.0


@dataclass(frozen=True, eq=False)
class Given:
    """What a method may use beside the task: settings, discovered masks, and what earlier methods of its stage made."""

    settings: Settings
    masks: Mapping[str, Weights]
    made: Mapping[str, State]


@dataclass(frozen=True)
class Method:
    """A method: the stage it belongs to, and what runs it. `teacher` is the method whose network it mimics."""

    stage: Stage
    run: Callable[[Task, str, Given], list[Repaired]]
    teacher: str | None = None


def _discovered(task: Task, name: str, settings: MaskSettings) -> list[Repaired]:
    return discovery.both_masks(task, name, discovery.discover(task, name, settings))


def _guided(teacher: str) -> Method:
    def run(task: Task, name: str, given: Given) -> list[Repaired]:
        settings = replace(given.settings.masks, prunable=None)
        return discovery.teacher_pruning(
            task, name, settings, given.made[teacher], consistency=given.settings.consistency
        )

    return Method("reconstruct", run, teacher)


METHODS: dict[str, Method] = {
    "mask_only": Method("mask_discovery", lambda task, name, given: _discovered(task, name, given.settings.masks)),
    "mask_only_paper": Method(
        "mask_discovery", lambda task, name, given: _discovered(task, name, given.settings.paper_masks)
    ),
    "prune_adversarial_finetuning": Method(
        "reconstruct",
        lambda task, name, given: finetuning.pruned_finetuning(
            task, name, given.settings.adversarial, given.masks[FIRST]
        ),
    ),
    "noise_graft": Method(
        "reconstruct",
        lambda task, name, given: grafting.grafted_finetuning(
            task, name, given.settings.adversarial, given.masks[FIRST], scion="noise"
        ),
    ),
    "internal_graft": Method(
        "reconstruct",
        lambda task, name, given: grafting.grafted_finetuning(
            task, name, given.settings.adversarial, given.masks[FIRST], scion="internal"
        ),
    ),
    "external_graft": Method(
        "reconstruct",
        lambda task, name, given: grafting.external_finetuning(
            task,
            name,
            given.settings.adversarial,
            given.masks[FIRST],
            given.masks[SECOND],
            rounds=given.settings.rounds,
        ),
    ),
    "netaug": Method(
        "reconstruct",
        lambda task, name, given: netaug.network_augmentation(
            task,
            name,
            given.settings.adversarial,
            given.masks[FIRST],
            diversity=given.settings.diversity,
            scale=given.settings.scale,
        ),
    ),
    "random_mask": Method(
        "reconstruct",
        lambda task, name, given: finetuning.pruned_finetuning(
            task, name, given.settings.adversarial, random_masks(task, given.masks[FIRST])
        ),
    ),
    f"{GUIDE}adversarial_finetuning": _guided("prune_adversarial_finetuning"),
    f"{GUIDE}external_graft": _guided("external_graft"),
    f"{GUIDE}netaug": _guided("netaug"),
    "baseline": Method(
        "baselines",
        lambda task, name, given: [repaired(task, name, rows=task.validation, aim="performance")],
    ),
    "threshold": Method("baselines", lambda task, name, given: [repaired(task, name, rows=task.validation)]),
    "random_perturbation": Method(
        "baselines", lambda task, name, given: random_perturbation(task, name, given.settings.perturbation)
    ),
    "layerwise_optimization": Method(
        "baselines", lambda task, name, given: layerwise_optimization(task, name, given.settings.layerwise)
    ),
    "adversarial_finetuning": Method(
        "baselines",
        lambda task, name, given: finetuning.adversarial_finetuning(task, name, given.settings.adversarial),
    ),
    "adversarial_finetuning_exact": Method(
        "baselines",
        lambda task, name, given: finetuning.adversarial_finetuning(
            task, name, replace(given.settings.adversarial, critic="exact")
        ),
    ),
    "direct_penalty": Method(
        "baselines", lambda task, name, given: finetuning.direct_penalty(task, name, given.settings.penalty)
    ),
    "adversarial_debiasing": Method(
        "baselines", lambda task, name, given: adversarial_debiasing(task, name, given.settings.contested)
    ),
    "uniform_confusion": Method(
        "baselines", lambda task, name, given: uniform_confusion(task, name, given.settings.contested)
    ),
    "domain_discriminative": Method(
        "baselines", lambda task, name, given: domain_discriminative(task, name, given.settings.in_processing)
    ),
    "domain_independent": Method(
        "baselines", lambda task, name, given: domain_independent(task, name, given.settings.in_processing)
    ),
    "reject_option": Method(
        "baselines", lambda task, name, given: postprocessing.reject_option(task, name, given.settings.reject_option)
    ),
    "equalized_odds_postprocessing": Method(
        "baselines", lambda task, name, given: postprocessing.equalized_odds(task, name)
    ),
    "calibrated_equalized_odds": Method(
        "baselines",
        lambda task, name, given: postprocessing.calibrated_equalized_odds(task, name, given.settings.calibrated),
    ),
}


def require_methods(wanted: tuple[str, ...]) -> None:
    """Raise InputError unless all names are known, and every method's teacher is among them."""
    for name in wanted:
        if name not in METHODS:
            raise InputError(f"altering.methods: {name!r} is unknown{suggest(name, METHODS)}")
        if (teacher := METHODS[name].teacher) is not None and teacher not in wanted:
            raise InputError(f"altering.methods: {name!r} needs {teacher!r} as its teacher, expected it among them")


def methods_of(stage: Stage, wanted: tuple[str, ...]) -> list[str]:
    """Return the wanted methods of a stage in the order in which they run."""
    return [name for name, method in METHODS.items() if method.stage == stage and name in wanted]


def discover_masks(
    task: Task, names: list[str], settings: Settings, *, second: bool
) -> tuple[list[Repaired], dict[str, Weights]]:
    """Run the methods of the stage mask_discovery and return the masks of their best epochs too.

    Args:
        second: discover once more, independently, for external grafting.
    """
    results = run_methods(task, names, settings, {})
    found = {result.name: result.masks for result in results if result.masks is not None}
    masks = {kind: found[name] for kind, name in ((FIRST, "mask_only"), (PAPER, "mask_only_paper")) if name in found}
    if second:
        masks[SECOND] = discovery.discover(task, "second discovery", settings.masks).best
    return results, masks


def join(results: Sequence[list[Repaired]]) -> list[Repaired]:
    """Put the results of several replicates, which ran apart, behind one another on the axis R."""
    return [_concatenated(same) for same in zip(*results, strict=True)]


def join_weights(found: Sequence[Mapping[str, Mapping[str, Tensor]]]) -> dict[str, dict[str, Tensor]]:
    """Put the masks of several replicates behind one another on the axis R, by discovery and weight."""
    return {
        kind: {name: torch.cat([one[kind][name] for one in found]) for name in weights}
        for kind, weights in found[0].items()
    }


def _concatenated(same: Sequence[Repaired]) -> Repaired:
    def together(values: Sequence[Any]) -> Any:
        first = values[0]
        if isinstance(first, Tensor):
            return torch.cat(list(values))
        if isinstance(first, Mapping):
            return {name: together([value[name] for value in values]) for name in first}
        if isinstance(first, Judged):
            return Judged(*(together(list(parts)) for parts in zip(*map(astuple, values), strict=True)))
        return first

    return Repaired(**{part.name: together([getattr(one, part.name) for one in same]) for part in fields(Repaired)})


def run_methods(task: Task, names: list[str], settings: Settings, masks: Mapping[str, Weights]) -> list[Repaired]:
    """Run methods one after the other on the same task."""
    results: list[Repaired] = []
    made: dict[str, State] = {}
    for name in names:
        own = METHODS[name].run(task, name, Given(settings, masks, made))
        results += own
        if own[0].state is not None:
            made[name] = own[0].state
    return results
