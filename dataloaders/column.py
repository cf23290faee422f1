"""One column: its format in a batch, and its decoded rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emberline.dataloaders.fill import fill_array
from emberline.errors import DataError
from emberline.etl.schema import ColumnSchema

__all__ = ["Column", "ColumnFormat"]

Layout = Literal["scalar", "fixed", "ragged"]
_FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _numpy_dtype(name: str, kind: pa.DataType) -> np.dtype[Any]:
    """Give the dtype of single values; strings and bytes are Python objects."""
    if pa.types.is_dictionary(kind):
        return _numpy_dtype(name, kind.value_type)
    types = pa.types
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        # Not to_pandas_dtype(), which imports pandas in older pyarrow.
        return np.dtype(_FLOATS.get(str(kind), str(kind)))
    if types.is_date32(kind):
        return np.dtype("datetime64[D]")
    if types.is_date64(kind):
        return np.dtype("datetime64[ms]")
    if types.is_timestamp(kind):
        return np.dtype(f"datetime64[{kind.unit}]")
    if types.is_duration(kind):
        return np.dtype(f"timedelta64[{kind.unit}]")
    text = (types.is_string, types.is_large_string, types.is_string_view)
    raw = (types.is_binary, types.is_large_binary, types.is_binary_view)
    if any(test(kind) for test in text + raw):
        return np.dtype(object)
    raise DataError(
        f"column {name!r} has type {kind}; a batch holds numbers, booleans, strings, dates and "
        "lists of them. Cast it in the workflow, or leave it out through columns="
    )


@dataclass(frozen=True, kw_only=True)
class ColumnFormat:
    """How a column looks in a batch.

    Attributes:
        name: its name in the files.
        layout: "scalar" is `[n]`; "fixed" is `[n, width]`; "ragged" is `<name>__values` and
            `<name>__offsets` (int64 [n + 1], from 0).
        dtype: of the values; strings and bytes are object.
        width: list length of a fixed column, 0 otherwise.
        fill: the value that stands for a null, None where a null is an error.
    """

    name: str
    layout: Layout
    dtype: np.dtype[Any]
    width: int = 0
    fill: Any = None

    @classmethod
    def from_arrow(cls, name: str, kind: pa.DataType) -> "ColumnFormat":
        """Derive the format from the file's type.

        Raises:
            DataError: a type that has no place in a batch (nested lists, structs, decimals).
        """
        if pa.types.is_fixed_size_list(kind):
            dtype = _numpy_dtype(name, kind.value_type)
            return cls(name=name, layout="fixed", dtype=dtype, width=kind.list_size)
        if _is_list(kind):
            return cls(name=name, layout="ragged", dtype=_numpy_dtype(name, kind.value_type))
        return cls(name=name, layout="scalar", dtype=_numpy_dtype(name, kind))

    def with_width(self, width: int) -> "ColumnFormat":
        """Make a ragged column fixed: every list must then have this length."""
        return replace(self, layout="fixed", width=width)

    def with_fill(self, value: Any) -> "ColumnFormat":
        """Let a value stand for nulls; None leaves them an error."""
        return replace(self, fill=value)

    def buffer_names(self) -> tuple[str, ...]:
        """Give the names of the column's arrays in a batch."""
        if self.layout == "ragged":
            return (f"{self.name}__values", f"{self.name}__offsets")
        return (self.name,)

    def column_schema(self) -> ColumnSchema:
        """Describe it as a column of a schema, without tags."""
        return ColumnSchema(
            self.name,
            "string" if self.dtype == np.dtype(object) else str(self.dtype),
            is_list=self.layout != "scalar",
            is_ragged=self.layout == "ragged",
        )

    def __str__(self) -> str:
        shape = {"scalar": "", "fixed": f"[{self.width}]", "ragged": "[ragged]"}[self.layout]
        return f"{self.dtype}{shape}"


