"""Whatever the bytes of a table are: it is read, or one sentence says what is wrong with the file."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from counterpoise import data
from counterpoise.data import Limits
from counterpoise.errors import InputError

ROUNDS = 150
FRAGMENTS = (
    *(b'"', b"\n", b"\r", b"\r\n", b",", b";", b"\t", b"\0", b"\xff", b"\xe4", b"\xef\xbb\xbf", b"'", b"#", b"\\"),
    *(b"9" * 30, b"1e999", b"-inf", b"nan", b"NULL", b"True", b"1,234.5", b"2024-02-30", b'""', b" " * 9, b"PAR1"),
)
ROWS = pd.DataFrame(
    {
        "age": np.arange(40),
        "income": np.linspace(0.5, 9.5, 40),
        "job": ["smith, the", "baker", "Zoë", "NA"] * 10,
        "member": [True, False] * 20,
    }
)


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """Return the bytes with one to four places flipped, cut out, repeated, zeroed or overwritten."""
    altered = bytearray(content)
    for _ in range(random.integers(1, 5)):
        at = int(random.integers(len(altered) + 1))
        length = int(random.integers(1, 40))
        match random.integers(6):
            case 0 if altered:
                altered[at % len(altered)] ^= 1 << int(random.integers(8))
            case 1:
                del altered[at : at + length]
            case 2:
                altered[at:at] = altered[at : at + length]
            case 3:
                altered[at : at + length] = bytes(length)
            case 4:
                altered[at:at] = FRAGMENTS[int(random.integers(len(FRAGMENTS)))]
            case _:
                altered[at:at] = random.bytes(int(random.integers(1, 9)))
    return bytes(altered) if random.random() > 0.05 else bytes(altered[: len(altered) // 2])


def _parquet(rows: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    rows.to_parquet(stream)
    return stream.getvalue()


def _zip(rows: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("t.csv"), rows.to_csv(index=False))
    return stream.getvalue()


def _workbook(rows: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    rows.to_excel(stream, index=False)
    return stream.getvalue()


KINDS: dict[str, Callable[[], bytes]] = {
    "t.csv": lambda: ROWS.to_csv(index=False).encode(),
    "t.tsv": lambda: ROWS.to_csv(index=False, sep="\t").encode(),
    "t.csv.gz": lambda: gzip.compress(ROWS.to_csv(index=False).encode(), mtime=0),
    "t.csv.xz": lambda: lzma.compress(ROWS.to_csv(index=False).encode()),
    "t.csv.zip": lambda: _zip(ROWS),
    "t.jsonl": lambda: "\n".join(map(json.dumps, ROWS.to_dict("records"))).encode(),
    "t.json": lambda: json.dumps(ROWS.to_dict("records")).encode(),
    "t.xlsx": lambda: _workbook(ROWS),
    "t.parquet": lambda: _parquet(ROWS),
}


def outcome(folder: Path, name: str) -> pd.DataFrame | str:
    """Return the table that is read, or the sentence."""
    try:
        return data.read("table", folder, files=name, limits=Limits(unpacked_bytes=2**20))
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("name", KINDS)
def test_a_mutated_file_is_a_table_or_a_sentence(tmp_path: Path, name: str) -> None:
    random = np.random.default_rng(20261125)
    content = KINDS[name]()
    outcomes = []
    for _ in range(ROUNDS):
        (tmp_path / name).write_bytes(mutated(content, random))
        outcomes.append(outcome(tmp_path, name))
    sentences = [result for result in outcomes if isinstance(result, str)]
    assert sentences
    assert all(name in sentence and sentence.isprintable() for sentence in sentences)
    for table in (result for result in outcomes if not isinstance(result, str)):
        assert table.notna().all(axis=None)
        assert table.index.equals(pd.RangeIndex(len(table)))


@pytest.mark.parametrize("name", KINDS)
def test_a_truncated_file_never_gives_other_values(tmp_path: Path, name: str) -> None:
    """What is cut off after a whole line is missed by no reader; else there is a sentence, or the same rows."""
    content = KINDS[name]()
    for length in range(1, len(content), max(1, len(content) // 60)):
        (tmp_path / name).write_bytes(content[:length])
        table = outcome(tmp_path, name)
        if isinstance(table, str):
            continue
        complete = ROWS[ROWS["job"] != "NA"].reset_index(drop=True).astype("str")
        read = table.astype("str").iloc[:-1]  # the last field may be cut within
        pd.testing.assert_frame_equal(read, complete.head(len(read)))
