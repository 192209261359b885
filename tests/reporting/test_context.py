"""The content of a report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from counterpoise.reporting import ReportContext, build, model_card
from counterpoise.reporting.context import Table


def test_a_row_has_a_cell_for_every_column() -> None:
    with pytest.raises(ValueError, match="a row has 1 cells, expected 2"):
        Table("Counts", "", ("a", "b"), [("1",)])


def test_a_group_that_is_not_compared_says_so_beside_its_rates(context: ReportContext) -> None:
    assert context.group_titles == list(context.group_names)
    apart = replace(context, group_names=("women", "men", "others"), compared=(0, 2))
    assert apart.group_titles == ["women", "men (not compared)", "others"]
    assert ">men (not compared)<" in build(apart)[0]
    assert "| men (not compared) | accuracy |" in model_card(apart)
