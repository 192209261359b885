"""The catalogue: rows that can be run, in an order in which each finds what it comes after."""

from __future__ import annotations

import inspect
from collections import Counter

import pytest

from counterpoise.catalogue import BY_NAME, METHODS, Family, Method, in_order, methods_of, require_names, run_by
from counterpoise.errors import InputError
from counterpoise.methods.repair import function_of
from counterpoise.reporting._theme import PALETTE

FAMILIES: tuple[Family, ...] = ("heads", "peers", "weights", "gates")
RUNNABLE = [method for family in FAMILIES for method in methods_of(family).values()]


@pytest.mark.parametrize("family", FAMILIES)
def test_names_are_unique_within_a_family(family: Family) -> None:
    names = Counter(method.name for method in METHODS if method.family == family)
    assert names
    assert max(names.values()) == 1


def test_a_name_has_one_way_to_be_shown() -> None:
    """Of rows with one name, tables and figures show the first."""
    for method in METHODS:
        shown = BY_NAME[method.name]
        assert shown is next(row for row in METHODS if row.name == method.name)
        assert (shown.title, shown.colour, shown.needs_group) == (method.title, method.colour, method.needs_group)


def test_colours_are_of_the_palette_and_no_two_methods_of_a_report_look_alike() -> None:
    """Heads that are fine-tuned and families of a frontier are never in one report; peers stand beside a frontier."""
    assert {method.colour for method in METHODS} <= {*PALETTE}
    finetuned = {*run_by("heads.finetuning:run"), *run_by("heads.retraining:run")}
    reports = [
        [method for method in METHODS if method.family == "heads" and method.name in finetuned],
        [method for method in METHODS if method.family in {"heads", "peers"} and method.name not in finetuned],
        *([method for method in METHODS if method.family == family] for family in ("weights", "gates")),
    ]
    for methods in reports:
        shown = [method for method in methods if not method.base]
        assert shown
        assert len({(method.colour, method.symbol) for method in shown}) == len(shown)


@pytest.mark.parametrize("method", RUNNABLE, ids=lambda method: f"{method.family}.{method.name}")
def test_every_row_names_a_function_of_the_one_interface(method: Method) -> None:
    assert list(inspect.signature(function_of(method)).parameters) == ["problem", "settings", "earlier"]


@pytest.mark.parametrize("method", RUNNABLE, ids=lambda method: f"{method.family}.{method.name}")
def test_what_a_method_comes_after_is_of_its_family_and_not_itself_in_a_circle(method: Method) -> None:
    rows, before, further = methods_of(method.family), set(), {*method.after}
    while further:
        name = further.pop()
        assert name != method.name
        if name not in before:
            before.add(name)
            further |= {*rows[name].after}


def test_methods_run_in_the_order_of_the_catalogue_whatever_the_order_of_their_names() -> None:
    names = ["threshold", "mask_only", "baseline", "netaug"]
    assert [method.name for method in in_order(names, "weights")] == ["baseline", "threshold", "mask_only", "netaug"]
    assert in_order(reversed(names), "weights") == in_order(names, "weights")


def test_a_method_runs_after_those_whose_results_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever their rows stand; the others keep their order."""
    first = Method("first", "", "gates", run="a:b", after=("third",))
    second, third = Method("second", "", "gates", run="a:b"), Method("third", "", "gates", run="a:b")
    monkeypatch.setattr("counterpoise.catalogue.METHODS", (first, second, third))
    assert [method.name for method in in_order(["first", "second", "third"], "gates")] == ["second", "third", "first"]
    for family in ("weights", "gates"):
        monkeypatch.undo()
        ordered = in_order(methods_of(family), family)
        names = [method.name for method in ordered]
        assert sorted(names) == sorted(methods_of(family))
        assert all(names.index(other) < names.index(method.name) for method in ordered for other in method.after)


def test_rows_of_other_families_are_not_run() -> None:
    """`win` is a bank of heads and a last layer of a frozen network."""
    (gates,), (heads,) = in_order(["win"], "gates"), in_order(["win"], "heads")
    assert (gates.family, heads.family) == ("gates", "heads")
    assert methods_of("weights").keys().isdisjoint({"win", "pretrained"})
    assert "pretrained" not in methods_of("heads"), "there is nothing to run"


@pytest.mark.parametrize("family", ["weights", "gates"])
def test_each_family_of_whole_networks_has_one_base_and_one_reference(family: Family) -> None:
    rows = methods_of(family).values()
    assert [method.run.partition(":")[2] for method in rows if method.base] in (["baseline"], ["vanilla"])
    (reference,) = (method for method in rows if method.reference)
    assert reference.paper is not None


def test_controls_are_compared_with_a_method_of_their_family_that_is_none() -> None:
    for method in METHODS:
        assert not method.beside or method.control
        assert not method.beside or not methods_of(method.family)[method.beside].control


def test_a_function_runs_the_methods_whose_rows_name_it() -> None:
    assert run_by("heads.retraining:run") == ("retrain",)
    assert run_by("nowhere:run") == ()


@pytest.mark.parametrize(
    ("names", "message"),
    [(["lease"], r"methods has 'lease' \(did you mean 'leace'\?\)"), (["leace"] * 2, "leace is given more than once")],
)
def test_names_that_are_no_methods_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        require_names(names, methods_of("peers"))
