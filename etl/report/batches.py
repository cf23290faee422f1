"""Rows of a plan in batches of one size, so that sketches see the same batches in every run."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from emberline.etl.execution import reading
from emberline.etl.memory_size import rows_within

__all__ = ["each_batch"]

_ROWS = 131_072
_BYTES = 64_000_000


def each_batch(
    frame: pl.LazyFrame,
    see: Callable[[pl.DataFrame], None],
    files: tuple[Path, ...] = (),
    *,
    rows: int | None = None,
) -> None:
    """Show `see` the rows in order, `rows` at a time; the last batch may be shorter.

    A sink, and not `collect_batches`: that one reads ahead of a slow reader, to the end of the data.

    Args:
        frame: the plan.
        see: called with one batch after the other.
        files: what the plan reads, for error messages.
        rows: of a batch; by default 131,072, or fewer where rows are large.

    Raises:
        DataError: a damaged file, a value that cannot be read.
    """
    # The engine gives its own sizes, which may depend on the number of threads.
    held: list[pl.DataFrame] = []

    def cut(piece: pl.DataFrame) -> None:
        held.append(piece)
        while sum(part.height for part in held) >= size:
            joined = pl.concat(held)
            held[:] = [joined[size:]]
            see(joined[:size])

    with reading(files):
        size = rows or max(1, min(_ROWS, rows_within(frame, _BYTES)))
        frame.sink_batches(cut, chunk_size=size, maintain_order=True, engine="streaming")
        left = pl.concat(held) if held else pl.DataFrame()
        if left.height:
            see(left)
