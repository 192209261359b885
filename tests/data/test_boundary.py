"""Damaged files are the user's affair, mistakes in the program are not."""

import gzip
import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise import data
from counterpoise.data.boundary import decoding
from counterpoise.errors import InputError

NOISE = np.random.default_rng(5).bytes(500)

DAMAGE: dict[str, Callable[[], Any]] = {
    "text": lambda: NOISE.decode(),
    "number": lambda: int("5" * 5000),
    "struct": lambda: struct.unpack("<i", b"12"),
    "zlib": lambda: zlib.decompress(NOISE),
    "lzma": lambda: lzma.decompress(NOISE),
    "gzip": lambda: gzip.decompress(NOISE),
    "truncated gzip": lambda: gzip.decompress(gzip.compress(NOISE)[:-9]),
    "zip": lambda: zipfile.ZipFile(io.BytesIO(NOISE)),
    "npy": lambda: np.load(io.BytesIO(b"\x93NUMPY\x01\x00\x10\x00{'descr': 5}     "), allow_pickle=False),
    "json": lambda: json.loads("[" * 100_000),
    "csv": lambda: pd.read_csv(io.StringIO('a\n"')),
    "parquet": lambda: pd.read_parquet(io.BytesIO(NOISE)),
    "memory": lambda: np.empty(2**60),
    "overflow": lambda: int(float("inf")),
    "no file": lambda: Path("no such file").read_bytes(),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_bytes_cause_is_a_sentence_that_names_the_file(kind: str) -> None:
    with (
        pytest.raises(InputError, match=r"^raw/a\.bin: cannot be read \(.+\), expected a whole file$"),
        decoding("raw/a.bin", "a whole file"),
    ):
        DAMAGE[kind]()


def _no_such_argument() -> None:
    pd.read_csv(io.StringIO("a\n1\n"), no_such_argument=1)  # type: ignore[call-overload]


DEFECTS: dict[str, tuple[type[Exception], Callable[[], Any]]] = {
    "key": (KeyError, lambda: {"a": 1}["b"]),
    "column": (KeyError, lambda: pd.DataFrame({"a": [1]})["b"]),
    "index": (IndexError, lambda: [1][2]),
    "position": (IndexError, lambda: np.zeros(2)[5]),
    "attribute": (AttributeError, lambda: object().name),  # type: ignore[attr-defined]
    "type": (TypeError, lambda: len(5)),  # type: ignore[arg-type]
    "argument": (TypeError, _no_such_argument),
}


@pytest.mark.parametrize("kind", DEFECTS)
def test_a_mistake_in_the_program_is_not_hidden(kind: str) -> None:
    error, mistake = DEFECTS[kind]
    with pytest.raises(error), decoding("a.bin", "a whole file"):
        mistake()


def test_a_sentence_of_ones_own_goes_on() -> None:
    with pytest.raises(InputError, match=r"^b\.csv: wrong$"), decoding("a.csv", "a whole file"):
        raise InputError("b.csv: wrong")


@pytest.mark.parametrize(
    ("error", "raised"),
    [(EOFError("ended"), InputError), (OverflowError("big"), InputError), (KeyError("a"), KeyError)],
)
def test_every_reader_is_behind_the_guard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("counterpoise.data.adult.verify", fail)
    with pytest.raises(raised):
        data.read("adult", tmp_path)
