"""A hash table as files: fixed ranges of rows, each a `.npz` without pickled objects."""

import contextlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emberline.errors import ArtifactCorruptError
from emberline.kernels import HashTable, TableRange

__all__ = [
    "ROWS_PER_RANGE",
    "read_table",
    "restore_table_arrays",
    "saving_tables_apart",
    "table_arrays",
    "tables_saved_apart",
    "write_table",
]

# One range of dim 64 with Adagrad is 128 MiB: large reads, small memory.
ROWS_PER_RANGE = 262_144

_FIELDS = ("keys", "values", "states", "frequency", "last_step")
_apart: ContextVar[bool] = ContextVar("emberline_tables_saved_apart", default=False)


def tables_saved_apart() -> bool:
    """Tell a layer that its tables' rows go into files of their own."""
    return _apart.get()


@contextlib.contextmanager
def saving_tables_apart() -> Iterator[None]:
    """Make Keras' saving and loading leave the tables' rows out."""
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


def table_arrays(
    table: HashTable, start: int = 0, stop: int | None = None
) -> dict[str, npt.NDArray[np.generic]]:
    """Return the live rows among row numbers [start, stop): keys, values, states, metadata."""
    part = table.export(start, stop)
    return {name: getattr(part, name) for name in _FIELDS}


def restore_table_arrays(table: HashTable, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Make the table hold exactly these rows.

    Raises:
        ArtifactCorruptError: an array is missing.
    """
    table.clear()
    table.import_(_as_range(table.name, arrays))


def write_table(table: HashTable, directory: Path) -> int:
    """Write every row into `directory`, one file for each `ROWS_PER_RANGE` row numbers.

    Returns:
        The number of rows written.
    """
    directory.mkdir(parents=True)
    written = 0
    for index, start in enumerate(range(0, max(table.row_limit, 1), ROWS_PER_RANGE)):
        arrays = table_arrays(table, start, min(start + ROWS_PER_RANGE, table.row_limit))
        written += arrays["keys"].size
        with (directory / f"rows_{index:06d}.npz").open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    return written


def read_table(table: HashTable, directory: Path) -> None:
    """Replace the table's rows by those that `write_table` wrote.

    Raises:
        ArtifactCorruptError: a file cannot be read, or the rows do not fit the table.
    """
    table.clear()
    for file in sorted(directory.glob("rows_*.npz")):
        try:
            with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
                part = _as_range(str(file), {name: arrays[name] for name in arrays.files})
            table.import_(part)
        except (ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
            raise ArtifactCorruptError(
                f"{file} does not hold rows of table {table.name!r}: {error}"
            ) from error


def _as_range(source: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> TableRange:
    missing = [name for name in _FIELDS if name not in arrays]
    if missing:
        raise ArtifactCorruptError(f"{source}: no array {missing[0]!r}; restore the file")
    return TableRange(
        keys=np.asarray(arrays["keys"], np.int64),
        values=np.asarray(arrays["values"], np.float32),
        states=np.asarray(arrays["states"], np.float32),
        frequency=np.asarray(arrays["frequency"], np.uint32),
        last_step=np.asarray(arrays["last_step"], np.uint32),
    )
