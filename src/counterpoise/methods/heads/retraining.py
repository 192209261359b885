"""Fine-tune whole networks under a penalty: WIN's baseline in Section 4.4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from counterpoise.bounds import NotNegative, Values
from counterpoise.methods.heads.finetuning import tune
from counterpoise.methods.heads.penalties import Constraint, penalized, strengths_of
from counterpoise.methods.heads.problem import HeadProblem
from counterpoise.methods.repair import Result, prefixed
from counterpoise.nn.settings import Training

METHOD = "retrain"


@dataclass(frozen=True)
class Penalties:
    """Penalties that the whole network is fine-tuned with: every constraint at every strength."""

    constraints: Values[Constraint]
    strengths: Values[NotNegative]

    def grid(self) -> dict[str, tuple[Constraint | None, float]]:
        """Return constraint and strength by the variant's name; a strength of 0 is one variant, `retrain`."""
        plain: dict[str, tuple[Constraint | None, float]] = {METHOD: (None, 0.0)} if 0 in self.strengths else {}
        return plain | {
            f"{METHOD}_{constraint}_{strength:g}": (constraint, strength)
            for constraint in self.constraints
            for strength in self.strengths
            if strength
        }


@dataclass(frozen=True)
class Retraining:
    """How whole networks are fine-tuned."""

    penalties: Penalties
    training: Training


def run(problem: HeadProblem, settings: Retraining, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Fine-tune every weight of the pretrained networks, once under each penalty, as one stack.

    Returns:
        A result for each penalty, with the network at its epoch with the lowest validation error: the part `network`.
    """
    assert problem.networks is not None
    grid = settings.penalties.grid()
    bank = problem.networks(len(grid))
    loss = penalized(strengths_of(list(grid.values())), groups=len(problem.groups), compared=problem.compared)
    history = tune(bank, problem, settings.training, loss=loss, name=METHOD)
    score, prediction = problem.outcomes(bank)
    parameters = {name: tensor.detach() for name, tensor in bank.named_parameters()}
    return [
        Result(
            name,
            score[:, v],
            prediction[:, v],
            history.best_epoch[:, v],
            {"loss": history.train_loss[:, v]},
            prefixed("network", {key: tensor[:, v] for key, tensor in parameters.items()}),
            {"method": METHOD, "alpha": None, "rank": None, "constraint": constraint, "strength": strength or None},
        )
        for v, (name, (constraint, strength)) in enumerate(grid.items())
    ]
