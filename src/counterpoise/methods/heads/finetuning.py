"""Fine-tune heads from the factors of each variant: plain transfer learning, f+SVD and WIN (WIN, Section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.fairness import confusion_counts, metrics
from counterpoise.methods.heads.penalties import cross_entropy
from counterpoise.methods.heads.problem import PRETRAINED, HeadProblem, tensors_of
from counterpoise.methods.repair import Result, prefixed
from counterpoise.nn import Bank, HeadBank, History, Loss, fit, generators
from counterpoise.nn.settings import Training


def run(problem: HeadProblem, settings: Training, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Train all variants of all replicates as one bank; each head keeps its epoch with the lowest validation error.

    Returns:
        The variants in the order of `problem.initial`, with the figures `loss` and `validation_err` of every epoch, the
        head as the part `head` (`heads.problem.tensors_of`), and the variant's settings as facts.
    """
    bank = HeadBank(problem.initial)
    history = tune(bank, problem, settings, loss=cross_entropy, name="finetune")
    assert history.validation is not None
    score, prediction = problem.outcomes(bank)
    heads, place = bank.heads(), {name: v for v, name in enumerate(bank.names)}
    return [
        Result(
            name,
            score[:, v],
            prediction[:, v],
            history.best_epoch[:, v],
            {"loss": history.train_loss[:, v], "validation_err": history.validation[:, v]},
            prefixed("head", tensors_of(heads[name])),
            problem.variants[name],
        )
        for name, v in ((name, place[name]) for name in problem.initial)
    ]


def pretrained(problem: HeadProblem) -> Result:
    """Return what the head says that is not fine-tuned."""
    assert problem.head is not None
    score, prediction = problem.outcomes(HeadBank({PRETRAINED: problem.head}))
    return Result(PRETRAINED, score[:, 0], prediction[:, 0], facts={"method": PRETRAINED})


def tune(bank: Bank, problem: HeadProblem, training: Training, *, loss: Loss, name: str) -> History:
    """Train a bank on the new task, whatever is in it; each model keeps its epoch with the lowest validation error."""

    def validation_error(
        logits: Float[Tensor, "R V m k"], y: Int[Tensor, "R m"], s: Int[Tensor, "R m"]
    ) -> Float[Tensor, "R V"]:
        counts = confusion_counts(
            y.unsqueeze(1),
            logits.argmax(dim=-1),
            s.unsqueeze(1),
            groups=len(problem.groups),
            classes=len(problem.classes),
        )
        return metrics.err(counts)

    return fit(
        bank,
        problem.examples,
        problem.train,
        loss=loss,
        optimizer=training.optimizer,
        epochs=training.epochs,
        batch_size=training.batch_size,
        generators=generators(problem.seeds, "fine-tuning batches"),
        validation=problem.validation,
        criterion=validation_error,
        classes=len(problem.classes),
        on_epoch=problem.follow(name, training.epochs),
    )
