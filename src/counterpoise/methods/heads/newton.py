"""A second-order solver for banks of binary heads under penalties of gaps between groups.

    z = offset + x @ a + b,   loss = CE(z) + λ Σ |gap| + ½ μ |a|²

All heads see the same rows, so that the curvature of the cross-entropy is computed once, at the unpenalised head, and
shared. What differs from head to head is the curvature of its penalties, which has a rank as low as their number: each
head's step solves (H + U D Uᵀ) step = gradient by the Woodbury identity. Some 15 passes over the rows reach what takes
first-order methods hundreds (benchmarks/bench_frontier.py).

A penalty |g| has no derivative at 0, where strong ones end; it is replaced by √(g² + δ²) − δ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor
from torch.nn import functional

from counterpoise.bounds import Count, Positive
from counterpoise.fairness import Compared
from counterpoise.methods.heads.penalties import Constraint
from counterpoise.nn.linalg import COLUMN_BLOCK

ROWS_AT_ONCE, HEADS_AT_ONCE = 512, 128
"""What is worked on together: 256 kB of float32, of which a handful of arrays stay in a core's own cache."""

FREE = 1e-8
"""Added to the curvature of the intercept, which nothing pulls, so that it can be inverted for a single class."""

WIDE, KEPT = 256, 4
"""With more coefficients than this, a curvature serves for several steps: it costs as much as hundreds of gradients."""

STEPS, STEPS_APART = 8, 100
"""Newton's steps to the unpenalised head, at most; the latter where columns are no fewer than rows: these can then be
told apart, and margins grow as the pull weakens."""

WEAKEST = 1e-5
"""The weakest pull where columns are no fewer than rows: below, the rounding of gradients decides where no row does."""

RISE = 1e-9
"""An objective that rises by no more than this has not risen: rounding."""

FALLING, LAST = 1e-5, 3
"""A head whose objective fell by more than this in so many last steps has not arrived."""


@dataclass(frozen=True)
class Newton:
    """How long the solver runs.

    Attributes:
        steps: of every head; each is a pass over the rows.
        rounds: of so many steps, at most; the second and later ones are for heads whose objective still falls, which is
            where penalties are strong and columns many.
        smoothing: δ, the gap below which its absolute value is rounded off.
        temperature: rates are means of σ(temperature · z); above 1 they are nearer to rates of decisions.
    """

    steps: Count = 15
    rounds: Count = 4
    smoothing: Positive = 0.003
    temperature: Positive = 2.0


@dataclass(frozen=True)
class Goal:
    """What one head minimises beside the cross-entropy: strength λ of a constraint's gaps, and the pull μ."""

    constraint: Constraint | None
    strength: float
    pull: float


@dataclass(frozen=True, eq=False)
class Rows:
    """What heads are fitted to: features [n, q], the margin that they add to [n], classes 0 and 1, and groups.

    weights: what each row counts in the mean cross-entropy [n]; they sum to one.
    """

    x: Float[Tensor, "n q"]
    offset: Float[Tensor, "n"]
    y: Int[Tensor, "n"]
    s: Int[Tensor, "n"]
    weights: Float[Tensor, "n"]


@dataclass(frozen=True, eq=False)
class Solved:
    """Heads [V, q + 1], the last column the intercept, and their objectives before and after each step, as many as the
    one with the most took [V, steps + 1].

    A head whose objective is not finite is NaN.
    """

    heads: Float[Tensor, "V p"]
    objective: Float[Tensor, "V i"]


@dataclass(frozen=True, eq=False)
class Plain:
    """An unpenalised head [q + 1], and the curvature of the cross-entropy there, without the pull."""

    head: Float[Tensor, "p"]
    curvature: Float64[Tensor, "p p"]


def row_weights(y: Int[Tensor, "n"], *, balanced: bool = False) -> Float[Tensor, "n"]:
    """Return what each row counts; `balanced` gives both classes the same weight."""
    if not balanced:
        return torch.full(y.shape, 1 / len(y))
    counts = torch.bincount(y, minlength=2)
    return (0.5 / counts.clamp(min=1).float())[y]


