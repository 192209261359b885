"""A base with what everything on it starts from: the unpenalised head, and the probabilities of class and group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.methods.bases import boosted, dense, estimator, perceptron
from counterpoise.methods.bases.boosted import Boosted, BoostedBase
from counterpoise.methods.bases.dense import Dense, DenseBase
from counterpoise.methods.bases.dense import margins as margins  # of every base, so to be had from here
from counterpoise.methods.bases.estimator import Classifier, Estimated
from counterpoise.methods.bases.perceptron import Perceptron, PerceptronBase, Shape
from counterpoise.methods.heads.newton import Plain, Rows, plain
from counterpoise.methods.rules.joint import (
    TEMPERATURES,
    GroupHeads,
    GroupTrees,
    choose_group_heads,
    fit_group_heads,
    fit_group_trees,
    joint,
)
from counterpoise.nn import Examples
from counterpoise.nn.trees import Boosting, Trees, as_bytes, as_text

Kind = Literal["boosted", "perceptron", "linear", "frozen"]
"""Trees; a network's last layer; a table's own columns; features that come ready."""

Pretrained = Trees | Tensor | Classifier
"""A model that comes as the unrepaired one: trees, the head [d + 1] on its features, or a classifier to be fitted."""


@runtime_checkable
class Base(Protocol):
    """What is frozen."""

    def view(self, x: Float[Tensor, "n D"]) -> tuple[Float[Tensor, "n q"], Float[Tensor, "n *k"]]:
        """Return the features that a head sees, and the margin (of more than two classes, log odds) that it adds to."""

    def tensors(self) -> dict[str, Tensor]:
        """Return what the base consists of."""


_READ: Mapping[Kind, Callable[[dict[str, Tensor]], Base]] = {
    "boosted": boosted.from_tensors,
    "perceptron": Perceptron.from_tensors,
    "linear": Dense.from_tensors,
    "frozen": Dense.from_tensors,
}


@dataclass(frozen=True)
class Bases:
    """How each kind of base is trained."""

    boosted: BoostedBase = field(default_factory=BoostedBase)
    perceptron: PerceptronBase = field(default_factory=PerceptronBase)
    dense: DenseBase = field(default_factory=DenseBase)

    def pulls(self, kind: Kind) -> tuple[float, ...]:
        """Return the strengths μ that heads are held with: absolute on trees, else multiples of the best one."""
        if kind == "boosted":
            return tuple(self.boosted.pulls)
        return tuple(self.perceptron.pulls if kind == "perceptron" else self.dense.pulls)


@dataclass(frozen=True)
class Choice:
    """What watched rows chose for a base: how trees are grown, the shape of a network, the strength of the pull.

    Attributes:
        group_rounds, group_pull: of the trees, or the heads, that tell the groups apart. temperature,
            group_temperature: see `Ground`.
        log_loss: of the unrepaired model on the watched rows.
        trained: whether the model came trained; `boosting` is then for the trees that tell the groups apart.
    """

    boosting: Boosting | None = None
    shape: Shape | None = None
    pull: float = 0.0
    group_rounds: int = 0
    group_pull: float = 0.0
    temperature: float = 1.0
    group_temperature: float = 1.0
    log_loss: float = float("nan")
    trained: bool = False


@dataclass(frozen=True, eq=False)
class Ground:
    """A base of one replicate, and what stands on it before any repair.

    Attributes:
        head: the unrepaired one [q + 1], of more than two classes [q + 1, k]: of trees zeros, since they are complete
            without one.
        group: p(s | x, y) [n, k, G]: of a table's columns where the base is trees, else of the base's features.
        temperature: what margins are divided by to be calibrated log odds.
    """

    kind: Kind
    base: Base
    choice: Choice
    head: Float[Tensor, "p *k"]
    group: GroupTrees | GroupHeads
    temperature: float = 1.0

    @property
    def trained(self) -> Pretrained | None:
        """The model that came trained, None of one that was trained here: what other rows' base is made from."""
        if not self.choice.trained:
            return None
        if isinstance(self.base, Boosted):
            return self.base.trees
        if isinstance(self.base, Estimated):
            return self.base.unfitted
        assert isinstance(self.base, Dense)
        return self.base.unstandardised(self.head)

    def rows(self, data: Examples, members: Int[Tensor, "n"], *, balanced: bool = False) -> Rows:
        """Return rows of a replicate as heads on this base see them."""
        return dense.rows_of(self.base.view(data.x[members]), data.y[members], data.s[members], balanced=balanced)

    def joint(self, x: Float[Tensor, "n D"], view: tuple[Tensor, Tensor] | None = None) -> Float[Tensor, "n cells"]:
        """Return p(y, s | x), class by class."""
        features, offset = self.base.view(x) if view is None else view
        of_class = _probabilities(margins(self.head, features, offset).double() / self.temperature)
        return joint(of_class, self.group(x if isinstance(self.group, GroupTrees) else features))

    def tensors(self) -> dict[str, Tensor]:
        """Return all of it as tensors; texts are bytes."""
        if isinstance(self.group, GroupTrees):
            of_group = {"group.trees": as_bytes(self.group.text)}
        else:
            of_group = {"group.heads": self.group.heads}
        temperatures = torch.tensor([self.temperature, self.group.temperature], dtype=torch.float64)
        base = {f"base.{name}": tensor for name, tensor in self.base.tensors().items()}
        return base | of_group | {"head": self.head, "temperatures": temperatures}


