"""The page over all experiments counts what the documents say, links to each report, and escapes what it shows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from counterpoise.errors import InputError
from counterpoise.reporting import ReportContext, Section, build
from counterpoise.reporting.context import Table
from counterpoise.reporting.overview import overview

HOSTILE = "</title><script>alert('x')</script>&"


@pytest.fixture(scope="module")
def documents(context: ReportContext) -> list[dict[str, Any]]:
    """Two experiments: one with three verdicts set by hand, one without claims."""
    verdicts = ["supported", "contradicted", "supported"]
    judged = replace(
        context,
        experiment="frontier_adult",
        title="How fair is fair enough?",
        claims=context.claims.head(3).assign(verdict=verdicts),
        claim_specs=context.claim_specs[:3],
        sections=[Section("chosen", Table("Chosen", "", ("Family", "Error"), [("Ours", "15.91")]))],
    )
    silent = replace(context, claims=context.claims.head(0), claim_specs=[], sections=[])
    return [json.loads(json.dumps(build(each)[1])) for each in (judged, silent)]


def test_verdicts_are_counted_by_experiment_and_in_total(documents: list[dict[str, Any]], read_page: Any) -> None:
    page = read_page(overview([*documents, {**documents[0], "experiment": "again"}]))
    assert "Experiments 3 supported 4 contradicted 2 not distinguishable 0" in page.text
    assert "frontier_adult Adult (45,222 complete rows) 10 2 1 0" in page.text
    assert "win_adult Adult (45,222 complete rows) 10 0 0 0" in page.text
    assert "All 4 2 0" in page.text


def test_every_report_is_linked_and_every_table_there(
    documents: list[dict[str, Any]], context: ReportContext, read_page: Any
) -> None:
    html = overview(documents)
    page = read_page(html)
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert {"frontier_adult/report.html", "win_adult/report.html", "win_adult/model_card.md"} <= set(links)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in links if link.startswith("#")} <= set(ids)
    assert page.open == []
    row = context.summary.set_index(["variant", "metric"]).loc[("win_r2_a0.5", "err")]
    assert page.text.count(f"{row['mean']:.2f} ± {row['std']:.2f}") == 2
    assert "15.829 ± 0.340" in page.text
    assert "Chosen Family Error Ours 15.91" in page.text
    assert context.claims["claim"].iloc[0] in page.text
    assert "Does weight importance neutralization" in page.text


def test_the_page_needs_no_network_and_no_script(documents: list[dict[str, Any]], read_page: Any) -> None:
    page = read_page(overview(documents))
    assert page.scripts == []
    assert not [tag for tag, attributes in page.tags if "src" in attributes or tag in ("link", "iframe", "img")]
    policy = next(attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'")


def test_documents_written_before_there_were_tables_are_read(documents: list[dict[str, Any]]) -> None:
    old = {key: value for key, value in documents[0].items() if key != "tables"}
    assert "How fair is fair enough?" in overview([old])
    assert "Chosen</h3>" in overview(documents[:1])
    assert "Chosen</h3>" not in overview([old])


def test_names_are_text_not_markup(documents: list[dict[str, Any]], read_page: Any) -> None:
    table = {"title": HOSTILE, "note": HOSTILE, "columns": [HOSTILE], "rows": [[HOSTILE]]}
    claims = [{**documents[0]["claims"][0], "claim": HOSTILE}]
    summary = [{**row, "variant": HOSTILE} for row in documents[0]["summary"][:1]]
    hostile = {"experiment": HOSTILE, "title": HOSTILE, "dataset": HOSTILE, "claims": claims, "summary": summary}
    page = read_page(overview([{**documents[0], **hostile, "answer": {"headline": HOSTILE}, "tables": [table]}]))
    assert page.open == []
    assert page.scripts == []
    assert page.text.count("alert('x')") > 8


def test_nothing_twice_nothing_missing(documents: list[dict[str, Any]]) -> None:
    with pytest.raises(InputError, match="no experiment was run yet"):
        overview([])
    with pytest.raises(InputError, match="'win_adult' has 2 documents"):
        overview([documents[1], documents[1]])
    with pytest.raises(InputError, match=r"report\.json of win_adult: the key 'claims' is missing"):
        overview([{key: value for key, value in documents[1].items() if key != "claims"}])
