"""The model card."""

from __future__ import annotations

import re

from counterpoise.reporting import ReportContext, model_card


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
