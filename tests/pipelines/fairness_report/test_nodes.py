"""The report stage hands over what there is: of each part its own, of all parts one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import sklearn.metrics as sk
import yaml
from sklearn.linear_model import LogisticRegression

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Dataset, Evidence, Report
from counterpoise.pipelines.fairness_report.nodes import ReportWriter, floors, measure, summarize
from counterpoise.pipelines.fairness_report.parts import join_parts
from counterpoise.pipelines.fairness_report.pipeline import create_pipeline
from counterpoise.pipelines.shared.arrays import rows
from counterpoise.reporting import ReportContext, Table, sections
from counterpoise.reporting.sections import figure, producers, section

CONF = Path(__file__).parents[3] / "conf" / "base"
PARTS = {"99.0%": "990", "99.5%": "995"}
SHARED = {"raw", "samples", "splits", "data_summary", "params:dataset"}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    block = yaml.safe_load((CONF / "parameters_datasets.yml").read_text())["datasets"]["adult"]
    return Dataset.model_validate(block | {"min_test_rows": 0})


def predictions_of(*methods: str, seeds: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frames = []
    for method in methods:
        for seed in range(seeds):
            y, s = rng.integers(2, size=60), rng.integers(2, size=60)
            frame = pd.DataFrame({"row": range(60), "y": y, "s": s, "score": rng.random(60)})
            frame = frame.assign(prediction=(frame["score"] > 0.5).astype("int64"), split="test", seed=seed)
            frames.append(frame.assign(method=method, variant=method))
    return pd.concat(frames, ignore_index=True)


def repairs_of(*methods: str, **figures: list[float | None]) -> pd.DataFrame:
    keys = [(method, method, seed) for method in methods for seed in range(2)]
    return pd.DataFrame(keys, columns=["method", "variant", "seed"]).assign(**figures)


class TestMeasure:
    def test_figures_of_repairs_are_metrics_where_they_are_measured(self, dataset: Dataset) -> None:
        repairs = repairs_of("vanilla", "win", alpha=[None, None, 0.5, 0.5], rank=[None, None, 2, 2])
        repairs = repairs.assign(information=[0.1, 0.2, 0.3, 0.4], leakage=np.nan, phi=0.5)
        metrics = measure(predictions_of("vanilla", "win"), dataset, Report(), repairs=repairs)
        values = metrics.set_index(["variant", "seed", "metric"])
        assert values.loc[("win", 1, "information"), "value"] == 0.4
        assert not {"leakage", "phi", "sparsity"} & set(metrics["metric"])
        assert metrics.loc[metrics["variant"] == "win", "alpha"].eq(0.5).all()
        assert metrics.loc[metrics["variant"] == "win", "rank"].eq(2).all()
        assert metrics.loc[metrics["variant"] == "vanilla", ["alpha", "rank"]].isna().all(axis=None)
        assert list(metrics) == list(measure(predictions_of("vanilla"), dataset, Report()))

    def test_a_figure_that_some_models_lack_is_null_for_them(self, dataset: Dataset) -> None:
        repairs = repairs_of("vanilla", "ffw", sparsity=[None, None, 0.3, 0.4])
        metrics = measure(predictions_of("vanilla", "ffw"), dataset, Report(), repairs=repairs)
        sparsity = metrics[metrics["metric"] == "sparsity"].set_index(["variant", "seed"])["value"]
        assert sparsity.loc["vanilla"].isna().all()
        assert sparsity.loc["ffw"].tolist() == [0.3, 0.4]


def test_a_new_section_is_one_function(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names artifacts that no other section takes, and is in the pipeline, the page, the document and the files."""
    producers()
    monkeypatch.setattr(sections, "_PRODUCERS", [])
    producers.cache_clear()

    @section(place=1)
    def weights(context: ReportContext, networks: dict[str, int], sizes: pd.DataFrame) -> Table:
        rows = [(part, f"{count} weights") for part, count in networks.items()]
        return Table("Weights", f"Parts {', '.join(sizes['part'])}.", ("Part", "Weights"), rows)

    @figure(place=1)
    def drawn(context: ReportContext, sizes: pd.DataFrame) -> go.Figure:
        return go.Figure(go.Scatter(x=sizes["size"]), layout={"title": {"text": "Sizes"}})

    try:
        pipeline = create_pipeline(SHARED, {"predictions", "networks", "sizes"}, parts=PARTS)
        known = producers()
    finally:
        producers.cache_clear()
    (report,) = (node for node in pipeline.nodes if node.name == "write_report")
    assert {"990__networks", "995__networks", "990__sizes", "figure_drawn"} <= {*report.inputs, *report.outputs}

    run: dict[str, Any] = {"experiment": "new", "title": "New?", "settings": {}, "lineage": {}}
    run["parts"] = {key: name for name, key in PARTS.items()}
    predictions = {f"{key}__predictions": predictions_of("tl", "win") for key in PARTS.values()}
    metrics = {name: measure(frame, dataset, Report()) for name, frame in predictions.items()}
    summary, claims = summarize(join_parts(run, **metrics), Report())
    cells = [{"split": "test", "group": 0, "label": 0, "rows": 60}]
    joined = join_parts(run, **predictions)
    outputs = ReportWriter(known, ("networks", "sizes")).write_report(
        dataset=dataset,
        evidence=Evidence(),
        report=Report(),
        run=run,
        summary=summary,
        claims=claims,
        predictions=joined,
        noise_floors=floors(joined, dataset, run),
        data_summary={"cells": cells, "left_out": {}, "digest": "0"},
        **{f"{key}__networks": place for place, key in enumerate(PARTS.values())},
        **{f"{key}__sizes": pd.DataFrame({"size": [1, 2]}) for key in PARTS.values()},
    )
    assert outputs.keys() == {"drawn", "report_html", "report_json", "model_card"}
    assert list(outputs["drawn"].data[0].x) == [1, 2, 1, 2]
    (table,) = outputs["report_json"]["tables"]
    assert (table["title"], table["rows"]) == ("Weights", [["99.0%", "0 weights"], ["99.5%", "1 weights"]])
    assert table["note"] == "Parts 99.0%, 99.0%, 99.5%, 99.5%."
    assert outputs["report_json"]["figures"] == ["drawn"]
    assert 'id="figure-drawn"' in outputs["report_html"]


