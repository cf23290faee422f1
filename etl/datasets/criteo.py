"""Criteo's click logs: a label, 13 integers, 26 hexadecimal strings."""

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from polars.exceptions import PolarsError

from emberline.errors import DataError, nearest
from emberline.etl.column_dtypes import convert
from emberline.etl.datasets.errors import CriteoMissingError
from emberline.etl.execution import reading

__all__ = ["CATEGORIES", "INTEGERS", "LABEL", "Criteo", "open_criteo"]

LABEL = "label"
INTEGERS = tuple(f"I{i}" for i in range(1, 14))
CATEGORIES = tuple(f"C{i}" for i in range(1, 27))
_NAMES = (LABEL, *INTEGERS, *CATEGORIES)

#: What a directory's data files are called: the terabyte log's days, the challenge's training file
#: (its test file has no labels), our own parts.
_TEXT_FILE = re.compile(r"day_\d+|train\.txt|[^_.].*\.tsv")
#: Polars reads "1" and "01" as a label, "+1" and " 1" not at all, and a short line as nulls. This is
#: what a line must be; it also keeps integers within int32.
_INTEGER = r"(?:-?(?:1?\d{1,9}|20\d{8}|21[0-3]\d{7}))?"
_HEX = r"[0-9a-fA-F]{0,8}"
_LINE = rf"^[01](?:\t{_INTEGER}){{13}}(?:\t{_HEX}){{26}}\r?$"
_FIRST_LINES = 1_000


@dataclass(frozen=True, kw_only=True)
class Criteo:
    """Click logs, lazily.

    Attributes:
        files: in order; days by their number.
        layout: "tsv" (plain or gzip) or "parquet".
        frame: the rows of all files in order: label int32, I1 .. I13 int32 with nulls, C1 .. C26 str
            with nulls (or int32, see `open_criteo`); parquet files may hold wider integers.
        each: one such plan for each file.
    """

    files: tuple[Path, ...]
    layout: Literal["tsv", "parquet"]
    frame: pl.LazyFrame
    each: tuple[pl.LazyFrame, ...]


def open_criteo(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    categories: Literal["string", "hex"] = "string",
    check: bool = True,
) -> Criteo:
    r"""Open files of the display advertising challenge, of the terabyte log, or of the same layout.

    Text has no header, tabs between 40 fields, nothing where a value is missing; a name that ends in
    `.gz` is decompressed while it is read. Memory is bounded in every case.

    Args:
        path: a file, a pattern (`day_*`), a list of these, or a directory: of its parquet files, or
            else `day_<n>`, `train.txt` and `*.tsv`, each also with `.gz`.
        categories: "string" keeps the digits; "hex" reads them as int32, from 80000000 up negative, as
            NVTabular's `Dataset(dtypes={"C1": "hex"})` does.
        check: read text once, in a streaming way, so that a bad line is found before any work starts.
            Without it the first lines are looked at, and what the reader meets later names no line;
            a line with fewer fields then has nulls at its end.

    Raises:
        CriteoMissingError: no such path, or no data files there.
        DataError: an empty file, no rows, a bad line (file, line and column named), a parquet file
            with a column missing or of another type.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "day_0")
    ...     _ = file.write_text("\t".join(["1", "7", *[""] * 12, "68fd1e64", *[""] * 25]))
    ...     open_criteo(folder).frame.select("label", "I1", "I2", "C1").collect().rows()
    [(1, 7, None, '68fd1e64')]
    """
    if categories not in ("string", "hex"):
        raise DataError(f"categories={categories!r}; expected 'string' or 'hex'")
    files = _files(path)
    kinds = {file.suffix == ".parquet" for file in files}
    if len(kinds) > 1:
        raise DataError(f"{files[0]} ... {files[-1]}: parquet and text files; open them apart")
    for file in files:
        if file.stat().st_size == 0:
            raise DataError(f"{file} is empty (0 bytes); download or extract it again")
    parquet = kinds.pop()
    plans = []
    for file in files:
        if not parquet:
            _check_lines(file, whole=check)
        plan = _parquet(file) if parquet else _text(file)
        if categories == "hex":
            plan = convert(plan, plan.collect_schema(), dict.fromkeys(CATEGORIES, "hex"))
        plans.append(plan)
    return Criteo(
        files=tuple(files),
        layout="parquet" if parquet else "tsv",
        # Days converted by different tools: one integer type for all.
        frame=pl.concat(plans, how="vertical_relaxed"),
        each=tuple(plans),
    )


