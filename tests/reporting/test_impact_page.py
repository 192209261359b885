"""The auditor's page says what the rules ask for, and nothing that the table does not have."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.fairness.impact import COLUMNS, impact
from counterpoise.reporting import tables_impact
from counterpoise.reporting.impact_page import NO_ADVICE, RULES, ImpactAudit, document, impact_page, profile

PEOPLE = 1_000


def audited(**changes: Any) -> ImpactAudit:
    random = np.random.default_rng(0)
    race = random.choice(["a<b", "c", "rare"], PEOPLE, p=[0.5, 0.485, 0.015]).astype(object)
    race[:7] = None
    sensitive = pd.DataFrame({"sex": random.choice(["women", "men"], PEOPLE), "race": race})
    frames = []
    for method, variant, gap in (("pretrained", "pretrained", 0.3), ("tl", "tl", 0.1)):
        for seed in (0, 1):
            score = random.random(PEOPLE) + gap * (sensitive["sex"] == "men")
            table = impact((score > 0.7).to_numpy(), sensitive, score.to_numpy())
            frames.append(table.assign(method=method, variant=variant, seed=seed))
    table = pd.concat(frames, ignore_index=True)[["method", "variant", "seed", *COLUMNS]]
    summary = {"left_out": {"sentence": "Some rows.", "cells": [{"group": None, "label": 0, "rows": 12}]}}
    audit = ImpactAudit(
        experiment="win_loans",
        title="Is it fair?",
        dataset="loans",
        origin="made up",
        label="repaid",
        classes=("no", "yes"),
        sensitive=("sex", "race"),
        impact=table,
        alternatives=None,
        scored_only=None,
        most_extra_error=1.0,
        exported_seed=None,
        data_summary=summary,
        lineage={"command": "kedro run"},
        level=0.95,
    )
    return replace(audit, **changes)


AUDIT = audited()
ALTERNATIVES = pd.DataFrame(
    {
        "seed": [0, 0],
        "variant": ["chosen model", "fairer model"],
        "method": "heads",
        "base": "linear",
        "needs_group": [False, True],
        "is_chosen": [True, False],
        "validation_err": [20.0, 20.5],
        "validation_impact_ratio": [0.7, 0.9],
        "test_err": [21.0, 21.25],
        "test_impact_ratio": [0.71, 0.88],
        "holds": [None, True],
    }
)
APART = pd.DataFrame(
    {
        "group": ["missing", "other"],
        "rows": [40, 7],
        "scored": [38, 7],
        "selected": [19.0, 1.0],
        "selection_rate": [0.5, 1 / 7],
        "selection_low": [0.35, 0.03],
        "selection_high": [0.65, 0.51],
        "labelled": [38, 0],
        "errors": [8, 0],
        "error_rate": [8 / 38, np.nan],
        "error_low": [0.11, np.nan],
        "error_high": [0.36, np.nan],
    }
)


def test_people_of_no_compared_category_are_counted_with_their_rates(read_page: Any) -> None:
    audit = audited(scored_only=APART)
    page = read_page(impact_page(audit))
    for words in ("Unknown and further categories", "0.500", "0.143", "missing (40) and other (7)"):
        assert words in page.text
    written = json.loads(json.dumps(document(audit), allow_nan=False))["scored_only"]
    assert [row["rows"] for row in written] == [40, 7]
    assert written[1]["error_rate"] is None
    nobody = audited(scored_only=APART.iloc[:0])
    assert "Unknown and further categories" not in read_page(impact_page(nobody)).text
    assert document(nobody)["scored_only"] == []


def test_the_page_shows_small_and_unknown_categories_and_both_rules(read_page: Any) -> None:
    page = read_page(impact_page(AUDIT))
    for words in ("rare (under 2%)", "unknown", "not in the ratios", "most selected", "Without categories under 2%"):
        assert words in page.text
    for words in ("Local Law 144", "6 RCNY § 5-301", "29 CFR 1607.4 D", NO_ADVICE):
        assert words in page.text
    assert "women × c" in page.text
    assert page.open == []


def test_the_page_reaches_no_network_and_is_the_same_every_time(read_page: Any) -> None:
    html = impact_page(AUDIT)
    assert html == impact_page(audited())
    assert not [tag for tag, attributes in read_page(html).tags if "src" in attributes]
    assert "a<b" not in html
    assert "a&lt;b" in html


def test_the_findings_are_the_tables_lowest_ratios() -> None:
    content = document(AUDIT)
    own = AUDIT.impact.query("seed == 0 and variant == 'pretrained' and attribute == 'sex'")
    lowest = own.loc[own["impact_ratio"].idxmin()]
    assert lowest["category"] == "women"
    assert f"the lowest impact ratio is {lowest['impact_ratio']:.3f} (women" in content["findings"][0]
    assert ("below four fifths" in content["findings"][0]) == bool(lowest["below_four_fifths"])


def test_the_document_is_plain_and_complete() -> None:
    content = json.loads(json.dumps(document(AUDIT), allow_nan=False))
    assert len(content["categories"]) == len(AUDIT.impact)
    assert [rule["rule"] for rule in content["rules"]] == [rule for rule, _ in RULES]
    assert content["no_legal_advice"] == NO_ADVICE
    unknown = [row for row in content["categories"] if row["category"] == "unknown"]
    assert unknown
    assert all(row["impact_ratio"] is None and row["people"] == 7 for row in unknown)


def test_the_profile_counts_the_unknown_and_those_who_were_not_assessed() -> None:
    paragraphs = dict(profile(AUDIT))
    assert paragraphs["Unknown"].startswith("7 people who were assessed")
    assert "12 rows of the source" in paragraphs["Unknown"]
    assert "1,000 rows" in paragraphs["Kind of data"]


def test_alternatives_stand_with_the_chosen_model() -> None:
    audit = audited(alternatives=ALTERNATIVES)
    page = impact_page(audit)
    for words in ("Less discriminatory alternatives", "chosen model (chosen)", "fairer model", "1 of 1 have"):
        assert words in page
    assert document(audit)["alternatives"][1]["holds"] is True
    none = audited(alternatives=ALTERNATIVES.head(1))
    assert "No model of the frontier has a higher impact ratio" in impact_page(none)


def test_the_exported_models_seed_is_shown() -> None:
    audit = audited(exported_seed=1)
    assert audit.seed == document(audit)["seed"] == 1
    assert "test part of seed 1" in impact_page(audit)


def test_more_than_two_classes_are_said_to_have_no_rates() -> None:
    audit = audited(classes=("a", "b", "c"), impact=AUDIT.impact.head(0))
    assert "There are 3 classes" in impact_page(audit)
    assert document(audit)["categories"] == []
    assert document(audit)["selected"] is None


@pytest.mark.parametrize("variant", ["pretrained", "tl"])
def test_the_overview_has_the_range_over_seeds(variant: str) -> None:
    table = tables_impact.categories_at_a_glance(AUDIT.impact, 0, 0.95)
    ratios = AUDIT.impact.query("variant == @variant and attribute == 'sex'").groupby("seed")["impact_ratio"].min()
    title = tables_impact.model_name(AUDIT.impact.query("variant == @variant"))
    (row,) = [row for row in table.rows if row[0] == f"{title}, sex"]
    assert f"({ratios.min():.3f} to {ratios.max():.3f})" in row[-1]
