"""One confidence level everywhere: what is computed at a level says so, and nothing says another."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.stats import t as student

import counterpoise
from counterpoise.fairness import METRICS
from counterpoise.reporting import (
    ReportContext,
    Section,
    build,
    claims,
    figures,
    figures_frontier,
    figures_parts,
    figures_repairs,
    model_card,
    overview,
    summary_panel,
    tables,
    tables_bias,
    tables_frontier,
    tables_repairs,
)
from counterpoise.reporting.context import Table
from counterpoise.reporting.sections.repairs import repair_findings
from counterpoise.reporting.wording import level_title

SOURCE = Path(counterpoise.__file__).parent
ROOMS = ("reporting", "pipelines")
LEVELS = (0.5, 0.9, 0.99, 0.999)
USUAL = "95%"


def functions_with_a_level() -> dict[str, set[Path]]:
    """Name → the files in which a function of this name takes a level; a public name counts in every file."""
    found: dict[str, set[Path]] = {}
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                names = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
                if "level" in names:
                    found.setdefault(node.name, set()).add(file)
    return found


def rooms_of_names(tree: ast.Module) -> dict[str, str]:
    """Imported name → the room it comes from."""
    return {
        alias.asname or alias.name: node.module.split(".")[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("counterpoise.")
        for alias in node.names
    }


def silent_calls(file: Path, takes: dict[str, set[Path]]) -> Iterator[tuple[str, bool]]:
    """Calls of functions that take a level, and whether one is passed on, or no end of an interval is made use of."""
    tree = ast.parse(file.read_text())
    rooms = rooms_of_names(tree)
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        with_interval = "ci_" in ast.unparse(function)
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            match call.func:
                case ast.Name(id=name):
                    known = file in takes.get(name, ()) or rooms.get(name) in {
                        own.relative_to(SOURCE).parts[0] for own in takes.get(name, ())
                    }
                case ast.Attribute(value=ast.Name(id=base), attr=name):
                    known = name in takes and base != "self"
                case _:
                    continue
            if known:
                passed = any("level" in ast.unparse(own) for own in call.args) or any(
                    own.arg in ("level", None) for own in call.keywords
                )
                yield f"{file.name}:{call.lineno} {name}", passed or (name == "summarize" and not with_interval)


def test_whoever_takes_the_level_is_given_it() -> None:
    takes = functions_with_a_level()
    assert {"summarize", "paired_difference", "verdicts", "group_rates", "intervals"} <= set(takes)
    calls = [
        call for room in ROOMS for file in sorted((SOURCE / room).rglob("*.py")) for call in silent_calls(file, takes)
    ]
    assert len(calls) > 30
    assert [name for name, passed in calls if not passed] == []


def test_no_level_is_written_into_a_sentence() -> None:
    files = [*SOURCE.rglob("reporting/**/*.py"), *SOURCE.rglob("templates/*.j2"), *SOURCE.rglob("pipelines/**/*.py")]
    assert len(files) > 30
    for file in files:
        text = file.read_text()
        if file.suffix == ".py":
            tree = ast.parse(text)
            kinds = (ast.Module, ast.FunctionDef, ast.ClassDef)
            docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, kinds)}
            strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
            text = "\n".join(s for s in strings if isinstance(s, str) and s not in docstrings)
        assert USUAL not in text, file
        assert "95 of 100" not in text, file


def at_level(context: ReportContext, metrics: pd.DataFrame, predictions: pd.DataFrame, level: float) -> ReportContext:
    summary = tables.summary(metrics, level=level)
    verdicts = claims.evaluate(metrics, context.claim_specs, level=level)
    return replace(
        context,
        summary=summary,
        claims=verdicts,
        level=level,
        sections=[
            Section("performance", figures.performance(metrics, summary, level=level)),
            Section("differences", figures.paired_differences(verdicts)),
        ],
        group_rates=tables.group_rates(predictions, classes=2, level=level),
    )


@pytest.mark.parametrize("level", LEVELS)
def test_report_card_document_and_terminal_name_the_level(
    context: ReportContext, metrics: pd.DataFrame, predictions: pd.DataFrame, level: float, read_page: Any
) -> None:
    own = at_level(context, metrics, predictions, level)
    html, content = build(own)
    console = Console(file=io.StringIO(), width=200)
    console.print(summary_panel(own.summary, own.claims, level=level))
    terminal = console.file.getvalue()  # type: ignore[attr-defined]
    page = read_page(html)
    figures_ = [script for script in page.scripts if script.startswith('{"data"')]
    assert len(figures_) == 2
    for text in (page.text, json.dumps(content), model_card(own), terminal, *figures_, overview([content])):
        assert USUAL not in text
        assert "95 of 100" not in text
    for text in (page.text, model_card(own), terminal, figures_[0], overview([content])):
        assert level_title(level) in text
    assert content["level"] == level
    assert f"at most {1 - level:.6g} after Holm" in page.text


@pytest.mark.parametrize("level", LEVELS)
def test_all_intervals_are_of_the_level(metrics: pd.DataFrame, predictions: pd.DataFrame, level: float) -> None:
    rates = tables.group_rates(predictions, classes=2, level=level)
    for frame in (tables.summary(metrics, level=level), rates):
        half = student.ppf((1 + level) / 2, frame["n"] - 1) * frame["std"] / np.sqrt(frame["n"])
        low, high = frame["mean"] - half, frame["mean"] + half
        largest = [METRICS[metric].bounds[1] for metric in frame["metric"]] if "metric" in frame else 1.0
        inside = (low >= 0) & (high <= largest)
        assert inside.any()
        np.testing.assert_allclose(frame["ci_low"][inside], low[inside], rtol=1e-9)
        np.testing.assert_allclose(frame["ci_high"][inside], high[inside], rtol=1e-9)
        assert ((frame["ci_low"] >= 0) & (frame["ci_high"] <= largest)).all()


def text_of(table: Table) -> str:
    return " ".join([table.title, table.note, *table.columns, *(cell for row in table.rows for cell in row)])


def test_figures_and_tables_of_frontiers_name_the_level(make_frontier: Any) -> None:
    frontier = make_frontier(seeds=4)
    plane = figures_frontier.frontier_plane(frontier.grid, frontier.chosen, bias="delta_eo", level=0.9)
    areas = figures_frontier.hypervolumes(frontier.areas, level=0.9)
    models = frontier.selection.assign(validation_err=15.0, validation_bias=0.1)
    selected = tables_frontier.comparison_table(models, "delta_eo", 0.1, level=0.9)
    for text in (plane.to_json(), areas.to_json(), text_of(selected)):
        assert "90% interval" in text
        assert USUAL not in text


def test_figures_tables_and_findings_of_repairs_name_the_level(repaired: Any) -> None:
    frames = (repaired.metrics, repaired.repairs, repaired.objectives)
    said = " ".join(repair_findings(*frames, level=0.9))
    written = text_of(tables_repairs.last_epoch_table(*frames, level=0.9))
    assert "90% interval" in said
    assert "90% interval" in written
    plane = figures_repairs.repair_plane(repaired.metrics, repaired.objectives, level=0.9).to_json()
    assert not [text for text in (said, written, plane) if USUAL in text]


def test_interval_of_a_figure_is_that_of_the_level(metrics: pd.DataFrame) -> None:
    lengths = []
    for level in LEVELS:
        figure = figures_parts.ablation(metrics.assign(part=""), level=level)
        assert USUAL not in figure.to_json()
        assert level_title(level) in figure.to_json()
        lengths.append(float(np.nanmax(figure.data[0].error_y.array)))
    assert lengths == sorted(lengths)
    assert len(set(lengths)) == len(LEVELS)


def test_tables_of_biased_networks_name_the_level(make_biased: Any) -> None:
    frames = make_biased(seeds=4)
    (table,) = tables_bias.bias_tables(frames.metrics, frames.repairs, level=0.9)
    assert "90% interval" in text_of(table)
    assert USUAL not in text_of(table)