def _files(path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    if not isinstance(path, str | os.PathLike):
        found = [file for one in path for file in _files(one)]
        if not found:
            raise CriteoMissingError("an empty list of files; name at least one")
        return found
    given = Path(path)
    if given.is_file():
        return [given]
    if given.is_dir():
        inside = [file for file in given.iterdir() if file.is_file()]
        files = [f for f in inside if f.suffix == ".parquet" and f.name[0] not in "._"] or [
            f for f in inside if _TEXT_FILE.fullmatch(f.name.removesuffix(".gz"))
        ]
        if not files:
            names = ", ".join(sorted(f.name for f in inside)[:10])
            raise CriteoMissingError(
                f"{given} holds no Criteo files; looked for *.parquet, or day_<n>, train.txt and "
                f"*.tsv (also .gz), found {names or 'nothing'}"
            )
    else:
        files = [f for f in map(Path, glob.glob(os.fspath(path))) if f.is_file()]
        if not files:
            raise CriteoMissingError(
                f"{given} does not exist; expected a file, a directory or a pattern of files"
            )
    # day_10 after day_9.
    return sorted(files, key=lambda file: ([*map(int, re.findall(r"\d+", file.name))], file.name))


def _text(file: Path) -> pl.LazyFrame:
    dtypes = {n: pl.String() if n in CATEGORIES else pl.Int32() for n in _NAMES}
    return pl.scan_csv(
        file, separator="\t", has_header=False, quote_char=None, schema=dtypes, glob=False
    )


def _parquet(file: Path) -> pl.LazyFrame:
    plan = pl.scan_parquet(file, glob=False)
    with reading([file]):
        schema = plan.collect_schema()
    for name in _NAMES:
        if name not in schema:
            raise DataError(f"{file}: column {name!r} is missing{nearest(name, schema)}")
        text, dtype = name in CATEGORIES, schema[name]
        if dtype != pl.Null() and not (dtype == pl.String() if text else dtype.is_integer()):
            expected = "hexadecimal text" if text else "an integer"
            raise DataError(f"{file}: column {name!r} has dtype {dtype}; expected {expected}")
    return plan.select(_NAMES)


def _check_lines(file: Path, *, whole: bool) -> None:
    """Find the first line that is not one of the layout.

    Raises:
        DataError: it, or a file that cannot be decompressed or decoded.
    """
    lines = pl.scan_lines(file, glob=False).with_row_index("number", offset=1)
    lines = lines if whole else lines.head(_FIRST_LINES)
    good = pl.col("line").str.contains(_LINE)
    try:
        # The index is taken before the filter, so that the first one is the first of the file.
        number = lines.filter(~good).select(pl.col("number").min()).collect(engine="streaming")
        if (first := number.item()) is None:
            return
        line = lines.filter(pl.col("number") == first).select("line").collect().item()
    except (PolarsError, OSError) as error:
        raise DataError(
            f"{file} cannot be read, it is cut or damaged; download it again ({error})"
        ) from error
    raise DataError(f"{file}, line {first}: {_fault(line.rstrip(chr(13)))}")


def _fault(line: str) -> str:
    fields = line.split("\t")
    if len(fields) != len(_NAMES):
        return (
            f"{len(fields)} fields, expected {len(_NAMES)} with tabs between them: the label, 13 "
            "integers and 26 hexadecimal strings, no header"
        )
    for name, field in zip(_NAMES, fields, strict=True):
        if name == LABEL and field not in ("0", "1"):
            return f"column {name!r} holds {field!r}; expected 0 or 1"
        if name in INTEGERS and not re.fullmatch(_INTEGER, field):
            return f"column {name!r} holds {field!r}; expected an integer (int32) or nothing"
        if name in CATEGORIES and not re.fullmatch(_HEX, field):
            return f"column {name!r} holds {field!r}; expected up to 8 hexadecimal digits"
    raise AssertionError("the line's pattern and those of its fields differ")
