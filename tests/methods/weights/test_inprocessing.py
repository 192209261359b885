"""Fair networks from scratch: gradients and inference against independent formulas, and what training promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from counterpoise.artifacts.states import TrainingStates
from counterpoise.errors import InputError
from counterpoise.methods.outputs import task_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.adversarial_debiasing import AdversarialDebiasing, adversarial_debiasing, opposed
from counterpoise.methods.weights.domains import (
    domain_discriminative,
    domain_independent,
    of_group,
    summed,
    without_prior,
)
from counterpoise.methods.weights.inprocessing import Contested, InProcessing
from counterpoise.methods.weights.uniform_confusion import UniformConfusion, confusion, uniform_confusion
from counterpoise.nn.networks import evaluate

SHORT = {"epochs": 3, "batch_size": 50, "lr": 0.01}
CONTEST = {**SHORT, "opponent_lr": 0.03}
Run = Callable[..., list[Result]]
METHODS: dict[str, Run] = {
    "adversarial": lambda task, **own: adversarial_debiasing(
        replace(task, method="adversarial"), Contested(**{**CONTEST, **own}), {}
    ),
    "confusion": lambda task, **own: uniform_confusion(
        replace(task, method="confusion"), Contested(**{**CONTEST, **own}), {}
    ),
    "discriminative": lambda task, **own: domain_discriminative(
        replace(task, method="discriminative"), InProcessing(**{**SHORT, **own}), {}
    ),
    "independent": lambda task, **own: domain_independent(
        replace(task, method="independent"), InProcessing(**{**SHORT, **own}), {}
    ),
}


class TestAdversary:
    def test_the_step_is_the_papers(self, generator: torch.Generator) -> None:
        """Independently: each replicate's weights as one vector, in numpy."""
        shapes, strength = [(2, 3, 4), (2, 5), (2, 1, 1)], 0.7
        wanted, helping = ([torch.randn(shape, generator=generator) for shape in shapes] for _ in range(2))
        made = opposed(wanted, helping, strength, replicates=2)
        for r in range(2):
            g, a, m = (
                np.concatenate([part[r].double().numpy().ravel() for part in parts])
                for parts in (wanted, helping, made)
            )
            unit = a / np.linalg.norm(a)
            np.testing.assert_allclose(m, g - (g @ unit) * unit - strength * a, atol=1e-5)
            assert m @ a == pytest.approx(-strength * a @ a, rel=1e-4)  # never to the adversary's help

    def test_an_adversary_that_learns_nothing_leaves_the_task_alone(self, generator: torch.Generator) -> None:
        wanted = [torch.randn(2, 3, generator=generator)]
        (made,) = opposed(wanted, [torch.zeros(2, 3)], 1.0, replicates=2)
        assert torch.equal(made, wanted[0])

    @pytest.mark.parametrize(("bias", "sees"), [("spd", 1), ("aod", 3), ("eod", 3)])
    def test_sees_the_class_where_odds_are_to_be_equal(
        self, bias: str, sees: int, unfair: Callable[..., Problem]
    ) -> None:
        trainee = AdversarialDebiasing(replace(unfair(bias=bias), method="debiasing"), Contested())
        y = torch.tensor([[0, 1]] * 3)
        shown = trainee.shown(torch.zeros(3, 2, 1), y)
        assert shown.shape[-1] == sees
        assert (shown[:, 0] != shown[:, 1]).any() == (sees > 1)

    def test_the_logits_tell_less_of_the_group(self, unfair: Callable[..., Problem]) -> None:
        task = unfair()
        best, last = METHODS["adversarial"](task, epochs=12)
        told = separation(task, task.network(last.part("network")))
        assert told.abs().mean() < 0.4 * separation(task, task.network()).abs().mean()
        assert (best.facts["phi"] > task.judged(task.network(), task.select).phi).all()


def separation(task: Problem, network: torch.nn.Module) -> Tensor:
    """Return how far apart the groups' mean logits are on test, in standard deviations, for each replicate."""
    logits = evaluate(network, task.examples, task.test).logits.squeeze(-1)  # type: ignore[arg-type]
    _, s = task.labels(task.test)
    means = [(logits * (s == group)).sum(dim=1) / (s == group).sum(dim=1) for group in (0, 1)]
    return (means[1] - means[0]) / logits.std(dim=1)


