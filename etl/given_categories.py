"""Categories that the user supplies to Categorify."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from emberline.errors import DataError
from emberline.etl.dtypes import canonical
from emberline.etl.encoding import Encoding
from emberline.etl.errors import ColumnTypeError
from emberline.etl.execution import collect
from emberline.etl.frames import as_series, from_frame
from emberline.etl.keys import canonical_key, shared_key_dtype
from emberline.etl.selection import Selection
from emberline.etl.vocabulary import key_columns

__all__ = ["given_by_name", "given_keys"]


def given_by_name(vocabs: Any, sep: str) -> dict[str, Any]:
    """Give what `vocabs` says for each column or joint name.

    Args:
        vocabs: None, a mapping (a group may be named by the tuple of its columns), or a frame
            with one column of categories for each column.
        sep: joins the names of a group.

    Raises:
        DataError: something else.
    """
    if vocabs is None:
        return {}
    if isinstance(vocabs, Mapping):
        return {sep.join(k) if isinstance(k, tuple) else str(k): v for k, v in vocabs.items()}
    found = from_frame(vocabs)
    if found is None:
        raise DataError(
            "vocabs must map columns to categories, or be a frame with a column of categories for "
            f"each; got {type(vocabs).__name__}"
        )
    return {series.name: series for series in collect(found[0])}


def given_keys(given: Any, encoding: Encoding, selection: Selection) -> pl.DataFrame:
    """Give supplied categories as keys, in order, without nulls.

    Args:
        given: a sequence, a Series, a frame, or the path of a parquet file. A frame with other
            columns than the encoding's labels must have as many; a file may have more, as the
            files that Categorify writes have.
        encoding: what they are for.
        selection: the columns, whose dtypes the categories must share.

    Raises:
        DataError: no such file, missing columns, or a category twice.
        ColumnTypeError: categories of another kind than the column.
    """
    what = f"vocabs[{encoding.name!r}]"
    frame = _frame(given, encoding, what)
    keys = []
    dtypes = encoding.key_dtypes(selection)
    for series, dtype, name in zip(frame, dtypes, key_columns(len(dtypes)), strict=True):
        text = series.cast(canonical(series.dtype))
        shared = shared_key_dtype(dtype, text.dtype)
        if shared is None:
            raise ColumnTypeError(
                f"Categorify: {what} holds {series.dtype}, the column {dtype}; convert one"
            )
        keys.append(canonical_key(pl.lit(text), shared).alias(name))
    table = pl.select(keys).filter(~pl.all_horizontal(pl.all().is_null()))
    if table.is_duplicated().any():
        twice = table.row(table.is_duplicated().arg_true()[0])
        shown = repr(twice[0]) if len(twice) == 1 else repr(twice)
        raise DataError(f"Categorify: {what} holds {shown} more than once")
    return table


def _frame(given: Any, encoding: Encoding, what: str) -> pl.DataFrame:
    labels = list(encoding.labels)
    if isinstance(given, (str, os.PathLike)):
        if not Path(given).is_file():
            raise DataError(f"Categorify: {what}: no file {given}")
        frame = pl.read_parquet(Path(given))
        if not set(labels) <= set(frame.columns):
            frame = frame.select(frame.columns[: len(labels)])
    else:
        found = from_frame(given)
        if found is None:
            return _one_column(given, encoding, what)
        frame = collect(found[0])
    if set(labels) <= set(frame.columns):
        return frame.select(labels)
    if frame.width != len(labels):
        raise DataError(
            f"Categorify: {what} has the columns {frame.columns}; expected {labels}, one for each "
            "part of a category"
        )
    return frame


def _one_column(given: Any, encoding: Encoding, what: str) -> pl.DataFrame:
    if encoding.combo:
        raise DataError(
            f"Categorify: {what} must be a frame with the columns {list(encoding.labels)}, got "
            f"{type(given).__name__}"
        )
    return as_series(given).alias(encoding.name).to_frame()
