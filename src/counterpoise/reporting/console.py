"""What a run shows in the terminal: progress while it trains, and the result when it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from counterpoise.reporting._frames import rows_of
from counterpoise.reporting.answer import CONTRADICTED, NOT_DISTINGUISHABLE, SUPPORTED, headline
from counterpoise.reporting.wording import (
    HEADLINE_METRICS,
    difference,
    is_missing,
    metric_label,
    p_value,
    plus_minus,
    reported,
)

_NONE: Final = "—"
_MARKS: Final = {SUPPORTED: ("✓", "green"), CONTRADICTED: ("✗", "red"), NOT_DISTINGUISHABLE: ("≈", "yellow")}


def summary_panel(
    summary: pd.DataFrame,
    claims: pd.DataFrame,
    where_next: Sequence[str],
    *,
    metrics: Sequence[str] = HEADLINE_METRICS,
    title: str = "Test split",
) -> RenderableType:
    """The end of a run: a row per variant (mean ± std, below it the paper's value), the verdicts, where to look next.

    Args:
        summary: `tables.summary`.
        claims: `claims.evaluate`.
        where_next: lines such as the path of the report and the command that opens it.
        metrics: the columns.
        title: of the panel.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("variant", no_wrap=True)
    for metric in metrics:
        table.add_column(metric_label(metric), justify="right", no_wrap=True)
    indexed = summary.set_index(["variant", "metric"])
    for variant in summary["variant"].unique():
        rows = [indexed.loc[(variant, metric)] if (variant, metric) in indexed.index else None for metric in metrics]
        table.add_row(escape(variant), *(_measured(row, metric) for row, metric in zip(rows, metrics, strict=True)))
        papers = [_published(row, metric) for row, metric in zip(rows, metrics, strict=True)]
        if set(papers) != {_NONE}:
            table.add_row("  the paper", *papers, style="dim")
    verdicts = Table.grid(padding=(0, 1))
    for row in rows_of(claims):
        verdicts.add_row(*_verdict(row))
    lines = [Text(line) for line in where_next]
    parts: list[RenderableType] = [table, Text(headline(claims), style="bold"), verdicts]
    return Panel(Group(*parts, *([Text("")] if lines else []), *lines), title=escape(title), title_align="left")


def _measured(row: pd.Series | None, metric: str) -> str:
    return _NONE if row is None else plus_minus(row["mean"], row["std"], metric)


def _published(row: pd.Series | None, metric: str) -> str:
    if row is None or is_missing(row["reported"]):
        return _NONE
    return reported(row["reported"], row["reported_std"], metric)


def _verdict(row: Any) -> tuple[Text, Text]:
    mark, style = _MARKS[row.verdict]
    said = f"{row.claim}: {difference(row, row.metric)}, {p_value(row.p_holm, named=True)}"
    return Text(f"{mark} {row.verdict}", style=style, no_wrap=True), Text(said)


class TrainingProgress:
    """Progress bars for training; silent where the output is not a terminal, so that logs stay readable.

    >>> with TrainingProgress() as progress:
    ...     advance = progress.task("fine-tune", total=20)
    ...     advance(1, loss=0.31)
    """

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}", style="dim"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> TrainingProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def task(self, description: str, total: int | None) -> Callable[..., None]:
        """Add a bar; the callback returned takes `advance` (1 by default) and values to show, such as `loss=0.31`."""
        task = self._progress.add_task(escape(description), total=total, status="")

        def update(advance: int = 1, **fields: Any) -> None:
            self._progress.update(task, advance=advance)
            if fields:
                self._progress.update(task, status="  ".join(f"{key} {_short(value)}" for key, value in fields.items()))

        return update


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
