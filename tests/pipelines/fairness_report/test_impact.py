"""The auditor's files of a tiny run, recomputed from its predictions with nothing but sums."""

from __future__ import annotations

import json
from math import comb
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import loans

from counterpoise.config.parameters import Dataset, Report
from counterpoise.pipelines.fairness_report.impact import MOST_EXTRA_ERROR, assess, find_alternatives

EXACT = 1e-12


@pytest.fixture(scope="module")
def table(smoke: Any) -> pd.DataFrame:
    return pd.read_csv(smoke.file("08_reporting/*/impact.csv"))


class TestOfARun:
    def test_every_rate_and_ratio_is_that_of_the_predictions(self, smoke: Any, table: pd.DataFrame) -> None:
        predictions = smoke.predictions
        assert len(table) == 2 * len(predictions[["variant", "seed"]].drop_duplicates())
        for (variant, seed), own in predictions.groupby(["variant", "seed"]):
            above = own["score"] > np.median(own["score"])
            rows = table[(table["variant"] == variant) & (table["seed"] == seed)].set_index("category")
            rates = {}
            for code, name in enumerate(("women", "men")):
                group = own["s"] == code
                rates[name] = [(event & group).sum() / group.sum() for event in (own["prediction"] == 1, above)]
                assert rows.at[name, "people"] == group.sum()
            highest = [max(rate[kind] for rate in rates.values()) for kind in (0, 1)]
            for name, both in rates.items():
                expected = [*both, *(r / h if h else np.nan for r, h in zip(both, highest, strict=True))]
                columns = ["selection_rate", "scoring_rate", "impact_ratio", "scoring_impact_ratio"]
                np.testing.assert_allclose(rows.loc[name, columns].astype(float), expected, rtol=0, atol=EXACT)

    def test_fishers_p_is_the_sum_of_hypergeometric_probabilities(self, table: pd.DataFrame) -> None:
        compared = table[table["fisher_p"].notna()]
        assert len(compared)
        for row in compared.itertuples():
            other = table[
                (table["variant"] == row.variant) & (table["seed"] == row.seed) & (table["category"] != row.category)
            ].iloc[0]
            a, m, b, n = (int(x) for x in (row.selected, row.people, other["selected"], other["people"]))
            ways = [comb(m, k) * comb(n, a + b - k) for k in range(max(0, a + b - n), min(m, a + b) + 1)]
            observed = comb(m, a) * comb(n, b)
            assert abs(row.fisher_p - sum(w for w in ways if w <= observed) / sum(ways)) < EXACT

    def test_json_has_the_same_rows_and_the_page_stands_alone(self, smoke: Any, table: pd.DataFrame) -> None:
        document = json.loads(smoke.file("08_reporting/*/impact.json").read_text())
        rows = pd.DataFrame(document["categories"])
        assert list(rows.columns) == list(table.columns)
        np.testing.assert_allclose(rows["selection_rate"], table["selection_rate"], rtol=0, atol=EXACT)
        page = smoke.file("08_reporting/*/impact.html").read_text()
        assert "no legal advice" in page
        assert "src=" not in page

    def test_the_data_audit_is_there_and_in_the_report(self, smoke: Any) -> None:
        audit = json.loads(smoke.file("08_reporting/win_adult/audit.json").read_text())
        samples = pd.read_parquet(smoke.file("05_model_input/*/samples.parquet"))
        assert sum(row["rows"] for row in audit["cells"]) == len(samples)
        assert "Data audit" in smoke.file("08_reporting/win_adult/report.html").read_text()


@pytest.fixture(scope="module")
def found(artifacts: dict[str, Any], blocks: dict[str, Any]) -> pd.DataFrame:
    names = ("frontier_outcomes", "selection", "samples", "splits")
    return find_alternatives(
        **{name: artifacts[name] for name in names}, dataset=Dataset.model_validate(blocks["dataset"])
    )


