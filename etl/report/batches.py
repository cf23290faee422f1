"""Rows of a plan in batches of one size, so that sketches see the same batches in every run."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from emberline.etl.execution import reading
from emberline.etl.memory_size import rows_within

__all__ = ["batches"]

_ROWS = 131_072
_BYTES = 64_000_000


def batches(
    frame: pl.LazyFrame, files: tuple[Path, ...] = (), *, rows: int | None = None
) -> Iterator[pl.DataFrame]:
    """Give the rows in order, `rows` at a time; the last batch may be shorter.

    Args:
        frame: the plan.
        files: what it reads, for error messages.
        rows: of a batch; by default 131,072, or fewer where rows are large.

    Raises:
        DataError: a damaged file, a value that cannot be read.
    """
    with reading(files):
        size = rows or max(1, min(_ROWS, rows_within(frame, _BYTES)))
        # The engine gives its own sizes, which may depend on the number of threads.
        held: list[pl.DataFrame] = []
        count = 0
        for piece in frame.collect_batches(
            chunk_size=size, maintain_order=True, engine="streaming"
        ):
            held.append(piece)
            count += piece.height
            while count >= size:
                joined = pl.concat(held)
                yield joined[:size]
                held, count = [joined[size:]], count - size
        if count:
            yield pl.concat(held)
