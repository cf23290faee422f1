"""A frame in memory as one batch: what serving and small evaluations feed a model."""

from typing import Any

from numpy.typing import NDArray

from emberline.dataloaders.arrow import to_table
from emberline.dataloaders.batch import Piece, gather
from emberline.dataloaders.column import Column, ColumnFormat

__all__ = ["to_batch"]


def to_batch(frame: Any) -> dict[str, NDArray[Any]]:
    """Turn every column of a frame into the arrays that a `Loader` gives.

    Args:
        frame: a Polars or pandas frame, an Arrow table or arrays by name; see `to_table`.

    Returns:
        Arrays by name: `[n]`, `[n, k]`, or `<name>__values` and `<name>__offsets`; see `Loader`.

    >>> {name: array.tolist() for name, array in to_batch({"id": [3, 1], "tags": [[5], []]}).items()}
    {'id': [3, 1], 'tags__values': [5], 'tags__offsets': [0, 1, 1]}

    Raises:
        DataError: nulls, or a type that has no place in a batch; names the column.
    """
    table = to_table(frame)
    formats = [ColumnFormat.from_arrow(field.name, field.type) for field in table.schema]
    window = {form.name: Column.decode(table[form.name].combine_chunks(), form) for form in formats}
    return gather([Piece(window=window, rows=slice(0, table.num_rows))], formats)
