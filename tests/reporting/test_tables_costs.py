"""The table on what pruning saves: shares of what there was, and a plain word where it is little."""

from __future__ import annotations

import pandas as pd
import pytest

from counterpoise.errors import InputError
from counterpoise.reporting.context import Table
from counterpoise.reporting.tables_costs import saving_table


def costs(cut: int = 0, part: str = "") -> pd.DataFrame:
    """Two seeds of 1,000 parameters, of which 60 and 80 are zero; `cut` and twice as many are cut out."""
    return pd.DataFrame(
        {
            "method": "prune_adversarial_finetuning",
            "variant": f"{part}prune_adversarial_finetuning",
            "seed": [0, 1],
            "parameters": 1000,
            "parameters_compact": [1000 - cut, 1000 - 2 * cut],
            "nonzero": [940, 920],
            "nonzero_compact": [940, 920],
            "macs": 10_000,
            "macs_compact": [10_000 - 10 * cut, 10_000 - 20 * cut],
            "latency": [2.0, 4.0],
            "latency_compact": [1.0, 3.0],
            "latency_ratio": [0.5, 0.75],
            "batch": 256,
            "difference": [1e-7, 3e-6],
            "compared": 1235,
        }
    )


def row(table: Table) -> dict[str, str]:
    (cells,) = table.rows
    return dict(zip(table.columns, cells, strict=True))


def test_shares_are_of_what_there_was() -> None:
    assert row(saving_table(costs(cut=100))) == {
        "Network": "Prune + AdvFt",
        "Parameters": "1,000",
        "Of them zero": "7.00 ± 1.41%",
        "Parameters cut out": "15.00 ± 7.07%",
        "Multiply-adds": "10,000",
        "Multiply-adds cut out": "15.00 ± 7.07%",
        "Latency (ms)": "3.000 → 2.000",
        "Latency, after / before": "0.625 ± 0.177",
        "Largest difference": "3e-06",
    }


def test_it_says_that_little_is_saved_where_little_is() -> None:
    note = saving_table(costs(cut=1)).note
    assert "0 of 2 networks have none; at most 0.2% of the multiply-adds are saved, which is little" in note
    assert "256 rows" in note
    assert "1,235 test rows" in note
    assert "2 of 2 networks have none" in saving_table(costs()).note
    much = saving_table(costs(cut=100)).note
    assert "20.0% of the multiply-adds are saved. " in much
    assert "little" not in much


def test_parts_stand_apart() -> None:
    both = pd.concat([costs(part="sex/"), costs(part="race/")])
    table = saving_table(both)
    assert [cells[:2] for cells in table.rows] == [("Prune + AdvFt", "sex"), ("Prune + AdvFt", "race")]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="latency_ratio"):
        saving_table(costs().drop(columns="latency_ratio"))
