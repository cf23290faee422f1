"""A table in a file as a typed lazy frame, and the check that finds its first unusable value."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from emberline.errors import DataError, nearest

__all__ = ["TableSource", "csv_source", "parquet_source"]

_FIRST_ROWS = 1_000  # looked at when the whole file is not


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """A file's table.

    Attributes:
        file: the file.
        typed: the columns asked for, in their types; reading it may fail at a bad value.
        text: the same columns as strings, to find the bad value; None where files hold types.
    """

    file: Path
    typed: pl.LazyFrame
    text: pl.LazyFrame | None

    def check(self, *, whole: bool) -> None:
        """Read the table once, in a streaming way, or only its first rows.

        Raises:
            DataError: no rows, a value of the wrong type or a missing one: its file, row, column.
        """
        rows = self.typed if whole else self.typed.head(_FIRST_ROWS)
        try:
            found = rows.select(pl.len().alias("rows in all"), pl.all().null_count()).collect(
                engine="streaming"
            )
        except pl.exceptions.PolarsError as error:
            raise DataError(self._first_bad() or f"{self.file}: {error}") from error
        counts = found.row(0, named=True)
        if counts.pop("rows in all") == 0:
            raise DataError(f"{self.file} has no rows; expected at least one")
        for column, missing in counts.items():
            if missing:
                raise DataError(
                    self._first_bad()
                    or f"{self.file}: column {column!r} has {missing} missing values; expected none"
                )

    def _first_bad(self) -> str | None:
        if self.text is None:
            return None
        types = dict(self.typed.collect_schema())
        bad = pl.any_horizontal(pl.col(c).cast(t, strict=False).is_null() for c, t in types.items())
        try:
            found = self.text.with_row_index("row number", offset=1).filter(bad).head(1).collect()
        except pl.exceptions.PolarsError:
            return None  # not even text (an encoding, ragged lines): the first error says more
        for row in found.iter_rows(named=True):
            for column, dtype in types.items():
                value = row[column]
                if pl.Series([value], dtype=pl.String).cast(dtype, strict=False).null_count():
                    given = "is missing" if value is None else f"holds {value!r}"
                    return (
                        f"{self.file}, row {row['row number']}: column {column!r} {given}; expected "
                        f"{_described(dtype)}"
                    )
        return None


def csv_source(file: Path, columns: Mapping[str, pl.DataType]) -> TableSource:
    """A CSV file with a header; further columns are ignored.

    Raises:
        DataError: an empty file or a missing column.
    """
    text = pl.scan_csv(file, infer_schema=False)
    _require(file, _names(file, text), columns)
    names = list(columns)
    typed = pl.scan_csv(file, infer_schema=False, schema_overrides=dict(columns))
    return TableSource(file=file, typed=typed.select(names), text=text.select(names))


def parquet_source(file: Path, columns: Mapping[str, pl.DataType]) -> TableSource:
    """A parquet file; narrower integers and floats are widened, further columns are ignored.

    Raises:
        DataError: not a parquet file, a missing column, or one of another kind of type.
    """
    scan = pl.scan_parquet(file)
    _require(file, _names(file, scan), columns)
    schema = scan.collect_schema()
    for column, expected in columns.items():
        given = schema[column]
        alike = {
            pl.Int64(): given.is_integer(),
            pl.Float32(): given.is_numeric(),
            pl.String(): given in (pl.String, pl.Categorical),
        }
        if not alike[expected]:
            raise DataError(
                f"{file}: column {column!r} has dtype {given}; expected {_described(expected)}"
            )
    typed = scan.select(pl.col(c).cast(t) for c, t in columns.items())
    return TableSource(file=file, typed=typed, text=None)


def _names(file: Path, scan: pl.LazyFrame) -> list[str]:
    if file.stat().st_size == 0:
        raise DataError(f"{file} is empty (0 bytes); download or extract it again")
    try:
        return scan.collect_schema().names()
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{file} cannot be read ({error}); download or extract it again") from error


def _require(file: Path, names: list[str], columns: Mapping[str, pl.DataType]) -> None:
    for column in columns:
        if column not in names:
            raise DataError(
                f"{file}: column {column!r} is missing{nearest(column, names)}; expected "
                f"{', '.join(columns)}"
            )


def _described(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "an integer (int64)"
    return "a number (float32)" if dtype.is_float() else "text"
