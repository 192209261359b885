"""The figures draw the numbers they were given, and survive being stored as JSON."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest

from counterpoise.reporting import ReportContext, figures, tables
from counterpoise.reporting._marks import CHOSEN

FLOOR = {"tl": {"delta_eo": 0.033}}


def traces(figure: go.Figure, name: str) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.name == name]


def drawn(figure: go.Figure, name: str, axis: str) -> dict[float, float]:
    """y → x of every point of that name in one panel."""
    found = [trace for trace in traces(figure, name) if trace.xaxis == axis]
    return {y: x for trace in found for x, y in zip(trace.x, trace.y, strict=True)}


def test_every_figure_survives_json(context: ReportContext) -> None:
    for figure in context.figures.values():
        stored = figure.to_json()
        assert json.loads(plotly.io.from_json(stored).to_json()) == json.loads(stored)
        assert figure.layout.title.text
        titles = [axis.title.text for axis in figure.select_xaxes()]
        assert all(titles)


def test_performance_draws_means_intervals_seeds_and_the_paper(metrics: pd.DataFrame) -> None:
    published = [{"variant": "win_r2_a0.5", "paper": "win", "table": "T3", "method": "win"}]
    summary = tables.summary(metrics, published)
    figure = figures.performance(metrics, summary, noise_floor=FLOOR)
    variants = list(summary["variant"].unique())
    for metric, axis in (("err", "x"), ("delta_eo", "x2"), ("delta_dp", "x3")):
        rows = summary[summary["metric"] == metric].set_index("variant")
        assert drawn(figure, "mean, 95% interval", axis) == {variants.index(v): rows.loc[v, "mean"] for v in variants}
        for trace in traces(figure, "mean, 95% interval"):
            if trace.xaxis == axis:
                chosen = rows.loc[list(trace.text)]
                np.testing.assert_allclose(np.add(trace.x, trace.error_x.array), chosen["ci_high"])
                np.testing.assert_allclose(np.subtract(trace.x, trace.error_x.arrayminus), chosen["ci_low"])
        seeds = metrics[(metrics["split"] == "test") & (metrics["metric"] == metric)]
        assert sorted(drawn(figure, "one seed", axis).values()) == sorted(seeds["value"])
    paper = [x for x in drawn(figure, "the paper", "x").values() if not np.isnan(x)]
    assert paper == [15.829]
    floor = {y: x for y, x in drawn(figure, "noise floor", "x2").items() if not np.isnan(x)}
    assert floor == {variants.index("tl"): 0.033}
    assert not drawn(figure, "noise floor", "x")


def test_performance_has_one_legend_entry_per_kind(metrics: pd.DataFrame) -> None:
    figure = figures.performance(metrics, tables.summary(metrics))
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(shown) == ["mean, 95% interval", "one seed"]


def test_forest_plot_keeps_sign_interval_and_verdict(context: ReportContext) -> None:
    figure = figures.paired_differences(context.claims)
    for metric, axis in (("err", "x"), ("delta_eo", "x2"), ("delta_dp", "x3")):
        rows = context.claims[context.claims["metric"] == metric]
        points = {
            (x, x - low, x + high, trace.name)
            for trace in figure.data
            if trace.xaxis == axis
            for x, low, high in zip(trace.x, trace.error_x.arrayminus, trace.error_x.array, strict=True)
        }
        expected = sorted(rows[["difference", "ci_low", "ci_high", "verdict"]].itertuples(index=False, name=None))
        for found, row in zip(sorted(points), expected, strict=True):
            assert found[:3] == pytest.approx(row[:3])
            assert found[3] == row[3]


def test_forest_plot_of_no_claims_is_empty(context: ReportContext) -> None:
    assert not figures.paired_differences(context.claims.head(0)).data


def test_learning_curves_mark_the_epoch_chosen(history: pd.DataFrame) -> None:
    figure = figures.learning_curves(history)
    marked = sorted((x, y) for trace in traces(figure, CHOSEN) for x, y in zip(trace.x, trace.y, strict=True))
    chosen = history[history["chosen"]]
    assert marked == sorted(zip(chosen["epoch"], chosen["validation_err"], strict=True))
    mean = next(trace for trace in traces(figure, "tl") if trace.mode == "lines" and trace.line.color)
    rows = history[history["variant"] == "tl"]
    np.testing.assert_allclose(mean.y, rows.groupby("epoch")["loss"].mean())


def test_names_are_text_not_markup(context: ReportContext) -> None:
    hostile = context.claims.assign(claim="<a href='x'>click</a> & more")
    labels = [label for axis in figures.paired_differences(hostile).select_yaxes() for label in axis.ticktext]
    assert not any("<a" in label for label in labels)
    assert "&lt;a" in labels[0]
