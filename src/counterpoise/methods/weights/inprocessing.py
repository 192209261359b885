"""In-processing: training a network anew that is fair from the start, what its methods have in common.

They are told the group of every training row, and begin with the same initial weights as the base did. They fit nothing
on D_val, but are judged on it as all methods are: the decision threshold and the epoch with the highest Φ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from counterpoise.errors import InputError
from counterpoise.methods.tuning import OutputLoss, WeightTuning, under
from counterpoise.methods.weights.task import Repaired, Task, both_epochs, validation_figures
from counterpoise.nn.networks import StackedNetwork, State
from counterpoise.nn.optimizers import Optimizer


@dataclass(frozen=True)
class InProcessing:
    """Settings of a training from scratch: Adam, whose rate falls as a cosine.

    Attributes:
        augment: crop and mirror the images at random.
    """

    epochs: int = 30
    batch_size: int = 64
    lr: float = 1e-3
    augment: bool = False

    def __post_init__(self) -> None:
        for key in ("epochs", "batch_size"):
            if getattr(self, key) < 1:
                raise InputError(f"in-processing: {key} is {getattr(self, key)}, expected 1 or more")
        if self.lr <= 0:
            raise InputError(f"in-processing: lr is {self.lr:g}, expected a number above 0")

    def optimizer(self, lr: float | None = None) -> Optimizer:
        """Return how weights move."""
        return Optimizer(lr=self.lr if lr is None else lr, schedule="cosine", fused=True)

    def steps(self, task: Task) -> int:
        """Return how many steps the training takes."""
        return self.epochs * max(1, task.pretrain.shape[1] // self.batch_size)


@dataclass(frozen=True)
class Contested(InProcessing):
    """Settings of a training against an opponent that guesses the group.

    Attributes:
        strength: α, how much it weighs against the task's loss that the opponent guesses well.
        opponent_lr: the opponent's learning rate.
    """

    strength: float = 1.0
    opponent_lr: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strength < 0:
            raise InputError(f"in-processing: strength is {self.strength:g}, expected 0 or more")
        if self.opponent_lr <= 0:
            raise InputError(f"in-processing: opponent_lr is {self.opponent_lr:g}, expected a number above 0")


class FromScratch(WeightTuning):
    """The networks of a task with their initial weights, trained on a loss; see `nn.epochs.Trainee`."""

    def __init__(self, task: Task, name: str, settings: InProcessing, loss: OutputLoss) -> None:
        super().__init__(
            task.build(),
            loss,
            optimizer=settings.optimizer(),
            steps=settings.steps(task),
            batch_size=settings.batch_size,
            generators=task.generators(f"{name}: noise"),
            augment=settings.augment,
        )


class Contest(FromScratch):
    """Networks and, beside each, an opponent that guesses the group of a row.

    Args:
        widths: of the opponents: numbers they see, hidden widths, logits.
    """

    def __init__(self, task: Task, name: str, settings: Contested, loss: OutputLoss, widths: Sequence[int]) -> None:
        super().__init__(task, name, settings, loss)
        drawn = task.generators(f"{name}: opponent")
        self.strength = settings.strength
        self.opponent = StackedNetwork(widths, generators=drawn, normalized=False).to(self.network.device)
        self.move_opponent = settings.optimizer(settings.opponent_lr).build(
            self.opponent.parameters(), settings.steps(task)
        )

    def state(self) -> State:
        state = super().state()
        state |= {f"opponent.{name}": tensor.clone() for name, tensor in self.opponent.state().items()}
        return state | {f"opponent_optimizer.{name}": tensor for name, tensor in self.move_opponent.state().items()}

    def load(self, state: State) -> None:
        super().load(state)
        self.opponent.load(under("opponent", state))
        self.move_opponent.load(under("opponent_optimizer", state))


def train(task: Task, name: str, settings: InProcessing, trainee: FromScratch) -> list[Repaired]:
    """Train on the rows that the base was trained on; return the best epoch and the last.

    Nothing is fitted to D_val, so that all of it serves to choose the epoch and the threshold.
    """
    trained = task.train(
        trainee,
        name=name,
        settings=(settings,),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        rows=task.pretrain,
        figures=lambda: validation_figures(task.objective, task.judged(trainee.network, task.validation)),
        whole_batches=True,
    )
    return both_epochs(task, name, trained, rows=task.validation)
