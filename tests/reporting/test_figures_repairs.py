"""Figures of repairs draw the means they were given, the size of a signed bias, and the epochs that were kept."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reports import traces_on
from scipy import stats

from counterpoise.errors import InputError
from counterpoise.reporting import figures_repairs

HOSTILE = "<b>svd"


def test_a_repair_is_a_mean_with_both_intervals_and_its_seeds(repaired: Any) -> None:
    figure = figures_repairs.repair_plane(repaired.metrics, repaired.objectives)
    for axis, part, metric in (("x", "sex", "aod"), ("x2", "race", "spd")):
        test = repaired.metrics[
            (repaired.metrics["split"] == "test") & (repaired.metrics["variant"] == f"{part}/netaug")
        ]
        (mean,) = traces_on(figure, axis, "NetAug")
        for centre, bar, key in ((mean.x, mean.error_x, metric), (mean.y, mean.error_y, "balanced_accuracy")):
            values = test.loc[test["metric"] == key, "value"].abs()
            _, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
            assert centre[0] == pytest.approx(values.mean())
            assert centre[0] + bar.array[0] == pytest.approx(high)
        assert [mean.customdata[0][place] for place in (0, 3, 4)] == [f"{part}/netaug", 4, 4]
        (seeds,) = (trace for trace in traces_on(figure, axis, "one seed") if trace.legendgroup == "NetAug")
        assert list(seeds.x) == list(test.loc[test["metric"] == metric, "value"].abs())
    assert not any("last epoch" in trace.name for trace in figure.data)
    assert [note.text for note in figure.layout.annotations][:2] == ["sex", "race"]
    assert [axis.title.text for axis in figure.select_xaxes()] == ["|AOD|", "|SPD|"]


def test_the_tolerance_of_each_part_is_drawn_and_each_method_is_once_in_the_legend(repaired: Any) -> None:
    objectives = repaired.objectives | {"race": repaired.objectives["race"] | {"tolerance": 0.08}}
    figure = figures_repairs.repair_plane(repaired.metrics, objectives)
    bands = {shape.xref: shape.x1 for shape in figure.layout.shapes if shape.type == "rect"}
    assert bands == {"x": 0.05, "x2": 0.08}
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert len(shown) == len(set(shown)) == 7
    marks = {(trace.marker.color, trace.marker.symbol) for trace in figure.data if trace.showlegend}
    assert len(marks) == 7


def test_masks_layer_by_layer(repaired: Any) -> None:
    figure = figures_repairs.pruned_layers(repaired.layers.sample(frac=1, random_state=0))
    (line,) = traces_on(figure, "x", "the mask")
    assert list(line.x) == [0, 1, 2]
    assert list(line.y) == pytest.approx([0.1015, 0.1115, 0.1215])
    assert list(figure.layout.xaxis.ticktext) == ["layers.0", "layers.1", "layers.2"]
    (seeds,) = (trace for trace in traces_on(figure, "x", "one seed") if trace.legendgroup == "the mask")
    assert len(seeds.x) == 12


def test_agreement_is_symmetric_and_stands_beside_chance(repaired: Any) -> None:
    figure = figures_repairs.mask_agreement(repaired.agreement)
    found, chance = traces_on(figure, "x")[0], traces_on(figure, "x2")[0]
    cells = np.array(found.z, dtype=float)
    assert np.isnan(np.diag(cells)).all()
    assert cells[1, 2] == cells[2, 1] == pytest.approx(0.62)
    assert np.nanmin(chance.z) == np.nanmax(chance.z) == 0.04
    assert [note.text for note in figure.layout.annotations][:2] == [
        "the mask, sex, found",
        "the mask, sex, by chance",
    ]
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)


def test_curves_show_sizes_and_the_epochs_chosen(repaired: Any) -> None:
    figure = figures_repairs.repair_curves(repaired.curves, repaired.repairs, repaired.objectives)
    bias = next(trace for trace in traces_on(figure, "x2", "NetAug") if trace.line.width != 0)
    assert list(bias.y) == pytest.approx([abs(-0.1 + epoch / 1000) for epoch in range(0, 91, 10)])
    (kept,) = traces_on(figure, "x", figures_repairs.CHOSEN)
    points = dict(zip(kept.text, zip(kept.x, kept.y, strict=True), strict=True))
    assert points["NetAug, seed 0"] == (0, 0.5)
    assert points["AdvFt, seed 0"] == (30, pytest.approx(0.53))
    assert "NetAug, seed 1" not in points  # epoch 1 is not on a curve of every tenth epoch
    bounds = sorted(shape.y0 for shape in figure.layout.shapes if shape.xref.startswith("x2"))
    assert bounds == [pytest.approx(0.03), 0.05]
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(shown) == sorted({*shown})


def test_only_methods_with_a_critic_have_its_curve(repaired: Any) -> None:
    figure = figures_repairs.critic_curves(repaired.curves)
    assert {trace.name for trace in figure.data} == {"AdvFt", "Random mask + AdvFt"}
    line = next(trace for trace in figure.data if trace.showlegend)
    assert list(line.y) == pytest.approx([1 - epoch / 1000 for epoch in range(0, 91, 10)])
    assert not figures_repairs.critic_curves(repaired.curves[repaired.curves["figure"] == "loss"]).data


def test_an_experiment_without_parts_has_one_panel(make_repaired: Any) -> None:
    frames = make_repaired({"": 0.0}, seeds=2)
    plane = figures_repairs.repair_plane(frames.metrics, frames.objectives)
    assert {trace.xaxis for trace in plane.data} == {"x"}
    assert [note.text for note in plane.layout.annotations] == ["tolerance 0.05"]
    whole = (frames.layers.drop(columns="part"), frames.agreement.drop(columns="part"))
    assert len(figures_repairs.pruned_layers(whole[0]).data) == 4
    assert figures_repairs.mask_agreement(whole[1]).layout.annotations[0].text == "the mask, found"
    curves = figures_repairs.repair_curves(frames.curves.drop(columns="part"), frames.repairs, frames.objectives)
    assert {trace.xaxis for trace in curves.data} == {"x", "x2", "x3"}


def test_names_are_text_not_markup(make_repaired: Any) -> None:
    repairs = {HOSTILE: (HOSTILE, 0.8, 0.1, 30, 0.5, False)}
    frames = make_repaired({HOSTILE: 0.0}, seeds=2, repairs=repairs)
    for figure in (
        figures_repairs.repair_plane(frames.metrics, frames.objectives),
        figures_repairs.pruned_layers(frames.layers.assign(mask=HOSTILE, layer=HOSTILE)),
        figures_repairs.mask_agreement(frames.agreement.assign(mask=HOSTILE)),
        figures_repairs.repair_curves(frames.curves, frames.repairs, frames.objectives),
        figures_repairs.critic_curves(frames.curves),
    ):
        assert "&lt;b&gt;" in str(json.loads(figure.to_json())).lower()
        assert "<b>svd" not in str(json.loads(figure.to_json())).lower()


@pytest.mark.parametrize(
    ("draw", "columns", "where"),
    [
        (figures_repairs.pruned_layers, figures_repairs.LAYER_KEYS, "pruned layers"),
        (figures_repairs.mask_agreement, figures_repairs.AGREEMENT_KEYS, "mask agreement"),
        (figures_repairs.critic_curves, figures_repairs.CURVE_KEYS, "repair curves"),
    ],
)
def test_an_empty_frame_is_an_empty_figure_and_a_missing_column_a_sentence(draw: Any, columns: Any, where: str) -> None:
    empty = pd.DataFrame(columns=list(columns))
    assert not draw(empty).data
    with pytest.raises(InputError, match=f"{where}: the column '{columns[-1]}' is missing"):
        draw(empty.drop(columns=columns[-1]))


def test_discoveries_have_names_of_their_own(repaired: Any) -> None:
    figure = figures_repairs.pruned_layers(repaired.layers.replace({"mask": {"mask_only": "external_graft"}}))
    assert {trace.name for trace in figure.data} == {"a second discovery", "Random mask + AdvFt", "one seed"}
