"""What the terminal shows, rendered to text."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from counterpoise.reporting import ReportContext, TrainingProgress, print_conclusion, summary_panel, tables
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
