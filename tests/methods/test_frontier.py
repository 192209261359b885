"""The frontier: what judges a model has not taught it; replicates, bases and variants do not notice each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.methods import frontier
from counterpoise.methods.bases import boosted
from counterpoise.methods.bases import ground as grounds
from counterpoise.methods.bases.boosted import BoostedBase
from counterpoise.methods.bases.ground import Bases, Kind, from_tensors
from counterpoise.methods.bases.perceptron import PerceptronBase
from counterpoise.methods.frontier import Frontier, run, train_bases, variants_of
from counterpoise.methods.heads.problem import HeadProblem
from counterpoise.methods.repair import Result
from counterpoise.methods.rules import linear
from counterpoise.methods.rules.bias_scores import BiasScores
from counterpoise.methods.rules.linear import decide
from counterpoise.methods.selection.candidates import ours
from counterpoise.nn import Examples
from counterpoise.nn.trees import Boosting

N = 600
GRIDS = Bases(
    boosted=BoostedBase(
        grid=(Boosting(rounds=40, num_leaves=5), Boosting(rounds=20, num_leaves=9)), patience=3, group_rounds=5
    ),
    perceptron=PerceptronBase(widths=(3, 5), epochs=4),
)
"""Settings to choose among, on the rows that are held out or else on validation rows."""

SMALL = Bases(
    boosted=BoostedBase(grid=(Boosting(rounds=15, num_leaves=5),), group_rounds=10),
    perceptron=PerceptronBase(widths=(4,), epochs=3),
)
SETTINGS = Frontier(
    kinds=("boosted", "linear"),
    strengths=(0.0, 0.2),
    thresholds=(0.0,),
    folds=2,
    bases=SMALL,
    bias_scores=BiasScores(levels=(0.05, 0.3), weights=(1.0,), draws=8),
)


def problem_of(seeds: tuple[int, ...] = (0, 1), *, noise: bool = False) -> HeadProblem:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, 4, generator=generator)
    s = (torch.rand(N, generator=generator) < 0.4).long()
    x[:, 0] += 0.5 * s
    y = (x[:, 0] + x[:, 1] + 0.5 * torch.randn(N, generator=generator) > 0.3).long()
    if noise:
        y = y[torch.randperm(N, generator=generator)]
    order = [torch.randperm(N, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    train, validation, test = (
        torch.stack([rows[part].sort().values for rows in order])
        for part in (slice(0, 360), slice(360, 480), slice(480, N))
    )
    return HeadProblem(
        title="drawn points",
        examples=Examples(x, y, s),
        train=train,
        validation=validation,
        test=test,
        seeds=seeds,
        groups=("a", "b"),
        classes=("no", "yes"),
    )


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    return {result.name: result for result in run(problem_of(), SETTINGS, {})}


def everything(result: Result) -> Mapping[str, Tensor]:
    return {"score": result.score, **result.tensors}


def test_every_variant_is_there_with_scores_of_every_row(results: dict[str, Result]) -> None:
    expected = [variant.name for kind in SETTINGS.kinds for part in variants_of(kind, SETTINGS) for variant in part]
    assert list(results) == sorted(expected)
    for result in results.values():
        assert result.score.shape == (2, 120, 1)
        assert result.tensors["scores.validation"].shape == (2, 120)
        assert result.tensors["scores.train"].shape == (2, 360)
        assert result.tensors["scores.train"].isfinite().all()
        assert ("head" in result.tensors) != ("rule" in result.tensors)
        assert result.prediction.equal((result.score.squeeze(-1) > 0.5).to(torch.int8))


def test_what_judges_a_model_has_not_taught_it() -> None:
    """On labels that are noise, a model that has seen a row knows its label; one that has not, does not."""
    problem = problem_of((0,), noise=True)
    grown = replace(SMALL, boosted=BoostedBase(grid=(Boosting(rounds=40, min_data_in_leaf=5),), patience=40))
    settings = replace(SETTINGS, kinds=("boosted",), bases=grown)
    leaves = next(result for result in run(problem, settings, {}) if result.name == "boosted_unrepaired")
    y = problem.examples.y[problem.train[0]]
    assert roc_auc_score(y, leaves.tensors["scores.train"][0]) < 0.6
    (base,) = train_bases(problem, settings)[0]
    _, offset = base.base.view(problem.examples.x[problem.train[0]])
    assert roc_auc_score(y, offset) > 0.75


def test_rows_that_are_asked_about_in_blocks_are_answered_alike(
    results: dict[str, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (frontier, boosted, linear):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 50)  # of 120 in each part, and of 180 in a fold
    for result in run(problem_of(), SETTINGS, {}):
        for name, tensor in everything(results[result.name]).items():
            torch.testing.assert_close(everything(result)[name], tensor, rtol=1e-5, atol=1e-6)


def test_a_replicate_does_not_notice_the_others(results: dict[str, Result]) -> None:
    alone = {result.name: result for result in run(problem_of((1,)), SETTINGS, {})}
    for name, result in alone.items():
        for key, tensor in everything(result).items():
            other = everything(results[name])[key][1]
            assert tensor[0].equal(other[..., : tensor.shape[-1]] if key == "head" else other), (name, key)


def test_a_base_does_not_notice_the_others(results: dict[str, Result]) -> None:
    for kind in SETTINGS.kinds:
        for result in run(problem_of(), replace(SETTINGS, kinds=(kind,)), {}):
            for key, tensor in everything(result).items():
                assert tensor.equal(everything(results[result.name])[key]), (result.name, key)


def test_bases_that_are_given_are_used_and_survive_their_tensors(results: dict[str, Result]) -> None:
    problem = problem_of()
    bases = train_bases(problem, SETTINGS)
    stored = [
        [from_tensors(base.kind, base.choice, base.tensors(), groups=2, classes=2) for base in each] for each in bases
    ]
    for result in run(replace(problem, bases=stored), SETTINGS, {}):
        assert result.score.equal(results[result.name].score), result.name


def test_the_test_part_teaches_nothing(results: dict[str, Result]) -> None:
    single = problem_of((0,))
    flipped = single.examples.y.clone()
    flipped[single.test[0]] = 1 - flipped[single.test[0]]
    again = run(replace(single, examples=replace(single.examples, y=flipped)), SETTINGS, {})
    for result in again:
        assert result.score[0].equal(results[result.name].score[0]), result.name


def test_penalties_and_rules_take_effect(results: dict[str, Result]) -> None:
    problem = problem_of()

    def gap(name: str) -> float:
        sizes = []
        for r, rows in enumerate(problem.test):
            decided, s = results[name].prediction[r].double(), problem.examples.s[rows]
            sizes.append(abs(float(decided[s == 0].mean() - decided[s == 1].mean())))
        return sum(sizes) / len(sizes)

    assert gap("linear_heads_dp_0.2_wd1") < gap("linear_unrepaired")
    assert gap("linear_bias_scores_dp_0.05") < gap("linear_bias_scores_dp_0.3") + 0.05


def test_without_folds_validation_rows_judge(results: dict[str, Result]) -> None:
    for result in run(problem_of(), replace(SETTINGS, folds=0), {}):
        assert "scores.train" not in result.tensors
        if "head" in result.tensors:
            assert result.score.equal(results[result.name].score)


@pytest.mark.parametrize("hold_out", [0.25, 0.0])
def test_with_rows_held_out_validation_rows_teach_nothing(hold_out: float) -> None:
    """Heads, rules and bases stay the same to the bit whatever the labels of validation rows; else they choose."""
    problem = problem_of((0,))
    settings = replace(SETTINGS, hold_out=hold_out, kinds=("boosted", "perceptron", "linear"), bases=GRIDS)
    validation, y = problem.validation[0], problem.examples.y.clone()
    y[validation] = y[validation[torch.randperm(len(validation), generator=torch.Generator().manual_seed(3))]]
    assert not y.equal(problem.examples.y)
    other = replace(problem, examples=replace(problem.examples, y=y))
    (before,), (after,) = train_bases(problem, settings), train_bases(other, settings)
    same = [
        all(tensor.equal(theirs.tensors()[name]) for name, tensor in mine.tensors().items())
        for mine, theirs in zip(before, after, strict=True)
    ]
    assert all(same) if hold_out else not all(same)
    if hold_out:
        again = {result.name: result for result in run(other, settings, {})}
        for result in run(problem, settings, {}):
            for key, tensor in everything(result).items():
                assert tensor.equal(everything(again[result.name])[key]), (result.name, key)


@pytest.mark.parametrize("kind", ["boosted", "perceptron", "linear"])
def test_rows_that_chose_settings_are_then_learnt_from(kind: Kind) -> None:
    """With rows held out, the base is the one that all rows to learn from give under the settings which were chosen."""
    problem = problem_of((0,))
    ((base,),) = train_bases(problem, replace(SETTINGS, hold_out=0.25, kinds=(kind,), bases=GRIDS))
    rows, data = problem.train[0], problem.examples
    again = grounds.fit(kind, GRIDS, data, rows, None, groups=2, classes=2, seed=0, choice=base.choice)
    for name, tensor in base.tensors().items():
        assert tensor.equal(again.tensors()[name]), name


def test_more_groups() -> None:
    problem = problem_of((0,))
    s = torch.where(problem.examples.x[:, 3] > 0, problem.examples.s, 2 * torch.ones_like(problem.examples.s))
    three = replace(problem, examples=replace(problem.examples, s=s), groups=("a", "b", "c"))
    for result in run(three, SETTINGS, {}):
        assert result.score.isfinite().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folds": 1}, "folds is 1"),
        ({"hold_out": 0.6}, "hold_out is 0.6, expected at most 0.5"),
        ({"strengths": (0.1, 0.2)}, "expected 0 among them"),
        ({"strengths": (0.0, 0.2, 0.1)}, "strengths"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SETTINGS, **change)  # type: ignore[arg-type]


def test_a_cell_without_rows_is_named() -> None:
    problem = problem_of()
    y = torch.where(problem.examples.s == 1, 0, problem.examples.y)
    with pytest.raises(InputError, match="has no row of 'yes' among 'b'"):
        run(replace(problem, examples=replace(problem.examples, y=y)), SETTINGS, {})


@pytest.fixture(scope="module")
def of_classes() -> HeadProblem:
    """Three classes and three groups."""
    problem = problem_of((0, 1))
    data = problem.examples
    s = torch.where(data.x[:, 3] > 0.4, 2, data.s)
    y = data.y + (data.x[:, 2] + data.x[:, 1] > 0.8).long()
    return replace(problem, examples=replace(data, y=y, s=s), groups=("a", "b", "c"), classes=("low", "mid", "high"))


def test_of_more_classes_there_are_bases_and_rules(of_classes: HeadProblem) -> None:
    settings = replace(SETTINGS, kinds=("boosted", "perceptron", "linear"))
    results = {result.name: result for result in run(of_classes, settings, {})}
    expected = [
        variant.name for kind in settings.kinds for part in variants_of(kind, settings, classes=3) for variant in part
    ]
    assert list(results) == sorted(expected)
    assert not any("heads" in name or "leaves" in name for name in results)
    y = of_classes.examples.y
    for result in results.values():
        assert result.tensors["scores.train"].isfinite().all()
        assert set(result.prediction.unique().tolist()) <= {0, 1, 2}
        for rows, decided in (
            (of_classes.test, result.prediction),
            (of_classes.train, result.tensors["predictions.train"]),
        ):
            accuracy = (y[rows] == decided).double().mean()
            assert accuracy > torch.bincount(y).max() / N, result.name
        assert (result.score >= 1 / 3 - 1e-6).all()


def test_what_a_frontier_of_classes_says_is_what_its_bases_and_rules_say(of_classes: HeadProblem) -> None:
    bases = train_bases(of_classes, SETTINGS)
    x = of_classes.examples.x
    for result in run(replace(of_classes, bases=bases), SETTINGS, {}):
        base = next(each for each in bases[1] if each.kind == result.facts["base"])
        joint = base.joint(x[of_classes.test[1]])
        if "rule" in result.tensors:
            decided = decide(joint, result.tensors["rule"][1:2])[0]
        else:
            decided = joint.unflatten(1, (3, 3)).sum(dim=2).argmax(dim=1)
        assert (decided == result.prediction[1]).double().mean() > 0.99


def test_outcomes_of_classes_have_decisions_and_no_thresholds(of_classes: HeadProblem) -> None:
    results = run(of_classes, SETTINGS, {})
    variants, tensors = frontier.outcomes_of(results, test=True)
    assert set(tensors) == {
        f"{part}.{kind}" for part in ("train", "validation", "test") for kind in ("score", "prediction")
    }

    class Outcomes:
        def __init__(self) -> None:
            self.tensors = tensors
            self.header = {"variants": variants, "thresholds": [-0.5, 0.0]}

    candidates = ours(Outcomes())
    assert list(candidates.settings) == list(variants)
    for v, result in enumerate(results):
        assert candidates.prediction("test", 1, [v])[0].equal(result.prediction[1])


def test_bases_of_other_kinds_are_refused() -> None:
    problem = problem_of((0,))
    bases = train_bases(problem, replace(SETTINGS, kinds=("linear",)))
    with pytest.raises(InputError, match="bases of the kinds"):
        frontier.run(replace(problem, bases=bases), SETTINGS, {})
