"""Layer-wise optimisation (Savani et al., 2020, Section 4.2): a search without gradients, one tensor at a time.

The objective Φ has no gradient, so a surrogate model of it proposes where to look next. What it moves is one tensor of
parameters, everything else stays the base's; the best network of all tensors is kept. The authors' surrogate are
gradient-boosted trees; here it is optuna's tree-structured Parzen estimator (METHODS.md says why).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from counterpoise.bounds import Bounded, Count, Positive
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.judging import repaired
from counterpoise.nn.networks import keep


@dataclass(frozen=True)
class Layerwise(Bounded):
    """Settings of layer-wise optimisation; defaults as METHODS.md fixes them.

    Attributes:
        tensors: how many of the network's tensors of parameters are searched, the last ones: weights, biases, batch
            norm's scales and shifts.
        calls: networks that are tried for each tensor.
        box: how far each entry may move, in standard deviations of its tensor's entries.
        entries: most entries of a tensor that move, chosen by chance: the surrogate cannot model millions.
    """

    block: ClassVar[str] = "layerwise"
    tensors: Count = 5
    calls: Count = 20
    box: Positive = 2.2
    entries: Count = 1024


def layerwise_optimization(problem: Problem, settings: Layerwise, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Return each replicate's network with the highest Φ on all of `dval`; ties go to the first tried, the base itself.

    Each replicate has a search of its own, seeded by its seed; only the evaluations are done side by side. A tensor
    whose entries are all equal, as one of a single entry, spans no box and is left out. The fact `tensor` says which of
    the tensors searched was moved, counted from 1; 0 where the base is as good.
    """
    network = problem.network()
    best = network.copied()
    highest = start = problem.judged(network, problem.dval).preference(problem.goal)
    moved = torch.zeros_like(highest, dtype=torch.int64)
    parameters = [name for name, _ in network.named_parameters()][-settings.tensors :]
    for number, parameter in enumerate(parameters, start=1):
        search = _Search(problem, f"{problem.method}: {parameter}", problem.base[parameter], settings, start)
        for _ in range(settings.calls if search.is_possible else 0):
            network.load(problem.base | {parameter: search.propose()})
            value = problem.judged(network, problem.dval).preference(problem.goal)
            search.learn(value)
            better = value > highest
            keep(best, network.state(), better)
            highest, moved = torch.where(better, value, highest), torch.where(better, number, moved)
        problem.progress(problem.method, number, len(parameters))
    return [repaired(problem, best, rows=problem.dval, facts={"tensor": moved})]


class _Search:
    """One optuna study per replicate over the same tensor; each knows the base's Φ, at the middle of its box."""

    def __init__(
        self,
        problem: Problem,
        purpose: str,
        tensor: Float[Tensor, "R ..."],
        settings: Layerwise,
        start: Float64[Tensor, "R"],
    ) -> None:
        self.shape, self.flat = tensor.shape, tensor.flatten(1)
        count = self.flat.shape[1]
        reach = settings.box * self.flat.double().std(dim=1, correction=0)
        drawn = problem.generators(purpose)
        self.moving = [torch.randperm(count, generator=generator)[: settings.entries] for generator in drawn]
        self.studies = [
            _Study(int(torch.randint(2**31, (), generator=generator)), len(moving), width, phi) if width else None
            for generator, moving, width, phi in zip(drawn, self.moving, reach.tolist(), start.tolist(), strict=True)
        ]

    @property
    def is_possible(self) -> bool:
        """Whether any replicate's tensor spans a box."""
        return any(self.studies)

    def propose(self) -> Float[Tensor, "R ..."]:
        """Return the tensor with the entries that move where each replicate's study wants them next."""
        moved = self.flat.clone()
        for tensor, entries, study in zip(moved, self.moving, self.studies, strict=True):
            if study is not None:
                tensor[entries] += torch.tensor(study.propose()).to(tensor)
        return moved.view(self.shape)

    def learn(self, phi: Float64[Tensor, "R"]) -> None:
        """Tell each study what its proposal was worth."""
        for study, value in zip(self.studies, phi.tolist(), strict=True):
            if study is not None:
                study.learn(value)


class _Study:
    """A search for the offsets of m entries within ± width; `start` is what no offset at all is worth."""

    def __init__(self, seed: int, m: int, width: float, start: float) -> None:
        import optuna  # here, because it takes half a second that no other method needs

        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self.study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        finally:
            optuna.logging.set_verbosity(verbosity)
        self.names = [str(entry) for entry in range(m)]
        self.box: dict[str, optuna.distributions.BaseDistribution] = {
            name: optuna.distributions.FloatDistribution(-width, width) for name in self.names
        }
        still = dict.fromkeys(self.names, 0.0)
        self.study.add_trial(optuna.trial.create_trial(params=still, distributions=self.box, value=start))

    def propose(self) -> list[float]:
        """Return the offsets to try next."""
        self.trial = self.study.ask(self.box)
        return [self.trial.params[name] for name in self.names]

    def learn(self, value: float) -> None:
        """Take note of what the last proposal was worth."""
        self.study.tell(self.trial, value)
