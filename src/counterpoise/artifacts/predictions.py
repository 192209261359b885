"""`predictions.parquet`, the largest table of a run: on disk as the contract says, in memory a fifth of that.

Of a million rows, ten seeds and five models it has ten million rows. Other programs read its texts as texts and its
numbers as int64 and float64; a run holds texts as categories, and numbers in the smallest type that has their values.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro_datasets import pandas as kedro_pandas

from counterpoise.artifacts.datasets import ParquetDataset

COLUMNS = {
    **dict.fromkeys(("method", "variant"), "str"),
    "seed": "int64",
    "split": "str",
    **dict.fromkeys(("row", "y", "s"), "int64"),
    "score": "float64",
    "prediction": "int64",
}
"""The contract's columns and their types on disk."""

MODEL = ("method", "variant", "seed")
"""What names a model in each row."""

ROWS_AT_ONCE = 1 << 20
"""Rows that are written together, a row group of the file; as many as pandas writes."""


def compact(values: pd.Series) -> pd.Series:
    """Return texts as categories in alphabetical order, and numbers in the smallest type that has all their values."""
    if isinstance(values.dtype, pd.StringDtype):
        return values.astype("category")
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.reorder_categories(sorted(values.cat.categories))
    if values.dtype.kind == "i" and len(values):
        low, high = values.min(), values.max()
        fits = (np.dtype(f"int{8 * size}") for size in (1, 2, 4))
        smallest = next((t for t in fits if np.iinfo(t).min <= low and high <= np.iinfo(t).max), values.dtype)
        return values.astype(smallest)
    if values.dtype == np.float64:
        with np.errstate(over="ignore"):
            single = values.astype(np.float32)
        return single if (single == values).all() else values
    return values


def grouped(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with those of each model together and in order, models as they come; unchanged where they are."""
    starts = _starts(predictions)
    row = predictions["row"].to_numpy()
    falls = np.flatnonzero(row[1:] < row[:-1]) + 1
    if np.isin(falls, starts).all() and not predictions.iloc[starts].duplicated(list(MODEL)).any():
        return predictions
    model = predictions.groupby(list(MODEL), sort=False, observed=True).ngroup().to_numpy()
    return predictions.iloc[np.lexsort((row, model))].reset_index(drop=True)


def models_of(predictions: pd.DataFrame) -> Iterator[tuple[tuple[str, str, int], slice]]:
    """Yield method, variant and seed of each model, and where its rows are in a frame that is `grouped`."""
    starts = _starts(predictions)
    keys = predictions[list(MODEL)].iloc[starts].itertuples(index=False)
    for (method, variant, seed), start, end in zip(keys, starts, np.append(starts, len(predictions))[1:], strict=True):
        yield (str(method), str(variant), int(seed)), slice(int(start), int(end))


def has_row_twice(predictions: pd.DataFrame) -> bool:
    """Whether a model has said something of a row twice."""
    ordered = grouped(predictions)
    row = ordered["row"].to_numpy()
    return bool(np.isin(np.flatnonzero(row[1:] == row[:-1]) + 1, _starts(ordered), invert=True).any())


def _starts(predictions: pd.DataFrame) -> np.ndarray:
    """Return the rows at which another model begins than that of the row before."""
    begins = np.zeros(len(predictions), dtype=bool)
    begins[:1] = True
    for name in MODEL:
        column = predictions[name]
        codes = column.cat.codes if isinstance(column.dtype, pd.CategoricalDtype) else column
        values = codes.to_numpy()
        begins[1:] |= values[1:] != values[:-1]
    return np.flatnonzero(begins)


_CATEGORIES = pa.dictionary(pa.int32(), pa.string())


def _array(values: pd.Series, field: pa.Field) -> pa.Array:
    """Return a column in its type on disk; texts as categories, of which each is written once."""
    if COLUMNS[field.name] != "str":
        return pa.array(values.to_numpy(dtype=COLUMNS[field.name]))
    texts = compact(values).cat
    return pa.DictionaryArray.from_arrays(texts.codes.astype("int32"), texts.categories.tolist())


class _PredictionsFile(kedro_pandas.ParquetDataset):
    """A Parquet file that is written a part of the rows at a time, and read a column at a time."""

    def save(self, data: pd.DataFrame) -> None:
        stored = pa.Schema.from_pandas(pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS), preserve_index=False)
        schema = pa.schema(
            [field.with_type(_CATEGORIES) if COLUMNS[field.name] == "str" else field for field in stored],
            stored.metadata,
        )
        with (
            self._fs.open(str(self._get_save_path()), "wb") as stream,
            pq.ParquetWriter(stream, schema, store_schema=False, **self._save_args) as writer,  # texts are texts
        ):
            for start in range(0, len(data), ROWS_AT_ONCE):
                rows = data.iloc[start : start + ROWS_AT_ONCE]
                arrays = [_array(rows[field.name], field) for field in schema]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        self._invalidate_cache()

    def load(self) -> pd.DataFrame:
        texts = [name for name, kind in COLUMNS.items() if kind == "str"]
        with self._fs.open(str(self._get_load_path()), "rb") as stream:
            file = pq.ParquetFile(stream, read_dictionary=texts)
            names = self._load_args.get("columns", file.schema_arrow.names)
            columns = {name: compact(file.read(columns=[name]).column(0).to_pandas()) for name in names}
        return pd.DataFrame(columns, copy=False)


class PredictionsDataset(ParquetDataset, _PredictionsFile):
    """What models say of the test rows: `COLUMNS` in the file, `compact` in memory."""