class TestConfusion:
    def test_is_lowest_where_the_guess_is_uniform(self, generator: torch.Generator) -> None:
        logits = torch.randn(2, 6, 2, generator=generator)
        by_hand = -(0.5 * logits.softmax(-1).log()).sum(-1).mean(1)
        torch.testing.assert_close(confusion(logits), by_hand)
        assert (confusion(logits) > math.log(2)).all()
        torch.testing.assert_close(confusion(torch.ones(1, 3, 2)), torch.tensor([math.log(2)]))

    def test_the_turns_are_separate(self, unfair: Callable[..., Problem]) -> None:
        """The guess moves the classifier alone; the networks' gradient is the loss's, the classifier still."""
        task = unfair()
        trainee = UniformConfusion(replace(task, method="confusion"), Contested(strength=3.0))
        x, y, s = task.examples.take(task.pretrain[:, :50])
        before, opponent = trainee.network.copied(), trainee.opponent.copied()
        trainee.network.train()
        trainee.value(x, y, s).sum().backward()
        for name, tensor in trainee.network.named_parameters():
            assert torch.equal(tensor, before[name]), name
        moved = trainee.opponent.copied()
        assert all((moved[name] != opponent[name]).any() for name in opponent)
        assert all(not tensor.grad.any() for tensor in trainee.opponent.parameters() if tensor.grad is not None)
        gradient = {name: tensor.grad.clone() for name, tensor in trainee.network.named_parameters()}  # type: ignore[union-attr]

        trainee.network.zero_grad(set_to_none=True)
        output = trainee.network(x, track=False)
        unsure = -0.5 * trainee.opponent(output.features).logits.log_softmax(-1).sum(-1).mean(1)
        (task_loss(output.logits, y) + 3 * unsure).sum().backward()
        for name, tensor in trainee.network.named_parameters():
            assert tensor.grad is not None
            torch.testing.assert_close(gradient[name], tensor.grad, rtol=1e-4, atol=1e-6)

    def test_the_group_is_harder_to_read_from_the_features(self, unfair: Callable[..., Problem]) -> None:
        task = unfair()
        plain, fair = (
            readable(task, METHODS["confusion"](task, epochs=12, strength=strength)[1]) for strength in (0.0, 10.0)
        )
        assert fair.mean() < plain.mean() - 0.05


def readable(task: Problem, outcome: Result) -> np.ndarray:
    """Return how often a linear classifier reads the group from the features of test rows, by replicate."""
    from sklearn.linear_model import LogisticRegression

    features = evaluate(task.network(outcome.part("network")), task.examples, task.test).features.numpy()
    _, s = task.labels(task.test)
    half = features.shape[1] // 2
    made = []
    for own, group in zip(features, s.numpy(), strict=True):
        own = (own - own.mean(axis=0)) / (own.std(axis=0) + 1e-6)
        made.append(LogisticRegression(max_iter=500).fit(own[:half], group[:half]).score(own[half:], group[half:]))
    return np.array(made)


class TestDomains:
    def test_independent_inference_sums_logits(self, unfair: Callable[..., Problem]) -> None:
        task = unfair()
        outcome = METHODS["independent"](task)[1]
        network = task.build(outputs=2)
        network.load(outcome.part("network"))
        logits = evaluate(network, task.examples, task.test).logits
        torch.testing.assert_close(outcome.score, (logits[..., :1] + logits[..., 1:]).sigmoid())

    def test_with_many_classes_the_heads_stand_behind_one_another(self) -> None:
        logits = torch.tensor([[[1.0, 2, 3, 10, 20, 30]]])
        assert summed(logits).tolist() == [[[11, 22, 33]]]
        assert of_group(logits, torch.tensor([[0]])).tolist() == [[[1, 2, 3]]]
        assert of_group(logits, torch.tensor([[1]])).tolist() == [[[10, 20, 30]]]

    def test_a_head_learns_from_its_group_alone(self, generator: torch.Generator) -> None:
        logits = torch.randn(2, 6, 4, generator=generator, requires_grad=True)
        s = torch.tensor([[0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0]])
        task_loss(of_group(logits, s), torch.randint(0, 2, (2, 6), generator=generator)).sum().backward()
        assert logits.grad is not None
        heads = logits.grad.unflatten(-1, (2, 2))
        for group in (0, 1):
            assert heads[s == group][:, group].any(dim=-1).all()
            assert not heads[s == group][:, 1 - group].any()

    @pytest.mark.parametrize("classes", [2, 3])
    def test_the_prior_is_taken_out(self, classes: int, generator: torch.Generator) -> None:
        """Bayes: what was learned with one prior is, without it, the likelihoods, normalised."""
        likelihood = torch.rand(2, 7, 2, classes, generator=generator)  # R, m, group, class
        prior = torch.rand(2, 2 * classes, generator=generator).softmax(dim=-1)
        joint = likelihood.flatten(2) * prior.unsqueeze(1)
        fair = likelihood.sum(dim=2) / likelihood.sum(dim=(2, 3)).unsqueeze(-1)
        made = without_prior(joint.log() + 3, prior)  # logits are known up to a constant
        torch.testing.assert_close(made, fair[..., 1:] if classes == 2 else fair)

    def test_the_prior_is_that_of_each_replicates_training_rows(self, unfair: Callable[..., Problem]) -> None:
        task = unfair()
        outcome = METHODS["discriminative"](task)[0]
        network = task.build(outputs=4)
        network.load(outcome.part("network"))
        logits = evaluate(network, task.examples, task.test).logits
        y, s = task.labels(task.pretrain)
        shares = torch.stack(
            [((y == label) & (s == group)).float().mean(dim=1) for group in (0, 1) for label in (0, 1)], 1
        )
        weighed = logits.softmax(-1) / shares.unsqueeze(1)
        expected = (weighed[..., 1] + weighed[..., 3]) / weighed.sum(-1)
        torch.testing.assert_close(outcome.score.squeeze(-1), expected)

    def test_a_cell_without_rows_has_no_prior(self, unfair: Callable[..., Problem]) -> None:
        task = unfair()
        rows = task.pretrain[:, :20]
        y = task.examples.y.clone()
        y[rows.flatten()] = 0
        with pytest.raises(InputError, match="training part has no row of y"):
            METHODS["discriminative"](replace(task, pretrain=rows, examples=replace(task.examples, y=y)))


