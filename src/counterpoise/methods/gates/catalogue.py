"""The methods by name, in the order in which they run. To add one: write its function and its row here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from counterpoise.errors import InputError, suggest
from counterpoise.fairness import leakage_elsewhere
from counterpoise.methods.gates import lastlayer
from counterpoise.methods.gates.gating import GateSettings, GateTraining, closed_share, evaluate_gated
from counterpoise.methods.gates.heads import BiasHeads, HeadSettings
from counterpoise.methods.gates.problem import Debiasing
from counterpoise.methods.heads.variants import Variant
from counterpoise.methods.masks import magnitude_masks, random_masks
from counterpoise.methods.outputs import decisions, scores
from counterpoise.nn.networks import Networks, Output, State

Opened = dict[str, Bool[Tensor, "R ..."]]
"""Which gates are open, by name; see `gating.Gates`."""


@dataclass(frozen=True)
class Settings:
    """Settings of all methods.

    Attributes:
        gates: by the name of the method, those whose sub-network is learnt.
        refit: of those with a new last layer. bank: of `frontier`, whose last layer comes from a bank of many.
        head: of the heads that the finished sub-networks are judged by.
    """

    gates: Mapping[str, GateSettings]
    refit: lastlayer.RefitSettings = field(default_factory=lastlayer.RefitSettings)
    bank: lastlayer.BankSettings = field(default_factory=lastlayer.BankSettings)
    head: HeadSettings = field(default_factory=HeadSettings)


@dataclass(frozen=True)
class Extracted:
    """What one method makes of the frozen networks.

    Attributes:
        name: of the method.
        score: probabilities on the test rows, of class 1 [R, t, 1] or of every class. prediction: decisions there.
        figures: of each replicate on the test rows, by metric.
        opened: the gates, where the method has some. epoch: that they were taken at, counted from 1.
        layers: share of each layer's gates that is closed.
        curves: figures of every epoch.
        head: the new last layer's factors on the frozen features, `first` [R, d, c], `bias` and maybe `second`.
        alpha, rank: of the factors that the new last layer starts from, where it starts from factors.
    """

    name: str
    score: Float[Tensor, "R t k"]
    prediction: Int[Tensor, "R t"]
    figures: dict[str, Float64[Tensor, "R"]]
    opened: Opened | None = None
    epoch: Int[Tensor, "R"] | None = None
    layers: dict[str, Float64[Tensor, "R"]] = field(default_factory=dict)
    curves: dict[str, Float64[Tensor, "R E"]] = field(default_factory=dict)
    head: dict[str, Tensor] | None = None
    alpha: float | None = None
    rank: int | None = None


VANILLA = "vanilla"
GATED = ("ffw", "ffw_strong", "ffw_best_reader", "ffw_structured", "ffw_without_information")
"""Methods that learn gates; each has settings of its own."""

LIKE = "ffw"
"""The method whose sparsity the controls copy."""

CONTROLS = ("magnitude_mask", "chance_mask")
LAST_LAYERS = ("refit", "svd", "win", "leace", "frontier")
"""Methods with a new last layer on the frozen features."""

METHODS = (VANILLA, *GATED, *CONTROLS, *LAST_LAYERS)


def require_methods(wanted: Sequence[str], gates: Mapping[str, Any]) -> None:
    """Raise InputError unless all names are known, those that learn gates have settings, and controls their model."""
    for name in wanted:
        if name not in METHODS:
            raise InputError(f"subnetworks.methods: {name!r} is unknown{suggest(name, METHODS)}")
        if name in GATED and name not in gates:
            raise InputError(f"subnetworks.methods: {name!r} has no settings in subnetworks.gates, expected some")
        if name in CONTROLS and LIKE not in wanted:
            raise InputError(f"subnetworks.methods: {name!r} needs {LIKE!r}, whose sparsity it copies")


def run_methods(problem: Debiasing, names: Sequence[str], settings: Settings) -> list[Extracted]:
    """Run methods one after the other on the same problem, in the order of `METHODS`."""
    network, made = problem.network(), dict[str, Extracted]()
    whole = _Whole(problem, network)
    for name in (name for name in METHODS if name in names):
        if name in GATED:
            made[name] = _gated(problem, name, settings)
        elif name in CONTROLS:
            opened = made[LIKE].opened
            assert opened is not None
            control = random_masks(problem, opened) if name == "chance_mask" else magnitude_masks(problem, opened)
            made[name] = _extracted(problem, name, network, control, settings.head)
        elif name in LAST_LAYERS:
            made[name] = _last_layer(problem, name, whole, settings)
        else:
            made[name] = _judged(problem, name, whole.fit, whole.test, settings.head)
    return list(made.values())


def join(results: Sequence[list[Extracted]]) -> list[Extracted]:
    """Put the results of several replicates, which ran apart, behind one another on the axis R."""
    return [_concatenated(same) for same in zip(*results, strict=True)]


def _concatenated(same: Sequence[Extracted]) -> Extracted:
    def together(values: Sequence[Any]) -> Any:
        first = values[0]
        if isinstance(first, Tensor):
            return torch.cat(list(values))
        if isinstance(first, Mapping):
            return {name: together([value[name] for value in values]) for name in first}
        return first

    return Extracted(**{part.name: together([getattr(one, part.name) for one in same]) for part in fields(Extracted)})


class _Whole:
    """What the frozen networks, with nothing closed, say of all rows that are asked for; computed once."""

    def __init__(self, problem: Debiasing, network: Networks) -> None:
        self.fit, self.select, self.test = (
            evaluate_gated(problem, network, rows, {}) for rows in (problem.fit, problem.select, problem.test)
        )
        self.problem = problem
        self.weight, self.bias = lastlayer.own_layer(problem.base, network.maskable()[-1])

    @cached_property
    def erase(self) -> lastlayer.Erase:
        return lastlayer.fit_erasers(self.problem, self.fit.features)


def _gated(problem: Debiasing, name: str, settings: Settings) -> Extracted:
    own = settings.gates[name]
    epochs = own.temperature.epochs
    trainee = GateTraining(problem, own, steps=epochs * math.ceil(problem.fit.shape[1] / own.batch_size))
    trained = problem.train(
        trainee,
        name=name,
        settings=(own,),
        epochs=epochs,
        batch_size=own.batch_size,
        rows=problem.fit,
        figures=trainee.judge,
        finished=trainee.ended,
    )
    known = _extracted(problem, name, trainee.network, trained.best, settings.head)
    return replace(known, epoch=trained.best_epoch, curves=trained.curves)


def _extracted(
    problem: Debiasing, name: str, network: Networks, opened: State | Opened, head: HeadSettings
) -> Extracted:
    fitted, tested = (evaluate_gated(problem, network, rows, opened) for rows in (problem.fit, problem.test))
    known = _judged(problem, name, fitted, tested, head)
    kept = {name: own.bool() for name, own in opened.items()}
    return replace(
        known,
        opened=kept,
        figures=known.figures | {"sparsity": closed_share(kept)},
        layers={name: 1 - own.flatten(1).double().mean(dim=1) for name, own in kept.items()},
    )


def _last_layer(problem: Debiasing, name: str, whole: _Whole, settings: Settings) -> Extracted:
    fitted, test = whole.fit.features, whole.test.features
    z = torch.cat([fitted, whole.select.features], dim=1)
    erases, variant = name == "leace", Variant("tl")
    if name == "frontier":
        head, erases = lastlayer.frontier(problem, z, whole.erase(z), whole.weight, whole.bias, settings.bank)
    else:
        rank = min(whole.weight.shape[-2:])
        factored = {"svd": Variant("svd", rank=rank), "win": Variant("win", rank=rank, alpha=settings.refit.alpha)}
        variant = factored.get(name, variant)
        known = whole.erase(z) if erases else z
        head = lastlayer.refit(problem, known, whole.weight, whole.bias, settings.refit, variant)
    if erases:
        fitted, test = whole.erase(fitted), whole.erase(test)
    learnt, told = (Output(lastlayer.logits_of(head, features), features) for features in (fitted, test))
    if erases:
        head = lastlayer.folded(head, whole.erase)
    factors = {"first": head.first, "bias": head.bias} | ({} if head.second is None else {"second": head.second})
    judged = _judged(problem, name, learnt, told, settings.head)
    return replace(judged, head=factors, alpha=variant.alpha, rank=variant.rank)


def _judged(problem: Debiasing, name: str, fitted: Output, tested: Output, head: HeadSettings) -> Extracted:
    """Judge a network by what it says of the test rows, and by what readers of its features learnt from `fit`."""
    logits = tested.logits
    if logits.shape[-1] == 2:
        logits = logits[..., 1:] - logits[..., :1]
    return Extracted(
        name=name,
        score=scores(logits),
        prediction=decisions(logits),
        figures={
            "information": _information(problem, fitted, tested, head),
            "leakage": _leakage(problem, fitted, tested),
        },
    )


def _information(problem: Debiasing, fitted: Output, tested: Output, settings: HeadSettings) -> Float64[Tensor, "R"]:
    """Return I on the test rows of a head that was fitted to its plateau; the mean over the biases."""
    heads = BiasHeads(len(fitted.features), fitted.features.shape[-1], problem.values, settings, torch.device("cpu"))
    heads.fit(fitted.features, problem.biases_of(problem.fit))
    found = heads.information(tested.features, problem.biases_of(problem.test))
    return found.double().clamp(min=0)  # rounding may leave less than nothing


def _leakage(problem: Debiasing, fitted: Output, tested: Output) -> Float64[Tensor, "R"]:
    """Return what a converged probe reads on the test rows; the mean over the biases."""
    learnt, asked = problem.biases_of(problem.fit), problem.biases_of(problem.test)
    return torch.tensor(
        [
            sum(
                leakage_elsewhere(fitted.features[r], own[r], tested.features[r], other[r])
                for own, other in zip(learnt, asked, strict=True)
            )
            / len(learnt)
            for r in range(len(fitted.features))
        ],
        dtype=torch.float64,
    )
