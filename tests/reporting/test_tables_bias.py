"""Tables, words and figures on a bias: the means of the frames, in the order and under the names they have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reports import cell, traces_on
from scipy import stats

from counterpoise.errors import InputError
from counterpoise.reporting import figures_repairs
from counterpoise.reporting import tables_bias as tables
from counterpoise.reporting.sections import bias

SEEDS = 4
METHODS: dict[str, tuple[float, float, float | None, int | None]] = {  # accuracy, information, sparsity, epoch
    "vanilla": (0.60, 0.90, None, None),
    "ffw": (0.95, 0.05, 0.4, 7),
    "ffw_structured": (0.80, 0.30, 0.2, 3),
    "refit": (0.95, 0.90, None, None),
}
PACE = {"refit": -1.0, "ffw_structured": 0.5}
"""How the seeds' distances of a method compare with the others', so that differences are not all the same."""

HOSTILE = "<b>ffw"


@dataclass(frozen=True)
class Frames:
    metrics: pd.DataFrame
    repairs: pd.DataFrame
    curves: pd.DataFrame
    layers: pd.DataFrame
    predictions: pd.DataFrame


def frames(parts: tuple[str, ...] = ("",), methods: dict[str, Any] | None = None) -> Frames:
    """Frames whose seeds lie 0.01 apart around the means in `METHODS`; parts after the first are 0.1 less accurate."""
    measured, found, curves, layers, said = [], [], [], [], []
    for number, part in enumerate(parts):
        for method, (accuracy, information, sparsity, epoch) in (methods or METHODS).items():
            variant = f"{part}/{method}" if part else method
            for seed in range(SEEDS):
                step = 0.01 * (seed - (SEEDS - 1) / 2) * PACE.get(method, 1.0)
                measured.append((method, variant, seed, "test", "accuracy", accuracy - 0.1 * number + step))
                measured.append((method, variant, seed, "validation", "accuracy", 0.11))
                found.append(
                    {
                        "method": method,
                        "variant": variant,
                        "seed": seed,
                        "epoch": None if epoch is None else epoch + seed,
                        "epochs": None if epoch is None else 11,
                        "sparsity": np.nan if sparsity is None else sparsity + step,
                        "information": information,
                        "leakage": information / 2 + 0.1 + step,
                        "conflicting_accuracy": accuracy - 0.2 + step,
                        "unbiased_average": accuracy - 0.1 + step,
                    }
                )
                if epoch is not None:
                    for at in range(1, 12):
                        known = {"accuracy": 0.5 + at / 100 + step, "sparsity": at / 20, "information": 1 / at}
                        known |= {"temperature": 0.6**at, "soft_accuracy": 0.99}
                        curves += [(variant, seed, at, key, value) for key, value in known.items()]
                    layers += [
                        (method, f"conv{place}", place, seed, (sparsity or 0) + place / 10 + step, part)
                        for place in range(3)
                    ]
                said += [
                    (variant, y, s, y if accuracy > 0.9 or y == s else 1 - y)
                    for y in range(2)
                    for s in range(3)
                    if (y, s) != (1, 2)
                ]
    keys = ["method", "variant", "seed", "split", "metric", "value"]
    return Frames(
        metrics=pd.DataFrame(measured, columns=keys),
        repairs=pd.DataFrame(found).astype({"epoch": "Int64", "epochs": "Int64"}),
        curves=pd.DataFrame(curves, columns=["variant", "seed", "epoch", "figure", "value"]),
        layers=pd.DataFrame(layers, columns=["mask", "layer", "position", "seed", "pruned", "part"]),
        predictions=pd.DataFrame(said, columns=["variant", "y", "s", "prediction"]),
    )


def spread(mean: float) -> str:
    return f"{mean:.3f} ± {np.std(np.arange(SEEDS) * 0.01, ddof=1):.3f}"


class TestTables:
    def test_a_row_per_method_with_its_means_over_the_seeds(self) -> None:
        own = frames()
        (table,) = tables.bias_tables(own.metrics, own.repairs)
        assert table.title == "Sub-networks"
        assert [row[0] for row in table.rows] == ["Vanilla", "FFW", "FFW, structured", "Last layer refitted"]
        assert list(table.columns) == [
            *("Method", "Accuracy", "Beside FFW", "Bias-conflicting accuracy", "Unbiased average"),
            *("Bias information", "Leakage", "Sparsity", "Epoch chosen"),
        ]
        assert cell(table, "FFW", "Accuracy") == spread(0.95)
        assert cell(table, "FFW", "Bias-conflicting accuracy") == spread(0.75)
        assert cell(table, "FFW", "Unbiased average") == spread(0.85)
        assert cell(table, "FFW", "Bias information") == "0.050 ± 0.000"
        assert cell(table, "Vanilla", "Leakage") == spread(0.55)
        assert cell(table, "FFW", "Sparsity") == spread(0.4)
        assert cell(table, "FFW", "Epoch chosen") == "8.5 (7 to 10) of 11"
        for row in ("Vanilla", "Last layer refitted"):
            assert cell(table, row, "Sparsity") == cell(table, row, "Epoch chosen") == "n/a"

    def test_the_difference_to_the_sub_network_is_paired_by_seed(self) -> None:
        own = frames()
        (table,) = tables.bias_tables(own.metrics, own.repairs)
        assert cell(table, "FFW", "Beside FFW") == ""
        for row, mean, pace in (("FFW, structured", -0.15, -0.5), ("Last layer refitted", 0.0, -2.0)):
            differences = mean + pace * 0.01 * (np.arange(SEEDS) - 1.5)
            low, high = stats.t.interval(0.95, SEEDS - 1, loc=mean, scale=stats.sem(differences))
            shown = cell(table, row, "Beside FFW").replace("−", "-")
            assert shown.endswith(f"({low:+.3f} to {high:+.3f})")
            assert float(shown.split()[0]) == pytest.approx(mean, abs=5e-4)

    def test_each_part_has_a_table_of_its_own(self) -> None:
        own = frames(("99.0%", "99.5%"))
        first, second = tables.bias_tables(own.metrics, own.repairs)
        assert (first.title, second.title) == ("Sub-networks: 99.0%", "Sub-networks: 99.5%")
        assert (cell(first, "FFW", "Accuracy"), cell(second, "FFW", "Accuracy")) == (spread(0.95), spread(0.85))

    def test_frames_may_come_in_any_order(self) -> None:
        own = frames()
        turned = tables.bias_tables(own.metrics.sample(frac=1, random_state=1), own.repairs)
        assert [table.rows for table in turned] == [
            table.rows for table in tables.bias_tables(own.metrics, own.repairs)
        ]

    @pytest.mark.parametrize("column", ["information", "sparsity", "epoch"])
    def test_a_missing_column_is_named(self, column: str) -> None:
        own = frames()
        with pytest.raises(InputError, match=f"repairs: the column '{column}' is missing"):
            tables.bias_tables(own.metrics, own.repairs.drop(columns=column))


class TestWords:
    def test_the_sub_network_beside_the_vanilla_network_and_its_peers(self) -> None:
        own = frames()
        (said,) = tables.bias_findings(own.metrics, own.repairs)
        assert said.startswith("The vanilla network is right about 60.0% of the unbiased test images")
        assert "its sub-network (FFW) about 95.0%" in said
        assert "in 0.550 and 0.125 of the cases" in said
        assert said.endswith(
            " No detectable difference from it: a refitted last layer (95.0%). Worse: structured FFW (80.0%)."
        )

    def test_a_better_peer_is_called_so(self) -> None:
        own = frames(methods=METHODS | {"refit": (0.99, 0.9, None, None), "ffw": (0.90, 0.05, 0.4, 7)})
        (said,) = tables.bias_findings(own.metrics, own.repairs)
        assert "Better than the sub-network: a refitted last layer (99.0%). Worse: structured FFW (80.0%)." in said

    def test_of_each_part_and_of_none_without_a_sub_network(self) -> None:
        own = frames(("99.0%", "99.5%"))
        said = tables.bias_findings(own.metrics, own.repairs)
        assert [line[:10] for line in said] == ["99.0%: the", "99.5%: the"]
        without = own.repairs[own.repairs["method"] != "ffw"]
        assert tables.bias_findings(own.metrics, without) == ()
        (table, _) = tables.bias_tables(own.metrics, without)
        assert all(row[list(table.columns).index("Beside FFW")] == "" for row in table.rows)


class TestFigures:
    def test_curves_are_means_over_the_seeds_of_what_is_followed(self) -> None:
        figure = figures_repairs.repair_curves(frames().curves, frames().repairs, {})
        titles = [axis.title.text for axis in figure.select_yaxes()]
        assert titles == ["accuracy, hard gates", "sparsity", "bias information", "temperature"]
        line = next(trace for trace in traces_on(figure, "x", "FFW") if trace.line.width != 0)
        assert list(line.x) == list(range(1, 12))
        assert list(line.y) == pytest.approx([0.5 + at / 100 for at in range(1, 12)])
        temperature = next(trace for trace in traces_on(figure, "x4", "FFW, structured") if trace.line.width != 0)
        assert list(temperature.y) == pytest.approx([0.6**at for at in range(1, 12)])
        assert figure.layout.yaxis4.type == "log"
        assert figure.layout.yaxis.type != "log"
        assert not any(0.99 in list(trace.y) for trace in figure.data), "soft gates say nothing"
        shown = [trace.name for trace in figure.data if trace.showlegend]
        assert sorted(shown) == ["FFW", "FFW, structured", figures_repairs.CHOSEN]
        (chosen,) = traces_on(figure, "x", figures_repairs.CHOSEN)
        assert dict(zip(chosen.text, chosen.x, strict=True))["FFW, seed 2"] == 9

    def test_layers_are_in_the_order_of_the_network(self) -> None:
        shuffled = frames().layers.sample(frac=1, random_state=0)
        figure = figures_repairs.pruned_layers(shuffled.assign(layer=shuffled["layer"].replace({"conv0": "z"})))
        (line,) = traces_on(figure, "x", "FFW")
        assert list(figure.layout.xaxis.ticktext) == ["z", "conv1", "conv2"]
        assert list(line.x) == list(figure.layout.xaxis.tickvals)
        assert list(line.y) == pytest.approx([0.4, 0.5, 0.6])

    def test_maps_hold_the_accuracy_of_each_cell(self) -> None:
        figure = bias.accuracy_maps(
            frames().predictions, ("round", "long"), ("red", "green", "blue"), ("vanilla", "ffw", "leace")
        )
        assert [note.text for note in figure.layout.annotations] == ["Vanilla", "FFW"]
        vanilla, ffw = figure.data
        for drawn, cells in ((vanilla, [[1.0, 0, 0], [0, 1, np.nan]]), (ffw, [[1.0, 1, 1], [1, 1, np.nan]])):
            np.testing.assert_array_equal(np.array(drawn.z), np.array(cells))
        assert (list(vanilla.x), list(vanilla.y)) == (["red", "green", "blue"], ["round", "long"])
        assert figure.layout.yaxis.autorange == "reversed"
        assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)

    def test_parts_stand_below_one_another(self) -> None:
        own = frames(("99.0%", "99.5%"))
        axes = {trace.xaxis for trace in figures_repairs.repair_curves(own.curves, own.repairs, {}).data}
        assert axes == {"x", *(f"x{number}" for number in range(2, 9))}
        closed = figures_repairs.pruned_layers(own.layers)
        assert {trace.xaxis for trace in closed.data} == {"x", "x2"}
        assert len([trace for trace in closed.data if trace.showlegend]) == 2
        drawn = bias.accuracy_maps(own.predictions, ("a", "b"), ("c", "d", "e"), ("vanilla", "ffw"))
        assert [axis.showticklabels for axis in drawn.select_yaxes()] == [True, False] * 2
        assert [note.text for note in drawn.layout.annotations] == [
            *("99.0%: Vanilla", "99.0%: FFW", "99.5%: Vanilla", "99.5%: FFW")
        ]

    def test_names_are_text_not_markup(self) -> None:
        own = frames(methods={HOSTILE: (0.8, 0.1, 0.3, 5)})
        for figure in (
            figures_repairs.repair_curves(own.curves, own.repairs, {}),
            figures_repairs.pruned_layers(own.layers),
            bias.accuracy_maps(own.predictions, ("a", "b"), ("c", "d", "e"), (HOSTILE,)),
        ):
            drawn = str(json.loads(figure.to_json())).lower()
            assert "&lt;b&gt;" in drawn
            assert HOSTILE not in drawn

    def test_empty_frames_are_empty_figures_and_a_missing_column_a_sentence(self) -> None:
        own = frames()
        assert not figures_repairs.repair_curves(own.curves[:0], own.repairs, {}).data
        assert not bias.accuracy_maps(own.predictions[:0], ("a",), ("b",), ("ffw",)).data
        with pytest.raises(InputError, match="the column 'value' is missing"):
            figures_repairs.repair_curves(own.curves.drop(columns="value"), own.repairs, {})
