"""Rows of one unit stay in one part: of drawn people with several rows each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.data.splitting.shares import SPLITS, UNUSED, sizes
from counterpoise.data.splitting.together import draw_units, unit_codes
from counterpoise.errors import InputError

SHARES: dict[str, Any] = {"fractions": {"pretrain": 0.4, "task": 0.6}, "task": dict.fromkeys(SPLITS[1:], 0.2)}
MOST = 6


def people(number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return y, s and who, of rows in no order; s is the same in all rows of a person, y is not."""
    draw = np.random.default_rng(seed)
    who = draw.permutation(np.repeat(np.arange(number), draw.integers(1, MOST + 1, number)))
    return draw.integers(2, size=len(who)), (np.arange(number) % 4 == 0).astype(int)[who], who


@settings(max_examples=30, deadline=None)
@given(number=st.integers(60, 200), seed=st.integers(0, 2**32 - 1), max_rows=st.sampled_from([None, 40, 100]))
def test_no_unit_is_in_two_parts_and_parts_are_as_large_in_every_replicate(
    number: int, seed: int, max_rows: int | None
) -> None:
    y, s, who = people(number, seed)
    codes = draw_units(y, s, who, column="who", seeds=[seed, seed + 1, seed + 2], max_rows=max_rows, **SHARES)
    for replicate in codes:
        used = replicate != UNUSED
        assert (pd.Series(replicate[used]).groupby(who[used]).nunique() == 1).all()
    rows = np.stack([np.bincount(replicate, minlength=UNUSED + 1) for replicate in codes])
    assert (rows == rows[0]).all()
    asked = np.array(list(sizes(len(y), SHARES["fractions"], SHARES["task"]).values()))
    bounded = asked - MOST + 1 <= rows[0, :UNUSED]
    assert (rows[0, :UNUSED] <= asked).all()
    assert bounded.all() if max_rows is None else bounded[SPLITS.index("test")]
    if max_rows is not None:
        assert rows[0, SPLITS.index("pretrain")] + rows[0, SPLITS.index("train")] <= max_rows
        assert rows[0, SPLITS.index("validation")] <= max_rows


def test_groups_have_their_shares_and_replicates_depend_on_their_own_seed() -> None:
    y, s, who = people(2000)
    codes = draw_units(y, s, who, column="who", seeds=[3, 4], **SHARES)
    shares = [s[replicate == part].mean() for replicate in codes for part in range(UNUSED)]
    assert np.allclose(shares, s.mean(), atol=0.02)
    assert 0.5 < (codes[0] != codes[1]).mean() < 0.9  # of four parts with .4, .2, .2, .2 of the rows 0.72 by chance
    assert (draw_units(y, s, who, column="who", seeds=[9, 4], **SHARES)[1] == codes[1]).all()


def test_rows_that_stand_alone_are_all_used() -> None:
    y, s, _ = people(100)
    codes = draw_units(y, s, np.arange(len(y)), column="who", seeds=[0, 1], **SHARES)
    expected = list(sizes(len(y), SHARES["fractions"], SHARES["task"]).values())
    assert all(np.bincount(replicate).tolist() == expected for replicate in codes)


def test_rare_classes_of_people_have_their_shares_in_every_part() -> None:
    """One of ten people is of class 1, one of class 2; a part of 80 people has 8 of each to within two."""
    who = np.repeat(np.arange(400), 3)
    y, s = np.repeat([1, 2, 0], [40, 40, 320])[who], np.zeros(1200, dtype=int)
    codes = draw_units(y, s, who, column="who", seeds=range(20), **SHARES)
    for rare in (1, 2):
        counts = np.stack([[(y[one == part] == rare).sum() / 3 for part in range(1, UNUSED)] for one in codes])
        assert np.abs(counts - 8).max() <= 2


def test_a_unit_larger_than_the_smallest_part_is_refused() -> None:
    y, s, _ = people(100)
    assert 0.2 * len(y) < 100 < 0.4 * len(y)
    with pytest.raises(InputError, match=r"rows have the same value of 'school', expected at most .* of the part '"):
        draw_units(y, s, np.arange(len(y)) // 100, column="school", seeds=[0], **SHARES)


def test_missing_values_are_units_of_their_own() -> None:
    codes = unit_codes(pd.Series(["b", None, "a", "b", None]))
    assert codes[0] == codes[3]
    assert len(set(codes.tolist())) == 4
    assert sorted(set(codes.tolist())) == list(range(4))
