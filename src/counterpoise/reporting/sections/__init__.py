"""The sections of a report beyond claims and results. One function makes each: a table, figure, findings or fragment.

To add one, write a function in any module of this folder and mark it with `section` or `figure`. The report stage hands
over the artifacts that the function's parameters name, and an experiment that does not make one of them has no such
section. Nothing else has to change: the stage, the page, `report.json`, the model card and the figures' files follow.

    @section(place=75)
    def slowest(context: ReportContext, costs: pd.DataFrame) -> Table | None: ...

A parameter is `context`, or the name of an artifact as a stage leaves it; one with a default is handed over where it is
there. Where an experiment has parts, tables come joined, with the part before a variant's name or in a column `part`.
Other artifacts come as a mapping from the part's name to the value; the name is empty where there are no parts.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from counterpoise.reporting.context import Chapter, Content, Headline, ReportContext, Section, Table

F = TypeVar("F", bound=Callable[..., Any])

CONTEXT = "context"
VIEW = "view:"
"""Before the name of the figure that an experiment's row chooses to show its parts side by side."""


@runtime_checkable
class Tensors(Protocol):
    """A checkpoint: named tensors, and a header that describes them."""

    tensors: dict[str, Tensor]
    header: dict[str, Any]


@dataclass(frozen=True)
class Producer:
    """A function that makes one section.

    Attributes:
        place: where it stands among the others of its kind.
        is_figure: whether it is a figure, which has a file.
        needs: what has to be there beside the artifacts that the function takes.
        chapter: where its tables and figures stand, if not among the others.
    """

    function: Callable[..., Content | list[Content] | None]
    place: int
    is_figure: bool
    needs: frozenset[str]
    chapter: Chapter = ""

    @property
    def name(self) -> str:
        return self.function.__name__

    @cached_property
    def takes(self) -> dict[str, bool]:
        """Artifact that the function takes → whether it has to be there."""
        parameters = inspect.signature(self.function).parameters.items()
        return {name: one.default is one.empty for name, one in parameters if name != CONTEXT}

    def applies(self, available: Collection[str]) -> bool:
        """Whether everything is available that the function takes or its mark names."""
        return {*self.needs, *(name for name, required in self.takes.items() if required)} <= set(available)

    def sections(self, context: ReportContext, artifacts: Mapping[str, Any]) -> list[Section]:
        """Return the sections that the function makes of the artifacts; None and empty content make none."""
        result = self.function(context, **{name: artifacts[name] for name in self.takes if name in artifacts})
        contents = result if isinstance(result, list) else [result]
        return [
            Section(self.name, content, self.chapter)
            for content in contents
            if content is not None and not _is_empty(content)
        ]


def _is_empty(content: Content) -> bool:
    match content:
        case Table():
            return not content.rows
        case Headline():
            return not content.sentence
        case _:
            return not content


_PRODUCERS: list[Producer] = []


def section(*, place: int, needs: Collection[str] = (), chapter: Chapter = "") -> Callable[[F], F]:
    """Mark a function that returns a `Table`, sentences, a `Headline`, a `Fragment`, a list of them, or None.

    Args:
        place: where it stands among the others of its kind; ties go to the first by module and name.
        needs: names that have to be there although the function does not take them: artifacts, `params:<block>` of a
            block that the experiment's row chooses, or `view:<name>`.
        chapter: where its tables stand: `answer`, `appendix`, or empty for among the others.
    """
    return _marked(place, needs, chapter, is_figure=False)


def figure(*, place: int, needs: Collection[str] = (), chapter: Chapter = "") -> Callable[[F], F]:
    """Mark a function that returns a plotly figure; its file is named like the function. Arguments as of `section`."""
    return _marked(place, needs, chapter, is_figure=True)


def _marked(place: int, needs: Collection[str], chapter: Chapter, *, is_figure: bool) -> Callable[[F], F]:
    def mark(function: F) -> F:
        _PRODUCERS.append(Producer(function, place, is_figure, frozenset(needs), chapter))
        return function

    return mark


@cache
def producers() -> tuple[Producer, ...]:
    """Return all producers of this folder's modules, by place."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return tuple(sorted(_PRODUCERS, key=lambda one: (one.place, one.function.__module__, one.name)))


def applicable(available: Collection[str]) -> list[Producer]:
    """Return the producers whose needs are all available, in order."""
    return [producer for producer in producers() if producer.applies(available)]
