"""Figures, tables and sentences stand whatever the metrics contain: a report never fails after hours of training."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest

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
    tables_parts,
    tables_repairs,
)
from counterpoise.reporting.context import Table
from counterpoise.reporting.sections.bias import accuracy_maps
from counterpoise.reporting.sections.heads import fisher_diagonal
from counterpoise.reporting.sections.repairs import repair_findings

HARM: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "as it is": lambda frame: frame,
    "one seed": lambda frame: frame[frame["seed"] == frame["seed"].min()],
    "two seeds": lambda frame: frame[frame["seed"] <= 1],
    "one variant": lambda frame: frame[frame["variant"] == frame["variant"].iloc[0]],
    "all null": lambda frame: numbers(frame, lambda values: values.where(values.index < 0)),
    "one null": lambda frame: numbers(frame, lambda values: values.where(values.index != values.index[0])),
    "one variant null": lambda frame: numbers(
        frame, lambda values: values.mask(frame["variant"] == frame["variant"].iloc[-1])
    ),
    "one seed null": lambda frame: numbers(frame, lambda values: values.mask(frame["seed"] == frame["seed"].min())),
    "all equal": lambda frame: numbers(frame, lambda values: values * 0 + (0.5 if values.dtype == "float64" else 1)),
    "all zero": lambda frame: numbers(frame, lambda values: values * 0),
    "no rows": lambda frame: frame.head(0),
}
MEASURED = (
    *("value", "err", "delta_eo", "test_err", "test_bias", "hypervolume", "loss", "validation_err", "pruned"),
    *("performance", "bias", "phi", "threshold", "critic_ratio", "sparsity", "information", "leakage", "epoch"),
    *("iou", "chance", "conflicting_accuracy", "unbiased_average"),
)


def numbers(frame: pd.DataFrame, change: Callable[[pd.Series], pd.Series]) -> pd.DataFrame:
    """Change all measured numbers of a frame."""
    named = [name for name in MEASURED if name in frame and frame[name].dtype in ("float64", "Int64")]
    return frame.assign(**{name: change(frame[name]).astype(frame[name].dtype) for name in named})


@pytest.fixture(params=HARM)
def harm(request: pytest.FixtureRequest) -> Callable[[pd.DataFrame], pd.DataFrame]:
    name: str = request.param
    return HARM[name]


@pytest.fixture(autouse=True)
def _loud() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def survives(figure: go.Figure) -> None:
    stored = figure.to_json()
    assert json.loads(plotly.io.from_json(stored).to_json()) == json.loads(stored)
    assert figure.layout.title.text


def readable(table: Table) -> None:
    for row in table.rows:
        for cell in row:
            assert "nan" not in cell.lower()
            assert "<NA>" not in cell


def nothing_left(frame: pd.DataFrame) -> bool:
    return frame.empty


def test_heads(
    metrics: pd.DataFrame,
    history: pd.DataFrame,
    context: ReportContext,
    harm: Callable[[pd.DataFrame], pd.DataFrame],
    read_page: Any,
) -> None:
    survives(figures.learning_curves(harm(history)))
    test = harm(metrics[metrics["split"] == "test"].reset_index(drop=True))
    if nothing_left(test):
        pytest.skip("a run without metrics has no report")
    summary = tables.summary(test)
    there = set(summary["variant"])
    specs = [claim for claim in context.claim_specs if len(there) > 1]
    verdicts = claims.evaluate(test, specs)
    drawn = {
        "performance": figures.performance(test, summary, noise_floor={"tl": {"delta_eo": np.nan}}),
        "differences": figures.paired_differences(verdicts),
        "ablation": figures_parts.ablation(test.assign(part="")),
        "parts": figures_parts.by_part(test.assign(part="biased"), summary),
        "plane": figures_frontier.frontier_plane(test, bias="delta_eo"),
    }
    for figure in drawn.values():
        survives(figure)
    for table in (tables_parts.before_after(summary), tables_parts.parameter_counts(summary, {})):
        readable(table)
    own = replace(
        context, summary=summary, claims=verdicts, claim_specs=specs, sections=list(map(Section, drawn, drawn.values()))
    )
    html, content = build(own)
    assert "nan" not in read_page(html).text.lower().split()
    json.dumps(content, allow_nan=False)
    assert " nan " not in model_card(own).lower()
    overview([content])
    summary_panel(summary, verdicts)


def test_frontiers(make_frontier: Any, harm: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    frames = make_frontier(seeds=4)
    survives(figures_frontier.hypervolumes(harm(frames.areas.assign(variant=frames.areas["method"]))))
    grid = harm(frames.grid)
    chosen = harm(frames.chosen)
    if not nothing_left(grid):
        figure = figures_frontier.frontier_plane(grid, chosen, bias="delta_eo", tolerance=0.1, noise_floor=np.nan)
        survives(figure)
        for axis in (figure.layout.xaxis, figure.layout.yaxis):
            assert axis.range is None or np.isfinite(axis.range).all()
    readable(tables_frontier.selection_table(harm(frames.selection)))
    judged = frames.selection.assign(validation_err=15.0, validation_bias=frames.selection["test_bias"])
    readable(tables_frontier.comparison_table(harm(judged), "delta_eo", 0.1))
    lost = frames.selection.assign(variant=None, test_err=np.nan, test_bias=np.nan, meets=False)
    readable(tables_frontier.selection_table(lost))
    survives(figures_frontier.frontier_plane(frames.grid, frames.chosen.assign(variant=None), bias="delta_eo"))


def test_repairs(repaired: Any, harm: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    metrics, repairs = harm(repaired.metrics), harm(repaired.repairs)
    survives(figures_repairs.repair_curves(harm(repaired.curves), repairs, repaired.objectives))
    survives(figures_repairs.critic_curves(harm(repaired.curves)))
    masks = repaired.layers.assign(variant=repaired.layers["mask"])
    survives(figures_repairs.pruned_layers(harm(masks).drop(columns="variant")))
    agreement = repaired.agreement.assign(variant=repaired.agreement["mask"], seed=repaired.agreement["left"])
    survives(figures_repairs.mask_agreement(harm(agreement).drop(columns=["variant", "seed"])))
    if nothing_left(metrics):
        return
    survives(figures_repairs.repair_plane(metrics, repaired.objectives))
    for table in (
        tables_repairs.paper_table(metrics, repaired.objectives, repairs=repairs),
        *tables_repairs.repair_tables(metrics, repairs, repaired.objectives),
        tables_repairs.last_epoch_table(metrics, repairs, repaired.objectives),
        tables_repairs.critic_table(repairs),
    ):
        readable(table)
    for sentence in repair_findings(metrics, repairs, repaired.objectives):
        assert "nan" not in sentence.split()


def test_biased_networks(make_biased: Any, harm: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    frames = make_biased(seeds=4)
    survives(figures_repairs.repair_curves(harm(frames.curves), harm(frames.repairs), {}))
    survives(accuracy_maps(harm(frames.predictions), ["a", "b"], ["c", "d"], ["vanilla", "ffw"]))
    metrics, repairs = harm(frames.metrics), harm(frames.repairs)
    for table in tables_bias.bias_tables(metrics, repairs):
        readable(table)
    for sentence in tables_bias.bias_findings(metrics, repairs):
        assert "nan" not in sentence.lower()


@pytest.mark.parametrize("groups", [1, 2, 7, 8, 27, 60])
@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("missing", [False, True])
def test_fisher_of_any_number_of_groups(groups: int, classes: int, missing: bool) -> None:
    fisher = np.random.default_rng(0).lognormal(-6, 1.5, size=(2, groups, 12, classes))
    if missing:
        fisher[0, -1] = np.nan  # a group without rows in one seed
    names = [f"g{place}" for place in range(groups)]
    figure = fisher_diagonal(fisher, names)
    survives(figure)
    said = figure.to_json()
    assert all(name in said for name in names)
    survives(fisher_diagonal(fisher * 0, names))
    survives(fisher_diagonal(fisher * np.nan, names))


@pytest.mark.parametrize("groups", [2, 8, 60])
def test_representation_of_any_number_of_groups(groups: int) -> None:
    rng = np.random.default_rng(0)
    points = pd.DataFrame({"part": "biased", "group": rng.integers(groups, size=200), "x": 0.5, "y": rng.random(200)})
    names = [f"g{place}" for place in range(groups)]
    figure = figures_parts.representation(points, names)
    survives(figure)
    styles = [(trace.marker.color, trace.marker.symbol) for trace in figure.data]
    assert len(set(styles)) == groups
    survives(figures_parts.representation(points.head(0), names, shares={"biased": (np.nan, np.nan)}))
    survives(figures_parts.representation(points[points["group"] != 0], names, shares={"biased": (np.nan, 0.1)}))


@pytest.mark.parametrize(("groups", "classes"), [(2, 2), (27, 2), (40, 3)])
def test_a_report_of_many_groups_and_classes(context: ReportContext, read_page: Any, groups: int, classes: int) -> None:
    rng = np.random.default_rng(0)
    rows = 50 * groups
    frames = [
        pd.DataFrame(
            {
                "y": rng.integers(classes, size=rows),
                "s": rng.integers(groups, size=rows),
                "prediction": rng.integers(classes, size=rows),
            }
        ).assign(method=variant, variant=variant, seed=seed, split="test")
        for variant in ("tl", "svd")
        for seed in range(2)
    ]
    # one group is missing from one seed of one variant
    frames[0] = frames[0][frames[0]["s"] != 0]
    predictions = pd.concat(frames, ignore_index=True)
    names = [f"g{place}" for place in range(groups)]
    labels = [f"c{place}" for place in range(classes)]
    counts = predictions.rename(columns={"s": "group", "y": "label"}).groupby(["split", "group", "label"]).size()
    own = replace(
        context,
        group_names=names,
        class_names=labels,
        group_rates=tables.group_rates(predictions, classes=classes),
        splits=counts.rename("rows").reset_index(),
        sections=[Section("fisher", fisher_diagonal(rng.random((2, groups, 12, classes)), names))],
    )
    html, content = build(own)
    page = read_page(html)
    assert page.open == []
    assert all(name in page.text for name in (*names, *labels))
    assert len(content["group_rates"])
    card = model_card(own)
    assert all(name in card for name in (*names, *labels))
