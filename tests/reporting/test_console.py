"""What the terminal shows, rendered to text."""

from __future__ import annotations

import io
import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from counterpoise.reporting import ReportContext, TrainingProgress, print_conclusion, summary_panel, tables
from counterpoise.reporting.answer import headline
from counterpoise.reporting.wording import plus_minus, shortened

WIDTHS = (40, 60, 80, 100, 200)
LONG = "eo_0.1/prune_guided_by_adversarial_finetuning_last"
SHAPES: dict[str, tuple[list[tuple[str, str]], list[str]]] = {  # (method, variant) and leading metrics of experiments
    "heads": (
        [("pretrained", "pretrained"), ("tl", "tl"), ("win", "win_r2_a0.5")],
        ["err", "delta_eo", "delta_dp"],
    ),
    "parts": (
        [("win", f"resnet50/win_r2_{setting}") for setting in ("a0.5", "a0.25", "harmonic")],
        ["err", "delta_eo", "delta_dp"],
    ),
    "repairs": (
        [("netaug", "sex/netaug"), ("prune_adversarial_finetuning", LONG), ("baseline", "race/baseline")],
        ["balanced_accuracy", "aod", "spd", "accuracy"],
    ),
    "sub-networks": (
        [("vanilla", "vanilla"), ("ffw_without_information", "ffw_without_information"), ("ffw", "ffw")],
        ["accuracy", "conflicting_accuracy", "unbiased_average", "information", "leakage"],
    ),
    "names that differ in the middle": (
        [("tl", f"{'a' * 40}{place}{'z' * 40}") for place in range(3)],
        ["err", "delta_eo", "delta_dp"],
    ),
}


def rendered(context: ReportContext, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    panel = summary_panel(context.summary, context.claims)
    print_conclusion(console, panel, [("report", "a/b[x].html"), ("predict", "mlflow " + "x" * 200)])
    return console.file.getvalue()  # type: ignore[attr-defined]


def measured(variants: list[tuple[str, str]], metrics: list[str], *, paper: bool) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        (method, variant, metric, 12.345 * rng.random(), rng.random(), np.nan, np.nan, 10, *published)
        for method, variant in variants
        for metric in metrics
        for published in [(15.829, 0.34) if paper and variant == variants[-1][1] else (np.nan, np.nan)]
    ]
    return pd.DataFrame(rows, columns=list(tables.SUMMARY_COLUMNS))


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


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("paper", [False, True])
def test_numbers_are_complete_at_any_width(context: ReportContext, width: int, shape: str, paper: bool) -> None:
    variants, metrics = SHAPES[shape]
    summary = measured(variants, metrics, paper=paper)
    console = Console(file=io.StringIO(), width=width)
    console.print(summary_panel(summary, context.claims.head(0), metrics=metrics))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    numbers = [plus_minus(row["mean"], row["std"], row["metric"]) for row in summary.to_dict("records")]
    assert len(set(numbers)) == len(numbers)
    for number in numbers:
        assert sum(number in line for line in lines) == 1, number
    assert sum(line.count("15.829 ± 0.340") for line in lines) == (len(metrics) if paper else 0)


@pytest.mark.parametrize("width", WIDTHS)
def test_numbers_of_claims_are_complete_at_any_width(context: ReportContext, width: int) -> None:
    words = rendered(context, width).replace("│", " ").split()
    for row in context.claims.itertuples():
        assert f"{row.difference:+.{2 if row.metric == 'err' else 3}f}".replace("-", "−") in words


@pytest.mark.parametrize("width", WIDTHS)
def test_the_reports_answer_stands_below_the_numbers_and_counts_of_claims_after_it(
    context: ReportContext, width: int
) -> None:
    console = Console(file=io.StringIO(), width=width)
    answer, findings = "The choice costs 1.5 points of error.", ("It holds in 9 of 10 seeds.", "It is no constant.")
    console.print(summary_panel(context.summary, context.claims, answer=answer, findings=findings))
    words = " ".join(console.file.getvalue().replace("│", " ").split())  # type: ignore[attr-defined]
    said = [*(answer, "• It holds in 9 of 10 seeds. • It is no constant."), headline(context.claims)]
    assert [words.count(sentence) for sentence in said] == [1, 1, 1]
    assert sorted(said, key=words.index) == said
    without = Console(file=io.StringIO(), width=width)
    without.print(summary_panel(context.summary, context.claims.head(0), answer=answer))
    assert headline(context.claims.head(0)) not in without.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("shape", SHAPES)
