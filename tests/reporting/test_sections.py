"""A section is a function and nothing else: found by its mark, called with the artifacts that its parameters name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any

import plotly.graph_objects as go
import pytest

from counterpoise.reporting import Fragment, ReportContext, Table, sections
from counterpoise.reporting.sections import VIEW, applicable, figure, producers, section
from counterpoise.reporting.sections.general import trained_elsewhere

EMPTY = Table("Empty", "", ("a",), [])
FULL = Table("Full", "", ("a",), [("1",)])


@pytest.fixture
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No producers but those that the test marks."""
    producers()  # all modules are imported, so that none marks anything later
    monkeypatch.setattr(sections, "_PRODUCERS", [])
    producers.cache_clear()
    yield
    producers.cache_clear()


@pytest.mark.usefixtures("_alone")
class TestProducers:
    def test_it_applies_where_its_parameters_and_needs_are_available(self) -> None:
        @section(place=2, needs=[f"{VIEW}parts"])
        def second(context: ReportContext, costs: Any, extra: Any = None) -> Table:
            return FULL

        @figure(place=1)
        def first(context: ReportContext) -> go.Figure:
            return go.Figure()

        assert [one.name for one in applicable({"costs", f"{VIEW}parts"})] == ["first", "second"]
        assert [one.name for one in applicable({"costs", "extra"})] == ["first"]
        assert [one.name for one in applicable({f"{VIEW}parts"})] == ["first"]
        assert [one.is_figure for one in producers()] == [True, False]

    def test_it_gets_what_it_names_and_no_more(self, context: ReportContext) -> None:
        taken: list[dict[str, Any]] = []

        @section(place=1)
        def one(context: ReportContext, costs: int, extra: int = 7) -> None:
            taken.append({"costs": costs, "extra": extra})

        (producer,) = producers()
        assert producer.sections(context, {"costs": 1, "other": 2}) == []
        assert producer.sections(context, {"costs": 1, "extra": 3}) == []
        assert taken == [{"costs": 1, "extra": 7}, {"costs": 1, "extra": 3}]

    @pytest.mark.parametrize(
        ("made", "count"),
        [(None, 0), ((), 0), (EMPTY, 0), ([EMPTY, FULL], 1), (FULL, 1), (("a sentence",), 1), (go.Figure(), 1)],
    )
    def test_what_is_empty_is_no_section(self, context: ReportContext, made: Any, count: int) -> None:
        @section(place=1)
        def one(context: ReportContext) -> Any:
            return made

        (producer,) = producers()
        assert [each.name for each in producer.sections(context, {})] == ["one"] * count


def test_every_kind_has_its_place_in_the_context(context: ReportContext) -> None:
    """A figure that draws nothing has a file, and no place on the page."""
    contents: dict[str, Any] = {"words": ("a",), "table": FULL, "fragment": Fragment("<p></p>", "Title")}
    contents |= {"figure": go.Figure(go.Scatter(y=[1])), "draws_nothing": go.Figure()}
    own = [sections.Section(name, content) for name, content in contents.items()]
    filled = ReportContext(**{name: getattr(context, name) for name in vars(context)} | {"sections": own})
    assert (filled.findings, filled.tables, list(filled.figures)) == (("a",), [FULL], ["figure"])
    assert list(filled.fragments) == ["fragment"]


def test_sections_of_this_project_have_places_and_names_that_differ() -> None:
    """The order is that of the places; two of one name are never in one report, or a file would be written twice."""
    places = [one.place for one in producers()]
    assert places == sorted(places)
    required = {one: {*one.needs, *(name for name, must in one.takes.items() if must)} for one in producers()}
    for left, right in permutations((one for one in producers() if one.is_figure), 2):
        assert left.name != right.name or not required[left] <= required[right]


@pytest.mark.parametrize("settings", [{"trees": {"trees": "scorer.txt"}}, {"model": {"sklearn": "scorer.skops"}}])
def test_a_report_on_a_model_that_came_trained_says_what_it_may_have_seen(
    context: ReportContext, settings: dict[str, Any]
) -> None:
    assert trained_elsewhere(context) == ()
    (sentence,) = trained_elsewhere(replace(context, settings=settings))
    assert "came trained" in sentence
    assert "validation or test part" in sentence
