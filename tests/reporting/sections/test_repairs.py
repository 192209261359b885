"""The words on repairs name the best within the tolerance, and say of a control no more than its interval does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.errors import InputError
from counterpoise.reporting import ReportContext, Section, build, model_card
from counterpoise.reporting.context import Table
from counterpoise.reporting.report import overview
from counterpoise.reporting.sections.repairs import repair_findings, saving_table

FEW = {
    "baseline": ("baseline", 0.80, -0.19, None, None, False),
    "threshold": ("threshold", 0.60, 0.02, None, None, False),
    "prune_adversarial_finetuning": ("prune_adversarial_finetuning", 0.79, 0.03, 5, 0.9, False),
    "prune_adversarial_finetuning_last": ("prune_adversarial_finetuning", 0.95, 0.01, 90, 0.9, False),
}
NOISE = np.array([0.02, -0.03, 0.01, -0.01])


def said(make_repaired: Any, repairs: dict[str, tuple[Any, ...]], part: str = "", **change: Any) -> list[str]:
    """The findings where some variants' values vary by seed, `change`: variant → what its performance is raised by."""
    frames = make_repaired({part: 0.0}, seeds=4, repairs=repairs)
    metrics = frames.metrics.copy()
    for name, noise in change.items():
        rows = (metrics["variant"] == name) & (metrics["metric"] == "balanced_accuracy")
        metrics.loc[rows, "value"] += noise[metrics.loc[rows, "seed"]]
    return list(repair_findings(metrics, frames.repairs, frames.objectives))


def test_the_best_within_the_tolerance_and_what_the_threshold_alone_reaches(make_repaired: Any) -> None:
    best, moved = said(make_repaired, FEW, threshold=NOISE)
    assert best == (
        "2 of 3 methods have a mean |AOD| within 0.05 on test; among them, Prune + AdvFt (0.790, |AOD| 0.032, within "
        "the tolerance in 4 of 4 seeds) has the highest balanced accuracy."
    )
    assert moved.startswith("Moving only the threshold of the baseline reaches 0.597, |AOD| 0.022: compared")
    assert "it is worse (balanced accuracy −0.193" in moved


def test_the_last_epoch_is_no_method_of_its_own(make_repaired: Any) -> None:
    assert not any("0.95" in sentence for sentence in said(make_repaired, FEW))


def test_a_method_that_needs_the_group_is_named_with_the_best_that_does_not(make_repaired: Any) -> None:
    repairs = FEW | {"reject_option": ("reject_option", 0.82, 0.03, None, None, True)}
    best = said(make_repaired, repairs, part="sex")[0]
    assert best.startswith("Sex: 3 of 4 methods")
    assert "the reject option (0.820" in best
    assert "of those that do not, Prune + AdvFt (0.790" in best


@pytest.mark.parametrize(
    ("mean", "words"),
    [(0.60, "it is worse ("), (0.79, "it is not detectably better or worse ("), (0.95, "it is better (")],
)
def test_a_control_is_judged_by_the_interval_of_its_difference(make_repaired: Any, mean: float, words: str) -> None:
    repairs = FEW | {"random_mask": ("random_mask", mean, 0.03, 5, None, False)}
    control = said(make_repaired, repairs, random_mask=NOISE)[-1]
    assert control.startswith("A random mask + AdvFt reaches")
    assert words in control


@pytest.mark.parametrize(("bias", "words"), [(0.10, "less fair"), (-0.005, "fairer")])
def test_a_bias_is_judged_by_its_size(make_repaired: Any, bias: float, words: str) -> None:
    repairs = FEW | {"direct_penalty": ("direct_penalty", 0.79, bias, 5, None, False)}
    frames = make_repaired({"": 0.0}, seeds=4, repairs=repairs)
    rows = (frames.metrics["variant"] == "direct_penalty") & (frames.metrics["metric"] == "aod")
    metrics = frames.metrics.copy()
    metrics.loc[rows, "value"] += np.sign(bias) * np.abs(NOISE[metrics.loc[rows, "seed"]]) / 10
    control = repair_findings(metrics, frames.repairs, frames.objectives)[-1]
    assert f" and {words} (|AOD|" in control