def test_shortened_names_still_differ(context: ReportContext, shape: str) -> None:
    variants, metrics = SHAPES[shape]
    for width in WIDTHS:
        console = Console(file=io.StringIO(), width=width)
        console.print(summary_panel(measured(variants, metrics, paper=False), context.claims.head(0), metrics=metrics))
        text = console.file.getvalue()  # type: ignore[attr-defined]
        first = [line.strip("│ ").split("  ")[0] for line in text.splitlines() if "…" in line]
        assert len(set(first)) == len(first)


def test_what_comes_next_can_be_copied(context: ReportContext) -> None:
    for width in WIDTHS:
        lines = rendered(context, width).splitlines()
        assert lines[-2:] == ["report   a/b[x].html", "predict  mlflow " + "x" * 200]


def test_verdicts(context: ReportContext) -> None:
    text = rendered(context, width=160)
    for verdict, mark in (("supported", "✓"), ("not distinguishable", "≈")):
        assert text.count(f"{mark} {verdict}") == (context.claims["verdict"] == verdict).sum()


@pytest.mark.parametrize("width", range(12))
def test_a_shortened_text_keeps_both_ends(width: int) -> None:
    found = shortened("win_r2\na0.5", width)
    assert len(found) <= max(width, 1)
    assert "\n" not in found
    if width >= 3:
        assert re.fullmatch(r"w.*5", found)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines_of(output: io.StringIO) -> list[str]:
    return output.getvalue().splitlines()


def test_a_log_has_a_line_for_each_tenth_that_takes_long_and_one_at_the_end() -> None:
    output, clock = io.StringIO(), Clock()
    with TrainingProgress(Console(file=output, width=20), clock) as progress:
        advance = progress.task("frontier", total=30, unit="trainings")
        for _ in range(30):
            clock.now += 15
            advance(loss=0.25)
    assert lines_of(output) == [
        *(
            f"frontier: {done} of 30 trainings ({done / 30:.0%}), loss 0.25, about {remaining} left"
            for done, remaining in zip(
                range(2, 30, 3), ("7", "6", "6", "5", "4", "3", "2", "2", "1", "15 s"), strict=True
            )
            for remaining in [remaining if remaining.endswith("s") else f"{remaining} min"]
        ),
        "frontier: 30 of 30 trainings in 7 min 30 s",
    ]


@pytest.mark.parametrize(("seconds", "steps"), [(29.0, 1000), (3600.0, 11), (1e5, 2)])
def test_lines_are_neither_often_nor_for_little(seconds: float, steps: int) -> None:
    """Half a minute and a tenth lie between two lines, but for the last."""
    output, clock = io.StringIO(), Clock()
    times, console = [], Console(file=output)
    with TrainingProgress(console, clock) as progress:
        advance = progress.task("peers", total=steps)
        for _ in range(steps):
            clock.now += seconds / steps
            before = len(lines_of(output))
            advance()
            times += [clock.now] * (len(lines_of(output)) - before)
    assert all(later - earlier >= max(30.0, 0.09 * seconds) for earlier, later in pairwise([100.0, *times][1:]))
    assert len(lines_of(output)) == len(times) + 1 <= 11
    assert (not times) == (seconds < 30)


def test_what_was_done_before_does_not_count_as_speed() -> None:
    output, clock = io.StringIO(), Clock()
    with TrainingProgress(Console(file=output), clock) as progress:
        advance = progress.task("features", total=1000, unit="images", completed=900)
        clock.now += 40
        advance(10)
    assert lines_of(output)[0] == "features: 910 of 1,000 images (91%), about 6 min left"


def test_several_trainings_end_in_one_line_and_a_failure_says_how_far_it_came() -> None:
    output, clock = io.StringIO(), Clock()
    with TrainingProgress(Console(file=output), clock) as progress:
        for name in "abcdefg":
            progress.task(name, total=2)(2)
    with TrainingProgress(Console(file=output), clock):
        pass
    progress = TrainingProgress(Console(file=output), clock)
    progress.task("frontier [1]", total=30, unit="trainings")(12)
    clock.now += 3700
    progress.__exit__(RuntimeError, RuntimeError(), None)
    assert lines_of(output) == [
        "a, b, c, d, e and 2 more: done in 0.0 s",
        "frontier [1]: stopped after 12 of 30 trainings in 1 h 2 min",
    ]


def test_a_task_without_a_total_says_what_is_done() -> None:
    output, clock = io.StringIO(), Clock()
    with TrainingProgress(Console(file=output), clock) as progress:
        advance = progress.task("rows", total=None, unit="rows")
        clock.now += 31
        advance(5)
    assert lines_of(output) == ["rows: 5 rows", "rows: 5 rows in 31 s"]


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
    assert "epochs" not in last
