"""Experiments that look for unbiased parts of networks: what they leave, and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import plotly.io
import pytest
import torch
from torch import Tensor

from counterpoise.artifacts.datasets import read_checkpoint
from counterpoise.config.parameters import Dataset, Report, Seeds
from counterpoise.fairness import confusion_counts
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.methods.gates.gating import closed_share, gated_forward
from counterpoise.nn.gates import activation_sizes
from counterpoise.pipelines.fairness_report.nodes import measure
from counterpoise.pipelines.shared.networks import builder_of, resting

# Networks that have seen their images thrice need not predict every class.
pytestmark = pytest.mark.filterwarnings("ignore::counterpoise.fairness.UndefinedMetricWarning")

NAME, SEEDS = "ffw_multicolor_mnist", [0, 1]
GATED = ["ffw", "ffw_structured"]
FACTORED = ("svd", "win")
"""Methods whose last layer starts from factors of the frozen one."""

METHODS = ["vanilla", *GATED, "magnitude_mask", "refit", *FACTORED, "leace"]
FEW = {"seeds": 2, "repairs": {"digits": {"methods": METHODS}}}


@pytest.fixture(scope="module")
def digits(run_once: Any) -> Any:
    return run_once("ffw", NAME, **FEW)


@pytest.fixture(scope="module")
def left(digits: Any) -> dict[str, Any]:
    """What the experiment's files hold, by name."""
    tables = {
        name: pd.read_parquet(digits.file(f"08_reporting/{NAME}/{name}.parquet"))
        for name in ("metrics", "repairs", "pruned_layers", "curves")
    }
    checkpoints = {
        name: read_checkpoint(digits.file(f"0*/{NAME}/{name}.safetensors"))
        for name in ("pretrained", "pixels", "repaired", "masks")
    }
    report = json.loads(digits.file(f"08_reporting/{NAME}/report.json").read_text())
    samples = pd.read_parquet(digits.file(f"05_model_input/{NAME}/samples.parquet"))
    return tables | checkpoints | {"settings": report["settings"], "samples": samples, "said": digits.predictions}


def under(tensors: dict[str, Tensor], variant: str, r: int) -> dict[str, Tensor]:
    """A variant's tensors of one replicate, by their names within it."""
    return {
        name.removeprefix(f"{variant}."): own[r : r + 1]
        for name, own in tensors.items()
        if name.startswith(f"{variant}.")
    }


