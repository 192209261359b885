"""Tables, verdicts, figures, the HTML report, the model card and what the terminal shows. No Kedro, no MLflow.

summary = tables.summary(metrics, published_rows)
verdicts = claims.evaluate(metrics, claim_specs)
html, content = build(ReportContext(..., summary=summary, claims=verdicts))
"""

from counterpoise.reporting import claims, figures, published, tables
from counterpoise.reporting.console import TrainingProgress, summary_panel
from counterpoise.reporting.context import ReportContext
from counterpoise.reporting.model_card import model_card
from counterpoise.reporting.report import build

__all__ = [
    "ReportContext",
    "TrainingProgress",
    "build",
    "claims",
    "figures",
    "model_card",
    "published",
    "summary_panel",
    "tables",
]
