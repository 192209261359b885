"""The plane and the hypervolumes draw the means they were given, and every method's frontier dominates its points."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from scipy import stats

from counterpoise.errors import InputError
from counterpoise.reporting import figures_frontier

SEEDS = 4
HOSTILE = "<b>svd</b>"


def grid_of(points: dict[str, tuple[str, float, float]], *, seeds: int = SEEDS) -> pd.DataFrame:
    """{variant: (method, err, delta_eo)} as a long frame whose test means are these; validation says otherwise."""
    spread = np.linspace(-0.01, 0.01, seeds)
    rows = [
        (method, variant, seed, split, metric, value + spread[seed] + (5 if split == "validation" else 0), 0.25)
        for variant, (method, err, gap) in points.items()
        for metric, value in (("err", err), ("delta_eo", gap), ("auc", 0.9))
        for split in ("validation", "test")
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["method", "variant", "seed", "split", "metric", "value", "strength"])


POINTS = {
    "tl_a": ("tl", 15.0, 0.20),
    "tl_b": ("tl", 15.5, 0.10),
    "tl_c": ("tl", 15.6, 0.15),  # worse than tl_b in both
    "tl_d": ("tl", 17.0, 0.05),
    "svd": ("svd", 16.0, 0.20),  # worse than tl_a in both, but alone in its method
}


@pytest.fixture
def grid() -> pd.DataFrame:
    return grid_of(POINTS)


def named(figure: go.Figure, name: str) -> Any:
    (trace,) = (trace for trace in figure.data if trace.name == name)
    return trace


def drawn(trace: Any) -> dict[str, tuple[float, float]]:
    """Variant → (bias, error), rounded."""
    points = zip(trace.customdata, trace.x, trace.y, strict=True)
    return {row[0]: (round(float(x), 9), round(float(y), 9)) for row, x, y in points}


def test_a_point_is_the_mean_over_the_seeds_of_the_test_split(grid: pd.DataFrame) -> None:
    figure = figures_frontier.frontier_plane(grid, bias="delta_eo")
    found = drawn(named(figure, "TL heads")) | drawn(named(figure, "f+SVD heads"))
    assert found == {variant: (gap, err) for variant, (_, err, gap) in POINTS.items()}
    (row,) = (row for row in named(figure, "f+SVD heads").customdata)
    assert row[1] == "<br>strength 0.25"
    assert row[2] == pytest.approx(np.linspace(-0.01, 0.01, SEEDS).std(ddof=1))
    assert row[4] == SEEDS


def test_the_line_joins_what_its_method_does_not_dominate(grid: pd.DataFrame) -> None:
    figure = figures_frontier.frontier_plane(grid, bias="delta_eo")
    lines = {trace.legendgroup: trace for trace in figure.data if trace.mode == "lines"}
    assert list(np.round(lines["tl"].x, 9)) == [0.05, 0.10, 0.20]
    assert list(np.round(lines["tl"].y, 9)) == [17.0, 15.5, 15.0]
    assert len(lines["svd"].x) == 1
    assert lines["tl"].line.shape == "hv"  # the other way round it would promise an error at a bias that nobody has


def test_a_variant_that_lost_a_seed_is_on_no_frontier() -> None:
    frame = grid_of({**POINTS, "tl_best": ("tl", 10.0, 0.01)})
    lost = (frame["variant"] == "tl_best") & (frame["seed"] == 0) & (frame["metric"] == "err")
    points = figures_frontier.variant_means(frame.assign(value=frame["value"].mask(lost)), "delta_eo")
    row = points.set_index("variant").loc["tl_best"]
    assert (row["n"], row["efficient"]) == (SEEDS - 1, False)
    assert set(points.loc[points["efficient"], "variant"]) == {"tl_a", "tl_b", "tl_d", "svd"}


def test_of_a_signed_bias_the_absolute_value_is_drawn(grid: pd.DataFrame) -> None:
    signed = grid.replace({"metric": {"delta_eo": "spd"}})
    signed["value"] = signed["value"].mask(signed["metric"] == "spd", -signed["value"])
    figure = figures_frontier.frontier_plane(signed, bias="spd")
    assert figure.layout.xaxis.title.text == "|SPD|"
    assert drawn(named(figure, "f+SVD heads")) == {"svd": (0.2, 16.0)}


def test_what_was_chosen_is_a_mean_with_a_cross_of_intervals(grid: pd.DataFrame) -> None:
    errors, gaps = [15.0, 15.4, 15.9, 15.5], [0.04, 0.06, 0.05, 0.03]
    chosen = pd.DataFrame({"seed": range(4), "method": "chosen", "variant": ["tl_b"] * 3 + ["tl_d"]})
    figure = figures_frontier.frontier_plane(grid, chosen.assign(err=errors, delta_eo=gaps), bias="delta_eo")
    star = named(figure, "Ours, chosen")
    for centre, bar, values in ((star.x[0], star.error_x, gaps), (star.y[0], star.error_y, errors)):
        low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
        assert centre == pytest.approx(np.mean(values))
        assert (centre - bar.arrayminus[0], centre + bar.array[0]) == (pytest.approx(low), pytest.approx(high))
    assert star.customdata[0][1] == "<br>tl_b in 3 of 4 seeds"


def test_limits_stand_where_they_were_given(grid: pd.DataFrame) -> None:
    figure = figures_frontier.frontier_plane(grid, bias="delta_eo", tolerance=0.08, noise_floor=0.03)
    line, band = sorted(figure.layout.shapes, key=lambda shape: shape.type)
    assert (line.type, line.x0, line.x1) == ("line", 0.08, 0.08)
    assert (band.type, band.x0, band.x1) == ("rect", 0, 0.03)
    words = {note.text for note in figure.layout.annotations}
    assert words >= {"tolerance 0.08", "noise floor"}
    assert not figures_frontier.frontier_plane(grid, bias="delta_eo").layout.shapes


def test_the_first_view_has_every_method_and_says_what_it_leaves_out() -> None:
    far = {f"win_{place}": ("win", 60.0 + place, 0.0) for place in range(2)} | {"win": ("win", 15.2, 0.1)}
    figure = figures_frontier.frontier_plane(grid_of({**POINTS, **far}), bias="delta_eo")
    low, high = figure.layout.yaxis.range
    assert low < 15.0
    assert 17.0 < high < 60.0
    assert "2 lie above: double-click to see them" in {note.text for note in figure.layout.annotations}
    assert len(named(figure, "WIN heads").x) == 3


def test_a_thousand_variants_stay_a_handful_of_traces_and_a_small_file() -> None:
    many = {
        f"{method}_{place}": (method, 15 + place / 100, 0.3 - place / 2000)
        for method in ("tl", "svd", "win")
        for place in range(334)
    }
    figure = figures_frontier.frontier_plane(grid_of(many, seeds=2), bias="delta_eo")
    assert len(figure.data) == 6
    assert len(figure.to_json()) < 300_000


def test_of_thousands_of_dominated_variants_some_are_drawn_and_every_efficient_one() -> None:
    cloud = {f"tl_{place}": ("tl", 16 + place / 1e4, 0.3) for place in range(2500)}
    figure = figures_frontier.frontier_plane(grid_of({**cloud, **POINTS}, seeds=1), bias="delta_eo")
    found = drawn(named(figure, "TL heads"))
    assert 500 < len(found) <= 1010
    assert set(POINTS) - {"tl_c", "svd"} <= set(found)
    notes = {note.text for note in figure.layout.annotations}
    assert f"{len(found) + 1:,} of 2,505 variants drawn" in {note.partition("<br>")[0] for note in notes}


def test_a_choice_has_a_legend_entry_unless_its_method_has_it_by_the_same_name(grid: pd.DataFrame) -> None:
    """The choice `tl` is the plain head; the points of the method `tl` are heads under penalties."""
    peers = grid.replace({"method": {"svd": "leace"}})
    chosen = pd.DataFrame({"seed": [0, 1, 0, 1], "method": ["tl", "tl", "leace", "leace"], "variant": "v"})
    figure = figures_frontier.frontier_plane(peers, chosen.assign(err=15.0, delta_eo=[0.1, 0.2] * 2), bias="delta_eo")
    shown = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert shown == ["TL heads", "LEACE", "TL (plain fine-tuning)"]
    assert len([trace for trace in figure.data if trace.name == "LEACE"]) == 2


def test_names_are_text_not_markup(grid: pd.DataFrame) -> None:
    hostile = grid.assign(variant=grid["variant"].replace("svd", HOSTILE))
    figure = figures_frontier.frontier_plane(hostile, bias="delta_eo")
    assert list(drawn(named(figure, "f+SVD heads"))) == ["&lt;b&gt;svd&lt;/b&gt;"]
    assert HOSTILE not in str(json.loads(figure.to_json()))


def test_bad_frames_are_refused(grid: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="'delta_dp' was not measured on the test split"):
        figures_frontier.frontier_plane(grid, bias="delta_dp")
    chosen = pd.DataFrame({"seed": [0], "method": ["chosen"], "variant": ["tl"]})
    with pytest.raises(InputError, match="chosen models: the column 'err' is missing"):
        figures_frontier.frontier_plane(grid, chosen, bias="delta_eo")
    with pytest.raises(InputError, match="hypervolumes: the column 'bias' is missing"):
        figures_frontier.hypervolumes(pd.DataFrame({"method": [], "seed": [], "hypervolume": []}))


def test_nothing_to_draw_is_an_empty_figure_or_a_sentence(grid: pd.DataFrame) -> None:
    none = pd.DataFrame(columns=list(figures_frontier.HYPERVOLUME_KEYS))
    assert not figures_frontier.hypervolumes(none).data
    chosen = pd.DataFrame(columns=["seed", "method", "variant", "err", "delta_eo"])
    assert len(figures_frontier.frontier_plane(grid, chosen, bias="delta_eo").data) == 4
    with pytest.raises(InputError, match="no rows of the split 'test'"):
        figures_frontier.frontier_plane(grid.head(0), bias="delta_eo")


def test_hypervolumes_are_means_with_intervals_and_seeds() -> None:
    values = {("win", "delta_eo"): [2.0, 2.1, 2.4], ("tl", "delta_eo"): [1.0, 1.5, 1.4], ("tl", "delta_dp"): [3.0, 4.0]}
    rows = [(*key, seed, value) for key, series in values.items() for seed, value in enumerate(series)]
    figure = figures_frontier.hypervolumes(pd.DataFrame(rows, columns=["method", "bias", "seed", "hypervolume"]))
    assert list(figure.layout.yaxis.ticktext) == ["TL heads", "WIN heads"]
    assert [axis.title.text for axis in figure.select_xaxes()] == [
        "hypervolume over (error, ΔEO)",
        "hypervolume over (error, ΔDP)",
    ]
    for (method, bias), series in values.items():
        axis, place = {"delta_eo": "x", "delta_dp": "x2"}[bias], {"tl": 0, "win": 1}[method]
        own = [trace for trace in figure.data if trace.xaxis == axis]
        (mean,) = (trace for trace in own if trace.name == "mean, 95% interval" and trace.y[0] == place)
        low, high = stats.t.interval(0.95, len(series) - 1, loc=np.mean(series), scale=stats.sem(series))
        assert mean.x[0] == pytest.approx(np.mean(series))
        assert mean.x[0] + mean.error_x.array[0] == pytest.approx(high)
        assert mean.x[0] - mean.error_x.arrayminus[0] == pytest.approx(low)
        (seeds,) = (trace for trace in own if trace.name == "one seed")
        assert [x for x, y in zip(seeds.x, seeds.y, strict=True) if round(y - 0.25) == place] == series


def test_the_choice_lies_over_a_larger_hollow_mark_that_it_may_coincide_with(grid: pd.DataFrame) -> None:
    same = [
        {"seed": seed, "method": name, "variant": "tl_b"} for name in ("chosen", "chosen_heads") for seed in range(3)
    ]
    chosen = pd.DataFrame(same).assign(err=15.5, delta_eo=0.1)
    figure = figures_frontier.frontier_plane(grid, chosen, bias="delta_eo")
    choice, below = named(figure, "Ours, chosen"), named(figure, "Ours, penalised heads")
    assert figure.data[-1] is choice
    assert (choice.marker.symbol, below.marker.symbol) == ("star", "star-open")
    assert below.marker.size > choice.marker.size


def test_a_constant_predictor_does_not_press_the_first_view_flat() -> None:
    constant = {"constant": ("constant", 36.0, 0.0)}
    figure = figures_frontier.frontier_plane(grid_of({**POINTS, **constant}), bias="delta_eo")
    assert figure.layout.yaxis.range[1] < 20


def test_what_errs_more_than_a_constant_predictor_does_not_either() -> None:
    """Not even what a method chose: the figure says that it is there."""
    useless = {"win_bad": ("win", 45.0, 0.3), "constant": ("constant", 20.0, 0.0)}
    picked = pd.DataFrame({"seed": range(3), "method": "win", "variant": "win_bad", "err": 45.0, "delta_eo": 0.3})
    figure = figures_frontier.frontier_plane(grid_of({**POINTS, **useless}), picked, bias="delta_eo")
    assert 17.0 < figure.layout.yaxis.range[1] < 22
    (remark,) = (note.text for note in figure.layout.annotations if "lie above" in note.text)
    assert remark.startswith("1 and the choice of WIN lie above")


def test_no_whisker_leaves_what_a_bias_can_be(grid: pd.DataFrame) -> None:
    chosen = pd.DataFrame({"seed": range(3), "method": "chosen", "variant": "tl_b", "err": [15.0, 15.4, 15.9]})
    star = named(
        figures_frontier.frontier_plane(grid, chosen.assign(delta_eo=[0.0, 0.0, 0.1]), bias="delta_eo"), "Ours, chosen"
    )
    assert star.x[0] - star.error_x.arrayminus[0] == pytest.approx(0.0)


def test_a_long_legend_makes_its_figure_higher() -> None:
    many = {f"m{place}": (f"method_{place}", 15.0, 0.1) for place in range(40)}
    tall, small = (figures_frontier.frontier_plane(grid_of(rows), bias="delta_eo") for rows in (many, POINTS))
    assert tall.layout.height >= small.layout.height + 40 * 15
