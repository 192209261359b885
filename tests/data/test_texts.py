"""Files without quotes: equal to the strict reader's tables, and left to it wherever anything is doubtful."""

from __future__ import annotations

import gzip
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.data import delimited, texts
from counterpoise.data.delimited import Notation, read_delimited
from counterpoise.data.texts import count_plain_lines
from counterpoise.errors import InputError

MISSING = ("", "NA")
FIELDS = st.sampled_from(
    ["", "NA", "1", "-2.50", "1e3", "007", "99999999999999999999", "True", "é", "a b", "None", "1 "]
)


def strict(path: Path, monkeypatch: pytest.MonkeyPatch, notation: Notation) -> pd.DataFrame:
    with monkeypatch.context() as context:
        context.setattr(delimited, "count_plain_lines", lambda *_: None)
        return read_delimited(path, missing=MISSING, notation=notation)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(FIELDS, FIELDS, FIELDS), min_size=1, max_size=30),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_tables_are_those_of_the_strict_reader(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    separator: str,
    end: str,
    packed: bool,
    last_end: bool,
) -> None:
    path = tmp_path_factory.mktemp("plain") / ("t.csv.gz" if packed else "t.csv")
    text = end.join(separator.join(row) for row in [("a", "b", "c"), *rows]) + (end if last_end else "")
    content = b"\xef\xbb\xbf" + text.encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    notation = Notation(separator=None)
    assert count_plain_lines(BytesIO(content), 3, separator) == len(rows) + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "BYTES_AT_ONCE", 64)  # several blocks; the first holds the header
        quick = read_delimited(path, missing=MISSING, notation=notation)
        pd.testing.assert_frame_equal(quick, strict(path, patch, notation))


@pytest.mark.parametrize(
    "text",
    [
        'a,b\n1,"2"\n',
        "a,b\n1, 2\n",
        "a,b\n 1,2\n",
        " a,b\n1,2\n",
        "a,b\r1,2\r",
        "a,b\n1,2,3\n",
        "a,b\n1\n2,3,4\n",  # as many separators as lines
        "a,b\n\n1,2\n",
        "a,b\n1,2\n ",
        f"a,b\n1,{'x' * 200_000}\n",
    ],
)
def test_what_is_doubtful_is_left_to_the_strict_reader(text: str) -> None:
    assert count_plain_lines(BytesIO(text.encode()), 2, ",") is None


def test_a_single_column_is_left_to_the_strict_reader() -> None:
    assert count_plain_lines(BytesIO(b"a\n1\n"), 1, ",") is None


def test_faults_are_named_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n3\n")
    with pytest.raises(InputError, match="line 3 has 1 fields, expected 2"):
        read_delimited(path, missing=MISSING)