@pytest.mark.parametrize("method", METHODS)
def test_the_networks_learn_their_task(method: str, unfair: Callable[..., Problem]) -> None:
    best, last = METHODS[method](unfair(dropout=0.1), epochs=6)
    task = unfair(dropout=0.1)
    assert (last.name, last.epoch.tolist()) == (f"{best.name}_last", [6, 6, 6])  # type: ignore[union-attr]
    y, _ = task.labels(task.test)
    right = (last.score.squeeze(-1) > last.score.median(dim=1).values).long() == y
    assert (right.float().mean(dim=1) > 0.65).all()
    assert (best.facts["phi"] >= last.facts["phi"]).all()
    assert best.curves["loss"].shape == (3, 6)


@pytest.mark.parametrize("method", METHODS)
def test_a_replicate_is_the_same_beside_others_and_alone(method: str, unfair: Callable[..., Problem]) -> None:
    task = unfair(dropout=0.1)
    together, alone = (METHODS[method](given)[1] for given in (task, task.replicate(1)))
    torch.testing.assert_close(alone.score[0], together.score[1])


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_training_goes_on_as_if_nothing_had_happened(
    method: str, unfair: Callable[..., Problem], tmp_path: Path
) -> None:
    class KilledError(Exception):
        pass

    def kill(name: str, epoch: int, epochs: int) -> None:
        if epoch == 2:
            raise KilledError

    task = unfair(dropout=0.1)
    whole = METHODS[method](task)[1]
    with pytest.raises(KilledError):
        METHODS[method](replace(task, states=TrainingStates(tmp_path), progress=kill))
    epochs: list[int] = []
    again = METHODS[method](
        replace(task, states=TrainingStates(tmp_path), progress=lambda name, epoch, of: epochs.append(epoch))
    )[1]
    assert epochs == [3]
    assert torch.equal(again.score, whole.score)


@pytest.mark.filterwarnings("ignore:mean_bias is undefined")  # as long as a class is never predicted
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_images_with_two_classes_or_more(method: str, classes: int, unfair_images: Callable[..., Problem]) -> None:
    task = unfair_images(classes)
    _, last = METHODS[method](task, epochs=4, augment=True)
    y, _ = task.labels(task.test)
    assert last.score.shape == (*y.shape, 1 if classes == 2 else classes)
    guess = last.score.argmax(dim=-1) if classes > 2 else (last.score > last.score.median()).squeeze(-1).long()
    assert (guess == y).float().mean() > 1 / classes + 0.1


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"lr": 0.0}, "lr is 0"),
        ({"strength": -1.0}, "strength is -1"),
        ({"opponent_lr": 0.0}, "opponent_lr is 0"),
    ],
)
def test_settings_that_train_nothing_are_refused(settings: dict[str, float], key: str) -> None:
    with pytest.raises(InputError, match=key):
        Contested(**settings)  # type: ignore[arg-type]
