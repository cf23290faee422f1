"""Row groups decoded by Polars, where that gives what pyarrow gives, in less time.

Polars takes three quarters of pyarrow's processor time for a row group of numbers
(benchmarks/NOTES.md). It does not verify page checksums, so it only reads files that it wrote
itself, which have none. Anything unusual is left to pyarrow: text, dates, and whatever Polars
raises, so that there is one place that words errors.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from emberline.dataloaders.column import ColumnFormat

__all__ = ["can_decode", "decode"]

_FOOTER_NS = 400
_GAIN_NS = 1.6

# The pool of threads that Polars has in the parent is gone in a forked child, where waiting for it
# would last for ever.
_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


os.register_at_fork(after_in_child=_note_fork)


def can_decode(metadata: pq.FileMetaData, formats: Sequence[ColumnFormat]) -> bool:
    """Say whether the columns of a local file should be read by `decode`.

    Polars parses the whole footer again for each row group, about 0.4 us for each column chunk of
    the file, and gains about 1.6 ns a value: not in a file of very many or very small row groups.
    """
    numbers = all(form.dtype.kind in "biuf" and form.dtype != "float16" for form in formats)
    if not numbers or not str(metadata.created_by).startswith("Polars"):
        return False
    chunks = metadata.num_row_groups * metadata.num_columns
    values = metadata.num_rows * len(formats) / max(metadata.num_row_groups, 1)
    return bool(chunks * _FOOTER_NS <= values * _GAIN_NS / 2)


def decode(file: Path, names: Sequence[str], first: int, rows: int) -> pa.Table | None:
    """Read some rows of a file, on Polars' own threads (as many as POLARS_MAX_THREADS says).

    Args:
        file: local.
        names: the columns.
        first: the first row's number in the file, where a row group begins.
        rows: how many; those of the row group, so that no other is read.

    Returns:
        None where pyarrow should read them instead: Polars could not, or the process was forked.
    """
    if _forked:
        return None
    import polars as pl
    from polars import selectors

    try:
        # By name: in `select` itself "*" and "^a.*$" would be patterns.
        plan = pl.scan_parquet(file, glob=False).select(selectors.by_name(*names))
        plan = plan.slice(first, rows)
        table = plan.collect().to_arrow()
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    return table if table.num_rows == rows else None
