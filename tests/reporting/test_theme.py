"""A method looks the same in every figure, and no two of one experiment look alike."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from counterpoise.catalogue import BY_NAME, CHOSEN, CONSTANT, UNREPAIRED, methods_of
from counterpoise.methods.frontier import BIAS_SCORES, HEADS, LEAVES
from counterpoise.methods.heads.problem import PRETRAINED
from counterpoise.methods.heads.variants import FINE_TUNED
from counterpoise.methods.peers.settings import PEERS
from counterpoise.reporting._theme import (
    GROUP_COLOURS,
    GROUP_SYMBOLS,
    PALETTE,
    group_marker,
    method_colours,
    method_symbol,
)

REPAIRS = (LEAVES, HEADS, BIAS_SCORES)
FAMILIES = {
    "heads": [PRETRAINED, *FINE_TUNED, "retrain"],
    "grids": [UNREPAIRED, CONSTANT, *REPAIRS, *PEERS],
    "frontiers": [UNREPAIRED, CONSTANT, CHOSEN, *(f"{CHOSEN}_{method}" for method in REPAIRS), *PEERS],
    "weights": list(methods_of("weights")),
    "gates": list(methods_of("gates")),
}
METHODS = sorted({method for family in FAMILIES.values() for method in family} | set(BY_NAME))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_fixed_colour(method: str) -> None:
    assert BY_NAME[method].colour in PALETTE
    assert BY_NAME[method].title


@pytest.mark.parametrize("family", FAMILIES)
def test_no_two_methods_of_a_family_look_alike(family: str) -> None:
    names = FAMILIES[family]
    styles = {method: (method_colours(names)[method], method_symbol(method)) for method in names}
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
