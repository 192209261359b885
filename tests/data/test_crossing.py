"""Groups of several sensitive columns."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from counterpoise.data.crossing import band_names, cross, joined_name
from counterpoise.errors import InputError

TABLE = pd.DataFrame(
    {
        "gender": ["f", "m", "f", None, "m"],
        "age": [24.9, 25.0, 60.0, 30.0, np.nan],
        "member": [True, False, True, True, False],
        "region": [1, 2, 1, 2, 1],
    }
)


def test_values_and_bands_are_joined_in_the_order_of_the_columns() -> None:
    crossed = cross(TABLE, ["gender", "age", "region"], {"age": [25, 60]})
    column = crossed["gender × age × region"]
    assert column.tolist()[:3] == ["f, below 25, 1", "m, 25 to 60, 2", "f, from 60, 1"]
    assert column.isna().tolist() == [False, False, False, True, True]
    assert list(crossed)[:-1] == list(TABLE)


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_the_intersections(seed: int) -> None:
    draw = np.random.default_rng(seed)
    table = pd.DataFrame({"a": draw.choice(["x", "y"], 200), "b": draw.choice([0, 1, 2], 200), "n": draw.random(200)})
    edges = sorted(draw.random(2))
    joined = cross(table, ["a", "b", "n"], {"n": edges})[joined_name(["a", "b", "n"])]
    sides = [table.n < edges[0], (table.n >= edges[0]) & (table.n < edges[1]), table.n >= edges[1]]
    for (a, b), (name, side) in product(product("xy", range(3)), zip(band_names(edges), sides, strict=True)):
        assert ((joined == f"{a}, {b}, {name}") == ((table.a == a) & (table.b == b) & side)).all()


@pytest.mark.parametrize(
    ("columns", "bands", "message"),
    [
        (["gender", "agee"], {}, r"no column 'agee' \(did you mean 'age'\?\)"),
        (["gender", "age"], {"gender": [3]}, "bands: column 'gender' holds no numbers"),
        (["age", "member"], {"member": [1]}, "bands: column 'member' holds no numbers"),
    ],
)
def test_what_cannot_be_joined(columns: list[str], bands: dict[str, list[float]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cross(TABLE, columns, bands)


def test_a_column_of_the_new_name_is_not_overwritten() -> None:
    with pytest.raises(InputError, match="there is a column 'gender × region' already"):
        cross(TABLE.assign(**{"gender × region": 1}), ["gender", "region"])
