"""Looking something up in a report's tables and figures."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from counterpoise.reporting.context import Table


def cell(table: Table, row: str, column: str) -> str:
    """Return the text in the one row that begins with `row`, under a column's head."""
    (cells,) = (cells for cells in table.rows if cells[0] == row)
    return cells[list(table.columns).index(column)]


def traces_on(figure: go.Figure, axis: str, name: str | None = None) -> list[Any]:
    """Return the traces on an axis, such as `x2`; of one name, if that is given."""
    return [trace for trace in figure.data if trace.xaxis == axis and name in (None, trace.name)]
