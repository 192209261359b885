"""Predictions of several models: joined as one table, and counted for reports."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from counterpoise.artifacts.predictions import COLUMNS, grouped
from counterpoise.nn import Examples
from counterpoise.pipelines.shared.predictions import counted, joined, predictions_of
from counterpoise.reporting import answer_frontier, tables
from counterpoise.reporting.sections import bias

ROWS, CLASSES = 200, 3


@pytest.fixture(scope="module")
def frames() -> list[pd.DataFrame]:
    """Two models of three classes with two seeds each, on test rows that are out of order."""
    draw = torch.Generator().manual_seed(0)
    y, s = (torch.randint(high, (ROWS,), generator=draw) for high in (CLASSES, 2))
    data = Examples(torch.empty(ROWS, 0), y, s)
    frames = []
    for method, variant in (("win", "win_r2"), ("vanilla", "a vanilla")):
        for seed in (300, 1):
            members = torch.randperm(ROWS, generator=draw)[:90]
            score = torch.rand(90, generator=draw)
            prediction = torch.randint(CLASSES, (90,), generator=draw, dtype=torch.int8)
            frames.append(predictions_of(data, method, variant, seed, members, score, prediction))
    return frames


def test_models_that_are_joined_say_what_each_has_said(frames: list[pd.DataFrame]) -> None:
    expected = pd.concat([frame.astype(COLUMNS) for frame in frames], ignore_index=True)
    given = [frame.copy(deep=False) for frame in frames]
    table = joined(given)
    assert not given
    pd.testing.assert_frame_equal(table.astype(COLUMNS), expected)
    assert table["variant"].cat.categories.tolist() == ["a vanilla", "win_r2"]


def test_a_report_says_the_same_of_counts_as_of_rows(frames: list[pd.DataFrame]) -> None:
    rows = joined([frame.copy(deep=False) for frame in frames])
    counts, plain = counted(grouped(rows)), rows.astype(COLUMNS)
    assert counts["rows"].sum() == len(rows)
    pd.testing.assert_frame_equal(
        *(tables.group_rates(each, classes=CLASSES) for each in (counts, plain)), check_exact=True
    )
    selection = pd.DataFrame(columns=list(answer_frontier.MODEL_KEYS)).astype({"family": "str", "seed": "int64"})
    selection = pd.concat(
        [selection, pd.DataFrame({"family": ["chosen"], "seed": [1], "criterion": ["delta_dp"], "tolerance": [0.05]})]
    )
    references = [answer_frontier.models(selection, each) for each in (counts, plain)]
    pd.testing.assert_frame_equal(*references, check_exact=True)
    constant = references[0].set_index(["family", "seed"]).loc["constant"]
    for seed, members in plain[plain["variant"] == "win_r2"].groupby("seed"):
        share = members["y"].value_counts(normalize=True).max()
        assert constant.loc[seed, "test_err"] == pytest.approx(100 * (1 - share * 2 * share / (1 + share)))
    names = [f"class {number}" for number in range(CLASSES)], ["a", "b"], ["a vanilla"]
    heat = [np.array(bias.accuracy_maps(each, *names).data[0].z) for each in (counts, plain)]
    np.testing.assert_array_equal(*heat)
    of_cell = plain[(plain["variant"] == "a vanilla") & (plain["y"] == 2) & (plain["s"] == 1)]
    assert heat[0][2, 1] == pytest.approx((of_cell["prediction"] == 2).mean())
