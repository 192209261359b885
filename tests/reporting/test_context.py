"""The content of a report."""

from __future__ import annotations

import pytest

from counterpoise.reporting.context import Table


def test_a_row_has_a_cell_for_every_column() -> None:
    with pytest.raises(ValueError, match="a row has 1 cells, expected 2"):
        Table("Counts", "", ("a", "b"), [("1",)])
