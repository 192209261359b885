"""The report opens from disk with no network, repeats to the byte, and shows what it was given, escaped."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.errors import InputError
from counterpoise.fairness import METRICS
from counterpoise.reporting import Fragment, ReportContext, Section, build, figures, model_card, tables
from counterpoise.reporting.context import Headline, Table
from counterpoise.reporting.report import flatten, overview
from counterpoise.reporting.sections.heads import weighted_svd

HOSTILE = "</script><script>alert('x')</script><b>&"


def test_tags_are_balanced_and_ids_unique(page: Any) -> None:
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert anchors
    assert {f"#{name}" for name in ids} >= set(anchors)


def test_nothing_is_loaded_from_the_network(page: Any, built: tuple[str, dict[str, Any]]) -> None:
    loads = [
        value for tag, attributes in page.tags for key, value in attributes.items() if key in ("src", "srcset", "data")
    ]
    assert loads == ["status.js"]  # beside the report, where it is there
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe", "object", "img")]
    stylesheet = built[0].partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in stylesheet
    assert "@import" not in stylesheet
    policy = next(attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_plotly_is_embedded_once_and_every_figure_is_there(page: Any, context: ReportContext) -> None:
    assert sum(len(script) > 1_000_000 for script in page.scripts) == 1
    stored = [script for script in page.scripts if script.startswith('{"data"')]
    assert len(stored) == len(context.figures)
    for script, figure in zip(stored, context.figures.values(), strict=True):
        assert len(json.loads(script)["data"]) == len(figure.data)
        assert figure.layout.title.text in page.text


def test_two_builds_agree_to_the_byte(context: ReportContext, built: tuple[str, dict[str, Any]]) -> None:
    html, content = build(replace(context))
    assert html.encode() == built[0].encode()
    assert json.dumps(content) == json.dumps(built[1])
    assert model_card(context) == model_card(replace(context))


def test_the_numbers_are_on_the_page(page: Any, context: ReportContext) -> None:
    row = context.summary.set_index(["variant", "metric"]).loc[("win_r2_a0.5", "err")]
    assert f"{row['mean']:.2f} ± {row['std']:.2f}" in page.text
    assert "15.829 ± 0.340" in page.text
    assert "16.165" in page.text
    assert "floor 0.033" in page.text
    assert page.text.count("supported") >= (context.claims["verdict"] == "supported").sum()
    for value in context.lineage["versions"].values():
        assert value in page.text
    assert "kedro run --pipelines=win_adult" in page.text
    assert "3,569" in page.text  # men below 50K in the test split
    for metric in ("err", "delta_eo"):
        assert METRICS[metric].definition in page.text


def test_the_equivalence_is_explained_only_where_both_methods_were_run(
    context: ReportContext, page: Any, read_page: Any
) -> None:
    explained = weighted_svd(context)
    assert explained is not None
    html, _ = build(replace(context, sections=[Section("weighted_svd", explained)]))
    method = html[html.index('id="method"') :]
    assert "When can WIN differ from f+SVD" in method
    assert "#weighted_svd" not in html  # a chapter has it already
    assert "When can WIN differ from f+SVD" not in page.text
    assert weighted_svd(replace(context, summary=context.summary[context.summary["method"] != "svd"])) is None


def test_json_is_plain_and_complete(built: tuple[str, dict[str, Any]], context: ReportContext) -> None:
    content = json.loads(json.dumps(built[1], allow_nan=False))
    assert content == built[1]
    assert len(content["summary"]) == len(context.summary)
    assert content["claims"][0]["verdict"] == context.claims["verdict"].iloc[0]
    tl = next(row for row in content["summary"] if row["variant"] == "tl")
    assert tl["reported"] is None
    assert tl["mean"] == context.summary.set_index(["variant", "metric"]).loc[("tl", "err"), "mean"]
    assert content["noise_floor"]["tl"]["delta_eo"] == 0.033
    assert content["lineage"]["data_digest"] == context.lineage["data_digest"]
    assert content["settings"]["finetune"]["lr"] == 0.001


def test_missing_numbers_read_not_available(context: ReportContext, read_page: Any) -> None:
    summary = context.summary.assign(mean=np.nan, std=np.nan, ci_low=np.nan, ci_high=np.nan)
    verdicts = context.claims.assign(difference=np.nan, p=np.nan, p_holm=np.nan, verdict="not distinguishable")
    html, content = build(replace(context, summary=summary, claims=verdicts, sections=[]))
    text = read_page(html).text
    assert "n/a" in text
    assert "nan" not in re.findall(r"\w+", text.lower())
    assert content["summary"][0]["mean"] is None


def test_a_report_without_figures_or_claims_or_rates_still_stands(context: ReportContext, read_page: Any) -> None:
    bare = replace(
        context, sections=[], claims=context.claims.head(0), claim_specs=[], group_rates=None, lineage={}, notes=()
    )
    html, _ = build(bare)
    assert read_page(html).open == []
    assert "No claim was tested." in html
    assert "plotly" not in html.lower()
    assert "No predictions were kept" in model_card(bare)


def test_hostile_names_stay_text(context: ReportContext, metrics: pd.DataFrame, read_page: Any) -> None:
    named = metrics.assign(variant=metrics["variant"].where(metrics["variant"] != "tl", HOSTILE))
    summary = tables.summary(named)
    hostile = replace(
        context,
        title=HOSTILE,
        dataset=HOSTILE,
        summary=summary,
        sections=[
            Section("performance", figures.performance(named, summary)),
            Section("tables", Table(HOSTILE, HOSTILE, (HOSTILE,), [(HOSTILE,)])),
            Section("own", Fragment("<p>safe</p>", HOSTILE)),
        ],
        claims=context.claims.assign(claim=HOSTILE),
        group_names=(HOSTILE, "b"),
        class_names=(HOSTILE, "d"),
        settings={HOSTILE: HOSTILE},
        lineage={"command": HOSTILE, HOSTILE: HOSTILE},
        notes=[HOSTILE],
    )
    page = read_page(build(hostile)[0])
    assert page.open == []
    assert not any(script.startswith("alert") for script in page.scripts)
    assert page.text.count("alert('x')") > 5
    card = model_card(hostile)
    assert "<script" not in card
    for table in re.findall(r"(?:^\|.*\n)+", card, flags=re.MULTILINE):
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(bars) == 1, table


def test_further_tables_are_on_the_page_and_in_the_document(context: ReportContext, read_page: Any) -> None:
    table = Table(
        "Chosen on validation", "Of ten seeds.", ("Family", "Error (%)"), [("Ours", "15.90"), ("TL", "15.60")]
    )
    html, content = build(replace(context, sections=[Section("chosen", table)]))
    text = read_page(html).text
    assert "Chosen on validation Of ten seeds. Family Error (%) Ours 15.90 TL 15.60" in text
    assert '<a href="#tables">' in html
    assert content["tables"] == [
        {
            "title": "Chosen on validation",
            "note": "Of ten seeds.",
            "columns": ["Family", "Error (%)"],
            "rows": [["Ours", "15.90"], ["TL", "15.60"]],
        }
    ]
    bare, without = build(context)
    assert 'id="tables"' not in bare
    assert without["tables"] == []


def test_flatten_writes_settings_as_one_reads_them() -> None:
    nested = {"a": {"b": 0.001, "c": [1, 2], "d": {}}, "e": None, "f": True}
    assert flatten(nested) == {"a.b": "0.001", "a.c": "1, 2", "a.d": "—", "e": "—", "f": "True"}


COMMANDS = ["kedro run --pipelines=win_adult", 'kedro run --from-nodes=a.b --params "seeds=3"']


def test_all_commands_stand_under_reproduce(context: ReportContext, read_page: Any) -> None:
    lineage = {**context.lineage, "commands": COMMANDS, "command": COMMANDS[-1], "partial": True, "run_id": "0f3a"}
    own = replace(context, lineage=lineage, sections=[])
    html, content = build(own)
    page = read_page(html)
    assert " ".join(COMMANDS) in page.text
    assert "This was a partial run" in page.text
    assert "Run 0f3a" in page.text
    card = model_card(own).replace("\\", "")
    assert [line for line in card.splitlines() if "kedro run" in line] == [
        f"- Reproduce with: {COMMANDS[0]}",
        f"- then: {COMMANDS[1]}",
    ]
    assert "Partial run" in card
    assert "- Run: 0f3a" in card
    assert content["lineage"]["commands"] == COMMANDS


def test_a_whole_run_and_one_of_before_are_not_called_partial(context: ReportContext, read_page: Any) -> None:
    for lineage in (context.lineage, {**context.lineage, "commands": COMMANDS[:1], "partial": False}):
        own = replace(context, lineage=lineage, sections=[])
        assert "partial run" not in read_page(build(own)[0]).text.lower()
        assert "artial run" not in model_card(own)


def test_the_report_knows_what_it_was_made_of(context: ReportContext, read_page: Any) -> None:
    artifacts = {"metrics": "12ab", "</script><b>": "34cd"}
    html, _ = build(replace(context, lineage={**context.lineage, "artifacts": artifacts}, sections=[]))
    page = read_page(html)
    assert page.open == []
    (stored,) = [script for script in page.scripts if script.startswith("{") and "counterpoiseStatus" not in script]
    assert json.loads(stored) == artifacts
    names = [tuple(attributes.get(key) for key in ("id", "src")) for tag, attributes in page.tags if tag == "script"]
    assert names.index(("artifacts", None)) < names.index((None, "status.js")) < len(names) - 1
    banner = next(attributes for _, attributes in page.tags if attributes.get("id") == "strangers")
    assert "hidden" in banner
    assert "12ab" not in page.text


def test_every_table_fits_a_narrow_page(context: ReportContext, read_page: Any) -> None:
    """As cards: each cell of a table of results carries the head of its column, and no figure has a least width."""
    wide = Table("Wide", "", [f"column {place}" for place in range(9)], [[f"{place}.0" for place in range(9)]])
    html, _ = build(replace(context, sections=[*context.sections, Section("wide", wide)]))
    page = read_page(html)
    tables_ = [attributes.get("class") or "" for tag, attributes in page.tags if tag == "table"]
    assert sum("stacking" in names for names in tables_) >= 5
    assert [names for names in tables_ if "dense" in names] == ["plain stacking dense"]
    labels = {attributes["data-label"] for tag, attributes in page.tags if tag == "td" and "data-label" in attributes}
    assert {"column 8", "ΔEO", "Difference", "True positive rate >50K"} <= labels
    styles = html.partition("<style>")[2].partition("</style>")[0]
    assert "min-width: 44rem" not in styles


def test_an_appendix_is_folded_up_and_last_and_a_headline_comes_before_the_claims(
    context: ReportContext, read_page: Any
) -> None:
    table, figure = Table("Areas", "", ("a",), [("1",)]), figures.paired_differences(context.claims)
    own = [
        Section("exchange", Headline("It costs half a point.")),
        Section("areas", table, "appendix"),
        Section("beside", replace(table, title="Beside it"), "answer"),
        Section("volumes", figure, "appendix"),
    ]
    html, content = build(replace(context, sections=own))
    answer, appendix = html.index('id="answer"'), html.index('<section id="appendix"')
    claims_, reproduce = html.index('<section id="claims"'), html.index('<section id="reproduce"')
    assert answer < html.index("It costs half a point.") < html.index("Beside it</h3>") < claims_ < reproduce < appendix
    assert appendix < html.index("<details>", appendix) < html.index("Areas</h3>") < html.index('id="figure-volumes"')
    assert html.index('id="figure-volumes"') < html.index("</details>", appendix)
    assert 'href="#appendix"' in html
    assert content["answer"]["headline"] == "It costs half a point."
    assert content["answer"]["comparisons"][0].startswith("Of 9 claims tested")
    assert [one["title"] for one in content["tables"]] == ["Areas", "Beside it"]
    assert "It costs half a point." in model_card(replace(context, sections=own)).replace("\\", "")
    bare, _ = build(replace(context, sections=[]))
    assert 'id="appendix"' not in bare
    assert read_page(html).open == []


def test_model_card_follows_mitchell(context: ReportContext) -> None:
    card = model_card(context)
    assert re.findall(r"^## (.+)$", card, flags=re.MULTILINE) == [
        "Model details",
        "Intended use",
        "Factors",
        "Metrics",
        "Evaluation data",
        "Training data",
        "Quantitative analyses",
        "Ethical considerations",
        "Caveats and recommendations",
    ]
    assert "15.829 ± 0.340" in card
    assert "| tl | Female | true positive rate |" in card
    assert "the intervals say" in card


BREAKING = "</title><script>alert('x')</script>&"


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
    table = {"title": BREAKING, "note": BREAKING, "columns": [BREAKING], "rows": [[BREAKING]]}
    claims = [{**documents[0]["claims"][0], "claim": BREAKING}]
    summary = [{**row, "variant": BREAKING} for row in documents[0]["summary"][:1]]
    hostile = {"experiment": BREAKING, "title": BREAKING, "dataset": BREAKING, "claims": claims, "summary": summary}
    page = read_page(overview([{**documents[0], **hostile, "answer": {"headline": BREAKING}, "tables": [table]}]))
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
