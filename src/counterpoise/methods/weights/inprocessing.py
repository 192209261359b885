"""In-processing, what its methods share: training a new network that is fair from the start.

They use the group of every training row, and start from the initial weights of the base. They fit nothing
on `dval`, but are judged on it as all methods are: the decision threshold and the epoch with the highest Φ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from counterpoise.bounds import Bounded, Count, NotNegative, Positive
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, under
from counterpoise.methods.tuning import OutputLoss, WeightTuning
from counterpoise.methods.weights.judging import both_epochs, validation_figures
from counterpoise.nn.networks import StackedNetwork, State
from counterpoise.nn.optimizers import Optimizer


@dataclass(frozen=True)
class InProcessing(Bounded):
    """Settings of a training from scratch: Adam, whose rate falls as a cosine.

    Attributes:
        augment: crop and mirror the images at random.
    """

    block: ClassVar[str] = "in_processing"
    epochs: Count = 30
    batch_size: Count = 64
    lr: Positive = 1e-3
    augment: bool = False

    def optimizer(self, lr: float | None = None) -> Optimizer:
        """Return how weights move."""
        return Optimizer(lr=self.lr if lr is None else lr, schedule="cosine", fused=True)

    def steps(self, problem: Problem) -> int:
        """Return how many steps the training takes."""
        return self.epochs * max(1, problem.pretrain.shape[1] // self.batch_size)


@dataclass(frozen=True)
class Contested(InProcessing):
    """Settings of a training against an opponent that guesses the group.

    Attributes:
        strength: how much it weighs against the task's loss that the opponent guesses well.
        opponent_lr: the opponent's learning rate.
    """

    block: ClassVar[str] = "contested"
    strength: NotNegative = 1.0
    opponent_lr: Positive = 1e-3


class FromScratch(WeightTuning):
    """The networks of a task with their initial weights, trained on a loss; see `nn.epochs.Trainee`."""

    def __init__(self, problem: Problem, settings: InProcessing, loss: OutputLoss) -> None:
        super().__init__(
            problem.build(),
            loss,
            optimizer=settings.optimizer(),
            steps=settings.steps(problem),
            batch_size=settings.batch_size,
            generators=problem.generators(f"{problem.method}: noise"),
            augment=settings.augment,
        )


class Contest(FromScratch):
    """Networks and, beside each, an opponent that guesses the group of a row.

    Args:
        widths: of the opponents: numbers they see, hidden widths, logits.
    """

    def __init__(self, problem: Problem, settings: Contested, loss: OutputLoss, widths: Sequence[int]) -> None:
        super().__init__(problem, settings, loss)
        drawn = problem.generators(f"{problem.method}: opponent")
        self.strength = settings.strength
        self.opponent = StackedNetwork(widths, generators=drawn, normalized=False).to(self.network.device)
        self.move_opponent = settings.optimizer(settings.opponent_lr).build(
            self.opponent.parameters(), settings.steps(problem)
        )

    def state(self) -> State:
        state = super().state()
        state |= {f"opponent.{name}": tensor.clone() for name, tensor in self.opponent.state().items()}
        return state | {f"opponent_optimizer.{name}": tensor for name, tensor in self.move_opponent.state().items()}

    def load(self, state: State) -> None:
        super().load(state)
        self.opponent.load(under("opponent", state))
        self.move_opponent.load(under("opponent_optimizer", state))


def train(problem: Problem, settings: InProcessing, trainee: FromScratch) -> list[Result]:
    """Train on the rows that the base was trained on; return the best epoch and the last.

    Nothing is fitted to `dval`, so all of it serves to choose the epoch and the threshold.
    """
    trained = problem.train(
        trainee,
        name=problem.method,
        settings=(settings,),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        rows=problem.pretrain,
        figures=lambda: validation_figures(problem.goal, problem.judged(trainee.network, problem.dval)),
        whole_batches=True,
    )
    return both_epochs(problem, trained, rows=problem.dval)
