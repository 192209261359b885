"""Tables of scheduled retraining: checks, models by group, decisions, drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from counterpoise.fairness import LEVEL
from counterpoise.reporting.context import Table
from counterpoise.reporting.wording import NOT_AVAILABLE, metric_label, number, p_value, percent, with_interval

ROLES: Final = {"challenger": "Challenger", "champion": "Champion", "first": "First champion"}
VERDICTS: Final = {"start": "first champion", "promote": "promoted", "refuse": "refused", "wait": "waits"}
_OUTCOMES: Final = {"passed": "shown", "undecided": "not shown", "failed": "exceeded"}
_SIGNIFICANT: Final = 0.05


def checks(decision: Mapping[str, Any], groups: Sequence[str]) -> Table:
    """What the challenger had to show, and what it has."""
    rows = [
        [
            check_title(check["name"], groups),
            _of(check["name"], check["estimate"]),
            _of(check["name"], check["bound"]),
            _of(check["name"], check["limit"]),
            NOT_AVAILABLE
            if check["log10_e"] is None
            else f"{check['log10_e']:.1f} of {check['needed']:.1f}".replace("-", "−"),
            "excess not shown"
            if check["log10_e"] is None and check["outcome"] == "passed" and check["name"] != "rows"
            else _OUTCOMES[check["outcome"]],
        ]
        for check in decision["checks"]
    ]
    note = (
        "Differences of errors are in percentage points. The upper bound holds whenever it is looked at, at the "
        "challenger's significance. Evidence is the log10 of the e-value, and what it takes. The newest rows alone "
        "refuse where an excess is shown, and are no evidence for a model."
    )
    return Table("Checks", note, ["", "Measured", "Upper bound", "Limit", "Evidence", "Within the limit"], rows)


def check_title(name: str, groups: Sequence[str]) -> str:
    """What a check is about, in a few words."""
    if name == "rows":
        return "Rows of the smallest group"
    if not name.startswith("error_"):
        return f"Bias {name}"
    _, other, *group = name.split("_")
    against = {"first": "first champion", "champion": "champion", "newest": "champion, newest rows"}[other]
    return f"Error against the {against}" + (f", {groups[int(group[1])]}" if group else "")


def models(evaluation: Mapping[str, Any]) -> list[Table]:
    """Errors and selection rates of the models by group, on all held-out rows and on the newest."""
    titles = {"all": "On all held-out rows", "newest": f"On those of the newest partition, {evaluation['dates'][-1]}"}
    tables = []
    for scope, title in titles.items():
        rows = [
            [f"{ROLES[role]}, {row['group']}", f"{row['rows']:,}", *(_share(row, key) for key in ("error", "selected"))]
            for role, measured in evaluation["measured"].items()
            for row in measured[scope]
        ]
        note = f"Shares of rows in %, with {LEVEL:.0%} intervals of Wilson. Selected: predicted to be of class 1."
        tables.append(Table(title, note, ["Model, group", "Rows", "Wrong", "Selected"], rows))
    rows = [
        [
            f"{ROLES[role]}, {metric_label(bias['metric'])}",
            number(bias["estimate"]),
            number(bias["bound"]),
            number(newest["estimate"]),
            number(bias["tolerance"]),
        ]
        for role, measured in evaluation["measured"].items()
        for bias, newest in zip(measured["biases"], measured["newest_biases"], strict=True)
    ]
    note = f"The upper bound is the end of a {LEVEL:.0%} confidence sequence: true in all weeks at once."
    return [*tables, Table("Biases", note, ["Model, metric", "All rows", "Upper bound", "Newest", "Tolerance"], rows)]


def decisions_in_words(documents: Sequence[Mapping[str, Any]]) -> str:
    """How many challengers were promoted and refused, and who is champion now."""
    verdicts = [document["decision"]["verdict"] for document in documents]
    counts = [f"{verdicts.count(verdict)} {word}" for verdict, word in VERDICTS.items() if verdict in verdicts]
    return f"Challengers: {', '.join(counts)}. Champion: {documents[-1]['decision']['champion']}."


def decisions(documents: Sequence[Mapping[str, Any]]) -> Table:
    """All decisions so far, the newest first."""
    rows = [
        [
            document["week"],
            VERDICTS[document["decision"]["verdict"]],
            document["decision"]["champion"],
            f"{document['decision']['rows']:,}" if document["decision"]["rows"] else NOT_AVAILABLE,
            percent(document["evaluation"]["measured"]["challenger"]["error"]["error"]),
        ]
        for document in reversed(documents)
    ]
    return Table("Decisions", "", ["Partition", "Challenger", "Champion after it", "Rows", "Challenger's error"], rows)


def drift(audit: Mapping[str, Any]) -> list[Table]:
    """How the new partitions differ from the reference."""
    columns = [
        [row["column"], row["kind"], number(row["statistic"]), p_value(row["p_holm"]), number(row["psi"])]
        for row in sorted(audit["drift"], key=lambda row: (row["p_holm"] is None, row["p_holm"]))
    ]
    reference = {(row["group"], row["label"]): row for row in audit["label_rates"]["reference"]}
    rates = [
        [f"{row['group']}, {row['label']}", _rate(reference[row["group"], row["label"]]), _rate(row)]
        for row in audit["label_rates"]["new"]
    ]
    shares = [
        [before["group"], _rate(before, "share"), _rate(row, "share")]
        for before, row in zip(audit["group_shares"]["reference"], audit["group_shares"]["new"], strict=True)
    ]
    tables = [
        Table(
            "Label rates", f"Share of each class in each group, {LEVEL:.0%} interval.", ["", "Reference", "New"], rates
        ),
        Table("Group shares", f"Share of all rows, {LEVEL:.0%} interval.", ["", "Reference", "New"], shares),
    ]
    if columns:
        note = (
            "Kolmogorov-Smirnov for numbers, χ² for others; p after Holm's correction; PSI: population stability index."
        )
        tables.append(Table("Columns", note, ["Column", "Kind", "Statistic", "p (Holm)", "PSI"], columns))
    return tables


def drift_sentences(audit: Mapping[str, Any]) -> list[str]:
    """The same in words: what a reader must not miss."""
    moved = [row["column"] for row in audit["drift"] if row["p_holm"] is not None and row["p_holm"] < _SIGNIFICANT]
    sentences = [
        f"{len(moved)} of {len(audit['drift'])} columns are distributed otherwise than in the reference"
        + (f": {', '.join(moved)}." if moved else ".")
    ]
    sentences += [
        f"Column {row['column']} has values that the reference has not, in {row['rows']:,} rows: "
        f"{', '.join(row['values'])}."
        for row in audit["new_values"]
    ]
    sentences += [
        f"Only {cell['rows']:,} new rows are {cell['group']} with the label {cell['label']}."
        for cell in audit["small_cells"]
    ]
    return [*sentences, *([f"Drift was not tested: {audit['note']}."] if "note" in audit else [])]


def partitions(batch: Mapping[str, Any]) -> Table:
    """The rows that this retraining stands on."""
    rows = [["reference", "", f"{batch['reference']:,}", ""]]
    rows += [
        [entry["name"], entry["date"], f"{entry['rows']:,}", "new" if entry["name"] in batch["new"] else ""]
        for entry in reversed(batch["used"])
    ]
    return Table("Rows", "", ["Partition", "Date", "Rows", ""], rows)


def _of(name: str, value: float | None) -> str:
    if value is None:
        return NOT_AVAILABLE
    if name == "rows":
        return f"{value:,.0f}"
    return f"{100 * value:+.2f}".replace("-", "−") if name.startswith("error_") else f"{value:.3f}"


def _share(row: Mapping[str, Any], key: str) -> str:
    if row[key] is None:
        return NOT_AVAILABLE
    return f"{100 * row[key]:.1f} ({100 * row[f'{key}_low']:.1f} to {100 * row[f'{key}_high']:.1f})"


def _rate(row: Mapping[str, Any], key: str = "rate") -> str:
    return with_interval(row[key], row["ci_low"], row["ci_high"])
