"""What a run shows in the terminal: progress while it trains, and the result when it ends."""

from __future__ import annotations

import time
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
    duration,
    enumerate_words,
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
_LINE_SECONDS: Final = 30.0
_LINE_SHARE: Final = 0.1
_NAMED: Final = 5
"""How many tasks the last line of a stage names."""
_ANY_WIDTH: Final = 10_000  # columns: wider than any terminal, so that a table says how wide it would like to be


def summary_panel(
    summary: pd.DataFrame,
    claims: pd.DataFrame,
    *,
    metrics: Sequence[str] = HEADLINE_METRICS,
    title: str = "Test split",
    level: float = LEVEL,
    answer: str | None = None,
    findings: Sequence[str] = (),
) -> RenderableType:
    """The end of a run: a row per variant (mean ± std, below it the paper's value), the answer, and the verdicts.

    Args:
        summary: `tables.summary`.
        claims: `claims.evaluate`.
        answer: the report's headline; by default how many claims came out how.
        findings: what the report says of the answer, a line each.
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
    verdict = headline(claims)
    parts.append(Text(answer or verdict, style="bold"))
    if findings:
        lines = Table.grid(padding=(0, 1))
        for finding in findings:
            lines.add_row("•", Text(finding))
        parts.append(lines)
    if len(claims):
        if answer not in {None, verdict}:
            parts.append(Text(verdict, style="bold"))
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
    """How far a stage is: bars on a terminal, elsewhere a line now and then, so that a log is not silent.

    A line comes at most every 30 seconds, and after the first only once another tenth is done; a last one says how long
    the stage took, or how far it came if it failed.

    >>> with TrainingProgress() as progress:
    ...     advance = progress.task("frontier", total=30, unit="trainings")
    ...     advance(1, loss=0.31)
    frontier: 12 of 30 trainings (40%), loss 0.31, about 3 min left
    frontier: 30 of 30 trainings in 5 min 12 s
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to `console`, standard error by default; `clock` gives seconds."""
        console = console or Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}", style="dim"),
            console=console,
            disable=not console.is_terminal,
        )
        self._lines = None if console.is_terminal else _ProgressLines(console, clock)

    def __enter__(self) -> TrainingProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
        if self._lines is not None:
            self._lines.end(failed=error is not None)

    def task(
        self, description: str, total: int | None, *, unit: str = "epochs", completed: int = 0
    ) -> Callable[..., None]:
        """Add a task; the callback returned takes `advance` (1 by default) and values to show, such as `loss=0.31`.

        Args:
            description: its name. total: how much there is to do; None where nobody knows.
            unit: of what, in the plural.
            completed: how much of it was done before, by a run that was killed: it says nothing about the speed.
        """
        bar = self._bars.add_task(escape(description), total=total, completed=completed, status="")
        line = None if self._lines is None else self._lines.task(description, total, unit, completed)

        def update(advance: int = 1, **fields: Any) -> None:
            status = [f"{key} {_short(value)}" for key, value in fields.items()]
            self._bars.update(bar, advance=advance)
            if status:
                self._bars.update(bar, status="  ".join(status))
            if line is not None and self._lines is not None:
                self._lines.advance(line, advance, status)

        return update


@dataclass
class _Task:
    """What a line says: the name, how much is done of how much, and since when."""

    name: str
    total: int | None
    unit: str
    before: int
    started: float
    done: int
    said: int | None = None

    @property
    def count(self) -> str:
        return (
            f"{self.done:,} of {self.total:,} {self.unit}" if self.total is not None else f"{self.done:,} {self.unit}"
        )

    def is_due(self) -> bool:
        """Whether a tenth is done since its last line; without a total, whether anything is."""
        if self.said is None or self.total is None:
            return self.done > (self.said or 0)
        return self.done - self.said >= self.total * _LINE_SHARE

    def seconds_left(self, now: float) -> float | None:
        """At the speed since the task began; None where nothing is done yet or there is no total."""
        done = self.done - self.before
        return (now - self.started) / done * (self.total - self.done) if done > 0 and self.total is not None else None


class _ProgressLines:
    """Tasks as lines of a log; see `TrainingProgress`."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self.console, self.clock = console, clock
        self.tasks: list[_Task] = []
        self.started = self.last = clock()

    def task(self, name: str, total: int | None, unit: str, completed: int) -> _Task:
        self.tasks.append(_Task(name, total, unit, completed, self.clock(), completed))
        return self.tasks[-1]

    def advance(self, task: _Task, advance: int, status: Sequence[str]) -> None:
        task.done += advance
        now = self.clock()
        is_complete = task.total is not None and task.done >= task.total
        if now - self.last < _LINE_SECONDS or is_complete or not task.is_due():
            return
        share = [] if not task.total else [f"({task.done / task.total:.0%})"]
        seconds = task.seconds_left(now)
        remaining = [] if seconds is None else [f"about {duration(seconds, rough=True)} left"]
        self._print(task.name, [" ".join([task.count, *share]), *status, *remaining])
        self.last, task.said = now, task.done

    def end(self, *, failed: bool) -> None:
        """Say how long it took: one task by what was done of it, several by their names."""
        if not self.tasks:
            return
        took = f"in {duration(self.clock() - self.started)}"
        if len(self.tasks) == 1:
            (task,) = self.tasks
            self._print(task.name, [f"{'stopped after ' if failed else ''}{task.count} {took}"])
            return
        names = [task.name for task in self.tasks]
        named = names[:_NAMED] + [f"{len(names) - _NAMED} more"] * (len(names) > _NAMED)
        self._print(enumerate_words(named), [f"stopped {took}" if failed else f"done {took}"])

    def _print(self, name: str, clauses: Sequence[str]) -> None:
        self.console.print(f"{name}: {', '.join(clauses)}", soft_wrap=True, markup=False, highlight=False)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
