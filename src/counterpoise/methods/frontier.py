"""The frontier: every repair of every base under every penalty, judged by rows that it was not trained on.

For each base: heads under a grid of penalties (`heads.newton`), on trees as new leaf values; and rules in bias scores
(`rules.bias_scores`), derived from the base's probabilities of class and group. No model needs the group of the person
it judges.

Whatever chooses among them has to know how they do on new rows. So the rows to learn from are divided into folds: base,
heads, probabilities and rules are made again without each fold, and say what they make of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.bounds import NotNegative, Share, Values, require_increasing
from counterpoise.catalogue import UNREPAIRED
from counterpoise.errors import InputError, shown
from counterpoise.fairness import Compared
from counterpoise.methods.answers import ROWS_AT_ONCE, Answers, answers_in_order, tensors_of
from counterpoise.methods.bases import ground as grounds
from counterpoise.methods.bases.ground import Bases, Ground, Kind, Pretrained
from counterpoise.methods.cells import fold_numbers, in_order
from counterpoise.methods.frontier_results import EVALUATED, HELD_OUT, Ruled, Trained, results_of
from counterpoise.methods.heads.newton import Goal, Newton, solve
from counterpoise.methods.heads.penalties import CONSTRAINTS, Constraint
from counterpoise.methods.heads.problem import HeadProblem, settings_of
from counterpoise.methods.repair import Result
from counterpoise.methods.rules import bias_scores, linear
from counterpoise.methods.rules.bias_scores import Bank, BiasScores
from counterpoise.nn import Examples
from counterpoise.nn.random import generator

MOST_HELD_OUT = 0.5
LEAVES, HEADS, BIAS_SCORES = "leaves", "heads", "bias_scores"
"""Methods of the catalogue: new leaf values, heads on dense features, and rules."""


@dataclass(frozen=True)
class Frontier:
    """What is trained.

    Attributes:
        kinds: of bases.
        strengths: λ of the penalties; 0 is no penalty.
        thresholds: on the margin, that each head is tried with; they cost no training.
        class_weights: `balanced` gives both classes the same weight in the heads' cross-entropy.
        folds: into how many the rows to learn from are divided, so that everything is also judged by them; costs as
            many further trainings. 0: validation rows alone, which rules are then chosen on too, each half by the
            other.
        hold_out: share of the rows to learn from that settings are chosen on, such as the number of trees, before they
            are learnt from too. 0: the validation rows choose them, and then cannot certify anything.

    Raises:
        InputError: values that do not increase, or no 0 among those that the others are compared with; one fold.
    """

    kinds: Values[Kind]
    strengths: Values[NotNegative]
    constraints: Values[Constraint] = CONSTRAINTS
    thresholds: Values[float] = (0.0,)
    class_weights: Literal["balanced"] | None = None
    folds: Annotated[int, Ge(0)] = 3
    bases: Bases = field(default_factory=Bases)
    hold_out: Share = 0.0
    solver: Newton = field(default_factory=Newton)
    bias_scores: BiasScores = field(default_factory=BiasScores)

    def __post_init__(self) -> None:
        for name in ("strengths", "thresholds"):
            require_increasing(name, values := getattr(self, name))
            if 0 not in values:
                raise InputError(f"{name} are {shown(list(values))}, expected 0 among them, to compare the others with")
        if self.hold_out > MOST_HELD_OUT:
            raise InputError(
                f"hold_out is {self.hold_out:g}, expected at most {MOST_HELD_OUT:g}: most rows are to teach"
            )
        if self.folds == 1:
            raise InputError("folds is 1, expected 0 or at least 2, since one fold is all rows")


@dataclass(frozen=True)
class Variant:
    """One model of a base, by its settings: a head, a rule, or the base as it is."""

    kind: Kind
    method: str
    constraint: Constraint | None = None
    strength: float | None = None
    weight_decay: float | None = None

    @property
    def name(self) -> str:
        """A name that says the settings: `boosted_leaves_eo_0.3_wd10`, `linear_bias_scores_dp_0.05`."""
        parts = [self.kind, self.method, self.constraint]
        parts.append(None if self.strength is None else f"{self.strength:g}")
        parts.append(None if self.weight_decay is None else f"wd{self.weight_decay:g}")
        return "_".join(part for part in parts if part)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings under the column names of `metrics.parquet`."""
        return {
            "method": self.method,
            "base": self.kind,
            "alpha": None,
            "rank": None,
            "constraint": self.constraint,
            "strength": self.strength,
            "weight_decay": self.weight_decay,
        }