def contrasts(
    constraint: Constraint, y: Int[Tensor, "n"], s: Int[Tensor, "n"], groups: int, compared: Compared = None
) -> Float[Tensor, "J n"]:
    """Return the weights of rows whose weighted sums of probabilities are the gaps of a constraint.

    Of two groups the gap is the difference of their rates. Of more, each group's rate less the mean of all groups'
    rates is one gap, so that the sum of sizes is that of two groups where there are two. `dp`: over all rows; `eo`:
    within each class. A group that has no row, or is not `compared`, takes no part.
    """
    strata = [torch.ones_like(y, dtype=torch.bool)] if constraint == "dp" else [y == 0, y == 1]
    of_all = range(groups) if compared is None else compared
    gaps = []
    for stratum in strata:
        members = torch.stack([stratum & (s == group) for group in of_all]).float()
        members = members[members.any(dim=1)]
        if len(members) < 2:
            continue
        rates = members / members.sum(dim=1, keepdim=True)
        gaps.append(rates[:1] - rates[1:] if len(rates) == 2 else rates - rates.mean(dim=0))
    return torch.cat(gaps) if gaps else torch.zeros(0, len(y))


def plain(rows: Rows, pull: float, *, steps: int | None = None, start: Float[Tensor, "p"] | None = None) -> Plain:
    """Fit the unpenalised head by Newton's method with step halving; L2-penalised logistic regression with an offset.

    scikit-learn's `LogisticRegression` with C = 1 / (n · pull) has the same optimum where rows weigh the same.
    """
    x = _with_intercept(rows)
    head, margins = _minimum(x, rows, pull, steps, start)
    return Plain(head.float(), _curvature(x, margins, rows))


def plain_head(rows: Rows, pull: float, *, start: Float[Tensor, "p"] | None = None) -> Float[Tensor, "p"]:
    """Return the head of `plain`; the curvature at it is not computed."""
    return _minimum(_with_intercept(rows), rows, pull, None, start)[0].float()


def _with_intercept(rows: Rows) -> Float[Tensor, "n p"]:
    return torch.cat([rows.x, torch.ones(len(rows.x), 1)], dim=1)


def _minimum(
    x: Float[Tensor, "n p"], rows: Rows, pull: float, steps: int | None, start: Float[Tensor, "p"] | None
) -> tuple[Float64[Tensor, "p"], Float[Tensor, "n"]]:
    """Return the head and its margins after Newton's method."""
    is_wide = x.shape[1] > len(x)
    pulls = _pulls(x.shape[1], max(pull, WEAKEST) if is_wide else pull)
    head = torch.zeros(x.shape[1], dtype=torch.float64) if start is None else start.double()
    sign = (2 * rows.y - 1).float()

    def value(head: Tensor) -> tuple[Tensor, Tensor]:
        margins = rows.offset + x @ head.float()
        losses = functional.softplus(-margins * sign) * rows.weights
        return losses.double().sum() + 0.5 * (pulls * head * head).sum(), margins

    objective, margins = value(head)
    factor: tuple[Tensor, Tensor] | None = None
    for number in range((STEPS_APART if is_wide else STEPS) if steps is None else steps):
        gradient = _slope(x, margins, rows) + pulls * head
        if factor is None or not number % (KEPT if len(head) > WIDE else 1):
            factor = torch.linalg.lu_factor(_curvature(x, margins, rows) + torch.diag(pulls))
        step = torch.linalg.lu_solve(*factor, gradient.unsqueeze(1)).squeeze(1)
        if float(gradient @ step) < RISE:
            break
        size = 1.0
        while size > RISE:
            lower, there = value(head - size * step)
            if lower < objective:
                head, objective, margins = head - size * step, lower, there
                break
            size /= 2
        else:
            break
    return head, margins


