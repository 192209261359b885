"""Model cards (Mitchell et al., "Model Cards for Model Reporting", FAT* 2019): their nine headings in their order."""

from __future__ import annotations

from typing import Final

from counterpoise.fairness import METRICS
from counterpoise.reporting import wording
from counterpoise.reporting._frames import rows_of
from counterpoise.reporting._templates import render
from counterpoise.reporting.answer import answer
from counterpoise.reporting.context import ReportContext
from counterpoise.reporting.report import commands, flatten, lineage_rows, split_table

_TEMPLATE: Final = "model_card.md.j2"


def model_card(context: ReportContext) -> str:
    """Write the model card as Markdown; equal contexts give equal text."""
    return render(
        _TEMPLATE,
        context=context,
        answer=answer(context),
        lineage=lineage_rows(context.lineage),
        commands=commands(context.lineage),
        settings=list(flatten(context.settings).items()),
        splits=split_table(context),
        summary=list(rows_of(context.summary)),
        claims=list(rows_of(context.claims)),
        group_rates=None if context.group_rates is None else list(rows_of(context.group_rates)),
        glossary=[METRICS[name] for name in wording.metric_order(context.summary["metric"]) if name in METRICS],
    )
