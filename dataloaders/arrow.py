"""Between frames, Arrow tables and the arrays of a batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emberline.errors import DataError

__all__ = ["batch_table", "is_frame", "to_table"]

_VALUES, _OFFSETS = "__values", "__offsets"


def is_frame(data: object) -> bool:
    """Say whether data is rows in memory: a frame, or arrays by name."""
    return isinstance(data, pa.Table | pa.RecordBatch | Mapping) or hasattr(
        data, "__arrow_c_stream__"
    )


def to_table(frame: Any) -> pa.Table:
    """Take a frame as an Arrow table, without a copy where its memory is laid out like Arrow's.

    Args:
        frame: a Polars or pandas frame, an Arrow table or record batch, anything else with
            `__arrow_c_stream__`, or arrays by name as in a batch (see `batch_table`). The index
            of a pandas frame is left out, and its NaN are nulls, as in the parquet that it writes.

    Raises:
        DataError: the frame does not fit into Arrow; says why.
    """
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    try:
        if isinstance(frame, Mapping):
            table = batch_table(frame)
            table.validate(full=True)  # offsets that point nowhere would be read as they are
            return table
        if type(frame).__module__.partition(".")[0] == "pandas":
            # Its own stream would append the index as a column.
            return pa.Table.from_pandas(frame, preserve_index=False)
        return pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(f"this {type(frame).__name__} does not fit into Arrow: {error}") from error


def batch_table(arrays: Mapping[str, NDArray[Any]]) -> pa.Table:
    """Give the arrays of a batch as an Arrow table.

    `<name>__values` and `<name>__offsets` become one list column, `[n, k]` a list column of
    fixed length. Numbers and offsets share their memory with the arrays; booleans (a bit each in
    Arrow) and strings are copied.

    >>> tags = {"tags__values": np.array([1, 2, 3]), "tags__offsets": np.array([0, 2, 2, 3])}
    >>> batch_table({"id": np.array([7, 8, 9]), **tags}).to_pydict()
    {'id': [7, 8, 9], 'tags': [[1, 2], [], [3]]}

    Raises:
        DataError: arrays of different lengths.
    """
    columns: dict[str, pa.Array] = {}
    for name, array in arrays.items():
        base = name.removesuffix(_VALUES)
        if name.endswith(_OFFSETS) and f"{name.removesuffix(_OFFSETS)}{_VALUES}" in arrays:
            continue
        if base != name and f"{base}{_OFFSETS}" in arrays:
            offsets = pa.array(np.asarray(arrays[base + _OFFSETS], dtype=np.int64))
            columns[base] = pa.LargeListArray.from_arrays(offsets, pa.array(array))
        elif getattr(array, "ndim", 1) == 2:
            flat = pa.array(np.ascontiguousarray(array).reshape(-1))
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, array.shape[1])
        else:
            columns[name] = pa.array(array)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"arrays of different lengths: {lengths}")
    return pa.table(columns)