def solve(
    rows: Rows, goals: Sequence[Goal], base: Plain, *, groups: int, settings: Newton, compared: Compared = None
) -> Solved:
    """Train a head for each goal, all from the unpenalised one.

    Args:
        base: the unpenalised head and the curvature there. Goals of other pulls than its own may use it too: it is
            where they start and what scales their steps, not what they end at.
        compared: the groups whose gaps are penalised; rows of all are fitted.
    """
    heads = base.head.repeat(len(goals), 1)
    x = _with_intercept(rows)
    inverses = {
        pull: torch.linalg.inv(base.curvature + torch.diag(_pulls(x.shape[1], pull))).float()
        for pull in {goal.pull for goal in goals}
    }
    gaps: dict[Constraint | None, Tensor] = {None: torch.zeros(0, len(x))}
    history: list[Float[Tensor, "V i"]] = []
    falling = list(range(len(goals)))
    while falling and len(history) < settings.rounds:
        there = history[-1][:, -1:] if history else torch.full((len(goals), 1), torch.nan)
        objective = there.repeat(1, settings.steps + 1)
        for constraint in dict.fromkeys(goals[v].constraint for v in falling):
            if constraint is not None and constraint not in gaps:
                gaps[constraint] = contrasts(constraint, rows.y, rows.s, groups, compared)
            members = [v for v in falling if goals[v].constraint == constraint]
            for start in range(0, len(members), HEADS_AT_ONCE):
                chunk = members[start : start + HEADS_AT_ONCE]
                # Whole blocks of columns: a head's bits do not depend on how many are trained beside it.
                padded = [*chunk, *chunk[-1:] * (-len(chunk) % COLUMN_BLOCK)]
                bank = _Bank(x, rows, gaps[constraint], [goals[v] for v in padded], inverses, settings)
                solved = bank.run(heads[padded].T.contiguous())
                heads[chunk], objective[chunk] = solved.heads[: len(chunk)], solved.objective[: len(chunk)]
        history.append(objective)
        last = objective[:, -min(LAST, settings.steps) - 1]
        falling = [v for v in falling if last[v] - objective[v, -1] > FALLING]
    heads[~heads.isfinite().all(dim=1)] = torch.nan
    return Solved(heads, torch.cat([each[:, number > 0 :] for number, each in enumerate(history)], dim=1))


class _State(NamedTuple):
    """What a pass over the rows tells of each head: its objective, its gradient but for the penalties of gaps, the
    gaps, and their gradients.
    """

    objective: Float[Tensor, "V"]
    gradient: Float[Tensor, "p V"]
    gaps: Float[Tensor, "J V"]
    slopes: Float[Tensor, "J p V"]


