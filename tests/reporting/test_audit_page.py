"""What a data audit says in words, tables and figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from counterpoise.reporting import ReportContext, figures_audit, tables_audit
from counterpoise.reporting.audit_page import data_page
from counterpoise.reporting.sections.data_audit import audit as audit_section
from counterpoise.reporting.sections.data_audit import audit_base_rates, by_part


def rate(group: str, label: str, rows: int, of: int) -> dict[str, Any]:
    return {
        "group": group,
        "label": label,
        "rows": rows,
        "of": of,
        "rate": rows / of,
        "ci_low": rows / of - 0.01,
        "ci_high": rows / of + 0.01,
    }


@pytest.fixture
def document() -> dict[str, Any]:
    cells = [("women", "no", 80), ("women", "yes", 20), ("men", "no", 120), ("men", "yes", 80)]
    drifted = {"kind": "number", "statistic": 0.2, "p": 0.001, "p_holm": 0.002, "psi": 0.3}
    still = {"kind": "category", "statistic": 1.0, "p": 0.5, "p_holm": 0.5, "psi": 0.01}
    return {
        "dataset": "loans",
        "label": "repaid",
        "sensitive": "sex",
        "groups": ["women", "men"],
        "classes": ["no", "yes"],
        "rows": 300,
        "level": 0.95,
        "cells": [{"group": g, "label": y, "rows": n, "share": n / 300} for g, y, n in cells],
        "group_shares": [
            {"group": "women", "rows": 100, "share": 1 / 3, "ci_low": 0.3, "ci_high": 0.4},
            {"group": "men", "rows": 200, "share": 2 / 3, "ci_low": 0.6, "ci_high": 0.7},
        ],
        "label_rates": [rate(g, y, n, 100 if g == "women" else 200) for g, y, n in cells],
        "missing": [
            {"column": "pool", "group": g, "missing": m, "rows": n, "share": m / n, "treatment": "row left out"}
            for g, m, n in (("women", 30, 100), ("men", 10, 200))
        ],
        "proxies": [
            {"column": c, "auc": a, "rows": 300} for c, a in (("all columns together", 0.9), ("job", 0.8), ("age", 0.5))
        ],
        "proxy_label_rates": [
            {"column": "job", "value": "<nurse>", **rate("", "yes", 10, 50), "group_shares": {"women": 0.9, "men": 0.1}}
        ],
        "files": None,
        "duplicates": [
            {"part": "test", "other": "train", "rows": 60, "same_label": 3, "other_label": 1},
            {"part": "train", "other": "train", "rows": 60, "same_label": 0, "other_label": 0},
        ],
        "drift": [
            {
                "reference": "2023.csv",
                "new": "2024.csv",
                "of_reference": 150,
                "rows": 150,
                "columns": [{"column": "age", **still}, {"column": "income", **drifted}],
            }
        ],
        "notes": ["A note."],
    }


def test_the_findings_have_the_numbers(document: dict[str, Any]) -> None:
    text = " ".join(tables_audit.findings(document))
    assert "40.0% of men are yes and 20.0% of women" in text
    assert "Fewer than 30 rows are women, yes (20)" in text
    assert "AUC of 0.900" in text
    assert "job (0.800)" in text
    assert "groups differ most in pool: 30.0% of women and 5.0% of men" in text
    assert "Of 60 test rows, 3 occur with the same label in train too, and 1 with another label" in text
    assert "Distributed unlike 2023.csv (p below 0.05 after Holm's correction): 2024.csv: income." in text
    assert text.endswith("A note.")


def test_what_is_not_there_is_said(document: dict[str, Any]) -> None:
    bare = document | {"missing": [], "proxies": [], "proxy_label_rates": [], "duplicates": [], "drift": []}
    assert all(not tables_audit.tables_of(bare)[name] for name in ("missing", "duplicates", "proxies", "drift"))
    for name in ("missing", "proxies", "drift"):
        assert tables_audit.absent(bare, name)
        assert not tables_audit.absent(document, name)
    none_twice = document | {"duplicates": document["duplicates"][1:]}
    assert "No row of features occurs twice." in tables_audit.findings(none_twice)


def test_the_page_has_every_section_and_escapes_names(document: dict[str, Any], read_page: Any) -> None:
    html = data_page(document, {"title": "What do the data say?", "lineage": {"command": "kedro run"}})
    page = read_page(html)
    assert "<nurse>" not in html
    for words in ("Groups and classes", "Missing values", "Rows that occur twice", "Drift", "income", "row left out"):
        assert words in page.text
    assert not [tag for tag, attributes in page.tags if "src" in attributes]


def test_figures_draw_the_rates_and_areas(document: dict[str, Any]) -> None:
    (trace,) = figures_audit.base_rates({"": document}).data
    assert dict(zip(trace.y, trace.x, strict=True)) == {"women": 0.2, "men": 0.4}
    (bars,) = figures_audit.proxy_areas({"": document}).data
    assert list(bars.customdata) == [0.9, 0.8, 0.5]
    assert not figures_audit.proxy_areas({"": document | {"proxies": []}}).data


def test_parts_with_data_of_their_own_have_an_audit_each(document: dict[str, Any], context: ReportContext) -> None:
    divided = replace(context, parts=("sex", "race"))
    audits = {"sex": document, "race": document | {"rows": 299}}
    assert by_part(divided, audits) == audits
    assert by_part(divided, document) == {"": document}
    fragment = audit_section(divided, audits)
    assert "<h3>race</h3>" in fragment.html
    assert any(text.startswith("race: ") for text in fragment.data["data_audit"])
    assert [name for trace in audit_base_rates(divided, audits).data for name in trace.y][:1] == ["sex: women"]
