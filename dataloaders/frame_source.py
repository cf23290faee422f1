"""A frame in memory as numbered row groups of columns."""

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from emberline.dataloaders.arrow import to_table
from emberline.dataloaders.column import Column, ColumnFormat
from emberline.dataloaders.errors import MissingColumnError
from emberline.dataloaders.fill import fill_values
from emberline.dataloaders.roles import Roles
from emberline.errors import DataError, nearest
from emberline.etl.schema import Schema

__all__ = ["ROW_GROUP_ROWS", "FrameSource"]

ROW_GROUP_ROWS = 65_536
"""Rows of a frame's row groups. Fixed, and not the frame's own chunks, which a filter or a
concatenation changes without changing a row: the order of the batches would change with them."""


class FrameSource:
    """The rows of one frame, cut every `ROW_GROUP_ROWS`; numbers are not copied.

    Attributes:
        roles: what the columns are for.
        schema: as given.
        formats: the columns of a batch, features first, then targets, then weights.
        row_group_rows: rows of every row group.
    """

    def __init__(
        self,
        frame: Any,
        *,
        columns: Iterable[str] | None = None,
        targets: str | Iterable[str] | None = None,
        weights: str | None = None,
        fill: object = None,
        schema: Schema | None = None,
    ) -> None:
        """Choose the columns and check their types.

        Args:
            frame: see `to_table`.
            columns: the feature columns; None is all of them without another role.
            targets: None is the schema's columns tagged "target"; an empty list is none.
            weights: the column of row weights.
            fill: what stands for a null; see `fill_values`.
            schema: its columns are those there are; list columns that it does not call ragged
                have one length.

        Raises:
            MissingColumnError: a column that the frame does not have.
            DataError: no rows, or a type without a place in a batch.
        """
        table = to_table(frame)
        self.schema = schema
        known = table.column_names
        self.roles = Roles.choose(
            known if schema is None else schema.names,
            columns=columns,
            targets=targets,
            weights=weights,
            schema=schema,
        )
        for name in self.roles:
            if name not in known:
                raise MissingColumnError(
                    f"column {name!r} is not in the frame{nearest(name, known)}"
                )
            if known.count(name) > 1:
                raise DataError(f"the frame has {known.count(name)} columns named {name!r}")
        self._table = table.select(list(self.roles))
        if not self._table.num_rows:
            raise DataError("no rows in the frame")
        types = {field.name: field.type for field in self._table.schema}
        fills = fill_values(fill, types)
        self.formats = tuple(
            self._format(name, kind).with_fill(fills.get(name)) for name, kind in types.items()
        )
        self.roles.check(self.formats)
        whole, rest = divmod(table.num_rows, ROW_GROUP_ROWS)
        self.row_group_rows = (ROW_GROUP_ROWS,) * whole + ((rest,) if rest else ())

    def __str__(self) -> str:
        return "a frame"

    def _format(self, name: str, kind: pa.DataType) -> ColumnFormat:
        form = ColumnFormat.from_arrow(name, kind)
        column = self.schema[name] if self.schema is not None and name in self.schema else None
        if form.layout != "ragged" or column is None or column.is_ragged:
            return form
        longest = pc.max(pc.list_value_length(self._table[name])).as_py()
        return form.with_width(longest or 0)  # and `Column.decode` refuses shorter ones

    def read(self, index: int) -> dict[str, list[Column]]:
        """Give the columns of one row group, numbers as views of the frame's memory.

        Raises:
            DataError: nulls without a fill value; names the column.
        """
        rows = self._rows(index)
        columns: dict[str, list[Column]] = {}
        for form in self.formats:
            try:
                chunks = rows.column(form.name).chunks
                columns[form.name] = [Column.decode(chunk, form) for chunk in chunks]
            except DataError as error:
                start = index * ROW_GROUP_ROWS
                raise DataError(
                    f"rows {start} to {start + rows.num_rows} of the frame: {error}"
                ) from error
        return columns

    @cached_property
    def fingerprint(self) -> str:
        """A hash of names, types and values: the same however the frame is cut into chunks.

        Computed when a position is saved or loaded for the first time; reads every value once.
        """
        digest = hashlib.sha256()
        for form in self.formats:
            digest.update(f"{form.name}\0{form}\0".encode())
            for index in range(len(self.row_group_rows)):
                column = self._rows(index).column(form.name)
                _hash(digest, column.combine_chunks())
        return digest.hexdigest()[:32]

    def _rows(self, index: int) -> pa.Table:
        return self._table.slice(index * ROW_GROUP_ROWS, ROW_GROUP_ROWS)


def _hash(digest: Any, array: pa.Array) -> None:
    """Hash the values and not the buffers, which hold garbage behind nulls and beyond slices."""
    types = pa.types
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.null_count:
        digest.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)))
    else:
        digest.update(b"\0")
    if types.is_list(array.type) or types.is_large_list(array.type):
        lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        digest.update(np.ascontiguousarray(lengths, dtype=np.int64))
        _hash(digest, array.flatten())
    elif types.is_fixed_size_list(array.type):
        _hash(digest, array.flatten())
    elif ColumnFormat.from_arrow("", array.type).dtype == np.dtype(object):
        array = array.drop_null().cast(pa.large_binary())
        _, offsets, data = array.buffers()
        start = array.offset
        ends = np.frombuffer(offsets, np.int64)[start : start + len(array) + 1]
        digest.update(np.diff(ends))
        if data is not None:
            digest.update(memoryview(data)[ends[0] : ends[-1]])
    else:
        values = array.drop_null().to_numpy(zero_copy_only=False)
        digest.update(np.ascontiguousarray(values).view(np.uint8))