def from_tensors(kind: Kind, choice: Choice, tensors: Mapping[str, Tensor], *, groups: int, classes: int) -> Ground:
    """Return the ground of `Ground.tensors`."""
    of_class, of_group = tensors["temperatures"].tolist()
    group: GroupTrees | GroupHeads
    if "group.trees" in tensors:
        group = GroupTrees(as_text(tensors["group.trees"]), groups, classes, of_group)
    else:
        group = GroupHeads(tensors["group.heads"], of_group)
    base = {name.removeprefix("base."): tensor for name, tensor in tensors.items() if name.startswith("base.")}
    return Ground(kind, _READ[kind](base), choice, tensors["head"], group, of_class)


def fit(
    kind: Kind,
    settings: Bases,
    data: Examples,
    members: Int[Tensor, "n"],
    watched: Int[Tensor, "m"] | None,
    *,
    groups: int,
    classes: int,
    seed: int,
    choice: Choice | None = None,
    trained: Pretrained | None = None,
) -> Ground:
    """Train a base on rows of one replicate; of one that comes trained, only what stands on it.

    Args:
        data: of one replicate: columns of a table, or features.
        watched: rows to choose settings and temperatures on; None where all of them were chosen before.
        choice: settings that were chosen before; else they are chosen here.
        trained: the trees, or the head, of a model that comes trained.

    Raises:
        InputError: neither watched rows nor a choice.
    """
    if watched is None:
        if choice is None:
            raise InputError(
                f"a {kind} base: neither rows to choose its settings on nor a choice, expected one of both"
            )
        sizes = {"groups": groups, "classes": classes}
        return _refitted(kind, settings, data, members, choice, **sizes, seed=seed, trained=trained)
    x, y, s = data.x[members], data.y[members], data.s[members]
    if choice is not None:
        chosen = choice
    elif isinstance(trained, Trees):
        chosen = Choice(boosting=settings.boosted.grid[0], trained=True)
    elif kind == "boosted":
        held_out = (data.x[watched], data.y[watched])
        chosen = Choice(boosting=boosted.choose(settings.boosted, x, y, held_out, seed, classes=classes))
    elif kind == "perceptron":
        chosen = Choice(shape=perceptron.choose(settings.perceptron, data, members, watched, seed, classes=classes))
    else:
        chosen = Choice(trained=trained is not None)
    base = _base(settings, chosen, trained, data, members, groups=groups, classes=classes, seed=seed)
    seen = base.view(data.x[watched])
    outside = (data.y[watched], data.s[watched])
    if chosen.boosting is not None:
        head = _no_head(base.view(x[:1]))
        group: GroupTrees | GroupHeads = fit_group_trees(
            replace(chosen.boosting, rounds=settings.boosted.group_rounds),
            *(x, y, s),
            groups=groups,
            classes=classes,
            watched=(data.x[watched], *outside),
            patience=settings.boosted.patience,
            seed=seed,
        )
    else:
        rows = dense.rows_of(base.view(x), y, s)
        if choice is None:
            pull, head, _ = dense.choose_pull(rows, dense.rows_of(seen, *outside), classes=classes)
        else:
            pull, head = choice.pull, dense.fit_head(rows, choice.pull, classes=classes)
        head = _unrepaired(base, trained, head)
        chosen = replace(chosen, pull=pull)
        fit_group = partial(
            choose_group_heads if choice is None else fit_group_heads,
            *(rows.x, y, s),
            groups=groups,
            classes=classes,
            watched=(seen[0], *outside),
        )
        group = fit_group(pull if choice is None else choice.group_pull)
    reached = margins(head, *seen)
    temperature = _temperature(reached, outside[0])
    chosen = replace(
        chosen,
        group_rounds=group.rounds if isinstance(group, GroupTrees) else 0,
        group_pull=group.pull if isinstance(group, GroupHeads) else 0.0,
        temperature=temperature,
        group_temperature=group.temperature,
        log_loss=dense.cross_entropy(reached, outside[0]),
    )
    return Ground(kind, base, chosen, head, group, temperature)