@dataclass(frozen=True, kw_only=True)
class Column:
    """Decoded rows of one column, read-only.

    Attributes:
        values: [n], [n, width], or for a ragged column all its elements.
        offsets: int64 [n + 1] into `values` for a ragged column, None otherwise.
        size_bytes: memory it keeps alive, for the prefetch budget.
    """

    values: NDArray[Any]
    offsets: NDArray[np.int64] | None
    size_bytes: int

    @classmethod
    def decode(cls, array: pa.Array, form: ColumnFormat) -> "Column":
        """Turn one Arrow array into NumPy; numbers without a copy.

        A null list is an empty list.

        Raises:
            DataError: nulls where a batch has no place for them, or a list of the wrong length;
                the caller adds the file and the row group.
        """
        if form.layout == "scalar":
            values = _flat(array, form, "")
            return cls(values=values, offsets=None, size_bytes=array.get_total_buffer_size())
        if pa.types.is_fixed_size_list(array.type):
            if array.null_count and form.fill is None:
                raise _nulls(form, array.null_count, " lists")
            shaped = _fixed(array, form)
            return cls(values=shaped, offsets=None, size_bytes=array.get_total_buffer_size())
        # flatten() skips what a null list may still span, value_lengths() does not.
        offsets = np.zeros(len(array) + 1, dtype=np.int64)
        lengths = array.value_lengths()
        if array.null_count:
            lengths = lengths.fill_null(0)
        np.cumsum(lengths.to_numpy(zero_copy_only=False), out=offsets[1:])
        size_bytes = array.get_total_buffer_size() + offsets.nbytes
        if form.layout == "ragged":
            values = _flat(array.flatten(), form, " in its lists")
            return cls(values=values, offsets=offsets, size_bytes=size_bytes)
        fits = np.diff(offsets) == form.width
        if array.null_count and form.fill is not None:
            fits |= array.is_null().to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(~fits)
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"column {form.name!r} has a list of length {offsets[row + 1] - offsets[row]} at "
                f"row {row}; its lists must all have length {form.width}. Pad them in the "
                "workflow, or mark the column as ragged in the schema"
            )
        shaped = _fixed(array, form)
        return cls(values=shaped, offsets=None, size_bytes=size_bytes)

    @classmethod
    def concat(cls, parts: Sequence["Column"]) -> "Column":
        """Lay columns of one format end to end; one part comes back as it is."""
        if len(parts) == 1:
            return parts[0]
        values = np.concatenate([part.values for part in parts])
        size_bytes = sum(part.size_bytes for part in parts)
        if parts[0].offsets is None:
            return cls(values=values, offsets=None, size_bytes=size_bytes)
        ends = np.cumsum([0, *(len(part.values) for part in parts)])
        shifted = [
            part.offsets[1:] + end
            for part, end in zip(parts, ends, strict=False)
            if part.offsets is not None
        ]
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), *shifted])
        return cls(values=values, offsets=offsets, size_bytes=size_bytes)

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1


def _nulls(form: ColumnFormat, count: int, where: str) -> DataError:
    return DataError(
        f"column {form.name!r} has {count} null{where or ' values'}; a batch holds plain arrays "
        f'without nulls. Fill them in the workflow (["{form.name}"] >> ops.FillMissing(), or '
        f"ops.Categorify() for ids) or here (fill={{{form.name!r}: value}}), or leave the column out "
        "through columns="
    )


def _fixed(array: pa.Array, form: ColumnFormat) -> NDArray[Any]:
    """Lay lists of one length out as [n, width]; a null list is a row of the fill value."""
    values = _flat(array.flatten(), form, " in its lists")  # without the null lists
    if not array.null_count:
        return values.reshape(len(array), form.width)
    shaped = np.full((len(array), form.width), form.fill, dtype=form.dtype)
    shaped[array.is_valid().to_numpy(zero_copy_only=False)] = values.reshape(
        len(array) - array.null_count, form.width
    )
    return shaped


def _flat(array: pa.Array, form: ColumnFormat, where: str) -> NDArray[Any]:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()  # a null may be one of its values, too
    if array.null_count and form.fill is not None:
        array = fill_array(array, form.fill)
    if array.null_count:
        raise _nulls(form, array.null_count, where and f" values{where}")
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values.astype(form.dtype, copy=False)
