"""What a data audit says, as sentences and as tables for the reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from counterpoise.reporting.context import Table
from counterpoise.reporting.wording import enumerate_words, interval_title, number, p_value, percent, with_interval

_SIGNIFICANT: Final = 0.05
_SHIFTED: Final = 0.1
"""A stability index from which a column is said to have moved (0.1 to 0.25 is commonly read as some, above as much)."""
_STRONG: Final = 0.7
"""An AUC from which a column is named as a proxy."""
_MOST_ROWS: Final = 12
_FEW: Final = 30
"""Rows of a cell below which its rates say little."""


def findings(audit: Mapping[str, Any]) -> tuple[str, ...]:
    """The audit in a few sentences."""
    return tuple(
        sentence
        for sentence in (
            _rates_in_words(audit),
            _small_in_words(audit),
            _proxies_in_words(audit),
            _missing_in_words(audit),
            _duplicates_in_words(audit),
            _drift_in_words(audit),
            *audit["notes"],
        )
        if sentence
    )


def tables_of(audit: Mapping[str, Any]) -> dict[str, list[Table]]:
    """The audit's tables by section: groups, missing, duplicates, proxies, drift; a section may have none."""
    level = audit["level"]
    return {
        "groups": [_groups(audit, level), *_files(audit)],
        "missing": _filled([_missing(audit)]),
        "duplicates": _filled([_duplicates(audit)]),
        "proxies": _filled([_proxies(audit), _by_proxy(audit, level)]),
        "drift": [_drift(comparison) for comparison in audit["drift"]],
    }


def absent(audit: Mapping[str, Any], section: str) -> tuple[str, ...]:
    """Why a section has no table, where it has none."""
    sentences = {
        "missing": ("No row misses a value.", audit["missing"]),
        "duplicates": (_duplicates_in_words(audit), _repeated(audit)),
        "proxies": ("There are no columns to look for proxies among.", audit["proxies"]),
        "drift": ("There is one part of the data only.", audit["drift"]),
    }
    sentence, there = sentences.get(section, ("", True))
    return () if there or not sentence else (sentence,)


def _rates_in_words(audit: Mapping[str, Any]) -> str:
    if len(audit["classes"]) != 2:
        return ""
    rates = [row for row in audit["label_rates"] if row["label"] == audit["classes"][1] and row["rate"] is not None]
    if len(rates) < 2:
        return ""
    low, high = min(rates, key=lambda row: row["rate"]), max(rates, key=lambda row: row["rate"])
    return (
        f"{percent(high['rate'])} of {high['group']} are {audit['classes'][1]} and {percent(low['rate'])} of "
        f"{low['group']}: a gap that the labels have before any model."
    )


def _small_in_words(audit: Mapping[str, Any]) -> str:
    small = [row for row in audit["cells"] if row["rows"] < _FEW]
    if not small:
        return ""
    named = enumerate_words([f"{row['group']}, {row['label']} ({row['rows']})" for row in small[:5]])
    return f"Fewer than {_FEW} rows are {named}{' and others' if len(small) > 5 else ''}: their rates say little."


def _proxies_in_words(audit: Mapping[str, Any]) -> str:
    if not audit["proxies"] or audit["proxies"][0]["auc"] is None:
        return ""
    together, *alone = audit["proxies"]
    strong = [f"{row['column']} ({number(row['auc'])})" for row in alone if (row["auc"] or 0) >= _STRONG]
    first = (
        f"All columns together tell {audit['sensitive']} with an AUC of {number(together['auc'])}, cross-fitted: "
        "leaving the column out hides it no more than that."
    )
    if not strong:
        return f"{first} No column does so alone with {_STRONG} or more."
    return f"{first} Alone do so {enumerate_words(strong[:5])}{' and others' if len(strong) > 5 else ''}."


def _missing_in_words(audit: Mapping[str, Any]) -> str:
    columns: dict[str, dict[str, float]] = {}
    for row in audit["missing"]:
        columns.setdefault(row["column"], {})[row["group"]] = row["share"]
    if not columns:
        return "No row misses a value."
    widest = max(columns, key=lambda name: max(columns[name].values()) - min(columns[name].values()))
    shares = enumerate_words([f"{percent(share)} of {group}" for group, share in columns[widest].items()][:4])
    counted = f"{len(columns)} column{'' if len(columns) == 1 else 's'}"
    return f"{counted} miss values; groups differ most in {widest}: {shares}."


def _repeated(audit: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in audit["duplicates"] if row["same_label"] or row["other_label"]]


def _duplicates_in_words(audit: Mapping[str, Any]) -> str:
    if not audit["duplicates"]:
        return ""
    what = "file" if audit["files"] else "row of features"
    across = [row for row in _repeated(audit) if row["part"] == "test" and row["other"] != "test"]
    if not _repeated(audit):
        return f"No {what} occurs twice."
    if not across:
        return f"No {what} of the test part occurs in another part."
    most = max(across, key=lambda row: row["same_label"] + row["other_label"])
    return (
        f"Of {most['rows']:,} test rows, {most['same_label']:,} occur with the same label in {most['other']} too, and "
        f"{most['other_label']:,} with another label, which no model can tell apart."
    )


