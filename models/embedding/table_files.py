"""A hash table as files: fixed ranges of rows, and what its policies know beside them.

Each is a `.npz` without pickled objects.
"""

import contextlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emberline.errors import ArtifactCorruptError
from emberline.kernels import HashTable, PolicyState, TableRange

__all__ = [
    "ROWS_PER_RANGE",
    "policy_arrays",
    "read_table",
    "restore_policy_arrays",
    "restore_table_arrays",
    "saving_tables_apart",
    "table_arrays",
    "tables_saved_apart",
    "write_table",
]

# One range of dim 64 with Adagrad is 128 MiB: large reads, small memory.
ROWS_PER_RANGE = 262_144

_FIELDS = ("keys", "values", "states", "frequency", "last_step")
_POLICY_FIELDS = {
    "newest_step": np.uint32,
    "admission_step": np.uint64,
    "candidate_keys": np.int64,
    "candidate_counts": np.uint32,
    "sketch_cells": np.uint8,
}
_POLICY_FILE = "policy.npz"
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


def policy_arrays(table: HashTable) -> dict[str, npt.NDArray[np.generic]]:
    """Return what admission and expiry know beside the rows."""
    state = table.export_policy_state()
    return {name: np.asarray(getattr(state, name), dtype) for name, dtype in _POLICY_FIELDS.items()}


def restore_policy_arrays(
    table: HashTable, arrays: Mapping[str, npt.NDArray[np.generic]], *, source: str
) -> None:
    """Take over what `policy_arrays` gave; nothing where there is none, as in older files.

    Rows come first: a candidate must not be in the table.

    Args:
        table: whose state it becomes.
        arrays: name -> array.
        source: where they are from, for messages.

    Raises:
        ArtifactCorruptError: an array is missing, or the state is not one of the table's rules.
    """
    if not arrays:
        return
    try:
        table.import_policy_state(
            PolicyState(
                newest_step=int(arrays["newest_step"].item()),
                admission_step=int(arrays["admission_step"].item()),
                candidate_keys=np.asarray(arrays["candidate_keys"], np.int64),
                candidate_counts=np.asarray(arrays["candidate_counts"], np.uint32),
                sketch_cells=np.asarray(arrays["sketch_cells"], np.uint8),
            )
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactCorruptError(
            f"{source} does not hold the policies' state of table {table.name!r}: {error}"
        ) from error


def write_table(table: HashTable, directory: Path) -> int:
    """Write all into `directory`: one file for each `ROWS_PER_RANGE` row numbers, and the policies'.

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
    with (directory / _POLICY_FILE).open("wb") as file:
        np.savez(file, allow_pickle=False, **policy_arrays(table))
    return written


def read_table(table: HashTable, directory: Path) -> None:
    """Make the table hold exactly what `write_table` wrote.

    Raises:
        ArtifactCorruptError: a file cannot be read, or does not fit the table.
    """
    table.clear()
    for file in sorted(directory.glob("rows_*.npz")):
        try:
            table.import_(_as_range(str(file), _arrays(file)))
        except (ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
            raise ArtifactCorruptError(
                f"{file} does not hold rows of table {table.name!r}: {error}"
            ) from error
    policies = directory / _POLICY_FILE
    if not policies.exists():
        return  # format version 1 had none
    try:
        arrays = _arrays(policies)
    except (ValueError, zipfile.BadZipFile) as error:
        raise ArtifactCorruptError(f"{policies} cannot be read: {error}") from error
    restore_policy_arrays(table, arrays, source=str(policies))


def _arrays(file: Path) -> dict[str, npt.NDArray[np.generic]]:
    with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


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
