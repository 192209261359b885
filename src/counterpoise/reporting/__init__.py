"""Tables, verdicts, figures, the HTML report, the model card and what the terminal shows. No Kedro, no MLflow.

summary = tables.summary(metrics, published_rows)
verdicts = claims.evaluate(metrics, claim_specs)
html, content = build(ReportContext(..., summary=summary, claims=verdicts, sections=...))

What a report says beyond summary and claims are sections, one function each: `counterpoise.reporting.sections`.
"""

from counterpoise.reporting.console import TrainingProgress, print_conclusion, summary_panel
from counterpoise.reporting.context import Findings, Fragment, ReportContext, Section, Table
from counterpoise.reporting.report import build, model_card, overview

__all__ = [
    "Findings",
    "Fragment",
    "ReportContext",
    "Section",
    "Table",
    "TrainingProgress",
    "build",
    "model_card",
    "overview",
    "print_conclusion",
    "summary_panel",
]
