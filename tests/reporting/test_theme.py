"""A method looks the same in every figure, and no two of one experiment look alike."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from counterpoise.methods.gates import catalogue as subnetworks
from counterpoise.methods.heads.peers import PEERS
from counterpoise.methods.heads.problem import PRETRAINED
from counterpoise.methods.heads.variants import FINE_TUNED
from counterpoise.methods.weights import catalogue as altering
from counterpoise.pipelines.shared.heads import CHOSEN
from counterpoise.reporting._theme import (
    GROUP_COLOURS,
    GROUP_SYMBOLS,
    METHOD_COLOURS,
    METHOD_SYMBOLS,
    group_marker,
    method_colours,
)
from counterpoise.reporting.wording import METHOD_TITLES

FAMILIES = {
    "heads": [PRETRAINED, *FINE_TUNED, "retrain"],
    "grids": [*FINE_TUNED, *PEERS],
    "frontiers": [PRETRAINED, "tl", CHOSEN, *(f"{CHOSEN}_{method}" for method in FINE_TUNED), *PEERS],
    "repairs": list(altering.METHODS),
    "sub-networks": list(subnetworks.METHODS),
}
METHODS = sorted({method for family in FAMILIES.values() for method in family} | set(METHOD_TITLES))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_fixed_colour(method: str) -> None:
    assert method in METHOD_COLOURS
    assert method in METHOD_TITLES


@pytest.mark.parametrize("family", FAMILIES)
def test_no_two_methods_of_a_family_look_alike(family: str) -> None:
    styles = {method: (METHOD_COLOURS[method], METHOD_SYMBOLS.get(method, "circle")) for method in FAMILIES[family]}
    assert [pair for pair in combinations(styles, 2) if styles[pair[0]] == styles[pair[1]]] == []


def test_a_colour_does_not_depend_on_what_else_is_drawn() -> None:
    names = [*METHODS, "first", "second", "paper", "a method of somebody", "another"]
    alone = {name: method_colours([name])[name] for name in names}
    shuffled = random.Random(0).sample(names, len(names))
    assert method_colours(names) == alone
    assert method_colours(shuffled) == alone


def test_groups_differ_by_colour_or_symbol() -> None:
    markers = [tuple(group_marker(place).values()) for place in range(len(GROUP_COLOURS) * len(GROUP_SYMBOLS))]
    assert len(set(markers)) == len(markers) >= 60
