"""The figures of an experiment, as plotly figures that draw the given numbers and compute nothing but means."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from counterpoise.fairness import LEVEL
from counterpoise.reporting._marks import (
    CHOSEN,
    MARGINS,
    ROW,
    SPREAD,
    banded_line,
    dashes,
    finish,
    is_new,
    mean_points,
    seed_band,
    seed_points,
    whiskers,
)
from counterpoise.reporting._theme import NEUTRAL, VERDICT_COLOURS, method_colours, text
from counterpoise.reporting.tables import test_rows
from counterpoise.reporting.wording import HEADLINE_METRICS, difference_axis, metric_label, metric_order, p_value

_WRAP: Final = 44  # characters of a claim on one line


def performance(
    metrics: pd.DataFrame,
    summary: pd.DataFrame,
    *,
    panels: Sequence[str] = HEADLINE_METRICS,
    noise_floor: Mapping[str, Mapping[str, float]] | None = None,
    level: float = LEVEL,
) -> go.Figure:
    """Error and bias of every variant on the test split: Figure 4 of the WIN paper, with its uncertainty.

    One panel per metric, one row per variant: the mean over the seeds with its interval (`level`), each seed as a small
    point, the paper's value as an open diamond where it prints one, and the noise floor as a tick where it is given.
    """
    test = test_rows(metrics)
    variants = dict(zip(summary["variant"], summary["method"], strict=True))
    colours = method_colours(variants.values())
    rows = {variant: float(place) for place, variant in enumerate(variants)}
    figure = make_subplots(1, len(panels), shared_yaxes=True, horizontal_spacing=0.04)
    for column, metric in enumerate(panels, start=1):
        seeds = test[(test["metric"] == metric) & test["variant"].isin(rows)].sort_values(["variant", "seed"])
        means = summary[summary["metric"] == metric]
        places = means["variant"].map(rows)
        traces = [
            seed_points(seeds, seeds["variant"].map(rows), row="variant", colours=colours),
            *(
                mean_points(
                    group, places[group.index], row="variant", colour=colours[group["method"].iloc[0]], level=level
                )
                for _, group in means.groupby("method")
            ),
            go.Scatter(
                name="the paper",
                x=means["reported"],
                y=places - 2 * SPREAD,
                error_x={"array": means["reported_std"], "thickness": 1, "width": 3, "color": NEUTRAL},
                marker={"symbol": "diamond-open", "size": 9, "color": NEUTRAL, "line": {"width": 2}},
                hovertemplate="the paper: %{x:.4g}<extra></extra>",
            ),
            go.Scatter(
                name="noise floor",
                x=[(noise_floor or {}).get(name, {}).get(metric, np.nan) for name in means["variant"]],
                y=places,
                marker={"symbol": "line-ns-open", "size": 20, "color": NEUTRAL, "line": {"width": 2}},
                hovertemplate="a perfectly fair model: %{x:.4g}<extra></extra>",
            ),
        ]
        for trace in traces:
            if np.isfinite(np.asarray(trace.x, dtype=np.float64)).any():
                trace.update(mode="markers", legendgroup=trace.name, showlegend=is_new(figure, trace.name))
                figure.add_trace(trace, row=1, col=column)
        figure.update_xaxes(title_text=metric_label(metric), row=1, col=column)
    figure.update_yaxes(ticks="")
    figure.update_yaxes(
        tickvals=list(rows.values()), ticktext=[text(name) for name in rows], range=[len(rows) - 0.5, -0.6]
    )
    return finish(figure, "Error and bias on the test split", height=MARGINS + ROW * len(rows))


def paired_differences(claims: pd.DataFrame) -> go.Figure:
    """Forest plot of the claims: each difference (left − right, paired by seed) with its interval, by verdict.

    One panel per metric, because their units differ. An interval is of the one comparison; the verdict's colour also
    counts how many comparisons were made (Holm), so that an interval beside zero may still be grey.
    """
    metrics = metric_order(claims["metric"])
    heights = [int((claims["metric"] == metric).sum()) for metric in metrics]
    total = MARGINS + sum(ROW * rows + 80 for rows in heights)
    figure = make_subplots(
        max(len(metrics), 1), 1, row_heights=heights or None, vertical_spacing=min(0.25, 90 / total) if heights else 0
    )
    for panel, metric in enumerate(metrics, start=1):
        rows = claims[claims["metric"] == metric].reset_index(drop=True)
        for name, colour in VERDICT_COLOURS.items():
            chosen = rows[rows["verdict"] == name]
            if chosen.empty:
                continue
            difference = chosen["difference"].to_numpy(np.float64)
            figure.add_trace(
                go.Scatter(
                    name=name,
                    x=difference,
                    y=chosen.index.to_numpy(),
                    error_x=whiskers(chosen, difference),
                    mode="markers",
                    marker={"size": 11, "color": colour},
                    customdata=[p_value(p) for p in chosen["p_holm"]],
                    hovertemplate="%{x:+.4g}, p (Holm) %{customdata}<extra></extra>",
                    legendgroup=name,
                    showlegend=is_new(figure, name),
                ),
                row=panel,
                col=1,
            )
        labels = ["<br>".join(textwrap.wrap(text(claim), _WRAP)) for claim in rows["claim"]]
        figure.update_yaxes(tickvals=rows.index.tolist(), ticktext=labels, range=[len(rows) - 0.4, -0.6], row=panel)
        figure.update_xaxes(title_text=difference_axis(metric), row=panel)
        figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1.5, "dash": "dot"}, row=panel, col=1)
    return finish(figure, "Paired differences between methods", height=total)


def learning_curves(history: pd.DataFrame) -> go.Figure:
    """Training loss and validation error by epoch, with the epoch each seed chose.

    Args:
        history: frame with `method, variant, seed, epoch, loss, validation_err` and the boolean `chosen`, true in the
            row of the epoch whose weights were kept. Lines are means over the seeds, bands their range.
    """
    panels = {"loss": "training loss", "validation_err": f"validation {metric_label('err').lower()}"}
    variants = history[["variant", "method"]].drop_duplicates()
    colours = method_colours(variants["method"])
    figure = make_subplots(1, 2, horizontal_spacing=0.1)
    styles = dashes(dict(variants.itertuples(index=False, name=None)))
    for column, (quantity, title) in enumerate(panels.items(), start=1):
        for variant, method in variants.itertuples(index=False):
            rows = history[history["variant"] == variant]
            band, colour = seed_band(rows, quantity), colours[method]
            for trace in banded_line(*band, name=text(variant), colour=colour, dash=styles[variant]):
                trace.update(showlegend=bool(trace.showlegend) and column == 1)
                figure.add_trace(trace, row=1, col=column)
            if quantity == "validation_err":
                chosen = rows[rows["chosen"]].sort_values("seed")
                figure.add_trace(
                    go.Scatter(
                        name=CHOSEN,
                        x=chosen["epoch"],
                        y=chosen[quantity],
                        mode="markers",
                        marker={"size": 7, "color": colours[method], "symbol": "circle-open", "line": {"width": 1.5}},
                        text=[f"{text(variant)}, seed {seed}" for seed in chosen["seed"]],
                        hovertemplate="%{text}: epoch %{x}, %{y:.4g}<extra></extra>",
                        legendgroup="kept",
                        showlegend=is_new(figure, CHOSEN),
                    ),
                    row=1,
                    col=column,
                )
        figure.update_xaxes(title_text="epoch", row=1, col=column)
        figure.update_yaxes(title_text=title, row=1, col=column)
    return finish(figure, "Learning curves", height=440)
