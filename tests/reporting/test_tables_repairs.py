"""Tables on repairs: means of sizes, marks for what is out of bound, seeds counted, and the paper's number beside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from reports import cell
from scipy import stats

from counterpoise.errors import InputError
from counterpoise.reporting import tables_repairs
from counterpoise.reporting.context import Table
from counterpoise.reporting.published import PublishedResult

SEX = {"paper": "altering", "table": "T4", "setting": "protected=sex"}
PUBLISHED = [
    {"variant": "sex/baseline", "method": "baseline", **SEX},
    {"variant": "sex/netaug", "method": "netaug", **SEX},
]


def all_tables(metrics: pd.DataFrame, repairs: pd.DataFrame, objectives: Any) -> list[Table]:
    """Every table on repairs."""
    return [
        tables_repairs.paper_table(metrics, objectives, repairs=repairs),
        *tables_repairs.repair_tables(metrics, repairs, objectives),
        tables_repairs.last_epoch_table(metrics, repairs, objectives),
        tables_repairs.critic_table(repairs),
    ]


def spread(mean: float, step: float) -> str:
    """Mean ± deviation of four seeds a step apart, written as in a table."""
    return f"{mean:.3f} ± {np.std(np.arange(4) * step, ddof=1):.3f}"


def test_the_papers_form_has_a_row_per_method_and_columns_per_part(repaired: Any) -> None:
    table = tables_repairs.paper_table(repaired.metrics, repaired.objectives, published_rows=PUBLISHED)
    assert table.columns[0] == "Method"
    assert table.columns[1:4] == ["Sex: Balanced accuracy", "Sex: Accuracy", "Sex: |AOD|"]
    assert table.columns[4:] == ["Race: Balanced accuracy", "Race: Accuracy", "Race: |SPD|"]
    assert [row[0] for row in table.rows][:3] == ["Baseline", "Baseline + Φ threshold", "Reject option"]
    assert not any("last epoch" in row[0] for row in table.rows)
    assert cell(table, "Baseline", "Sex: |AOD|") == f"{spread(0.1918, 0.0012)} (0.175 ± 0.016)"
    assert cell(table, "Baseline", "Sex: Accuracy") == f"{spread(0.85, 0.002)}\u00a0✗ (0.860\u00a0✗)"
    assert cell(table, "NetAug", "Sex: Accuracy") == f"{spread(0.84, 0.002)} (0.650)"
    assert cell(table, "AdvFt", "Sex: Balanced accuracy") == spread(0.63, 0.002)
    assert cell(table, "AdvFt", "Race: Balanced accuracy") == f"{spread(0.64, 0.002)}\u00a0✗"
    assert cell(table, "AdvFt", "Race: |SPD|") == spread(0.0518, 0.0012)


def test_the_papers_bounds_are_shown_and_strike_out(repaired: Any) -> None:
    bounds = [
        {"variant": "sex/baseline", "paper": "altering", "table": "T3", "method": "baseline"},
        {"variant": "sex/netaug", "paper": "altering", "table": "T3", "method": "netaug"},
    ]
    names = {"metrics": {"aod": "bias"}}
    rows = [bound | names for bound in bounds]
    table = tables_repairs.paper_table(repaired.metrics, repaired.objectives, published_rows=rows)
    assert cell(table, "Baseline", "Sex: |AOD|").endswith("(>0.05)")
    assert cell(table, "Baseline", "Sex: Accuracy").endswith("(0.530 ± 0.000\u00a0✗)")
    assert cell(table, "NetAug", "Sex: |AOD|").endswith("(<0.05)")
    assert cell(table, "NetAug", "Sex: Accuracy").endswith("(0.940 ± 0.010)")


def test_the_pruned_share_stands_where_the_paper_prints_one(make_repaired: Any) -> None:
    teacher = ("prune_guided_by_netaug", 0.88, -0.04, None, None, False)
    frames = make_repaired({"80%": 0.0}, seeds=4, repairs={"prune_guided_by_netaug": teacher})
    selector = {"paper": "altering", "table": "T6", "setting": "skew=80%", "method": "prune_guided_by_netaug"}
    rows = [{"variant": "80%/prune_guided_by_netaug", **selector, "metrics": {"pruned": "pruning_rate"}}]
    table = tables_repairs.paper_table(
        frames.metrics, frames.objectives, repairs=frames.repairs.assign(pruned=0.13), published_rows=rows
    )
    assert cell(table, "Pruned, guided by NetAug", "80%: Pruned") == "0.130 ± 0.000 (0.170)"
    assert "80%: Pruned" not in tables_repairs.paper_table(frames.metrics, frames.objectives).columns


def test_where_accuracy_is_the_performance_balanced_accuracy_is_left_out(repaired: Any) -> None:
    objectives = {part: {**own, "performance": "accuracy"} for part, own in repaired.objectives.items()}
    table = tables_repairs.paper_table(repaired.metrics, objectives)
    assert table.columns == ["Method", "Sex: Accuracy", "Sex: |AOD|", "Race: Accuracy", "Race: |SPD|"]


def test_repairs_of_a_part_seed_by_seed(repaired: Any) -> None:
    sex, race = tables_repairs.repair_tables(repaired.metrics, repaired.repairs, repaired.objectives)
    assert (sex.title, race.title) == ("Repairs: sex", "Repairs: race")
    assert "|AOD| < 0.03" in sex.note
    assert cell(sex, "Mask only", "Within 0.05") == "4 of 4"
    assert cell(race, "AdvFt", "Within 0.05") == "1 of 4"  # 0.05, 0.0512, and so on
    assert cell(sex, "Mask only", "Epoch") == "10.5 (9 to 12) of 90"
    assert cell(sex, "Mask only", "Pruned") == "0.070 ± 0.000"
    assert cell(sex, "Baseline", "Epoch") == "n/a"
    assert cell(sex, "Baseline", "Threshold") == "0.450 (0.300 to 0.600)"
    assert cell(sex, "AdvFt", "|AOD|, chosen on") == spread(0.0418, 0.0012)
    assert cell(sex, "Reject option", "Remarks") == "needs the group; Φ = 0 in 4 of 4"
    assert cell(sex, "Mask only", "Remarks") == "control"
    assert "Floor" not in sex.columns


def test_a_noise_floor_has_a_column_where_one_is_known(repaired: Any) -> None:
    tables = tables_repairs.repair_tables(
        repaired.metrics, repaired.repairs, repaired.objectives, noise_floors={"sex/netaug": {"aod": 0.0123}}
    )
    assert cell(tables[0], "NetAug", "Floor") == "0.012"
    assert cell(tables[0], "Baseline", "Floor") == "n/a"
    assert "Floor" not in tables[1].columns


def test_an_unknown_bias_does_not_count_as_kept(repaired: Any) -> None:
    test = repaired.metrics
    lost = (test["variant"] == "sex/netaug") & (test["metric"] == "aod") & (test["seed"] < 2)
    tables = tables_repairs.repair_tables(
        test.assign(value=test["value"].mask(lost)), repaired.repairs, repaired.objectives
    )
    assert cell(tables[0], "NetAug", "Within 0.05") == "2 of 2"


def test_the_last_epoch_beside_the_best_is_paired_by_seed(repaired: Any) -> None:
    test = repaired.metrics.copy()
    noise = np.array([0.01, -0.02, 0.03, 0.0])
    rows = (test["variant"] == "sex/netaug_last") & (test["split"] == "test") & (test["metric"] == "balanced_accuracy")
    test.loc[rows, "value"] += noise[test.loc[rows, "seed"]]
    table = tables_repairs.last_epoch_table(test.sample(frac=1, random_state=0), repaired.repairs, repaired.objectives)
    (row,) = (row for row in table.rows if row[:2] == ("NetAug", "Sex"))
    low, high = stats.t.interval(0.95, 3, loc=(0.02 - noise).mean(), scale=stats.sem(0.02 - noise))
    assert row[2:4] == ("1.5 (0 to 3) of 90", "2 of 4")
    assert row[6] == f"{(0.02 - noise).mean():+.3f} (−{-low:.3f} to {high:+.3f})"
    assert row[-2:] == ("4 of 4", "4 of 4")
    assert len(table.rows) == 4  # two methods were kept at both epochs, in two parts


def test_a_critic_that_predicts_the_mean_is_called_so(repaired: Any) -> None:
    table = tables_repairs.critic_table(repaired.repairs)
    assert table.rows[:2] == [
        ("AdvFt", "Sex", "0.980", "not learned"),
        ("Random mask + AdvFt", "Sex", "0.300", "learned"),
    ]


def test_an_experiment_without_parts_has_no_heads_of_parts(make_repaired: Any) -> None:
    frames = make_repaired({"": 0.0}, seeds=3)
    tables = all_tables(frames.metrics, frames.repairs, frames.objectives)
    assert [table.title for table in tables] == [
        "Repairs in the paper's form",
        "Repairs",
        "The best epoch beside the last",
        "Quality of the critic",
    ]
    assert tables[0].columns == ["Method", "Balanced accuracy", "Accuracy", "|AOD|"]
    assert all("Part" not in table.columns for table in tables)
    untrained = frames.repairs.assign(critic_ratio=np.nan)
    assert not tables_repairs.critic_table(untrained).rows


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda metrics, repairs, own: (metrics, repairs.drop(columns="phi"), own), "the column 'phi' is missing"),
        (lambda metrics, repairs, own: (metrics, repairs, {"sex": own["sex"]}), "the part 'race' is missing"),
        (
            lambda metrics, repairs, own: (metrics, repairs, own | {"sex": {"bias": "aod"}}),
            "the key 'performance' of the part 'sex' is missing",
        ),
        (
            lambda metrics, repairs, own: (metrics, repairs, own | {"sex": own["sex"] | {"bias": "mean_bias"}}),
            "'mean_bias' of 'sex/baseline' was not measured",
        ),
    ],
)
def test_what_is_missing_is_named(repaired: Any, spoil: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        all_tables(*spoil(repaired.metrics, repaired.repairs, repaired.objectives))


def test_frames_may_come_in_any_order(repaired: Any) -> None:
    """Parts keep the order of the metrics; seeds and variants have their own."""
    straight = all_tables(repaired.metrics, repaired.repairs, repaired.objectives)
    turned = pd.concat([own.sample(frac=1, random_state=1) for _, own in repaired.metrics.groupby("part", sort=False)])
    again = all_tables(turned, repaired.repairs.sample(frac=1, random_state=2), repaired.objectives)
    assert [list(table.rows) for table in again[:3]] == [list(table.rows) for table in straight[:3]]


@pytest.mark.parametrize(
    ("value", "bound", "is_out"),
    [(0.06, "", True), (0.05, "", False), (np.nan, ">0.05", True), (np.nan, ">0.1", True), (np.nan, ">0.01", False),
     (np.nan, "<0.05", False), (np.nan, "<0.1", False)],
)  # fmt: skip
def test_a_papers_bias_is_out_of_bound_where_it_must_be_above_the_tolerance(
    value: float, bound: str, is_out: bool
) -> None:
    published = PublishedResult(value, np.nan, bound, "Table 4", "")
    mark = tables_repairs._printed_mark(published, {"tolerance": 0.05})
    assert mark == (tables_repairs.OUT_OF_BOUND if is_out else "")