def test_where_nothing_is_within_the_tolerance_the_nearest_is_named(make_repaired: Any) -> None:
    (only,) = said(make_repaired, {name: FEW[name] for name in ("baseline",)})
    assert only == (
        "No method has a mean |AOD| within 0.05 on test (1 were run); the baseline (0.800, |AOD| 0.192, within the "
        "tolerance in 0 of 4 seeds) is nearest."
    )


def test_one_seed_tells_no_difference(make_repaired: Any) -> None:
    frames = make_repaired({"": 0.0}, seeds=1, repairs=FEW)
    moved = repair_findings(frames.metrics, frames.repairs, frames.objectives)[1]
    assert "it is not detectably better or worse (balanced accuracy −0.190, 95% interval n/a)" in moved


def test_the_report_begins_with_the_findings_and_its_table_has_the_metrics_asked_for(
    context: ReportContext, read_page: Any
) -> None:
    known = replace(context, sections=[Section("in_words", ("NetAug < all.",))], headline_metrics=("auc", "aod"))
    html, content = build(known)
    page = read_page(html)
    assert page.text.index("NetAug < all.") < page.text.index("shows no detectable difference from")
    assert "Variant AUC Pretrained" in page.text
    assert content["answer"]["findings"] == ["NetAug < all."]
    assert "NetAug &lt; all." in model_card(known)
    together = read_page(overview([content])).text
    assert "NetAug < all." in together
    assert "Variant AUC Pretrained" in together


def test_what_is_missing_is_named(repaired: Any) -> None:
    with pytest.raises(InputError, match="repairs: the column 'needs_group' is missing"):
        repair_findings(repaired.metrics, repaired.repairs.drop(columns="needs_group"), repaired.objectives)
    with pytest.raises(InputError, match="metrics: no rows of the split 'test'"):
        repair_findings(pd.DataFrame(columns=repaired.metrics.columns), repaired.repairs, repaired.objectives)


def costs(cut: int = 0, part: str = "") -> pd.DataFrame:
    """Two seeds of 1,000 parameters, of which 60 and 80 are zero; `cut` and twice as many are cut out."""
    return pd.DataFrame(
        {
            "method": "prune_adversarial_finetuning",
            "variant": f"{part}prune_adversarial_finetuning",
            "seed": [0, 1],
            "parameters": 1000,
            "parameters_compact": [1000 - cut, 1000 - 2 * cut],
            "nonzero": [940, 920],
            "nonzero_compact": [940, 920],
            "macs": 10_000,
            "macs_compact": [10_000 - 10 * cut, 10_000 - 20 * cut],
            "latency": [2.0, 4.0],
            "latency_compact": [1.0, 3.0],
            "latency_ratio": [0.5, 0.75],
            "batch": 256,
            "difference": [1e-7, 3e-6],
            "compared": 1235,
        }
    )


def row(table: Table) -> dict[str, str]:
    (cells,) = table.rows
    return dict(zip(table.columns, cells, strict=True))


def test_shares_are_of_what_there_was() -> None:
    assert row(saving_table(costs(cut=100))) == {
        "Network": "Prune + AdvFt",
        "Parameters": "1,000",
        "Of them zero": "7.00 ± 1.41%",
        "Parameters cut out": "15.00 ± 7.07%",
        "Multiply-adds": "10,000",
        "Multiply-adds cut out": "15.00 ± 7.07%",
        "Latency (ms)": "3.000 → 2.000",
        "Latency, after / before": "0.625 ± 0.177",
        "Largest difference": "3e-06",
    }


def test_it_says_that_little_is_saved_where_little_is() -> None:
    note = saving_table(costs(cut=1)).note
    assert "0 of 2 networks have none; at most 0.2% of the multiply-adds are saved, which is little" in note
    assert "256 rows" in note
    assert "1,235 test rows" in note
    assert "2 of 2 networks have none" in saving_table(costs()).note
    much = saving_table(costs(cut=100)).note
    assert "20.0% of the multiply-adds are saved. " in much
    assert "little" not in much


def test_parts_stand_apart() -> None:
    both = pd.concat([costs(part="sex/"), costs(part="race/")])
    table = saving_table(both)
    assert [cells[:2] for cells in table.rows] == [("Prune + AdvFt", "sex"), ("Prune + AdvFt", "race")]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="latency_ratio"):
        saving_table(costs().drop(columns="latency_ratio"))
