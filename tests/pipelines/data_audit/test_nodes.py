"""The stage on a small table: what it counts is what was put in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.config.parameters import Dataset, Seeds
from counterpoise.pipelines.data_audit.nodes import audit_data, write_page
from counterpoise.pipelines.data_split.nodes import encode_samples, read_table, split_samples

ROWS = 400
RUN = {"title": "What do the data say?", "lineage": {"command": "kedro run", "seeds": [0]}}


def dataset(**changes: Any) -> Dataset:
    block = {
        "title": "loans",
        "reader": "table",
        "options": {"files": ["2023.csv", "2024.csv"], "impute": ["age"]},
        "origin": "made up",
        "label": "repaid",
        "positive": "yes",
        "classes": ["no", "yes"],
        "sensitive": "sex",
        "groups": ["f", "m"],
        "group_names": ["women", "men"],
        "drop": ["number"],
        "split": {"fractions": {"pretrain": 0.5, "task": 0.5}, "task": {"train": 2, "validation": 1, "test": 1}},
    }
    return Dataset.model_validate(block | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two years of loans: the second has other incomes; jobs stand for sexes; ages and pools of women are missing."""
    path = tmp_path_factory.mktemp("loans")
    random = np.random.default_rng(9)
    sex = random.choice(["f", "m"], ROWS)
    rows = pd.DataFrame(
        {
            "number": np.arange(ROWS),
            "age": np.where((sex == "f") & (random.random(ROWS) < 0.3), np.nan, random.integers(20, 60, ROWS)),
            "job": np.where(random.random(ROWS) < 0.95, np.where(sex == "f", "nurse", "smith"), "clerk"),
            "income": random.normal(0, 1, ROWS) + 2 * (np.arange(ROWS) >= ROWS // 2),
            "pool": np.where((sex == "f") & (random.random(ROWS) < 0.1), None, random.choice(["x", "y"], ROWS)),
            "sex": sex,
            "repaid": np.where(random.random(ROWS) < np.where(sex == "f", 0.3, 0.6), "yes", "no"),
        }
    )
    rows.iloc[10:20, 1:] = rows.iloc[20:30, 1:].to_numpy()  # the same people again
    rows.head(ROWS // 2).to_csv(path / "2023.csv", index=False)
    rows.tail(ROWS // 2).to_csv(path / "2024.csv", index=False)
    return path


@pytest.fixture(scope="module")
def audited(folder: Path) -> dict[str, Any]:
    block = dataset()
    table, left_out = read_table(folder, block)
    samples = encode_samples(table, block)
    splits = split_samples(samples, block, Seeds((0, 1)))
    document = audit_data(table, samples, splits, left_out, folder, block)
    return {"document": document, "table": table, "left_out": left_out}


def test_gaps_of_rows_that_are_used_and_of_those_left_out(folder: Path, audited: dict[str, Any]) -> None:
    source = pd.concat([pd.read_csv(folder / name) for name in ("2023.csv", "2024.csv")])
    gaps = {(row["column"], row["group"]): row for row in audited["document"]["missing"]}
    for name, code in (("women", "f"), ("men", "m")):
        own = source[source["sex"] == code]
        assert gaps["pool", name]["rows"] == gaps["age", name]["rows"] == len(own)
        assert gaps["pool", name]["missing"] == own["pool"].isna().sum()
        assert gaps["age", name]["missing"] == (own["age"].isna() & own["pool"].notna()).sum()
    assert gaps["pool", "women"]["treatment"] == "row left out"
    assert gaps["age", "women"]["treatment"] == "median"


def test_rates_and_rows_are_those_of_the_table(audited: dict[str, Any]) -> None:
    document, table = audited["document"], audited["table"]
    rates = {(row["group"], row["label"]): row["rate"] for row in document["label_rates"]}
    women = table[table["sex"] == "f"]
    assert rates["women", "yes"] == pytest.approx((women["repaid"] == "yes").mean())
    assert sum(row["rows"] for row in document["cells"]) == document["rows"] == len(table)


def test_the_job_is_the_strongest_proxy_and_its_values_have_rates(audited: dict[str, Any]) -> None:
    together, first, *_ = audited["document"]["proxies"]
    assert first["column"] == "job"
    assert min(first["auc"], together["auc"]) > 0.9
    assert not {"number", "sex", "repaid"} & {row["column"] for row in audited["document"]["proxies"]}
    shown = [row for row in audited["document"]["proxy_label_rates"] if row["column"] == "job"]
    nurses = next(row for row in shown if (row["value"], row["label"]) == ("nurse", "yes"))
    assert nurses["group_shares"]["women"] == 1.0


def test_drift_is_between_the_files(audited: dict[str, Any]) -> None:
    (comparison,) = audited["document"]["drift"]
    assert (comparison["reference"], comparison["new"], comparison["rows"]) == ("2023.csv", "2024.csv", ROWS // 2)
    moved = {row["column"] for row in comparison["columns"] if row["p_holm"] < 0.01}
    assert moved == {"income"}


def test_people_who_are_there_twice(audited: dict[str, Any]) -> None:
    pairs = {(row["part"], row["other"]): row for row in audited["document"]["duplicates"]}
    within_and_across = sum(row["same_label"] for row in pairs.values())
    repeated = audited["table"].duplicated(["age", "job", "income", "pool"], keep=False).sum()
    assert within_and_across == repeated > 10


def test_of_one_file_the_parts_of_the_first_replicate_are_compared(folder: Path) -> None:
    block = dataset(options={"files": "2023.csv", "impute": ["age"]})
    table, left_out = read_table(folder, block)
    samples = encode_samples(table, block)
    document = audit_data(table, samples, split_samples(samples, block, Seeds((0,))), left_out, folder, block)
    assert [row["new"] for row in document["drift"]] == ["train", "validation", "test"]
    assert {row["reference"] for row in document["drift"]} == {"pretrain"}


def test_the_page_says_it_and_reaches_no_network(audited: dict[str, Any]) -> None:
    page = write_page(audited["document"], RUN)
    for text in ("job", "women", "2024.csv beside 2023.csv", "median", "default-src 'none'"):
        assert text in page
    assert page == write_page(audited["document"], RUN)


def test_more_than_two_groups(folder: Path) -> None:
    block = dataset(sensitive="job", groups=["nurse", "smith", "clerk"], group_names=["nurses", "smiths", "clerks"])
    table, left_out = read_table(folder, block)
    samples = encode_samples(table, block)
    splits = split_samples(samples, block, Seeds((0,)))
    document = audit_data(table, samples, splits, left_out, folder, block)
    assert document["groups"] == ["nurses", "smiths", "clerks"]
    assert len(document["cells"]) == 6
    assert document["proxies"][1]["column"] == "sex"
    assert "nurses" in write_page(document, RUN)
