"""The content of a report as one value, from which the HTML report, its JSON and the model card are rendered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

import pandas as pd
import plotly.graph_objects as go

from counterpoise.fairness import LEVEL, Compared
from counterpoise.reporting.wording import HEADLINE_METRICS


@dataclass(frozen=True)
class Table:
    """A table of a report, as text: the cells are already formatted for the reader.

    Attributes:
        note: what the cells mean, one paragraph; may be empty.
        rows: as many cells as there are columns; the first names the row.
    """

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: a row has {len(row)} cells, expected {len(self.columns)}: {row}")


@dataclass(frozen=True)
class Fragment:
    """A piece of the page that is neither table nor figure.

    Attributes:
        html: safe HTML.
        title: heading; empty where the fragment stands in a chapter that has one.
        chapter: where it stands; a fragment of its own chapter is listed in the contents.
        card: the same in Markdown, for the model card's details; may be empty.
        data: keys of `report.json`, with plain values.
    """

    html: str
    title: str = ""
    chapter: Literal["answer", "method", "own"] = "own"
    card: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


Findings = tuple[str, ...]
"""Sentences for the top of a report, which come before those on the claims."""


@dataclass(frozen=True)
class Headline:
    """The answer in one sentence, where there is a better one than how the claims came out."""

    sentence: str


Content: TypeAlias = Table | Fragment | Findings | Headline | go.Figure

Chapter: TypeAlias = Literal["", "answer", "appendix"]
"""Where a table or a figure stands, if not among the others of its kind: below the answer, or at the end, folded up."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Section:
    """One piece of a report, with a name that becomes an anchor and, for a figure, a file."""

    name: str
    content: Content
    chapter: Chapter = ""


@dataclass(frozen=True)
class ReportContext:
    """The content of a report. Nothing in it depends on when or where the report is written.

    Attributes:
        experiment: name of the pipeline, such as `win_adult`.
        title: one line that a reader understands without knowing the project.
        dataset: name of the data set, and `sensitive` and `target` the attributes s and y.
        summary: `tables.summary`.
        claims: `claims.evaluate`; `claim_specs` are the mappings it was given, in the same order.
        splits: frame with `split, group, label, rows`; `group` and `label` are codes into `group_names`, `class_names`.
        left_out: rows that miss a value and are not used: `rows`, `of`, further counts, and sentences that say so,
            each under a key that ends in `sentence`.
        settings: parameters of the run, nested or flat.
        noise_floor: variant → metric → what a perfectly fair model with the same cell counts would measure.
        compared: the groups that gaps are taken of; None: all of them.
        group_rates: `tables.group_rates`, or None where there are no predictions to count.
        lineage: what the numbers came from: `git_commit`, `data_digest`, `environment`, `seeds`, `command`, and
            `versions` (package → version). Keys that are absent are not shown.
        notes: further remarks on the method or the data, one paragraph each.
        level: of all intervals; claims are decided at 1 − level.
        headline_metrics: the metrics of the table of results, in order; those that were not measured are left out.
        objectives: part → what repairs are judged by: `bias, performance, tolerance, margin`; empty without repairs.
        published: selectors of `published.select`, of variants that were run.
        shows_images: whether images of the data may stand in the report.
        sections: everything else, in order; see `reporting.sections`.
    """

    experiment: str
    title: str
    dataset: str
    summary: pd.DataFrame
    claims: pd.DataFrame
    claim_specs: Sequence[Mapping[str, Any]]
    splits: pd.DataFrame
    settings: Mapping[str, Any]
    noise_floor: Mapping[str, Mapping[str, float]]
    lineage: Mapping[str, Any]
    group_names: Sequence[str]
    class_names: Sequence[str]
    sensitive: str
    target: str
    notes: Sequence[str] = ()
    left_out: Mapping[str, Any] = field(default_factory=dict)
    group_rates: pd.DataFrame | None = field(default=None)
    compared: Compared = None
    level: float = LEVEL
    headline_metrics: Sequence[str] = HEADLINE_METRICS
    parts: Sequence[str] = ()
    objectives: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    published: Sequence[Mapping[str, Any]] = ()
    shows_images: bool = False
    sections: Sequence[Section] = ()

    @property
    def figures(self) -> dict[str, go.Figure]:
        """Name → figure that draws anything; the names become anchors, the figures' titles become headings."""
        return {name: one for name, one in self._named(go.Figure) if one.data or one.layout.annotations}

    @property
    def tables(self) -> list[Table]:
        """Further tables, of all chapters."""
        return [table for _, table in self._named(Table)]

    def tables_of(self, chapter: Chapter) -> list[Table]:
        """Those of a chapter."""
        return [one.content for one in self.sections if isinstance(one.content, Table) and one.chapter == chapter]

    def figures_of(self, chapter: Chapter) -> dict[str, go.Figure]:
        """Those of a chapter, by name."""
        names = {one.name for one in self.sections if one.chapter == chapter}
        return {name: one for name, one in self.figures.items() if name in names}

    @property
    def headline(self) -> str | None:
        """The answer in one sentence; None where that is how the claims came out."""
        return next((one.sentence for _, one in self._named(Headline)), None)

    @property
    def findings(self) -> Findings:
        """Sentences that come before those on the claims."""
        return tuple(sentence for _, sentences in self._named(tuple) for sentence in sentences)

    @property
    def fragments(self) -> dict[str, Fragment]:
        """Name → fragment."""
        return dict(self._named(Fragment))

    @property
    def variants(self) -> dict[str, str]:
        """Variant → method, in the order of the summary."""
        return dict(zip(self.summary["variant"], self.summary["method"], strict=True))

    @property
    def about_rows(self) -> list[str]:
        """Sentences on rows that are left out, changed, or not compared."""
        return [text for key, text in self.left_out.items() if key.endswith("sentence") and text]

    @property
    def group_titles(self) -> list[str]:
        """The groups' names beside their rates, where those that are not compared say so."""
        compared = range(len(self.group_names)) if self.compared is None else self.compared
        return [name if group in compared else f"{name} (not compared)" for group, name in enumerate(self.group_names)]

    @property
    def replicates(self) -> int:
        """The largest number of seeds behind any number of the summary."""
        return int(self.summary["n"].max()) if len(self.summary) else 0

    def _named(self, kind: type[T]) -> list[tuple[str, T]]:
        return [(one.name, one.content) for one in self.sections if isinstance(one.content, kind)]
