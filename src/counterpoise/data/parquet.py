"""Parquet files of a user's: bounded before they are unpacked, checked, and in types that a table can have."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from counterpoise.data.boundary import LIMITS, Limits, decoding, require_at_most
from counterpoise.data.values import settled
from counterpoise.errors import InputError, shown

_BYTES = 8
"""What a value takes in memory, at least."""

_NULLABLE = {
    pa.int8(): pd.Int64Dtype(),
    pa.int16(): pd.Int64Dtype(),
    pa.int32(): pd.Int64Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.Int64Dtype(),
    pa.uint16(): pd.Int64Dtype(),
    pa.uint32(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
"""Types that keep whole numbers and truth values what they are where some are missing."""


def read_parquet(path: Path, limits: Limits = LIMITS) -> pd.DataFrame:
    """Read a Parquet file.

    Decimal numbers become float64; texts have to be valid UTF-8. Dates, durations, bytes, lists and structures stay
    what they are, so that a column of them may be there and be left out.

    Args:
        limits: bounds the number of columns, and the memory of what is unpacked.

    Raises:
        InputError: the file is damaged, passes a limit, or names a column twice.
    """
    expected = "a complete Parquet file"
    with decoding(path, expected), parquet.ParquetFile(path) as file:
        require_at_most(file.metadata.num_columns, limits.columns, f"{path}: the table has", "columns", "columns")
        groups = range(file.metadata.num_row_groups)
        stored = sum(max(file.metadata.row_group(group).total_byte_size, 0) for group in groups)
        cells = file.metadata.num_rows * file.metadata.num_columns
        unpacked = max(stored, cells * _BYTES)
        require_at_most(unpacked, limits.unpacked_bytes, f"{path}: unpacks to about", "bytes", "unpacked_bytes")
        stored_table = file.read(use_pandas_metadata=True)
        stored_table.validate(full=True)
    names = stored_table.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path}: column {shown(twice[0])} occurs more than once, expected distinct names")
    for field in stored_table.schema:
        if pa.types.is_map(field.type) or pa.types.is_union(field.type):
            raise InputError(f"{path}: column {shown(field.name)} holds {field.type}, expected numbers or texts")
    with decoding(path, expected):
        fields = [field.with_type(_simpler(field.type)) for field in stored_table.schema]
        table = stored_table.cast(pa.schema(fields, stored_table.schema.metadata)).to_pandas(types_mapper=_NULLABLE.get)
    if any(name is not None for name in table.index.names):
        table = table.reset_index()
    return settled(table.rename(columns=str))


def _simpler(kind: pa.DataType) -> pa.DataType:
    """Return the type in which a column is read."""
    if pa.types.is_dictionary(kind):
        return _simpler(kind.value_type)
    return pa.float64() if pa.types.is_decimal(kind) else kind
