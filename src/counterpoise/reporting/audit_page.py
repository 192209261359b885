"""Pages beside the report, on one thing each: what the data say, and what the models mean for each group.

They look like the report, open from disk without a network, and are byte-identical for equal contents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from counterpoise.reporting import figures_audit, tables_audit
from counterpoise.reporting._templates import render, resource
from counterpoise.reporting.context import Table
from counterpoise.reporting.report import commands, figure_view, lineage_rows


@dataclass(frozen=True)
class PageSection:
    """One section of a page.

    Attributes:
        name: anchor. title: heading.
        sentences: paragraphs, or a list where there are several and `is_list`.
        folded: tables that a reader opens, by the words that stand for them.
        links: to pages beside this one, by their titles.
    """

    name: str
    title: str
    sentences: Sequence[str] = ()
    is_list: bool = False
    tables: Sequence[Table] = ()
    figures: Mapping[str, go.Figure] | None = None
    folded: Mapping[str, Sequence[Table]] | None = None
    links: Mapping[str, str] | None = None


def page(
    title: str, kind: str, facts: Mapping[str, str], sections: Sequence[PageSection], lineage: Mapping[str, Any]
) -> str:
    """Return a page of HTML.

    Args:
        kind: of page, such as "data audit".
        facts: what stands below the title.
        lineage: as in `ReportContext`.
    """
    from plotly.offline import get_plotlyjs

    views = [
        {
            "name": section.name,
            "title": section.title,
            "sentences": section.sentences,
            "is_list": section.is_list,
            "tables": section.tables,
            "figures": [figure_view(name, figure) for name, figure in (section.figures or {}).items()],
            "folded": section.folded or {},
            "links": section.links or {},
        }
        for section in sections
    ]
    draws = any(view["figures"] for view in views)
    return render(
        "page.html.j2",
        title=title,
        kind=kind,
        facts=facts,
        sections=views,
        lineage=lineage_rows(lineage),
        commands=commands(lineage),
        stylesheet=resource("report.css"),
        script=resource("report.js"),
        plotly=get_plotlyjs() if draws else "",
    )


def data_page(audit: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """Return the page of a data audit that stands alone.

    Args:
        audit: what the stage data_audit leaves.
        run: `title` and `lineage` of the run.
    """
    rates, drawn = figures_audit.base_rates({"": audit}), figures_audit.proxy_areas({"": audit})
    titles = {
        "groups": "Groups and classes",
        "missing": "Missing values",
        "duplicates": "Rows that occur twice",
        "proxies": "Proxies of the sensitive attribute",
        "drift": "Drift",
    }
    figures = {"groups": {"audit_base_rates": rates}, "proxies": {"audit_proxies": drawn}}
    tables = tables_audit.tables_of(audit)
    sections = [
        PageSection("answer", "In short", tables_audit.findings(audit), is_list=True),
        *(
            PageSection(
                name,
                title,
                tables_audit.absent(audit, name),
                tables=tables[name],
                figures={key: figure for key, figure in figures.get(name, {}).items() if figure.data},
            )
            for name, title in titles.items()
        ),
    ]
    facts = {
        "Data set": str(audit["dataset"]),
        "Predicts": str(audit["label"]),
        f"Groups ({audit['sensitive']})": ", ".join(audit["groups"]),
        "Rows": f"{audit['rows']:,}",
    }
    return page(str(run["title"]), "data audit", facts, sections, run["lineage"])
