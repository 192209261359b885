"""The loop that all long trainings share: what it remembers, and how it goes on after it was killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from counterpoise.artifacts.states import TrainingStates
from counterpoise.nn import Examples, generators
from counterpoise.nn.epochs import Checkpoints, Figures, Trained, digest, run_epochs
from counterpoise.nn.networks import State

SEEDS, ROWS, EPOCHS = [3, 4], 30, 6
JUDGED = torch.tensor([[0.1, 0.4, 0.4, 0.2, 0.3, 0.1], [0.5, 0.2, 0.6, 0.1, 0.6, 0.2]])
"""Judgements per replicate and epoch: the highest comes twice."""


class Sum:
    """Adds up the rows that it is shown, and the noise it draws."""

    operations = 1

    def __init__(self) -> None:
        self.total, self.epoch = torch.zeros(len(SEEDS)), 0
        self.noise = generators(SEEDS, "noise")
        self.batches: list[int] = []

    def begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def step(self, x: Tensor, y: Tensor, s: Tensor, rows: Tensor) -> Figures:
        assert torch.equal(x[..., 0], rows.float())
        noise = torch.cat([torch.rand(1, generator=generator) for generator in self.noise])
        place = torch.arange(rows.shape[1]).float()
        self.total = self.total + (rows * place).sum(dim=1) + noise
        self.batches.append(rows.shape[1])
        return {"loss": (rows * place).sum(dim=1).float(), "constant": torch.ones(len(SEEDS))}

    def outcome(self) -> State:
        return {"total": self.total}

    def state(self) -> State:
        noise = {f"noise.{r}": generator.get_state() for r, generator in enumerate(self.noise)}
        return {"total": self.total.clone(), **noise}

    def load(self, state: State) -> None:
        self.total = state["total"]
        for r, generator in enumerate(self.noise):
            generator.set_state(state[f"noise.{r}"])


def run(
    trainee: Sum,
    path: Path | None = None,
    on_epoch: Callable[[int], None] | None = None,
    *,
    batch_size: int = 8,
    whole_batches: bool = False,
    judged: Tensor = JUDGED,
    seeds: Sequence[int] = SEEDS,
) -> Trained:
    data = Examples(torch.arange(ROWS).float().unsqueeze(1), torch.zeros(ROWS).long(), torch.zeros(ROWS).long())
    return run_epochs(
        trainee,
        data,
        torch.arange(ROWS).expand(len(seeds), ROWS),
        epochs=EPOCHS,
        batch_size=batch_size,
        generators=generators(seeds, "batches"),
        judge=lambda: {"judgement": judged[:, trainee.epoch - 1]},
        whole_batches=whole_batches,
        checkpoints=None if path is None else Checkpoints(trainee, TrainingStates(path.parent), path.stem),
        on_epoch=on_epoch,
    )


def test_the_best_epoch_is_the_earliest_of_the_highest() -> None:
    after: list[Tensor] = []
    trainee = Sum()
    trained = run(trainee, on_epoch=lambda epoch: after.append(trainee.total))
    assert trained.best_epoch.tolist() == [2, 3]
    assert torch.equal(trained.best["total"], torch.stack([after[1][0], after[2][1]]))
    assert torch.equal(trained.last["total"], after[-1])
    assert torch.equal(trained.curves["judgement"], JUDGED.double())
    assert torch.equal(trained.curves["constant"], torch.ones(2, EPOCHS).double())


def test_judgements_that_are_no_numbers_choose_nothing() -> None:
    judged = JUDGED.clone()
    judged[0, :3] = torch.nan
    assert run(Sum(), judged=judged).best_epoch.tolist() == [5, 3]


def test_small_last_batches_are_taken_or_left() -> None:
    every, whole, one, two, even = (Sum() for _ in range(5))
    run(every)
    run(whole, whole_batches=True)
    run(one, batch_size=40, whole_batches=True)
    run(two, batch_size=20, whole_batches=True)
    run(even, batch_size=10, whole_batches=True)
    assert every.batches == [8, 8, 8, 6] * EPOCHS
    assert whole.batches == [8, 8, 8] * EPOCHS
    assert one.batches == [ROWS] * EPOCHS  # else nothing would be left to train on
    assert two.batches == [20] * EPOCHS
    assert even.batches == [10] * 3 * EPOCHS


def test_figures_are_means_over_rows() -> None:
    seen: list[tuple[int, Tensor]] = []

    class Watched(Sum):
        def step(self, x: Tensor, y: Tensor, s: Tensor, rows: Tensor) -> Figures:
            figures = super().step(x, y, s, rows)
            seen.append((rows.shape[1], figures["loss"].double()))
            return figures

    curve = run(Watched()).curves["loss"]
    steps = len(seen) // EPOCHS
    for epoch in range(EPOCHS):
        part = seen[epoch * steps : (epoch + 1) * steps]
        torch.testing.assert_close(curve[:, epoch], sum(size * loss for size, loss in part) / ROWS)  # type: ignore[operator]


@pytest.mark.parametrize("killed", [1, 3, EPOCHS])
def test_a_killed_training_goes_on_where_it_was(tmp_path: Path, killed: int) -> None:
    expected = run(Sum())
    path = tmp_path / "states" / "sum.pt"

    def kill(epoch: int) -> None:
        if epoch == killed:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Sum(), path, kill)
    finished: list[int] = []
    trained = run(Sum(), path, finished.append)
    assert finished == list(range(killed + 1, EPOCHS + 1))
    assert torch.equal(trained.best["total"], expected.best["total"])
    assert torch.equal(trained.last["total"], expected.last["total"])
    assert torch.equal(trained.best_epoch, expected.best_epoch)
    assert trained.curves.keys() == expected.curves.keys()
    assert all(torch.equal(trained.curves[name], curve) for name, curve in expected.curves.items())
    assert [file.name for file in path.parent.iterdir()] == ["sum.pt"]


def test_a_digest_knows_every_part_and_its_place() -> None:
    one, two = torch.zeros(3), torch.zeros(3)
    two[2] = 1
    parts: list[tuple[object, ...]] = [(one,), (two,), (one, two), (two, one), ((one, two),), (one, 1), (one, 1.0), ()]
    assert len({digest(*part) for part in parts}) == len(parts)
    assert digest(one, ("a", two)) == digest(torch.zeros(3), ("a", two.clone()))
    assert len({digest(one), digest(one.double()), digest(one.double().reshape(3, 1)), digest(one[:1], one[1:])}) == 4