def _refitted(
    kind: Kind,
    settings: Bases,
    data: Examples,
    members: Int[Tensor, "n"],
    choice: Choice,
    *,
    groups: int,
    classes: int,
    seed: int,
    trained: Pretrained | None,
) -> Ground:
    """Train a base with settings and temperatures that were all chosen before, on other rows."""
    x, y, s = data.x[members], data.y[members], data.s[members]
    sizes = {"groups": groups, "classes": classes}
    base = _base(settings, choice, trained, data, members, **sizes, seed=seed)
    if choice.boosting is not None:
        head = _no_head(base.view(x[:1]))
        growth = replace(choice.boosting, rounds=max(1, choice.group_rounds))
        group: GroupTrees | GroupHeads = fit_group_trees(growth, x, y, s, **sizes, watched=None, patience=0, seed=seed)
    else:
        view = base.view(x)
        of_class = dense.fit_head(dense.rows_of(view, y, s), choice.pull, classes=classes)
        head = _unrepaired(base, trained, of_class)
        group = fit_group_heads(view[0], y, s, choice.group_pull, **sizes, watched=None)
    return Ground(kind, base, choice, head, replace(group, temperature=choice.group_temperature), choice.temperature)


def start(ground: Ground, rows: Rows) -> Plain:
    """Return where heads on a base start from, and the curvature there."""
    if ground.kind == "boosted":
        return plain(rows, 1.0, steps=0)
    if ground.choice.trained:  # on other rows: far from where these rows' heads end
        return plain(rows, ground.choice.pull, start=ground.head)
    return plain(rows, ground.choice.pull, steps=0, start=ground.head)


def _base(
    settings: Bases,
    choice: Choice,
    trained: Pretrained | None,
    data: Examples,
    members: Int[Tensor, "n"],
    *,
    groups: int,
    classes: int,
    seed: int,
) -> Base:
    """Train a base with settings that were chosen; trees that come trained stay as they are."""
    x, y, s = data.x[members], data.y[members], data.s[members]
    if isinstance(trained, Trees):
        return boosted.on(trained, settings.boosted, x, y, s, groups=groups)
    if choice.boosting is not None:
        return boosted.fit(settings.boosted, choice.boosting, x, y, s, groups=groups, seed=seed, classes=classes)
    if choice.shape is not None:
        return perceptron.fit(settings.perceptron, choice.shape, data, members, seed, classes=classes)
    if trained is None or isinstance(trained, Tensor):
        return dense.fit(x)
    assert isinstance(trained, Classifier)
    return estimator.fit(trained, x, y)


def _unrepaired(base: Base, trained: Pretrained | None, fitted: Float[Tensor, "p *k"]) -> Float[Tensor, "p *k"]:
    """Return the head of the unrepaired model: the one that was fitted, unless the model came with its own or none."""
    if isinstance(base, Dense) and isinstance(trained, Tensor):
        return base.standardised(trained)
    return torch.zeros_like(fitted) if isinstance(base, Estimated) else fitted


def _no_head(view: tuple[Float[Tensor, "n q"], Float[Tensor, "n *k"]]) -> Float[Tensor, "p *k"]:
    """Return the head that adds nothing to what a base says."""
    features, offset = view
    return features.new_zeros(features.shape[1] + 1, *offset.shape[1:])


def _probabilities(margins: Float64[Tensor, "n *k"]) -> Float64[Tensor, "n c"]:
    """Return p(y | x) of what `margins` returns."""
    if margins.ndim > 1:
        return margins.softmax(dim=1)
    positive = margins.sigmoid()
    return torch.stack([1 - positive, positive], dim=1)


def _temperature(odds: Float[Tensor, "m *k"], y: Int[Tensor, "m"]) -> float:
    """Return the temperature at which rows' classes are likeliest."""
    losses = [dense.cross_entropy(odds.double() / temperature, y) for temperature in TEMPERATURES]
    return TEMPERATURES[losses.index(min(losses))]
