"""Post-processing against aif360, which computes all three rules, and what each rule promises."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.fairness import aod, balanced_accuracy, confusion_counts, eod, spd
from counterpoise.methods.objective import Objective
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.postprocessing import (
    CalibratedOdds,
    RejectOption,
    RejectRule,
    calibrated_equalized_odds,
    equalized_odds,
    fit_calibrated_odds,
    fit_equalized_odds,
    fit_reject_option,
    reject_option,
)
from counterpoise.nn.networks import evaluate

GROUPS: dict[str, Any] = {"unprivileged_groups": [{"s": 0}], "privileged_groups": [{"s": 1}]}
METRICS = {
    "spd": "Statistical parity difference",
    "aod": "Average odds difference",
    "eod": "Equal opportunity difference",
}
N = 500


@cache
def aif360(name: str) -> Any:
    """Return a module of aif360, which takes seconds to import."""
    with warnings.catch_warnings():  # of other parts of the library, for what is not installed
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            return pytest.importorskip(f"aif360.{name}")
        finally:
            logging.disable(logging.NOTSET)


def table(labels: Tensor, s: Tensor, score: Tensor | None = None) -> Any:
    """Return rows as aif360 wants them."""
    frame = pd.DataFrame({"s": s.double().numpy(), "y": labels.double().numpy()})
    made = aif360("datasets").BinaryLabelDataset(df=frame, label_names=["y"], protected_attribute_names=["s"])
    if score is not None:
        made.scores = score.numpy().reshape(-1, 1)
    return made


@pytest.fixture(params=[0, 1, 2])
def rows(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor, Tensor]:
    """Scores that are lower for group 0, classes and groups."""
    drawn = torch.Generator().manual_seed(request.param)
    s = torch.randint(0, 2, (N,), generator=drawn)
    signal = torch.randn(N, generator=drawn, dtype=torch.float64) + 0.8 * s
    y = (signal + torch.randn(N, generator=drawn) > 0.6).long()
    return (1.5 * signal - 0.7).sigmoid(), y, s


@pytest.mark.parametrize("bias", METRICS)
def test_reject_option_is_aif360s(bias: str, rows: tuple[Tensor, Tensor, Tensor]) -> None:
    score, y, s = rows
    objective = Objective(bias, "balanced_accuracy", tolerance=0.05, margin=0.02)  # type: ignore[arg-type]
    settings = RejectOption(thresholds=15, margins=8)
    rule = fit_reject_option(score, y, s, objective, settings, favoured=0)
    theirs = aif360("algorithms.postprocessing").RejectOptionClassification(
        **GROUPS, num_class_thresh=15, num_ROC_margin=8, metric_name=METRICS[bias], metric_lb=-0.03, metric_ub=0.03
    )
    given = table((score > 0.5).long(), s, score)
    theirs.fit(table(y, s), given)
    assert (rule.threshold, rule.margin) == pytest.approx((theirs.classification_threshold, theirs.ROC_margin))
    assert rule(score, s).tolist() == theirs.predict(given).labels.ravel().tolist()
    assert rule.margin > 0


def test_equalized_odds_are_aif360s(rows: tuple[Tensor, Tensor, Tensor]) -> None:
    score, y, s = rows
    decision = (score > 0.5).long()
    rule = fit_equalized_odds(decision, y, s)
    theirs = aif360("algorithms.postprocessing").EqOddsPostprocessing(**GROUPS).fit(table(y, s), table(decision, s))
    positive1, negative1, positive0, negative0 = theirs.model_params.x
    assert rule.flatten().tolist() == pytest.approx([negative0, positive0, negative1, positive1], abs=1e-9)


@pytest.mark.parametrize("cost", ["fpr", "fnr", "weighted"])
def test_calibrated_odds_are_aif360s(cost: str, rows: tuple[Tensor, Tensor, Tensor]) -> None:
    score, y, s = rows
    rule = fit_calibrated_odds(score, y, s, CalibratedOdds(cost))  # type: ignore[arg-type]
    theirs = aif360("algorithms.postprocessing").CalibratedEqOddsPostprocessing(**GROUPS, cost_constraint=cost)
    theirs.fit(table(y, s), table((score > 0.5).long(), s, score))
    assert rule.rate.clamp(max=1).tolist() == pytest.approx(
        np.clip([theirs.unpriv_mix_rate, theirs.priv_mix_rate], 0, 1)
    )
    assert rule.positive.tolist() == pytest.approx([theirs.base_rate_unpriv, theirs.base_rate_priv])


def test_calibrated_odds_replace_the_share_they_say(rows: tuple[Tensor, Tensor, Tensor]) -> None:
    score, y, s = rows
    rule = fit_calibrated_odds(score, y, s, CalibratedOdds("fnr"))
    many, groups = score.repeat(40), s.repeat(40)
    made = rule(many, groups, torch.Generator().manual_seed(0))
    for group in range(2):
        own = groups == group
        assert (made[own] != many[own]).double().mean().item() == pytest.approx(rule.rate[group].item(), abs=0.02)
    assert rule.rate.max() > 0.05


def test_all_of_a_group_is_mixed_where_the_other_is_worse_than_chance() -> None:
    """Scores tell the first group's classes and mistake the second's: a share above 1 would be needed."""
    y, s = torch.tensor([0, 1] * 50), torch.arange(100) // 50
    score = torch.where(s == 0, 0.2 + 0.6 * y, 0.9 - 0.8 * y).double()
    rule = fit_calibrated_odds(score, y, s, CalibratedOdds(cost="fnr"))
    assert rule.rate.tolist() == [1.0, 0.0]


def test_equalized_odds_are_equal_in_expectation(rows: tuple[Tensor, Tensor, Tensor]) -> None:
    score, y, s = rows
    decision = (score > 0.5).long()
    chance = fit_equalized_odds(decision, y, s)[s, decision]
    for label in range(2):
        means = [chance[(s == group) & (y == label)].mean().item() for group in range(2)]
        assert means[0] == pytest.approx(means[1], abs=1e-9)


@pytest.mark.parametrize("favoured", [0, 1])
def test_rejected_rows_go_by_their_group(favoured: int) -> None:
    """Nobody but the favoured group is helped, nobody of it is harmed, and far rows keep their class."""
    score = torch.linspace(0, 1, 401, dtype=torch.float64).repeat(2)
    s = torch.arange(2).repeat_interleave(401)
    y = (score + 0.2 * s > 0.6).long()
    objective = Objective("spd", "balanced_accuracy", tolerance=0.05, margin=0.02)
    rule = fit_reject_option(score, y, s, objective, RejectOption(), favoured=favoured)
    moved = rule(score, s) - (score > rule.threshold).long()
    assert (moved[s == favoured] >= 0).all()
    assert (moved[s != favoured] <= 0).all()
    assert not moved[(score - rule.threshold).abs() > rule.margin].any()


BIAS = {"spd": spd, "aod": aod, "eod": eod}
METHODS: dict[str, Callable[[Problem], list[Result]]] = {
    "reject": lambda task: reject_option(replace(task, method="reject"), RejectOption(thresholds=40, margins=20), {}),
    "odds": lambda task: equalized_odds(replace(task, method="odds"), None, {}),
    "calibrated": lambda task: calibrated_equalized_odds(replace(task, method="calibrated"), CalibratedOdds("fnr"), {}),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bias", BIAS)
def test_the_base_becomes_fairer_on_test(method: str, bias: str, unfair: Callable[..., Problem]) -> None:
    task = unfair(bias=bias)
    before = task.judged(task.network(), task.dval, aim="performance").bias
    assert before.abs().min() > 0.14
    (outcome,) = METHODS[method](task)
    y, s = task.labels(task.test)
    counts = confusion_counts(y, outcome.prediction, s, groups=2, classes=2)
    promised = aod if (method, bias) == ("odds", "spd") else BIAS[bias]  # odds say nothing of shares
    assert promised(counts).abs().mean() < 0.1
    assert (balanced_accuracy(counts) >= (0.5 if method == "calibrated" else 0.7)).all()
    assert not outcome.tensors, "there is no network but the base"
    assert outcome.epoch is None
    assert outcome.facts["chosen_on"] == task.dval.shape[1]


@pytest.mark.parametrize("method", ["reject", "calibrated"])
def test_the_choice_is_the_best_of_what_is_possible(method: str, unfair: Callable[..., Problem]) -> None:
    """Nothing that is within the tolerance without the rule is better: the rule may as well do nothing."""
    task = unfair()
    (outcome,) = METHODS[method](task)
    assert (outcome.facts["bias"].abs() < task.goal.bound).all()
    if method == "reject":
        assert (outcome.facts["phi"] > task.judged(task.network(), task.dval).phi).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_replicate_is_the_same_beside_others_and_alone(method: str, unfair: Callable[..., Problem]) -> None:
    (together,) = METHODS[method](unfair())
    (alone,) = METHODS[method](unfair().replicate(1))
    assert torch.equal(alone.prediction[0], together.prediction[1])
    torch.testing.assert_close(alone.score[0], together.score[1])


@pytest.mark.parametrize("method", METHODS)
def test_more_classes_than_two_are_refused(method: str, unfair: Callable[..., Problem]) -> None:
    with pytest.raises(InputError, match="3 classes, expected two"):
        METHODS[method](unfair(classes=3, bias="mean_bias"))


def test_the_group_that_the_base_favours_less_is_favoured(unfair: Callable[..., Problem]) -> None:
    """Whichever its number is."""
    task = unfair(bias="spd")
    turned = replace(task, examples=replace(task.examples, s=1 - task.examples.s))
    seen = set()
    for one in (task, turned):
        (outcome,) = METHODS["reject"](one)
        threshold = one.judged(one.network(), one.dval, aim="performance").threshold
        score = evaluate(one.network(), one.examples, one.dval).logits[..., 0].sigmoid().double()
        _, s = one.labels(one.dval)
        for r in range(len(score)):
            rates = [(score[r][s[r] == group] > threshold[r]).double().mean().item() for group in (0, 1)]
            assert outcome.fact("favoured", r) == rates.index(min(rates))
            seen.add(outcome.fact("favoured", r))
    assert seen == {0.0, 1.0}


def test_what_cannot_be_fair_is_as_fair_as_can_be() -> None:
    """At the two thresholds, 0.01 and 0.99, without a margin, the true positive rates differ by 1/2 and by 1/4."""
    score = torch.tensor([0.005, 0.5, 0.3, 0.5, 0.5, 0.5, 0.995, 0.1], dtype=torch.float64)
    s = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    y = torch.tensor([1, 1, 0, 1, 1, 1, 1, 0])
    objective = Objective("eod", "balanced_accuracy")
    rule = fit_reject_option(score, y, s, objective, RejectOption(thresholds=2, margins=1), favoured=0)
    assert rule == RejectRule(threshold=0.99, margin=0.0, favoured=0)