def variants_of(kind: Kind, settings: Frontier, *, classes: int = 2) -> tuple[list[Variant], list[Variant]]:
    """Return the heads and the rules of a base; the base as it is comes first among the heads.

    Heads under penalties are those of a margin: of more than two classes there are none but the base as it is.

    Raises:
        InputError: two have the same name.
    """
    method = LEAVES if kind == "boosted" else HEADS
    heads = [Variant(kind, UNREPAIRED)]
    for pull in settings.bases.pulls(kind) if classes == 2 else ():
        heads.append(Variant(kind, method, None, None, pull))
        heads += [
            Variant(kind, method, constraint, strength, pull)
            for constraint, strength in product(settings.constraints, settings.strengths)
            if strength > 0
        ]
    rules = [
        Variant(kind, BIAS_SCORES, constraint, level)
        for constraint, level in product(settings.constraints, settings.bias_scores.levels)
    ]
    name, times = Counter(variant.name for variant in [*heads, *rules]).most_common(1)[0]
    if times > 1:
        raise InputError(f"frontier: the grid has {name} {times} times, expected settings of which six digits differ")
    return heads, rules


def train_bases(problem: HeadProblem, settings: Frontier) -> list[list[Ground]]:
    """Train the bases of every replicate, each with the settings that its validation rows choose."""
    tasks = [(r, kind) for r in range(len(problem.seeds)) for kind in settings.kinds]
    trained: list[Ground] = problem.spread(
        train_base,
        tasks,
        shared=(settings, problem.examples, problem.parts, _sizes(problem), problem.seeds, problem.trained),
        on_done=problem.follow("bases", len(tasks)),
    )
    size = len(settings.kinds)
    return [trained[start : start + size] for start in range(0, len(trained), size)]


def train_base(
    task: tuple[int, Kind],
    settings: Frontier,
    data: Examples,
    parts: Mapping[str, Int[Tensor, "R _"]],
    sizes: Mapping[str, int],
    seeds: Sequence[int],
    trained: Pretrained | None = None,
) -> Ground:
    """Train a base of one replicate: a task for `compute`."""
    r, kind = task
    single, members, seed = data.replicate(r), parts["train"][r], seeds[r]
    groups, classes = sizes["groups"], sizes["classes"]
    shared = partial(grounds.fit, groups=groups, classes=classes, seed=seed, trained=trained)
    fit = partial(shared, kind, settings.bases, single)
    if not settings.hold_out:
        return fit(members, parts["validation"][r])
    draws = generator(seed, "rows held out")
    fold = _fold_numbers(single, members, round(1 / settings.hold_out), draws)
    first = fit(members[fold > 0], members[fold == 0])
    return fit(members, None, choice=first.choice)


