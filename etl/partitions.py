"""Plans over whole data sets that NVTabular asks dask for."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from emberline.errors import DataError, nearest
from emberline.etl.errors import ColumnNotFoundError
from emberline.etl.execution import collect

__all__ = ["keyed", "merge_frames", "physical_memory"]

_PART = "\x1fpartition"
_HOW: dict[str, Literal["inner", "left", "full"]] = {
    "inner": "inner",
    "left": "left",
    "outer": "full",
}
_MERGE_ARGUMENTS = ("how", "left_on", "on", "right_on", "suffixes")


def physical_memory() -> int:
    """Give this machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def keyed(
    plan: pl.LazyFrame, keys: Sequence[str], count: int, *, files: Sequence[Path] = ()
) -> tuple[pl.LazyFrame, list[int]]:
    """Give the rows reordered so that those of equal keys are in one of `count` partitions.

    A partition is chosen by the rank of its keys, so that it does not depend on a hash function.

    Returns:
        The plan, and the rows of each partition in order.
    """
    distinct = plan.select(keys).unique().sort(list(keys)).with_row_index(_PART)
    numbers = distinct.with_columns((pl.col(_PART) % count).cast(pl.UInt32))
    placed = plan.join(
        numbers, on=list(keys), how="left", nulls_equal=True, maintain_order="left"
    ).sort(_PART, maintain_order=True)
    sizes = collect(placed.group_by(_PART).len(), files=files)
    found = dict(sizes.iter_rows())
    return placed.drop(_PART), [int(found.get(i, 0)) for i in range(count)]


def merge_frames(
    left: pl.LazyFrame, right: pl.LazyFrame, arguments: Mapping[str, Any]
) -> pl.LazyFrame:
    """Join two plans by pandas' arguments of `merge`.

    Raises:
        DataError: an argument that is not known, or no keys.
        ColumnNotFoundError: a key that is not there.
    """
    for name in arguments:
        if name not in _MERGE_ARGUMENTS:
            raise DataError(f"merge has no argument {name!r}{nearest(name, _MERGE_ARGUMENTS)}")
    how = arguments.get("how", "inner")
    if how not in _HOW:
        raise DataError(f"how must be 'inner', 'left' or 'outer', got {how!r}")
    keys = [
        [value] if isinstance(value, str) else list(value or ())
        for value in (
            arguments.get("left_on", arguments.get("on")),
            arguments.get("right_on", arguments.get("on")),
        )
    ]
    if not keys[0] or len(keys[0]) != len(keys[1]):
        raise DataError("merge needs on, or left_on and right_on of the same number of columns")
    schemas = [side.collect_schema().names() for side in (left, right)]
    for names, known, which in zip(keys, schemas, ("left", "right"), strict=True):
        for name in names:
            if name not in known:
                raise ColumnNotFoundError(
                    f"merge: the {which} data has no column {name!r}{nearest(name, known)}"
                )
    same = keys[0] == keys[1]
    both = {n for n in schemas[0] if n in schemas[1]} - (set(keys[0]) if same else set())
    suffixes = arguments.get("suffixes", ("_x", "_y"))
    renamed = [{n: f"{n}{suffix}" for n in both} for suffix in suffixes]
    return left.rename(renamed[0]).join(
        right.rename(renamed[1]),
        left_on=[renamed[0].get(n, n) for n in keys[0]],
        right_on=[renamed[1].get(n, n) for n in keys[1]],
        how=_HOW[how],
        nulls_equal=True,
        coalesce=same,
        maintain_order="left",
    )
