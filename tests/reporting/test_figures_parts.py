"""Figures of experiments with parts draw the numbers of the right part, and each line is one method's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from scipy import stats

from counterpoise.errors import InputError
from counterpoise.reporting import figures_parts, tables

SEEDS = 3
PARTS = ("eo_0.5", "biased")  # not in the order of the alphabet
METRICS = ("err", "delta_eo", "delta_dp")


def long_frame(variants: dict[str, tuple[str, float | None, int | None]], parts: tuple[str, ...]) -> pd.DataFrame:
    """{variant: (method, alpha, rank)} in every part; no two means are the same."""
    rng = np.random.default_rng(0)
    rows = [
        (method, f"{part}/{variant}", seed, "test", metric, rng.random(), alpha, rank, part)
        for part in parts
        for variant, (method, alpha, rank) in variants.items()
        for metric in METRICS
        for seed in range(SEEDS)
    ]
    columns = ["method", "variant", "seed", "split", "metric", "value", "alpha", "rank", "part"]
    return pd.DataFrame(rows, columns=columns).astype({"alpha": "float64", "rank": "Int64"})


@pytest.fixture
def metrics() -> pd.DataFrame:
    return long_frame({"pretrained": ("pretrained", None, None), "win_r2_a0.5": ("win", 0.5, 2)}, PARTS)


@pytest.fixture
def alphas() -> pd.DataFrame:
    settings: dict[str, tuple[str, float | None, int | None]] = {
        f"win_r{rank}_a{alpha}": ("win", alpha, rank) for rank in (1, 2) for alpha in (0.5, 0.7, 0.9)
    }
    settings |= {"tl": ("tl", None, None), "svd_r1": ("svd", None, 1), "win_r2_harmonic": ("win", None, 2)}
    return long_frame(settings, ("adam", "sgd"))


def line(figure: go.Figure, name: str, panel: int) -> Any:
    (trace,) = (trace for trace in figure.data if trace.name == name and trace.yaxis == ["y", "y2", "y3"][panel])
    return trace


def values(frame: pd.DataFrame, variant: str, metric: str) -> np.ndarray:
    return frame.loc[(frame["variant"] == variant) & (frame["metric"] == metric), "value"].to_numpy()


def interval(series: np.ndarray, metric: str) -> tuple[float, float]:
    """Of an error in percent, or of a gap."""
    low, high = stats.t.interval(0.95, len(series) - 1, loc=series.mean(), scale=stats.sem(series))
    return max(float(low), 0.0), min(float(high), {"err": 100.0, "delta_eo": 2.0}.get(metric, 1.0))


def test_a_part_is_a_place_and_a_method_a_line(metrics: pd.DataFrame) -> None:
    figure = figures_parts.by_part(metrics, tables.summary(metrics))
    assert list(figure.layout.xaxis.ticktext) == ["EO 0.5", "biased"]
    for panel, metric in enumerate(METRICS):
        for name, variant in (("Pretrained", "pretrained"), ("WIN", "win_r2_a0.5")):
            trace = line(figure, name, panel)
            assert [round(x) for x in trace.x] == [0, 1]
            for place, part in enumerate(PARTS):
                measured = values(metrics, f"{part}/{variant}", metric)
                low, high = interval(measured, metric)
                assert trace.y[place] == pytest.approx(measured.mean())
                assert trace.y[place] + trace.error_y.array[place] == pytest.approx(high)
                assert trace.y[place] - trace.error_y.arrayminus[place] == pytest.approx(low)
                assert trace.text[place] == f"{name}, {['EO 0.5', 'biased'][place]}"


def test_the_papers_value_stands_beside_its_method(metrics: pd.DataFrame) -> None:
    setting = {"paper": "win", "table": "T2", "setting": "pretrain_constraint=eo;intensity=0.5"}
    summary = tables.summary(metrics, [{"variant": "eo_0.5/win_r2_a0.5", "method": "win", **setting}])
    figure = figures_parts.by_part(metrics, summary)
    paper, win = line(figure, "the paper", 0), line(figure, "WIN", 0)
    assert list(paper.y) == [17.168]
    assert list(paper.error_y.array) == [0.941]
    assert paper.x[0] == win.x[0]
    assert not [trace for trace in figure.data if trace.name == "the paper" and trace.yaxis == "y3"]


def test_two_variants_of_one_method_are_two_lines() -> None:
    frame = long_frame({f"svd_r{rank}": ("svd", None, rank) for rank in (1, 2)}, ("mlp2",))
    figure = figures_parts.by_part(frame, tables.summary(frame))
    one, two = (line(figure, f"f+SVD: svd_r{rank}", 0) for rank in (1, 2))
    assert one.line.dash != two.line.dash
    assert two.y[0] == pytest.approx(values(frame, "mlp2/svd_r2", "err").mean())


def test_ablation_draws_each_rank_and_part_over_alpha(alphas: pd.DataFrame) -> None:
    figure = figures_parts.ablation(alphas)
    for panel, metric in enumerate(METRICS):
        for rank in (1, 2):
            for part, title in (("adam", "Adam"), ("sgd", "SGD")):
                trace = line(figure, f"WIN, r = {rank}, {title}", panel)
                assert [round(x, 1) for x in trace.x] == [0.5, 0.7, 0.9]
                for place, alpha in enumerate((0.5, 0.7, 0.9)):
                    measured = values(alphas, f"{part}/win_r{rank}_a{alpha}", metric)
                    assert trace.y[place] == pytest.approx(measured.mean())
                    assert trace.y[place] + trace.error_y.array[place] == pytest.approx(interval(measured, metric)[1])
    adam, sgd = (line(figure, f"WIN, r = 1, {title}", 0).line.dash for title in ("Adam", "SGD"))
    assert adam != sgd
    assert line(figure, "f+SVD, r = 1, SGD", 0).line.dash == sgd


@pytest.mark.parametrize(
    ("name", "variant"),
    [("TL (plain fine-tuning)", "tl"), ("f+SVD, r = 1", "svd_r1"), ("win_r2_harmonic, r = 2", None)],
)
def test_what_has_no_alpha_is_level(alphas: pd.DataFrame, name: str, variant: str | None) -> None:
    trace = line(figures_parts.ablation(alphas), f"{name}, SGD", 1)
    measured = values(alphas, f"sgd/{variant or 'win_r2_harmonic'}", "delta_eo")
    assert trace.x[0] < 0.5
    assert trace.x[1] > 0.9
    assert list(trace.y) == pytest.approx([measured.mean()] * 2)
    assert np.isnan(trace.error_y.array[0])
    low, high = interval(measured, "delta_eo")
    assert (trace.y[1] - trace.error_y.arrayminus[1], trace.y[1] + trace.error_y.array[1]) == pytest.approx((low, high))


def test_an_ablation_without_parts_or_alphas_still_stands(alphas: pd.DataFrame) -> None:
    one = alphas[alphas["part"] == "adam"].drop(columns="part")
    assert line(figures_parts.ablation(one), "WIN, r = 1", 0).y[0] == pytest.approx(
        values(one, "adam/win_r1_a0.5", "err").mean()
    )
    level = one[one["method"] == "tl"]
    assert line(figures_parts.ablation(level), "TL (plain fine-tuning)", 0).x[1] > 0


def test_representation_keeps_points_groups_and_parts_apart() -> None:
    points = pd.DataFrame(
        {"part": ["biased"] * 3 + ["eo_0.9"], "group": [0, 1, 1, 0], "x": [1.0, 2, 3, 4], "y": [5.0, 6, 7, 8]}
    )
    figure = figures_parts.representation(points, ["Female", "Male"], shares={"biased": (0.41, 0.2)})
    found = {
        (trace.name, trace.xaxis): list(zip(trace.x, trace.y, strict=True)) for trace in figure.data if len(trace.x)
    }
    assert found == {
        ("Female", "x"): [(1, 5)],
        ("Male", "x"): [(2, 6), (3, 7)],
        ("Female", "x2"): [(4, 8)],
    }
    assert [note.text for note in figure.layout.annotations] == ["biased", "EO 0.9"]
    assert figure.layout.xaxis.title.text == "component 1 (41% of variance)"
    assert figure.layout.yaxis.title.text == "component 2 (20% of variance)"
    assert figure.layout.xaxis2.title.text == "component 1"
    assert [trace.name for trace in figure.data if trace.showlegend] == ["Female", "Male"]


def test_of_many_samples_some_are_drawn_and_the_title_says_so() -> None:
    points = pd.DataFrame({"part": "biased", "group": 0, "x": np.arange(5000.0), "y": 0.0})
    figure = figures_parts.representation(points, ["<b>"])
    assert list(figure.data[0].x[:3]) == [0, 3, 6]
    assert figure.layout.annotations[0].text == "biased (1,667 of 5,000)"
    assert figure.data[0].name == "&lt;b&gt;"


def test_no_samples_are_an_empty_figure() -> None:
    assert not figures_parts.representation(pd.DataFrame(columns=list(figures_parts.POINT_KEYS)), ["a", "b"]).data


@pytest.mark.parametrize(
    ("draw", "column"),
    [
        (lambda frame: figures_parts.by_part(frame, tables.summary(frame)), "part"),
        (lambda frame: figures_parts.ablation(frame), "alpha"),
        (lambda frame: figures_parts.representation(frame, ["a"]), "part"),
    ],
)
def test_a_missing_column_is_named(metrics: pd.DataFrame, draw: Any, column: str) -> None:
    with pytest.raises(InputError, match=f"the column '{column}' is missing"):
        draw(metrics.drop(columns=column))
