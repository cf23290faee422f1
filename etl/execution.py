"""Running plans on the streaming engine, and saying which file was at fault."""

import contextlib
import errno
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import polars as pl
from polars.exceptions import PanicException, PolarsError
from polars.io.plugins import register_io_source

from emberline.errors import DataError, EmberlineError

__all__ = ["collect", "collect_all", "in_parts", "in_threads", "one_ahead", "reading"]

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


def _unreadable(file: Path) -> str | None:
    """Decode a parquet file completely; give the reason why it cannot be read, or None."""
    if file.suffix != ".parquet":
        return None
    try:
        pl.scan_parquet(file).select(pl.all().null_count()).collect(engine="streaming")
    except (PolarsError, PanicException, OSError) as error:
        return str(error)
    return None


@contextlib.contextmanager
def reading(files: Sequence[Path] = ()) -> Iterator[None]:
    """Turn the engine's errors inside into ours.

    Args:
        files: the data files that the plan reads: on an error each is decoded, to name the one
            that is damaged. (The engine's own message often does not name it.)

    Raises:
        DataError: a damaged file (named), or a value that the plan cannot process.
        OSError: the engine could not write, for example on a full disk.
    """
    try:
        yield
    except EmberlineError:
        raise
    except (PolarsError, PanicException, OSError) as error:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            raise
        if "os error 28" in str(error):
            raise OSError(errno.ENOSPC, f"no space left on device ({error})") from error
        # Before 2.0 Polars wraps what a source written in Python raises.
        _, wrapped, ours = str(error).partition("Python source, exception: DataError: ")
        if wrapped:
            raise DataError(ours) from error
        for file in files:
            if not file.is_file():
                raise DataError(f"{file} has disappeared while it was read") from error
            if reason := _unreadable(file):
                raise DataError(
                    f"{file} cannot be read, it is truncated or damaged; restore it ({reason})"
                ) from error
        where = f" (reading {', '.join(str(f) for f in files[:3])})" if files else ""
        raise DataError(f"the data cannot be processed{where}: {error}") from error


def collect_all(
    frames: Sequence[pl.LazyFrame], *, files: Sequence[Path] = ()
) -> list[pl.DataFrame]:
    """Run several plans in one streaming pass: what they share is read and computed once.

    Raises:
        DataError: see `reading`.
    """
    with reading(files):
        return pl.collect_all(list(frames), engine="streaming")


def collect(frame: pl.LazyFrame, *, files: Sequence[Path] = ()) -> pl.DataFrame:
    """Run one plan on the streaming engine.

    Raises:
        DataError: see `reading`.
    """
    with reading(files):
        return frame.collect(engine="streaming")


def in_threads(function: Callable[[_Given], _Made], values: Iterable[_Given]) -> list[_Made]:
    """Call a function for each of several values, on as many threads as the engine has.

    For work that frees the interpreter's lock: the engine's own, and that of native code.
    """
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        return list(pool.map(function, values))


def one_ahead(items: Iterator[_Made]) -> Generator[_Made, None, None]:
    """Give the items of an iterator, none of them None; the next is made while one is used.

    It is made on a thread of its own, and what is raised there is raised here, in its turn. Who
    stops early waits for the item in the making.
    """
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def in_parts(
    parts: Sequence[pl.LazyFrame],
    transform: Callable[[pl.LazyFrame, int], pl.LazyFrame],
    schema: Mapping[str, pl.DataType],
    *,
    files: Sequence[Path] = (),
) -> pl.LazyFrame:
    """Give a plan that transforms one part after the other.

    The streaming engine reads ahead by row groups, whatever their size, and buffers where a join
    keeps the order: encoding and writing 3 M rows of 26 strings took 2.2 GB in one plan, 0.7 GB in
    parts of 300 MB, 0.4 GB in parts of 100 MB, with the same processor time. The rows of a part are
    handed on as they come, so that one core writes while another encodes.

    Args:
        parts: the rows, in order.
        transform: gives the plan of a part; its second argument is the position of the first row.
        schema: of the result.
        files: what the parts read, for error messages.
    """

    def read(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        first_row, left = 0, n_rows
        for part in parts:
            if left is not None and left <= 0:
                return
            plan = transform(part, first_row)
            plan = plan if left is None else plan.head(left)
            plan = plan if predicate is None else plan.filter(predicate)
            plan = plan if with_columns is None else plan.select(with_columns)
            with reading(files):
                for frame in plan.collect_batches(maintain_order=True, engine="streaming"):
                    left = None if left is None else left - frame.height
                    yield frame
            if len(parts) > 1:
                first_row += int(collect(part.select(pl.len())).item())

    return register_io_source(read, schema=dict(schema), is_pure=True)