def run(problem: HeadProblem, settings: Frontier, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Train every base's heads and rules on each replicate's training rows.

    Returns:
        The models by name: what they say of the validation rows, and with folds of each training row by models that
        were made without its fold, `scores.<part>` [R, m] and of more than two classes `predictions.<part>`; `head`
        [R, q + 1] (or [R, q + 1, k]) on the base, or `rule` [R, k·G + k, k]; as facts the settings, and who `diverged`:
        of those everything is NaN, and the prediction −1.

    Raises:
        InputError: a class or group is missing where it is needed.
    """
    problem.require_cells("or their rates cannot be compared")
    bases = problem.bases or train_bases(problem, settings)
    if (there := tuple(base.kind for base in bases[0])) != tuple(settings.kinds):
        raise InputError(f"{problem.title}: bases of the kinds {shown(list(there))}, expected {list(settings.kinds)}")
    replicates, sizes = range(len(problem.seeds)), _sizes(problem)
    folds = _folds(problem, settings.folds)
    kinds = range(len(settings.kinds))
    tasks: list[tuple[int, int, int | None]] = [(r, place, None) for r in replicates for place in kinds]
    tasks += [(r, place, fold) for r in replicates for place in kinds for fold in range(settings.folds)]
    shared = (settings, problem.examples, problem.parts, sizes, problem.seeds, problem.compared)
    trained: list[Trained] = problem.spread(
        train, tasks, shared=(bases, folds, *shared), on_done=problem.follow("frontier", len(tasks))
    )
    outcomes = dict(zip(tasks, trained, strict=True))
    judged = [(r, place) for r in replicates for place in kinds]
    ruled: list[Ruled] = problem.spread(
        derive_rules,
        [
            (r, place, [outcomes[r, place, fold].joint for fold in (None, *range(settings.folds))])
            for r, place in judged
        ],
        shared=(folds, *shared),
        on_done=problem.follow("bias scores", len(judged)),
    )
    rules = dict(zip(judged, ruled, strict=True))
    grids = [variants_of(kind, settings, classes=len(problem.classes)) for kind in settings.kinds]
    return results_of(grids, outcomes, rules, folds, settings.folds)


def outcomes_of(
    results: Sequence[Result], *, test: bool = False
) -> tuple[dict[str, dict[str, Any]], dict[str, Tensor]]:
    """Return the settings of each model by name, and what all models say; see `answers.tensors_of`."""
    variants = {name: variant | {"needs_group": False} for name, variant in settings_of(results).items()}
    return variants, tensors_of(results, test=test)


def train(
    task: tuple[int, int, int | None],
    bases: Sequence[Sequence[Ground]],
    folds: Int[Tensor, "R n"],
    settings: Frontier,
    data: Examples,
    parts: Mapping[str, Int[Tensor, "R _"]],
    sizes: Mapping[str, int],
    seeds: Sequence[int],
    compared: Compared,
) -> Trained:
    """Train the heads of one base of one replicate: a task for `compute`, here so that a worker imports no more.

    Args:
        task: which replicate, which of its bases, and which fold of its training rows to leave out, if any; the base
            is then trained anew without it, with the settings that were chosen with all, and says what it makes of it.
    """
    r, place, fold = task
    single, base = data.replicate(r), bases[r][place]
    members = {part: rows[r] for part, rows in parts.items()}
    learnt, evaluated = members["train"], {part: members[part] for part in EVALUATED}
    if fold is not None:
        out = folds[r] == fold
        learnt, evaluated = learnt[~out], {HELD_OUT: learnt[out]}
        base = grounds.fit(
            base.kind,
            settings.bases,
            single,
            learnt,
            None if settings.hold_out else members["validation"],
            **sizes,
            seed=seeds[r],
            choice=base.choice,
            trained=base.trained,
        )
    heads, _ = variants_of(base.kind, settings, classes=sizes["classes"])
    of_all = base.head.unsqueeze(0)
    if heads[1:]:
        # Of dense bases a pull is a multiple of the best one.
        unit = 1.0 if base.kind == "boosted" else base.choice.pull
        goals = [Goal(head.constraint, head.strength or 0.0, unit * (head.weight_decay or 0.0)) for head in heads[1:]]
        rows = base.rows(single, learnt, balanced=settings.class_weights == "balanced")
        start = grounds.start(base, rows)
        solved = solve(rows, goals, start, groups=sizes["groups"], settings=settings.solver, compared=compared)
        of_all = torch.cat([of_all, solved.heads])
    answers, joint = {}, {}
    for part, chosen in evaluated.items():
        said, cells = [], []
        for rows_at_once in chosen.split(ROWS_AT_ONCE):
            x = single.x[rows_at_once]
            view = base.base.view(x)
            said.append(_answers(of_all, *view))
            cells.append(base.joint(x, view))
        answers[part], joint[part] = Answers.joined(said), torch.cat(cells)
    return Trained(of_all, answers, joint)


def _answers(heads: Float[Tensor, "H p *k"], features: Float[Tensor, "m q"], offset: Float[Tensor, "m ..."]) -> Answers:
    """Return what heads say of rows."""
    if heads.ndim == 2:
        margins = torch.addmm(offset.unsqueeze(1), features, heads[:, :-1].T) + heads[:, -1]
        return Answers(margins.T.double().sigmoid().float())
    return Answers.of(torch.stack([grounds.margins(head, features, offset).T for head in heads]))


def derive_rules(
    task: tuple[int, int, Sequence[Mapping[str, Float[Tensor, "_ cells"]]]],
    folds: Int[Tensor, "R n"],
    settings: Frontier,
    data: Examples,
    parts: Mapping[str, Int[Tensor, "R _"]],
    sizes: Mapping[str, int],
    seeds: Sequence[int],
    compared: Compared,
) -> Ruled:
    """Derive the rules of one base of one replicate from what its trainings say of rows that they did not see.

    Args:
        task: which replicate and base, and what its trainings say of p(y, s | x): on all rows, and without each fold.
    """
    r, _, (of_all, *others) = task
    if others:
        members, fold = parts["train"][r], folds[r]
        probability = in_order([joint[HELD_OUT].T for joint in others], fold).T
    else:  # each half of the validation rows judges what the other has chosen
        members = parts["validation"][r]
        fold = _fold_numbers(data, members, 2, generator(seeds[r], "validation halves"))
        probability = of_all["validation"]
    banks: list[Bank] = [
        bias_scores.choose(
            settings.bias_scores,
            constraint,
            probability,
            data.y[members],
            data.s[members],
            fold,
            **sizes,
            seed=seeds[r],
            compared=compared,
        )
        for constraint in settings.constraints
    ]
    rules = torch.cat([bank.rules for bank in banks])
    without = torch.cat([bank.without for bank in banks], dim=1)  # F, L, k·G, k
    held_out = answers_in_order(
        [linear.answers(probability[fold == number], each) for number, each in enumerate(without)], fold
    )
    said = {part: linear.answers(of_all[part], rules) for part in EVALUATED}
    return Ruled(rules, said | {"train" if others else "validation": held_out})


def _sizes(problem: HeadProblem) -> dict[str, int]:
    return {"groups": len(problem.groups), "classes": len(problem.classes)}


def _folds(problem: HeadProblem, folds: int) -> Int[Tensor, "R n"]:
    """Assign each replicate's training rows to folds."""
    if not folds:
        return torch.zeros_like(problem.train)
    return torch.stack(
        [
            _fold_numbers(problem.examples, rows, folds, generator(seed, "frontier folds"))
            for rows, seed in zip(problem.train, problem.seeds, strict=True)
        ]
    )


def _fold_numbers(data: Examples, rows: Int[Tensor, "n"], folds: int, generator: torch.Generator) -> Int[Tensor, "n"]:
    return fold_numbers(data.y[rows], data.s[rows], data.units(rows), folds=folds, generator=generator)
