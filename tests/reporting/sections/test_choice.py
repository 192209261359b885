"""What is said of an exported model: which it is, what it keeps, where it lies, and the command that works."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from counterpoise.reporting import ReportContext, Section, build, model_card
from counterpoise.reporting.sections.choice import ExportedModel, describe, fragment_of

MODEL = ExportedModel(
    variant="win_r2_a0.5_eo_0.1_t-0.4",
    seed=7,
    criterion="delta_eo",
    tolerance=0.05,
    met=True,
    validation_bias=0.031,
    test_bias=0.062,
    held=6,
    seeds=10,
    folder="data/06_models/frontier_adult/model",
    columns=("age", "hours"),
)


def test_report_document_and_card_say_the_same(context: ReportContext, read_page: Any) -> None:
    own = replace(context, sections=[Section("exported", fragment_of(MODEL))])
    html, content = build(own)
    page, card = read_page(html).text, model_card(own).replace("\\", "")
    for text in (page, card, " ".join(MODEL.sentences())):
        assert "win_r2_a0.5_eo_0.1_t-0.4 of seed 7, chosen under ΔEO ≤ 0.05: met on validation (0.031)" in text
        assert "on test, the tolerance holds for 6 of these 10 models" in text
        assert "It lies in data/06_models/frontier_adult/model" in text
    assert MODEL.command is not None
    assert MODEL.command in page
    assert f"    {MODEL.command}\n" in card
    assert content["exported_model"]["command"] == MODEL.command
    assert content["exported_model"]["sentences"] == list(MODEL.sentences())
    assert build(replace(context, sections=[]))[1]["exported_model"] is None


def test_a_tolerance_that_is_not_met_or_not_measured_says_so() -> None:
    said = " ".join(replace(MODEL, met=False, test_bias=float("nan"), held=0, seeds=0).sentences())
    assert "not met on validation (0.031)" in said
    assert "cannot be measured on test" in said
    assert "nan" not in said


def test_what_share_of_people_a_rule_divides_is_said_where_it_does() -> None:
    choice = {"variant": "rule", "seed": 7, "criterion": "delta_eo", "tolerance": 0.05, "meets": True}
    choice |= {"validation_bias": 0.031, "test_bias": None, "divided": 0.125}
    choices = pd.DataFrame({"test_bias": [0.04, 0.06, None]})
    model = describe(choice, choices, None, ("age",))
    assert (model.held, model.seeds) == (1, 2)
    assert "decides 12.5% of all rows otherwise" in " ".join(model.sentences())
    assert "near a tie" not in " ".join(replace(model, divided=0.0).sentences())


@pytest.mark.parametrize("folder", ["data/a model", "data/it's", "data/$HOME", "data/made%20here"])
def test_the_command_reaches_any_folder(folder: str) -> None:
    command = replace(MODEL, folder=folder).command
    assert command is not None
    words = shlex.split(command)
    assert words[words.index("-m") + 1] == folder
    assert words[:3] == ["mlflow", "models", "predict"]


def test_a_model_in_memory_has_no_place_and_no_command() -> None:
    own = replace(MODEL, folder=None)
    assert own.command is None
    assert "lies in" not in " ".join(own.sentences())
    assert "mlflow models" not in fragment_of(own).html