def test_every_metric_of_every_head_is_there_and_a_number(smoke: Any) -> None:
    metrics = pd.read_parquet(smoke.file("08_reporting/*/metrics.parquet"))
    names = metrics["metric"].nunique()
    assert metrics.groupby(["variant", "seed"])["metric"].nunique().eq(names).all()
    assert len(metrics) == names * 6 * 3
    assert metrics["value"].notna().all()


def test_the_remaining_metrics_against_scikit_learn(smoke: Any) -> None:
    """Those that tests/test_smoke.py does not recompute."""
    metrics = pd.read_parquet(smoke.file("08_reporting/*/metrics.parquet"))
    values = metrics.set_index(["variant", "seed", "metric"])["value"]
    for (variant, seed), own in smoke.predictions.groupby(["variant", "seed"]):
        groups = [group for _, group in own.groupby("s")]
        rates = [group["prediction"].mean() for group in groups]
        expected = {
            "f1": sk.f1_score(own["y"], own["prediction"]),
            "worst_group_accuracy": min(sk.accuracy_score(group["y"], group["prediction"]) for group in groups),
            "disparate_impact": min(rates) / max(rates),
        }
        for metric, value in expected.items():
            assert values[variant, seed, metric] == pytest.approx(value), metric


def test_leakage_is_that_of_a_linear_probe(smoke: Any, checkpoints: dict[str, Checkpoint]) -> None:
    """Another probe on the same rows: it reads the group about as well, and all heads of a seed share the number."""
    metrics = pd.read_parquet(smoke.file("08_reporting/*/metrics.parquet")).query("metric == 'leakage'")
    assert metrics.groupby("seed")["value"].nunique().eq(1).all()
    samples = pd.read_parquet(smoke.file("05_model_input/*/samples.parquet"))
    chosen = rows(checkpoints["splits"], "test")[0]
    x, s = checkpoints["features"].tensors["features"][0, chosen].numpy(), samples["s"].to_numpy()[chosen]
    half = len(chosen) // 2
    probe = LogisticRegression(max_iter=2000).fit(x[:half], s[:half])
    other = sk.roc_auc_score(s[half:], probe.predict_proba(x[half:])[:, 1])
    assert metrics.set_index("seed")["value"].loc[0].iloc[0] == pytest.approx(other, abs=0.15)
    assert other > 0.5


def test_noise_floors_are_smaller_than_any_gap_could_be(smoke: Any) -> None:
    floors = json.loads(smoke.file("08_reporting/*/noise_floors.json").read_text())
    assert set(floors) == set(smoke.predictions["variant"])
    assert all(0 < floor["delta_dp"] < floor["delta_eo"] < 1 for floor in floors.values())