class _Bank:
    """Heads with the same gaps, J of them, as columns."""

    def __init__(
        self,
        x: Float[Tensor, "n p"],
        rows: Rows,
        gaps: Float[Tensor, "J n"],
        goals: Sequence[Goal],
        inverses: Mapping[float, Float[Tensor, "p p"]],
        settings: Newton,
    ) -> None:
        self.gaps, self.settings = gaps, settings
        y = rows.y.float().unsqueeze(1)
        against = 1 - 2 * y
        by_row = [one.split(ROWS_AT_ONCE) for one in (x, rows.offset.unsqueeze(1), y, against, rows.weights)]
        self.blocks = list(zip(*by_row, gaps.split(ROWS_AT_ONCE, dim=1), strict=True))
        self.strength = torch.tensor([goal.strength for goal in goals], dtype=torch.float32)
        pulls = torch.tensor([goal.pull for goal in goals], dtype=torch.float64)
        each, self.which = pulls.unique(return_inverse=True)
        self.inverse = [inverses[pull] for pull in each.tolist()]
        self.pull = torch.ones(x.shape[1], 1) * pulls.float()
        self.pull[-1] = FREE

    def run(self, heads: Float[Tensor, "p V"]) -> Solved:
        size = torch.ones(heads.shape[1])
        there = self.at(heads)
        history = [there.objective]
        for _ in range(self.settings.steps):
            trial = heads - size * self.direction(there)
            then = self.at(trial)
            lower: Bool[Tensor, "V"] = then.objective <= there.objective + RISE
            heads = torch.where(lower, trial, heads)
            there = _State(*(torch.where(lower, new, old) for new, old in zip(then, there, strict=True)))
            size = torch.where(lower, (2 * size).clamp(max=1), 0.3 * size)
            history.append(there.objective)
        return Solved(heads.T.contiguous(), torch.stack(history, dim=1))

    def at(self, heads: Float[Tensor, "p V"]) -> _State:
        """Pass over the rows, a block of them at a time, which stays in the cache meanwhile."""
        width, count = heads.shape
        temperature = self.settings.temperature
        objective = 0.5 * (self.pull * heads * heads).sum(dim=0)
        gradient = self.pull * heads
        gaps, slopes = heads.new_zeros(len(self.gaps), count), heads.new_zeros(len(self.gaps), width, count)
        for x, offset, y, against, weights, each in self.blocks:
            margins = torch.addmm(offset, x, heads)
            objective.addmv_(functional.softplus(margins * against).T, weights)
            gradient.addmm_(x.T, margins.sigmoid().sub_(y).mul_(weights.unsqueeze(1)))
            if not len(each):
                continue
            soft = margins.mul_(temperature).sigmoid_()
            gaps.addmm_(each, soft)
            slope = torch.addcmul(soft, soft, soft, value=-1).mul_(temperature)
            for number, of_rows in enumerate(each):
                slopes[number].addmm_(x.T, slope * of_rows.unsqueeze(1))
        size = (gaps.square() + self.settings.smoothing**2).sqrt() - self.settings.smoothing
        return _State(objective + self.strength * size.sum(dim=0), gradient, gaps, slopes)

    def direction(self, there: _State) -> Float[Tensor, "p V"]:
        """Return (H + U D Uᵀ)⁻¹ gradient of every head."""
        if not len(self.gaps):
            return self.solve(there.gradient)
        gaps, slopes, delta = there.gaps, there.slopes, self.settings.smoothing
        root = (gaps.square() + delta**2).sqrt()
        first, second = self.strength * gaps / root, self.strength * delta**2 / root**3  # J, V
        towards = torch.stack([self.solve(one) for one in slopes])
        step = self.solve(there.gradient + (first.unsqueeze(1) * slopes).sum(dim=0))
        system = torch.einsum("iqv,jqv->vij", slopes, towards) * second.T.unsqueeze(1)
        system = system + torch.eye(len(self.gaps))
        right = torch.einsum("jqv,qv->vj", slopes, step)
        weight = torch.linalg.solve(system, right)
        return step - torch.einsum("jqv,jv->qv", towards, second * weight.T)

    def solve(self, columns: Float[Tensor, "p V"]) -> Float[Tensor, "p V"]:
        """Return H⁻¹ columns, each by the curvature with its own pull."""
        if len(self.inverse) == 1:
            return self.inverse[0] @ columns
        result = torch.empty_like(columns)
        for number, inverse in enumerate(self.inverse):
            result = torch.where(self.which == number, inverse @ columns, result)
        return result


def _curvature(x: Tensor, margins: Tensor, rows: Rows) -> Float64[Tensor, "p p"]:
    """Return the curvature of the cross-entropy."""
    probability = margins.sigmoid()
    bent = (probability * (1 - probability) * rows.weights).unsqueeze(1)
    return (x.T @ (x * bent)).double()


def _slope(x: Tensor, margins: Tensor, rows: Rows) -> Float64[Tensor, "p"]:
    """Return the gradient of the cross-entropy."""
    return (x.T @ ((margins.sigmoid() - rows.y) * rows.weights)).double()


def _pulls(width: int, pull: float) -> Float64[Tensor, "p"]:
    """Return μ of every coefficient; the intercept is free."""
    return torch.cat([torch.full((width - 1,), pull, dtype=torch.float64), torch.tensor([FREE], dtype=torch.float64)])
