"""What the terminal shows, rendered to text."""

from __future__ import annotations

import io

from rich.console import Console

from counterpoise.reporting import ReportContext, TrainingProgress, summary_panel


def rendered(context: ReportContext, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(summary_panel(context.summary, context.claims, ["report: a/b[x].html"]))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_row_per_variant_with_the_papers_below_it(context: ReportContext) -> None:
    lines = rendered(context).splitlines()
    tl = next(place for place, line in enumerate(lines) if line.startswith("│  tl "))
    win = next(place for place, line in enumerate(lines) if "win_r2_a0.5" in line)
    row = context.summary.set_index(["variant", "metric"]).loc[("tl", "err")]
    assert f"{row['mean']:.2f} ± {row['std']:.2f}" in lines[tl]
    assert "the paper" not in lines[tl + 1]
    assert "the paper" in lines[win + 1]
    assert "15.829 ± 0.340" in lines[win + 1]
    assert not any("…" in line for line in lines), "80 columns must hold the table"


def test_verdicts_and_the_way_on(context: ReportContext) -> None:
    text = rendered(context, width=160)
    for verdict, mark in (("supported", "✓"), ("not distinguishable", "≈")):
        assert text.count(f"{mark} {verdict}") == (context.claims["verdict"] == verdict).sum()
    assert "report: a/b[x].html" in text


def test_progress_is_silent_without_a_terminal() -> None:
    output = io.StringIO()
    with TrainingProgress(Console(file=output)) as progress:
        progress.task("fine-tune", total=2)(2, loss=0.5)
    assert output.getvalue().strip() == ""


def test_progress_shows_where_it_is() -> None:
    output = io.StringIO()
    with TrainingProgress(Console(file=output, force_terminal=True, width=120, color_system=None)) as progress:
        advance = progress.task("fine-tune [all]", total=2)
        advance()
        advance(1, loss=0.123456)
    last = output.getvalue()
    assert "fine-tune [all]" in last
    assert "2/2" in last
    assert "loss 0.1235" in last