def _drift_in_words(audit: Mapping[str, Any]) -> str:
    if not audit["drift"]:
        return ""
    moved = {
        comparison["new"]: [
            row["column"] for row in comparison["columns"] if row["p_holm"] is not None and row["p_holm"] < _SIGNIFICANT
        ]
        for comparison in audit["drift"]
    }
    reference = audit["drift"][0]["reference"]
    if not any(moved.values()):
        return f"No column of {enumerate_words(list(moved), 'or')} is distributed detectably unlike {reference}."
    named = [f"{new}: {enumerate_words(columns[:5])}" for new, columns in moved.items() if columns]
    return f"Distributed unlike {reference} (p below {_SIGNIFICANT} after Holm's correction): {'; '.join(named)}."


def _groups(audit: Mapping[str, Any], level: float) -> Table:
    shares = {row["group"]: row for row in audit["group_shares"]}
    rows = [
        (
            f"{row['group']}, {row['label']}",
            f"{row['rows']:,}",
            percent(row["rows"] / audit["rows"]),
            with_interval(row["rate"], row["ci_low"], row["ci_high"]),
        )
        for row in audit["label_rates"]
    ]
    rows += [
        (str(name), f"{row['rows']:,}", f"{percent(row['share'])}", "") for name, row in shares.items() if row["rows"]
    ]
    return Table(
        "Rows by group and class",
        f"Rates are shares of a group, with Wilson's {interval_title(level)}. The last lines are whole groups.",
        (f"{audit['sensitive']}, {audit['label']}", "Rows", "Of all rows", "Rate in the group"),
        rows,
    )


def _files(audit: Mapping[str, Any]) -> list[Table]:
    if not audit["files"]:
        return []
    names = ("smallest", "a quarter below", "half below", "three quarters below", "largest")
    sizes = zip(names, audit["files"]["bytes"], strict=True)
    note = f"{audit['files']['files']:,} files."
    return [Table("Sizes of the files", note, ("Size", "Bytes"), [(name, f"{size:,}") for name, size in sizes])]


def _missing(audit: Mapping[str, Any]) -> Table:
    rows = [
        (
            row["column"],
            row["group"],
            f"{row['missing']:,} of {row['rows']:,}",
            percent(row["share"]),
            row["treatment"],
        )
        for row in audit["missing"]
    ]
    note = "Of all rows of the source, and what becomes of a row that misses a value."
    return Table("Missing values by column and group", note, ("Column", "Group", "Missing", "Share", "Treatment"), rows)


def _duplicates(audit: Mapping[str, Any]) -> Table:
    rows = [
        (
            f"{row['part']} in {row['other'] if row['part'] != row['other'] else 'itself'}",
            f"{row['rows']:,}",
            f"{row['same_label']:,}",
            f"{row['other_label']:,}",
        )
        for row in _repeated(audit)
    ]
    what = "file of the same bytes" if audit["files"] else "row of the same features"
    note = f"How many rows of one part have a {what} in another part of the first replicate, or in their own."
    return Table("Duplicates", note, ("Rows of", "Rows", "With the same label", "With another label"), rows)


def _proxies(audit: Mapping[str, Any]) -> Table:
    rows = [(row["column"], number(row["auc"])) for row in audit["proxies"][: _MOST_ROWS + 1]]
    more = len(audit["proxies"]) - len(rows)
    note = (
        "AUC of predicting the group from the column, learnt on other rows than it is measured on; 0.5 says nothing"
        f"{', of more than two groups the mean over each against the rest' if len(audit['groups']) > 2 else ''}."
        f"{f' {more} weaker columns are not shown.' if more else ''}"
    )
    return Table(f"Proxies of {audit['sensitive']}", note, ("Column", "AUC"), rows)


def _by_proxy(audit: Mapping[str, Any], level: float) -> Table:
    shown = audit["classes"][1:] if len(audit["classes"]) == 2 else audit["classes"]
    rows = [
        (
            f"{row['column']}: {row['value']}",
            *([row["label"]] if len(shown) > 1 else []),
            f"{row['of']:,}",
            ", ".join(f"{name} {percent(share)}" for name, share in row["group_shares"].items()),
            with_interval(row["rate"], row["ci_low"], row["ci_high"]),
        )
        for row in audit["proxy_label_rates"]
        if row["label"] in shown and row["of"]
    ]
    columns = ("Value", *(["Class"] if len(shown) > 1 else []), "Rows", "Groups", f"Rate of {' / '.join(shown)}")
    note = f"The columns that alone tell most of the group; rates with Wilson's {interval_title(level)}."
    return Table("Label rates by the strongest proxies", note, columns, rows)


def _drift(comparison: Mapping[str, Any]) -> Table:
    ordered = sorted(comparison["columns"], key=lambda row: (row["p_holm"] is None, row["p_holm"], -(row["psi"] or 0)))
    rows = [
        (
            row["column"],
            f"{'D' if row['kind'] == 'number' else 'χ²'} = {number(row['statistic'])}",
            p_value(row["p"]),
            p_value(row["p_holm"]),
            number(row["psi"]),
        )
        for row in ordered[:_MOST_ROWS]
    ]
    more = len(ordered) - len(rows)
    note = (
        f"{comparison['rows']:,} rows beside {comparison['of_reference']:,}; numbers by Kolmogorov-Smirnov, others by "
        f"χ²; a stability index above {_SHIFTED} is commonly read as a shift."
        f"{f' {more} further columns are not shown.' if more else ''}"
    )
    title = f"{comparison['new']} beside {comparison['reference']}"
    return Table(title, note, ("Column", "Statistic", "p", "p (Holm)", "Stability index"), rows)


def _filled(tables: Sequence[Table]) -> list[Table]:
    return [table for table in tables if table.rows]
