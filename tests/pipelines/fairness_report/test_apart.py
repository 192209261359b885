"""Rows of groups that are not compared, scored by the exported model, beside a count by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import loans

from counterpoise.artifacts.serving import Servable, read_servable, write_servable
from counterpoise.config.parameters import Dataset, Report
from counterpoise.data.encoding import EXAMPLE_ROWS
from counterpoise.fairness.statistics import wilson
from counterpoise.pipelines.data_split.nodes import encode_table, read_table
from counterpoise.pipelines.fairness_report.apart import COLUMNS, score_apart
from counterpoise.reporting.tables_frontier import apart_table

ROWS = 400


def block(**changes: Any) -> Dataset:
    settings = {
        "options": {"files": "t.csv", "impute": ["income"]},
        "sensitive": "race",
        "groups": ["a", "b"],
        "group_names": ["A", "B"],
        "scored_only": [None, "c"],
    }
    return loans(**settings | changes)


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    draw = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "income": np.where(draw.random(ROWS) < 0.2, np.nan, draw.normal(size=ROWS).round(3)),
            "age": np.where(draw.random(ROWS) < 0.1, np.nan, draw.integers(20, 60, ROWS)),
            "race": draw.choice(["a", "b", "c", None], ROWS, p=[0.45, 0.45, 0.05, 0.05]),
            "repaid": draw.choice(["no", "yes"], ROWS),
        }
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    return table


@pytest.fixture
def model(tmp_path: Path, table: pd.DataFrame) -> Servable:
    """A linear model that says yes where income, or the median in its place, is above that of nobody's gap."""
    rows, _ = read_table(tmp_path, block())
    _, encoding = encode_table(rows, block())
    features = [name for entry in encoding["columns"] for name in entry["features"]]
    weight = torch.zeros(len(features), 2)
    weight[features.index("income"), 1] = 1.0
    weight[features.index("income_missing"), 1] = 10.0
    example = pd.DataFrame(encoding.pop("example")).head(EXAMPLE_ROWS)
    names = {"classes": ("no", "yes"), "label": "repaid", "experiment": "e"}
    write_servable(Servable(encoding, ((weight, torch.zeros(2)),), example=example, **names), tmp_path / "model")
    return read_servable(tmp_path / "model")


def test_rows_apart_are_in_no_part_and_every_other_one_is(tmp_path: Path, table: pd.DataFrame) -> None:
    rows, left_out = read_table(tmp_path, block())
    complete = table["age"].notna()
    assert len(rows) == (complete & table["race"].isin(["a", "b"])).sum()
    assert left_out["scored_only"] == {
        "(missing)": int((complete & table["race"].isna()).sum()),
        "c": int((complete & (table["race"] == "c")).sum()),
    }
    assert left_out["rows"] == (~complete).sum()


def test_they_are_scored_with_the_gaps_that_the_file_has(tmp_path: Path, table: pd.DataFrame, model: Servable) -> None:
    frame = score_apart(tmp_path, block(), Report(), model).set_index("group")
    for group, members in (("c", table["race"] == "c"), ("(missing)", table["race"].isna())):
        rows = table[members & table["age"].notna()]
        selected = rows["income"].isna() | (rows["income"] > 0)  # a gap counts for more than its median
        wrong = int((selected != (rows["repaid"] == "yes")).sum())
        row = frame.loc[group]
        assert (row["rows"], row["selected"], row["errors"]) == (len(rows), selected.sum(), wrong)
        low, high = wilson(np.array([float(wrong)]), np.array([float(len(rows))]), level=Report().level)
        assert (row["error_low"], row["error_high"]) == pytest.approx((low[0], high[0]))
    shown = apart_table(frame.reset_index(), ("no", "yes"), "race", level=Report().level)
    assert {row[0] for row in shown.rows} == {"c", "(missing)"}


def test_without_such_groups_there_is_no_row_and_nothing_is_read(tmp_path: Path, model: Servable) -> None:
    frame = score_apart(tmp_path / "nowhere", block(scored_only=[]), Report(), model)
    assert frame.empty
    assert list(frame) == list(COLUMNS)


def test_of_a_table_that_has_none_of_them_any_more_there_is_no_row(
    tmp_path: Path, table: pd.DataFrame, model: Servable
) -> None:
    table.loc[table["race"] != "c"].dropna(subset="race").to_csv(tmp_path / "t.csv", index=False)
    frame = score_apart(tmp_path, block(scored_only=[None]), Report(), model)
    assert frame.empty
    assert list(frame) == list(COLUMNS)


def test_a_group_is_compared_or_scored_only() -> None:
    with pytest.raises(ValueError, match="scored_only names 'a', which is one of 'groups' too"):
        block(scored_only=["a"])
