"""Everything a report says, gathered in one value: the HTML report, its JSON and the model card are functions of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from counterpoise.fairness import LEVEL
from counterpoise.reporting.exported_model import ExportedModel
from counterpoise.reporting.wording import HEADLINE_METRICS


@dataclass(frozen=True)
class Table:
    """A table of a report, as text: what stands in its cells is already written the way a reader sees it.

    Attributes:
        title: heading.
        note: what the cells mean, one paragraph; may be empty.
        columns: heads.
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
class ReportContext:
    """The content of a report. Nothing in it depends on when or where the report is written.

    Attributes:
        experiment: name of the pipeline, such as `win_adult`.
        title: one line that a reader understands without knowing the project.
        dataset: name of the data set, and `sensitive` and `target` the attributes s and y.
        summary: `tables.summary`.
        claims: `claims.evaluate`; `claim_specs` are the mappings it was given, in the same order.
        figures: name → figure; the names become anchors and files, the figures' titles become headings.
        splits: frame with `split, group, label, rows`; `group` and `label` are codes into `group_names`, `class_names`.
        left_out: rows that miss a value and are not used: `rows`, `of`, further counts, and a `sentence` that says so.
        settings: parameters of the run, nested or flat.
        noise_floor: variant → metric → what a perfectly fair model with the same cell counts would measure.
        group_rates: `tables.group_rates`, or None where there are no predictions to count.
        examples: `gallery.examples`, or nothing where no images are shown.
        lineage: what the numbers came from: `git_commit`, `data_digest`, `environment`, `seeds`, `command`, and
            `versions` (package → version). Keys that are absent are not shown.
        notes: further remarks on the method or the data, one paragraph each.
        tables: further tables, in order; they follow the results.
        findings: sentences that come before those on the claims, such as `answer_altering.findings`.
        exported: the model that leaves the experiment, where one does.
        level: of all intervals; claims are decided at 1 − level.
        headline_metrics: the metrics of the table of results, in order; those that were not measured are left out.
    """

    experiment: str
    title: str
    dataset: str
    summary: pd.DataFrame
    claims: pd.DataFrame
    claim_specs: Sequence[Mapping[str, Any]]
    figures: Mapping[str, go.Figure]
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
    tables: Sequence[Table] = ()
    examples: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[str] = ()
    exported: ExportedModel | None = None
    level: float = LEVEL
    headline_metrics: Sequence[str] = HEADLINE_METRICS

    @property
    def variants(self) -> dict[str, str]:
        """Variant → method, in the order of the summary."""
        return dict(zip(self.summary["variant"], self.summary["method"], strict=True))

    @property
    def replicates(self) -> int:
        """The largest number of seeds behind any number of the summary."""
        return int(self.summary["n"].max()) if len(self.summary) else 0
