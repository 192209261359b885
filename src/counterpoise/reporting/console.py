"""What a run shows in the terminal: progress while it trains, and the result when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from counterpoise.fairness import LEVEL
from counterpoise.reporting._frames import rows_of
from counterpoise.reporting.answer import CONTRADICTED, NOT_DISTINGUISHABLE, SUPPORTED, headline
from counterpoise.reporting.wording import (
    HEADLINE_METRICS,
    difference,
    interval_title,
    is_missing,
    metric_label,
    p_value,
    plus_minus,
    reported,
    shortened,
)

_NONE: Final = "—"
_PAPER: Final = "  the paper"
_MARKS: Final = {SUPPORTED: ("✓", "green"), CONTRADICTED: ("✗", "red"), NOT_DISTINGUISHABLE: ("≈", "yellow")}
_ANY_WIDTH: Final = 10_000  # columns: wider than any terminal, so that a table says how wide it would like to be


def summary_panel(
    summary: pd.DataFrame,
    claims: pd.DataFrame,
    *,
    metrics: Sequence[str] = HEADLINE_METRICS,
    title: str = "Test split",
    level: float = LEVEL,
) -> RenderableType:
    """The end of a run: a row per variant (mean ± std, below it the paper's value), and the verdicts.

    Args:
        summary: `tables.summary`.
        claims: `claims.evaluate`.
        metrics: the columns.
        title: of the panel.
        level: of the intervals.
    """
    indexed = summary.set_index(["variant", "metric"])
    rows = []
    for variant in summary["variant"].unique():
        cells = [indexed.loc[(variant, metric)] if (variant, metric) in indexed.index else None for metric in metrics]
        rows.append(
            _Row(
                str(variant),
                [_measured(row, metric) for row, metric in zip(cells, metrics, strict=True)],
                [_published(row, metric) for row, metric in zip(cells, metrics, strict=True)],
            )
        )
    parts: list[RenderableType] = [_Results([metric_label(metric) for metric in metrics], rows)]
    parts.append(Text(headline(claims), style="bold"))
    if len(claims):
        parts.append(Text(f"Differences with their {interval_title(level)}, p after Holm's correction:", style="dim"))
        verdicts = Table.grid(padding=(0, 1))
        for row in rows_of(claims):
            verdicts.add_row(*_verdict(row))
        parts.append(verdicts)
    return Panel(Group(*parts), title=escape(title), title_align="left")


def print_conclusion(console: Console, panel: RenderableType, where_next: Sequence[tuple[str, str]]) -> None:
    """Print the panel, and below it where to look next: (label, path or command), unbroken so that it can be copied."""
    console.print(panel)
    width = max((len(label) for label, _ in where_next), default=0)
    for label, line in where_next:
        console.print(f"{label:<{width}}  {line}", soft_wrap=True, markup=False, highlight=False)


@dataclass(frozen=True)
class _Row:
    """A variant's numbers, as text, and the paper's."""

    name: str
    numbers: Sequence[str]
    papers: Sequence[str]

    @property
    def in_paper(self) -> bool:
        return set(self.papers) != {_NONE}


class _Results:
    """The table of results at any width: names are shortened where they must be, numbers never are.

    Where the names would no longer differ, each variant has a block of its own, one line per metric.
    """

    def __init__(self, heads: Sequence[str], rows: Sequence[_Row]) -> None:
        self.heads, self.rows = heads, rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        longest = max((cell_len(row.name) for row in self.rows), default=0)
        label = max(longest, cell_len(_PAPER) if any(row.in_paper for row in self.rows) else 0)
        for narrow in (False, True):
            wanted = console.measure(
                self._table(label, narrow=narrow), options=options.update(width=_ANY_WIDTH)
            ).maximum
            width = label - max(wanted - options.max_width, 0)
            fits = width >= min(label, cell_len(_PAPER))
            distinct = len({shortened(row.name, width) for row in self.rows}) == len(self.rows)
            if fits and distinct and (narrow or width == label):
                yield self._table(width, narrow=narrow)
                return
        yield from self._blocks()

    def _table(self, width: int, *, narrow: bool) -> Table:
        """Columns of fixed widths: that of the names is given, numbers have what they need, heads wrap if `narrow`."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("variant", width=width, no_wrap=True)
        for place, head in enumerate(self.heads):
            cells = [cells[place] for row in self.rows for cells in (row.numbers, row.papers)]
            words = head.split() if narrow else [head]
            needed = max(cell_len(text) for text in (*cells, *words))
            table.add_column(escape(head), justify="right", width=needed, no_wrap=not narrow, overflow="fold")
        for row in self.rows:
            table.add_row(escape(shortened(row.name, width)), *row.numbers)
            if row.in_paper:
                table.add_row(_PAPER, *row.papers, style="dim")
        return table

    def _blocks(self) -> Iterator[RenderableType]:
        for row in self.rows:
            yield Text(row.name, style="bold", overflow="fold")
            block = Table.grid(padding=(0, 1))
            block.add_column()
            block.add_column(justify="right", no_wrap=True)
            for head, measured, paper in zip(self.heads, row.numbers, row.papers, strict=True):
                block.add_row(f"  {escape(head)}", measured)
                if paper != _NONE:
                    block.add_row(f"  {_PAPER}", paper, style="dim")
            yield block
        yield Text("")


def _measured(row: pd.Series | None, metric: str) -> str:
    return _NONE if row is None else plus_minus(row["mean"], row["std"], metric)


def _published(row: pd.Series | None, metric: str) -> str:
    if row is None or is_missing(row["reported"]):
        return _NONE
    return reported(row["reported"], row["reported_std"], metric)


def _verdict(row: Any) -> tuple[Text, Text]:
    mark, style = _MARKS[row.verdict]
    sentence = f"{row.claim}: {difference(row, row.metric)}, {p_value(row.p_holm, named=True)}"
    return Text(f"{mark} {row.verdict}", style=style, no_wrap=True), Text(sentence)


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