class TestWhatItLeaves:
    def test_every_method_with_every_seed(self, left: dict[str, Any]) -> None:
        table = left["repairs"]
        assert list(table["variant"].drop_duplicates()) == METHODS
        assert table.groupby("variant")["seed"].apply(list).map(SEEDS.__eq__).all()
        assert set(table.loc[table["epoch"].notna(), "method"]) == set(GATED)
        assert set(table.loc[table["sparsity"].notna(), "method"]) == {*GATED, "magnitude_mask"}
        assert set(left["said"]["variant"]) == set(METHODS)
        assert table["information"].between(0, 1).all()
        assert table["leakage"].between(0, 1).all()

    def test_predictions_are_those_of_the_gates_and_last_layers_that_leave(self, left: dict[str, Any]) -> None:
        """Built anew from the checkpoints: the pretrained network, its gates or its new last layer."""
        x, tensors = left["pixels"].tensors["pixels"], {**left["repaired"].tensors, **left["masks"].tensors}
        dataset = Dataset.model_validate(left["settings"]["dataset"])
        builder = resting(builder_of(left["settings"]["convnet"], dataset, Seeds((0, 1)), x))
        for r, seed in enumerate(SEEDS):
            network = builder.replicate(r)()
            network.load({name: own[r : r + 1] for name, own in left["pretrained"].tensors.items()})
            network.eval()
            for variant in ("vanilla", *GATED, "magnitude_mask", "refit", *FACTORED):
                said = left["said"].set_index(["variant", "seed"]).loc[(variant, seed)]
                images = x[said["row"].tolist()].unsqueeze(0)
                found = under(tensors, variant, r)
                with torch.no_grad():
                    if variant in ("refit", *FACTORED):
                        hidden = network(images).features @ found["head.first"]
                        if variant in FACTORED:
                            hidden = hidden @ found["head.second"]
                        logits = hidden + found["head.bias"].unsqueeze(1)
                    else:
                        opened = {name: own.float() for name, own in found.items()}
                        logits = gated_forward(network, network.weights(), images, opened)[0]
                assert logits[0].argmax(dim=-1).tolist() == said["prediction"].tolist(), variant
            sizes = activation_sizes(network, x[:1].unsqueeze(0))
            assert [under(tensors, "ffw_structured", r)[f"channels{i}"].shape[1] for i in range(len(sizes))] == sizes

    def test_sparsity_is_that_of_the_gates_in_all_and_layer_by_layer(self, left: dict[str, Any]) -> None:
        known = left["repairs"].set_index(["variant", "seed"])["sparsity"]
        layers = left["pruned_layers"].set_index(["mask", "seed", "layer"])["pruned"]
        for variant in (*GATED, "magnitude_mask"):
            for r, seed in enumerate(SEEDS):
                opened = under({**left["repaired"].tensors, **left["masks"].tensors}, variant, r)
                assert all(own.dtype == torch.bool for own in opened.values())
                assert known[variant, seed] == pytest.approx(closed_share(opened).item())
                for layer, own in opened.items():
                    assert layers[variant, seed, layer] == pytest.approx(1 - own.double().mean().item())
        assert known["ffw"].tolist() == known["magnitude_mask"].tolist()

    def test_what_is_left_of_the_biases_is_what_the_predictions_say(self, left: dict[str, Any]) -> None:
        """Aligned is the colour of the class's own number, left and right: counted with pandas."""
        samples, table = left["samples"], left["repairs"].set_index(["variant", "seed"])
        for key, own in left["said"].groupby(["variant", "seed"]):
            rows = samples.iloc[own["row"]]
            right = (own["prediction"].to_numpy() == rows["y"].to_numpy()).astype(float)
            against = pd.DataFrame({name: rows[name].to_numpy() != rows["y"].to_numpy() for name in ("s", "right")})
            conflicting = pd.Series(right)[against.any(axis=1)].mean()
            average = pd.Series(right).groupby([against["s"], against["right"]]).mean()
            assert table.loc[key, "conflicting_accuracy"] == pytest.approx(conflicting)
            if len(average) == 4:
                assert table.loc[key, "unbiased_average"] == pytest.approx(average.mean())
            else:
                assert pd.isna(table.loc[key, "unbiased_average"])

    def test_metrics_are_those_of_the_predictions_and_the_extractions(self, left: dict[str, Any]) -> None:
        values = left["metrics"].set_index(["variant", "seed", "metric"])["value"]
        assert not values.index.duplicated().any()
        for (variant, seed), own in left["said"].groupby(["variant", "seed"]):
            y, said, s = (torch.tensor(own[name].to_numpy()) for name in ("y", "prediction", "s"))
            counts = confusion_counts(y, said, s, groups=10, classes=10)
            expected = COUNT_METRICS["accuracy"](counts).item()
            assert values[variant, seed, "accuracy"] == pytest.approx(expected)
        for row in left["repairs"].itertuples():
            for name in ("information", "leakage", "conflicting_accuracy", "unbiased_average", "sparsity"):
                assert values[row.variant, row.seed, name] == pytest.approx(getattr(row, name), nan_ok=True)

    def test_settings_stand_beside_each_metric(self, left: dict[str, Any]) -> None:
        metrics = left["metrics"]
        refitted = {
            name: metrics.loc[metrics["variant"] == name, ["alpha", "rank"]].drop_duplicates() for name in FACTORED
        }
        assert {name: len(own) for name, own in refitted.items()} == dict.fromkeys(FACTORED, 1)
        ranks = {name: int(own["rank"].item()) for name, own in refitted.items()}
        assert ranks == dict.fromkeys(FACTORED, 10)  # a last layer of ten classes is not truncated
        assert refitted["win"]["alpha"].item() == left["settings"]["repairs"]["refit"]["alpha"]
        assert refitted["svd"]["alpha"].isna().all()
        others = metrics[~metrics["variant"].isin(FACTORED)]
        assert len(others)
        assert others[["alpha", "rank"]].isna().all(axis=None)

    def test_the_temperature_falls_on_the_curves(self, left: dict[str, Any]) -> None:
        curves = left["curves"].set_index(["variant", "seed", "figure", "epoch"])["value"].sort_index()
        assert set(left["curves"]["variant"]) == set(GATED)
        first, second = curves["ffw", 0, "temperature"]
        assert second < first
        kept = left["repairs"].set_index(["variant", "seed"])
        for variant in GATED:
            for seed in SEEDS:
                assert curves[variant, seed, "judgement"].idxmax() == kept.loc[(variant, seed), "epoch"]
                assert kept.loc[(variant, seed), "epochs"] == 2

    def test_the_report_has_its_tables_and_figures(self, digits: Any) -> None:
        folder = digits.data / "08_reporting" / NAME
        html = (folder / "report.html").read_text()
        for said in ("Sub-networks", "Bias information", "FFW, structured", "figure-pruned"):
            assert said in html, said
        figures = {path.stem: plotly.io.from_json(path.read_text()) for path in (folder / "figures").glob("*.json")}
        assert figures.keys() >= {"differences", "curves", "pruned", "accuracy"}
        assert all(figure.data for figure in figures.values())
        claims = pd.read_csv(folder / "claims.csv")
        assert "The sub-network (FFW) is right more often than the vanilla network" in set(claims["claim"])
        assert not claims["claim"].str.contains("γ = 0").any()  # was not run

    def test_nothing_is_left_half_done(self, digits: Any) -> None:
        assert digits.leftovers() == []
        assert list(digits.data.glob("06_models/under_way/*")) == []


def test_metrics_keep_their_columns_and_count_each_figure_once(left: dict[str, Any]) -> None:
    dataset = Dataset.model_validate(left["settings"]["dataset"])
    shuffled = left["repairs"].sample(frac=1, random_state=0)
    found = measure(left["said"], dataset, Report(), repairs=shuffled)
    assert list(found) == list(left["metrics"])
    keys = ["variant", "seed", "metric"]
    assert not found.duplicated(keys).any()
    one, other = (frame.sort_values(keys, ignore_index=True)[[*keys, "value"]] for frame in (found, left["metrics"]))
    pd.testing.assert_frame_equal(one, other)
