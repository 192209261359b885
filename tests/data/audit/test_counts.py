"""Counts of groups and classes, beside counting by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from counterpoise.data.audit import cells, group_shares, label_rates, missing
from counterpoise.errors import InputError
from counterpoise.fairness import wilson

GROUPS = pd.Series(pd.Categorical(["m", "f", "m", "m", None, "f"], categories=["f", "m", "x"]))
LABELS = pd.Series(["no", "yes", "yes", "no", "no", None])


def test_cells_are_in_the_groups_order_and_empty_ones_are_there() -> None:
    table = cells(GROUPS, LABELS.fillna("no"))
    assert list(dict.fromkeys(table["group"])) == ["f", "m", "x", "unknown"]
    counts = table.set_index(["group", "label"])["rows"]
    assert counts.to_dict() == {
        ("f", "no"): 1,
        ("f", "yes"): 1,
        ("m", "no"): 2,
        ("m", "yes"): 1,
        ("x", "no"): 0,
        ("x", "yes"): 0,
        ("unknown", "no"): 1,
        ("unknown", "yes"): 0,
    }
    assert table["share"].tolist() == pytest.approx((table["rows"] / 6).tolist())


def test_rates_are_of_those_who_have_a_label() -> None:
    table = label_rates(LABELS, GROUPS).set_index(["group", "label"])
    assert table.loc[("f", "yes"), ["rows", "of", "rate"]].tolist() == [1, 1, 1.0]
    assert table.at[("m", "yes"), "rate"] == pytest.approx(1 / 3)
    assert np.isnan(table.at[("x", "yes"), "rate"])
    low, high = wilson(np.array([1.0]), np.array([3.0]), level=0.95)
    assert (table.at[("m", "yes"), "ci_low"], table.at[("m", "yes"), "ci_high"]) == pytest.approx((low[0], high[0]))


def test_shares_narrow_with_the_level() -> None:
    wide, narrow = group_shares(GROUPS, level=0.99), group_shares(GROUPS, level=0.5)
    assert wide["share"].tolist() == narrow["share"].tolist() == pytest.approx([2 / 6, 3 / 6, 0, 1 / 6])
    assert ((wide["ci_high"] - wide["ci_low"]) > (narrow["ci_high"] - narrow["ci_low"])).all()


def test_missing_values_by_group_and_column() -> None:
    table = pd.DataFrame({"a": [1, None, 3, None, 5, 6], "b": list("uvwxyz"), "c": [None, "u", "v", "w", "x", None]})
    gaps = missing(table, GROUPS).set_index(["column", "group"])
    assert set(gaps.index.get_level_values("column")) == {"a", "c"}
    assert gaps.loc[("a", "f"), ["missing", "rows", "share"]].tolist() == [1, 2, 0.5]
    assert gaps.at[("c", "m"), "missing"] == 1
    assert gaps.groupby("column")["missing"].sum().to_dict() == table.isna().sum()[["a", "c"]].to_dict()
    assert missing(table[["b"]], GROUPS).empty


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match="6 and 5 rows"):
        label_rates(LABELS.head(5), GROUPS)
    with pytest.raises(InputError, match="6 and 0 rows"):
        missing(pd.DataFrame(), GROUPS)
