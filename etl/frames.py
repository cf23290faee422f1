"""Frames of other libraries, in and out."""

from collections.abc import Mapping
from typing import Any, Literal

import polars as pl
import pyarrow as pa
from polars.exceptions import PolarsError

from emberline.etl.errors import ColumnTypeError

__all__ = ["FrameKind", "as_series", "from_frame", "is_dask_frame", "to_frame"]

FrameKind = Literal["lazy", "polars", "pandas", "arrow"]


def _is_pandas(data: object) -> bool:
    # By name: pandas is no dependency, and is imported only by who passes a pandas frame.
    kind = type(data)
    return kind.__name__ == "DataFrame" and kind.__module__.split(".")[0] == "pandas"


def is_dask_frame(data: object) -> bool:
    """Say whether something is a dask DataFrame (dask is not imported for it)."""
    kind = type(data)
    return kind.__name__ == "DataFrame" and kind.__module__.split(".")[0] in ("dask", "dask_expr")


def from_frame(
    data: Any, *, fitted: Mapping[str, pl.DataType] | None = None
) -> tuple[pl.LazyFrame, FrameKind] | None:
    """Give a frame as a LazyFrame and what it was, or None for something that is no frame.

    Args:
        data: a Polars DataFrame or LazyFrame, a pandas DataFrame (its index is ignored, NaN is
            null) or a pyarrow Table.
        fitted: dtypes that are expected. pandas turns integers with nulls into floats: such a
            column, all its values whole, becomes the integer column that is expected.

    Raises:
        ColumnTypeError: a pandas column with mixed Python types.
    """
    if isinstance(data, pl.LazyFrame):
        return data, "lazy"
    if isinstance(data, pl.DataFrame):
        return data.lazy(), "polars"
    if isinstance(data, pa.Table):
        return _checked(pl.from_arrow(data)).lazy(), "arrow"
    if not _is_pandas(data):
        return None
    columns: dict[str, pl.Series] = {}
    for name in data.columns:
        if not isinstance(name, str):
            raise ColumnTypeError(f"the pandas column {name!r} must have a string as its name")
        try:
            series = pl.from_pandas(data[name].reset_index(drop=True))
        except (PolarsError, pa.ArrowException, TypeError) as error:
            raise ColumnTypeError(
                f"pandas column {name!r} (dtype {data[name].dtype}) has values of several types; "
                f"convert it to one, for example with astype(str) ({error})"
            ) from error
        expected = (fitted or {}).get(name, series.dtype)
        integer_as_float = expected.is_integer() and series.dtype.is_float()
        if integer_as_float and (series.is_null() | (series == series.round())).all():
            series = series.cast(expected)
        columns[name] = series.alias(name)
    return pl.DataFrame(columns).lazy(), "pandas"


def as_series(values: Any) -> pl.Series:
    """Give a Polars or pandas Series, or any iterable, as a Polars Series.

    Raises:
        ColumnTypeError: values of several types.
    """
    if isinstance(values, pl.Series):
        return values
    try:
        if type(values).__module__.split(".")[0] == "pandas":
            return pl.Series(pl.from_pandas(values.reset_index(drop=True)))
        return pl.Series(list(values))
    except (PolarsError, pa.ArrowException, TypeError) as error:
        raise ColumnTypeError(f"the values {values!r} are of several types ({error})") from error


def _checked(frame: pl.DataFrame | pl.Series) -> pl.DataFrame:
    assert isinstance(frame, pl.DataFrame), "a pyarrow Table gives a DataFrame"
    return frame


def to_frame(frame: pl.LazyFrame, kind: FrameKind) -> Any:
    """Give the plan's result as the kind of frame that came in."""
    if kind == "lazy":
        return frame
    # In-memory rows: the in-memory engine starts faster than the streaming one.
    result = frame.collect(engine="in-memory")
    if kind == "pandas":
        return result.to_pandas()
    return result.to_arrow() if kind == "arrow" else result
