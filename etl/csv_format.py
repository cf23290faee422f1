"""How a CSV file is laid out: pandas' argument names, Polars' reader."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from emberline.errors import DataError, nearest
from emberline.etl.dtypes import parse_dtype
from emberline.etl.errors import ColumnNotFoundError
from emberline.etl.execution import reading

__all__ = ["CsvFormat"]

#: Rows that are looked at to guess dtypes.
INFER_ROWS = 10_000


@dataclass(frozen=True, kw_only=True)
class CsvFormat:
    r"""The layout of CSV files.

    Attributes:
        sep: the separator, one byte.
        header: whether the first line holds names; None: it does unless `names` are given.
        names: the columns' names; they replace those of the header.
        quotechar: None for files without quoting.
        na_values: text that means null, beside the empty field.
        skiprows: lines before the header.

    >>> CsvFormat.from_arguments({"sep": "\t", "names": ["label", "I1"]}).header
    False
    """

    sep: str = ","
    header: bool | None = None
    names: tuple[str, ...] = ()
    quotechar: str | None = '"'
    na_values: tuple[str, ...] = ()
    skiprows: int = 0

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> "CsvFormat":
        """Read pandas' arguments: sep (delimiter), header (0, None, "infer"), names, ...

        Raises:
            DataError: an argument that is not known, or a value that has no meaning here.
        """
        given = dict(arguments)
        if "delimiter" in given:
            given.setdefault("sep", given.pop("delimiter"))
        known = list(cls.__dataclass_fields__)
        for name in given:
            if name not in known:
                raise DataError(f"csv files have no option {name!r}{nearest(name, known)}")
        if "header" in given:
            header = given["header"]
            if header not in (0, None, "infer"):
                raise DataError(f'header must be 0, None or "infer", got {header!r}')
            given["header"] = {0: True, None: False, "infer": None}[header]
        for name in ("names", "na_values"):
            value = given.get(name) or ()
            given[name] = (value,) if isinstance(value, str) else tuple(value)
        if given["names"] and given.get("header") is None:
            given["header"] = False
        return cls(**given)

    def scan(
        self, files: Sequence[Path], dtypes: Mapping[str, str], *, first: Path | None = None
    ) -> pl.LazyFrame:
        """Give the plan of the files.

        Args:
            files: not empty, of one layout.
            dtypes: column -> dtype as schemas spell it; the others are guessed.
            first: named in messages instead of the first file.

        Raises:
            DataError: an empty file, or not as many names as columns.
            ColumnNotFoundError: `dtypes` names a column that is not there.
        """
        for file in files:
            if file.stat().st_size == 0:
                raise DataError(f"{file} is empty")
        options: dict[str, Any] = {
            "separator": self.sep,
            "has_header": self.header is not False,
            "quote_char": self.quotechar,
            "null_values": list(self.na_values) or None,
            "skip_rows": self.skiprows,
            "glob": False,
            "infer_schema_length": INFER_ROWS,
        }
        with reading(files):
            written = pl.scan_csv(files[0], **options).collect_schema().names()
        names = list(self.names) or written
        if len(names) != len(written):
            raise DataError(
                f"{first or files[0]} has {len(written)} columns, names has {len(self.names)}"
            )
        for name in dtypes:
            if name not in names:
                raise ColumnNotFoundError(
                    f"dtypes names a column {name!r} that {first or files[0]} has not"
                    f"{nearest(name, names)}"
                )
        # Under the names in the file: Polars applies overrides before it renames.
        overrides = {
            old: parse_dtype(dtypes[new], column=new)
            for old, new in zip(written, names, strict=True)
            if new in dtypes
        }
        plan = pl.scan_csv(list(files), schema_overrides=overrides, **options)
        return plan.rename(dict(zip(written, names, strict=True)))
