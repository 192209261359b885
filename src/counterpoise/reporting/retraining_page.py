"""Pages of scheduled retraining: the decision with its reasons first, then what it stands on; and the monitor's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from counterpoise.reporting import figures_retraining as figures
from counterpoise.reporting import tables_retraining as tables
from counterpoise.reporting.audit_page import PageSection, page
from counterpoise.reporting.context import Table

_PAGES: Final = {
    "report.html": "report of the challenger's own training",
    "impact.html": "impact audit: selection rates and impact ratios, for an auditor",
    "model_card.md": "model card",
}


def retraining_page(
    document: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], lineage: Mapping[str, Any]
) -> str:
    """Return the page of a decision.

    Args:
        document: what `report.json` holds. earlier: those of all decisions before, in order.
        lineage: as in `ReportContext`.
    """
    decision, evaluation, batch = document["decision"], document["evaluation"], document["batch"]
    series = [*earlier, document]
    metrics = [bias["metric"] for bias in evaluation["measured"]["challenger"]["biases"]]
    trends = {"errors_over_weeks": figures.errors_over_weeks(series)}
    trends |= {f"{metric}_over_weeks": figures.bias_over_weeks(series, metric) for metric in metrics}
    sections = [
        PageSection(
            "answer",
            "Decision",
            _answer(decision, batch, evaluation),
            is_list=True,
            tables=[tables.checks(decision, document["groups"])] if decision["checks"] else (),
        ),
        PageSection(
            "groups",
            "Models by group",
            [f"{_rows_in_words(evaluation)}: none of them has trained a model.", *_apart(document)],
            figures={"errors_by_group": figures.errors_by_group(evaluation)},
            folded={"3 tables": tables.models(evaluation)},
        ),
        PageSection(
            "drift",
            "New rows beside the reference",
            tables.drift_sentences(document["audit"]),
            is_list=True,
            folded={"Tables": tables.drift(document["audit"])},
        ),
        PageSection(
            "trends",
            "All retrainings",
            [tables.decisions_in_words(series)],
            figures=trends,
            folded={f"All {len(series)} decisions" if earlier else "The decision": [tables.decisions(series)]},
        ),
        PageSection("rows", "Partitions", _aside(batch), folded={_used_in_words(batch): [tables.partitions(batch)]}),
    ]
    if document["pages"]:
        links = {_PAGES[name]: f"model/{name}" for name in _PAGES if name in document["pages"]}
        sections.append(PageSection("pages", "The challenger", links=links))
    facts = {
        "Partition": document["week"],
        "Challenger": f"{decision['challenger']} ({tables.VERDICTS[decision['verdict']]})",
        "Champion": decision["champion"],
        "Experiment": document["experiment"],
        "Data set": document["title"],
    }
    title = f"{tables.VERDICTS[decision['verdict']].capitalize()}: {decision['challenger']}"
    return page(title, "retraining", facts, sections, lineage)


def monitor_page(document: Mapping[str, Any]) -> str:
    """Return the page of the monitor."""
    sentences = list(document["alarms"]) or ["No alarm."]
    sentences += [watched["sentence"] for watched in document["watches"]]
    sentences += [f"{name} was left out: {why}." for name, why in document["left_out"].items()]
    sentences += _again(sum(week.get("again", 0) for week in document["weeks"]), "labelled")
    rows = [
        [
            week["date"],
            f"{week['rows']:,}",
            f"{week['waiting']:,}",
            *(f"{watched['estimates'][place]:.3f}" if watched["estimates"][place] is not None else "n/a"
              for watched in document["watches"]),
        ]
        for place, week in enumerate(document["weeks"])
    ]  # fmt: skip
    names = [f"{watched['name']} (limit {watched['limit']:.3g})" for watched in document["watches"]]
    table = Table("Weeks", "", ["Partition", "Labelled rows", "Without a label", *names], rows)
    drawn = {"evidence_over_weeks": figures.evidence_over_weeks(document)} if rows else {}
    sections = [
        PageSection("answer", "In short", sentences, is_list=True),
        PageSection("weeks", "Labelled traffic", tables=[table], figures=drawn),
    ]
    facts = {
        "Champion": document["champion"],
        "Trained up to": document["since"],
        "Error expected of it": f"{document['expected_error']:.2%}",
        "Experiment": document["experiment"],
        "Data set": document["title"],
    }
    return page("Alarm" if document["alarms"] else "No alarm", "monitor", facts, sections, {})


def _answer(decision: Mapping[str, Any], batch: Mapping[str, Any], evaluation: Mapping[str, Any]) -> list[str]:
    sentences = [decision["reason"]]
    if decision["verdict"] == "promote":
        sentences.append(f"{decision['champion']} takes the place of {decision['champion_before']}.")
    elif decision["champion_before"] is not None:
        sentences.append(f"{decision['champion']} stays champion.")
    sentences += _constants(evaluation)
    if evaluation["waiting"]:
        sentences.append(f"{evaluation['waiting']:,} held-out rows wait for their labels, and were not used.")
    sentences += _again(evaluation.get("again", 0), "held-out")
    if power := decision.get("power"):
        sentences.append(_power(power))
    return sentences + [f"Put aside: {sentence}." for sentence in batch["quarantined"].values()]


def _again(rows: int, kind: str) -> list[str]:
    """Say how many rows do not count, since another one of the same person does."""
    if not rows:
        return []
    return [f"{rows:,} {kind} rows do not count: of rows that belong together (split.together) one counts."]


def _constants(evaluation: Mapping[str, Any]) -> list[str]:
    """Name the models that predict the same class for all held-out rows: they have no gap, and decide nothing."""
    names = {"first": "first champion"}
    return [
        f"Beware: the {names.get(model, model)} predicts one class for all held-out rows; gaps of 0 are no merit of it."
        for model, measured in evaluation["measured"].items()
        if measured["all"][0]["selected"] in {0, 1}
    ]


def _power(power: Mapping[str, Any]) -> str:
    return (
        f"On {power['rows']:,} held-out rows as these, a model whose error is {100 * power['improvement']:.3g} points "
        "below the champion's, with the biases of this challenger, is promoted with a probability of "
        f"{power['probability']:.0%}."
    )


def _rows_in_words(evaluation: Mapping[str, Any]) -> str:
    rows = evaluation["measured"]["challenger"]["all"][0]["rows"]
    further = f", {evaluation['left_out']:,} more miss a value or are of no group" if evaluation["left_out"] else ""
    return f"{rows:,} held-out rows of the reference and {len(evaluation['dates']) - 1} partitions{further}"


def _apart(document: Mapping[str, Any]) -> list[str]:
    """Name the groups that no bias is taken of, if there are any."""
    compared, groups = document["evaluation"].get("compared"), document["groups"]
    if compared is None:
        return []
    apart = [name for group, name in enumerate(groups) if group not in compared]
    return [f"No bias is taken of groups with fewer held-out rows than min_test_rows: {', '.join(apart)}."]


def _used_in_words(batch: Mapping[str, Any]) -> str:
    used = batch["used"]
    return f"{sum(entry['rows'] for entry in used):,} rows of {len(used)} partitions beside the reference"


def _aside(batch: Mapping[str, Any]) -> list[str]:
    return [f"Put aside: {sentence}." for sentence in batch["quarantined"].values()]
