"""Sections on the data: what they say before any model."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import plotly.graph_objects as go

from counterpoise.reporting import figures_audit, tables_audit
from counterpoise.reporting._templates import escape_markdown, render
from counterpoise.reporting.context import Fragment, ReportContext
from counterpoise.reporting.sections import figure, section


@section(place=30)
def audit(context: ReportContext, data_audit: Mapping[str, Any]) -> Fragment:
    """Groups and classes, gaps, duplicates, proxies and drift; of each part where the parts differ in their data."""
    audits = by_part(context, data_audit)
    parts = {
        part: {
            "findings": tables_audit.findings(each),
            "tables": list(chain.from_iterable(tables_audit.tables_of(each).values())),
        }
        for part, each in audits.items()
    }
    sentences = [f"{part}: {text}" if part else text for part, each in parts.items() for text in each["findings"]]
    return Fragment(
        render("data_audit.html.j2", parts=parts),
        title="Data audit",
        card="\n".join(f"- {escape_markdown(sentence)}" for sentence in sentences),
        data={"data_audit": sentences},
    )


@figure(place=900, chapter="appendix")
def audit_base_rates(context: ReportContext, data_audit: Mapping[str, Any]) -> go.Figure:
    """The base rate of each group."""
    return figures_audit.base_rates(by_part(context, data_audit))


@figure(place=901, chapter="appendix")
def audit_proxies(context: ReportContext, data_audit: Mapping[str, Any]) -> go.Figure:
    """How well columns tell the group."""
    return figures_audit.proxy_areas(by_part(context, data_audit))


def by_part(context: ReportContext, data_audit: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the audit of each part; of parts that share their rows one, under an empty name."""
    is_divided = bool(data_audit) and set(data_audit) <= set(context.parts)
    return dict(data_audit) if is_divided else {"": data_audit}