class TestAlternatives:
    def test_the_chosen_models_ratio_is_that_of_its_predictions(
        self, found: pd.DataFrame, artifacts: dict[str, Any]
    ) -> None:
        predictions = artifacts["predictions"]
        for row in found[found["is_chosen"]].itertuples():
            own = predictions[(predictions["variant"] == "chosen") & (predictions["seed"] == row.seed)]
            rates = own.groupby("s")["prediction"].mean()
            assert row.test_impact_ratio == pytest.approx(rates.min() / rates.max(), abs=EXACT)
        frontier = artifacts["frontier"].set_index(["variant", "seed", "split", "metric"])["value"]
        for row in found.itertuples():
            for part in ("validation", "test"):
                error = frontier[row.variant, row.seed, part, "err"]
                assert getattr(row, f"{part}_err") == pytest.approx(error, rel=1e-5)

    def test_they_are_fairer_at_little_cost_and_none_is_better_in_both(self, found: pd.DataFrame) -> None:
        assert found.groupby("seed")["is_chosen"].sum().eq(1).all()
        for _, rows in found.groupby("seed"):
            chosen, others = rows.iloc[0], rows.iloc[1:]
            assert (others["validation_impact_ratio"] > chosen["validation_impact_ratio"]).all()
            assert (others["validation_err"] <= chosen["validation_err"] + MOST_EXTRA_ERROR).all()
            assert others["validation_impact_ratio"].is_monotonic_decreasing
            assert others["validation_err"].is_monotonic_decreasing
            expected = (others["test_impact_ratio"] > chosen["test_impact_ratio"]) & (
                others["test_err"] <= chosen["test_err"] + MOST_EXTRA_ERROR
            )
            assert others["holds"].astype(bool).tolist() == expected.tolist()

    def test_a_seed_without_a_choice_has_none(self, artifacts: dict[str, Any], blocks: dict[str, Any]) -> None:
        names = ("frontier_outcomes", "samples", "splits")
        found = find_alternatives(
            **{name: artifacts[name] for name in names},
            selection=artifacts["selection"].query("seed != 0"),
            dataset=Dataset.model_validate(blocks["dataset"]),
        )
        assert 0 not in set(found["seed"])
        assert len(found)


def test_further_attributes_are_crossed_and_unknown_people_counted() -> None:
    random = np.random.default_rng(2)
    samples = pd.DataFrame(
        {"image": [f"{i}.png" for i in range(300)], "y": 0, "s": 0, "age": random.integers(0, 2, 300)}
    )
    rows = pd.DataFrame({"row": np.arange(100, 300), "s": random.integers(-1, 2, 200), "score": random.random(200)})
    predictions = rows.assign(prediction=(rows["score"] > 0.6).astype("int64"), method="tl", variant="tl", seed=0)
    dataset = loans(reader="image_table", options={}, further_sensitive={"age": ["young", "old"]})
    table = assess(predictions, dataset, Report(), samples).set_index(["attribute", "category"])
    old = samples["age"].to_numpy()[100:] == 1
    assert table.at[("age", "old"), "people"] == old.sum()
    assert (
        table.at[("sex × age", "women × old"), "selected"]
        == ((rows["s"].to_numpy() == 0) & old & (predictions["prediction"] == 1)).sum()
    )
    assert table.at[("sex", "unknown"), "people"] == (rows["s"] == -1).sum()
    assert np.isnan(table.at[("sex", "unknown"), "impact_ratio"])


def test_more_than_two_classes_have_no_rows() -> None:
    dataset = loans(positive=None, classes=["a", "b", "c"])
    predictions = pd.DataFrame({"method": ["tl"], "variant": ["tl"], "seed": [0], "s": [0], "prediction": [2]})
    table = assess(predictions, dataset, Report())
    assert table.empty
    assert {"impact_ratio", "fisher_p"} <= set(table.columns)


def test_joined_groups_are_shown_by_column_and_crossed() -> None:
    random = np.random.default_rng(4)
    people = pd.DataFrame({"sex": random.choice(["f", "m"], 90), "age": random.integers(18, 80, 90)})
    dataset = loans(
        sensitive=["sex", "age"],
        bands={"age": [40]},
        groups=["f, below 40", "*"],
        group_names=["young women", "all others"],
    )
    rows = pd.DataFrame({"row": np.arange(90), "s": 0, "score": random.random(90)})
    predictions = rows.assign(prediction=(rows["score"] > 0.5).astype("int64"), method="tl", variant="tl", seed=0)
    table = assess(predictions, dataset, Report(), None, people).set_index(["attribute", "category"])
    assert list(dict.fromkeys(table.index.get_level_values("attribute"))) == ["sex", "age", "sex × age"]
    young_women = (people["sex"] == "f") & (people["age"] < 40)
    row = table.loc[("sex × age", "f × below 40")]
    assert row["people"] == young_women.sum()
    assert row["selection_rate"] == pytest.approx(predictions["prediction"][young_women].mean(), abs=EXACT)
