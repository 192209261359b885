"""Tables as text: the cell that belongs to a part, a method and a metric, with the paper's number in brackets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from counterpoise.errors import InputError
from counterpoise.reporting import answer_frontier, tables_frontier


def selection(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "seed": range(4),
            "family": "chosen",
            "variant": [
                *["boosted_leaves_eo_0.1_wd10"] * 2,
                "boosted_leaves_eo_0.2_wd10",
                "boosted_leaves_eo_0.1_wd10",
            ],
            "tolerance": 0.05,
            "criterion": "delta_eo",
            "meets": [True, True, True, False],
            "test_err": [15.8, 15.9, 16.1, 16.2],
            "test_bias": [0.04, 0.05, 0.07, 0.06],
            "needs_group": False,
            **columns,
        }
    )


def models(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "family": "chosen",
            "seed": range(4),
            "needs_group": False,
            "validation_err": [15.0, 15.2, 15.4, 15.6],
            "validation_bias": [0.03, 0.04, 0.05, 0.04],
            "test_err": [15.8, 15.9, 16.1, 16.2],
            "test_bias": [0.04, 0.05, 0.07, 0.06],
            **columns,
        }
    )


def test_selection_by_hand() -> None:
    peer = selection(family="threshold_optimizer", needs_group=True, meets=True, test_bias=[0.01, 0.02, np.nan, 0.09])
    table = tables_frontier.selection_table(pd.concat([peer, selection()]))
    assert "under ΔEO ≤ 0.05" in table.title
    ours, theirs = table.rows
    assert ours == ("Ours, chosen", "boosted_leaves_eo_0.1_wd10 (3 of 4)", "3 of 4", "2 of 4", "no")
    assert theirs == ("ThresholdOptimizer", "boosted_leaves_eo_0.1_wd10 (3 of 4)", "4 of 4", "2 of 3", "yes")


def test_comparison_by_hand() -> None:
    none = {"validation_err": np.nan, "validation_bias": np.nan}
    peer = models(family="threshold_optimizer", needs_group=True)
    beside = [models(family="unrepaired"), models(family="constant", test_err=24.0, test_bias=0.0, **none)]
    table = tables_frontier.comparison_table(pd.concat([peer, models(), *beside]), "delta_eo", 0.05)
    assert [row[0] for row in table.rows] == [
        "Constant (majority class)",
        "Unrepaired base",
        "Ours, chosen",
        "ThresholdOptimizer (needs the group)",
    ]
    low, high = stats.t.interval(0.95, 3, loc=16.0, scale=stats.sem([15.8, 15.9, 16.1, 16.2]))
    assert table.rows[2][3:] == (f"16.00 ({low:.2f} to {high:.2f})", "0.055 (0.034 to 0.076)", "2 of 4")
    assert table.rows[2][2].startswith("0.040 (")
    assert table.rows[0][1:3] == ("n/a", "n/a")
    assert table.rows[0][3:] == ("24.00 (24.00 to 24.00)", "0.000 (0.000 to 0.000)", "4 of 4")


def test_of_a_signed_criterion_the_size_is_compared_and_no_interval_is_below_zero() -> None:
    chosen = models(test_bias=[-0.2, 0.0, 0.0, 0.01])
    table = tables_frontier.comparison_table(chosen, "spd", 0.05)
    assert "|SPD|, test" in table.columns
    assert table.rows[0][4].startswith("0.053 (0.000 to ")
    assert table.rows[0][5] == "3 of 4"


def test_a_criterion_that_is_one_at_best_is_bounded_by_what_it_lacks() -> None:
    table = tables_frontier.selection_table(selection(criterion="worst_group_accuracy", tolerance=0.2, test_bias=0.17))
    assert "under 1 − worst-group accuracy ≤ 0.2" in table.title
    assert table.rows[0][3] == "4 of 4"


def test_a_family_without_a_choice() -> None:
    some = selection(variant=["tl", None, None, None], test_bias=[0.04] + [np.nan] * 3)
    none = selection(family="tl", variant=None, meets=False, test_bias=np.nan)
    plain, ours = tables_frontier.selection_table(pd.concat([some, none])).rows
    assert (ours[1], ours[3]) == ("tl (1 of 4)", "1 of 1")
    assert (plain[1], plain[3]) == ("none (0 of 4)", "0 of 0")


def test_rates_by_hand() -> None:
    keys = ["variant", "group", "label", "rate", "mean", "ci_low", "ci_high", "wilson"]
    rows = [
        (variant, group, 1, rate, 0.1 * group + shift, 0.0, 0.5, group == 1)
        for variant, shift in (("unrepaired", 0.2), ("chosen", 0.3), ("tl", 0.9))
        for group in (0, 1)
        for rate in ("selection_rate", "true_positive_rate", "accuracy")
    ]
    rates = {"as judged": pd.DataFrame(rows, columns=keys).iloc[:0], "test": pd.DataFrame(rows, columns=keys)}
    names = (("women", "men"), ("no", "yes"), "sex")
    table = tables_frontier.rates_table(rates, ["unrepaired", "chosen"], *names)
    assert table.title == "Rates of yes by sex, before and after"
    assert table.columns == ("Rate", "The unrepaired base, test", "Our choice on the frontier, test")
    assert table.rows == [
        ("Selection rate, women", "0.200 (0.000 to 0.500)", "0.300 (0.000 to 0.500)"),
        ("Selection rate, men", "0.300 (0.000 to 0.500) †", "0.400 (0.000 to 0.500) †"),
        ("TPR, women", "0.200 (0.000 to 0.500)", "0.300 (0.000 to 0.500)"),
        ("TPR, men", "0.300 (0.000 to 0.500) †", "0.400 (0.000 to 0.500) †"),
    ]
    assert "Wilson" in table.note
    assert tables_frontier.rates_table({"test": rates["as judged"]}, ["chosen"], *names).rows == []


def test_a_selection_table_is_of_one_tolerance() -> None:
    with pytest.raises(InputError, match="2 pairs of criterion and tolerance, expected one"):
        tables_frontier.selection_table(selection(tolerance=[0.05, 0.05, 0.1, 0.1]))


def test_hypervolumes_compared_keep_their_sign() -> None:
    row = ("delta_eo", "chosen", "exponentiated_gradient", -0.25, -0.4, -0.1, 0.0004, 0.0123)
    table = tables_frontier.hypervolume_table(pd.DataFrame([row], columns=list(tables_frontier.DIFFERENCE_KEYS)))
    assert table.rows == [
        ("All our models − ExponentiatedGradient", "error, ΔEO", "−0.250", "−0.400 to −0.100", "< 0.001", "0.012")
    ]


@pytest.mark.parametrize(
    ("make", "columns", "where"),
    [
        (tables_frontier.selection_table, tables_frontier.SELECTION_KEYS, "selection"),
        (tables_frontier.hypervolume_table, tables_frontier.DIFFERENCE_KEYS, "hypervolume differences"),
        (lambda frame: tables_frontier.comparison_table(frame, "spd", 0.1), answer_frontier.MODEL_KEYS, "models"),
    ],
)
def test_an_empty_frame_is_an_empty_table_and_a_missing_column_a_sentence(make: Any, columns: Any, where: str) -> None:
    empty = pd.DataFrame(columns=list(columns))
    assert list(make(empty).rows) == []
    with pytest.raises(InputError, match=f"{where}: the column '{columns[-1]}' is missing"):
        make(empty.drop(columns=columns[-1]))
