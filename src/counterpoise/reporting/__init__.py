"""Tables, verdicts, figures, the HTML report, the model card and what the terminal shows. No Kedro, no MLflow.

summary = tables.summary(metrics, published_rows)
verdicts = claims.evaluate(metrics, claim_specs)
html, content = build(ReportContext(..., summary=summary, claims=verdicts))
"""

from counterpoise.reporting import (
    claims,
    figures,
    figures_altering,
    figures_fisher,
    figures_frontier,
    figures_parts,
    published,
    tables,
    tables_altering,
    tables_frontier,
    tables_parts,
    tables_subnetworks,
)
from counterpoise.reporting.answer_altering import findings
from counterpoise.reporting.console import TrainingProgress, print_conclusion, summary_panel
from counterpoise.reporting.context import ReportContext, Table
from counterpoise.reporting.model_card import model_card
from counterpoise.reporting.overview import overview
from counterpoise.reporting.report import build

__all__ = [
    "ReportContext",
    "Table",
    "TrainingProgress",
    "build",
    "claims",
    "figures",
    "figures_altering",
    "figures_fisher",
    "figures_frontier",
    "figures_parts",
    "findings",
    "model_card",
    "overview",
    "print_conclusion",
    "published",
    "summary_panel",
    "tables",
    "tables_altering",
    "tables_frontier",
    "tables_parts",
    "tables_subnetworks",
]
