"""Statistics of many parts of the data, merged within a memory budget."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import polars as pl

from emberline.etl.errors import MemoryLimitError
from emberline.etl.execution import in_threads, reading

__all__ = ["Key", "StatisticsStore"]

#: The step's number and the name of the statistic.
Key = tuple[int, str]

#: A statistic on disk is cut into so many ranges of a hash of its keys; they are merged one by one.
RANGES = 16

_RANGE = "\x1frange"


class StatisticsStore:
    """Takes partial statistics one by one, gives the merged ones at the end.

    Without a budget everything stays in memory. With one, statistics that have keys go to disk
    when all together outgrow it: each is cut by a hash of its keys, so that equal keys meet in
    one range, and at the end the ranges are merged one after the other. Use as a context manager:
    the files are removed at the end.
    """

    def __init__(
        self,
        merge: Callable[[Key, Sequence[pl.DataFrame]], pl.DataFrame],
        keys: Callable[[Key], Sequence[str]],
        *,
        budget: int | None = None,
        limit: int | None = None,
    ) -> None:
        """Start empty.

        Args:
            merge: joins frames of one statistic (`StatOperator.merge`).
            keys: the columns by which a statistic may be cut (`StatOperator.keys`), or none.
            budget: bytes of statistics to hold in memory; None: any number.
            limit: bytes that all merged statistics may have; None: any number.
        """
        self._merge, self._keys = merge, keys
        self._budget, self._limit = budget, limit
        self._held: dict[Key, list[pl.DataFrame]] = {}
        # The size of the first frame, where it is the result of a merge.
        self._merged_size: dict[Key, int] = {}
        self._runs: dict[Key, int] = {}
        self._directory: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    @property
    def spilled(self) -> int:
        """How many runs were written to disk so far."""
        return sum(self._runs.values())

    def add(self, partials: Mapping[Key, pl.DataFrame]) -> None:
        """Take the statistics of one part of the data.

        Raises:
            OSError: no space for what does not fit into memory.
        """
        in_threads(self._take, partials.items())
        if self._budget is None:
            return
        for key in sorted(self._held, key=self._size, reverse=True):
            if sum(map(self._size, self._held)) <= self._budget:
                return
            self._compact(key)
            if self._keys(key) and sum(map(self._size, self._held)) > self._budget:
                self._spill(key)

    def _take(self, partial: tuple[Key, pl.DataFrame]) -> None:
        key, frame = partial
        self._held.setdefault(key, []).append(frame)
        # Merged when as much is new as is merged: every row is merged a few times, however
        # many parts there are.
        new = sum(_size(f) for f in self._held[key][1:])
        if len(self._held[key]) > 1 and new >= self._merged_size.get(key, 0):
            self._compact(key)

    def results(self) -> dict[Key, pl.DataFrame]:
        """Give every statistic, merged.

        Raises:
            MemoryLimitError: together they are larger than the limit; says what to do.
        """
        out: dict[Key, pl.DataFrame] = {}
        in_threads(self._compact, [key for key in self._held if key not in self._runs])
        for key in list(dict.fromkeys([*self._held, *self._runs])):
            frames = self._held.pop(key, [])
            if key in self._runs:
                out[key] = self._read(key, frames)
            else:
                done = len(frames) == 1 and key in self._merged_size
                out[key] = frames[0] if done else self._merge(key, frames)
            sizes = {known: _size(frame) for known, frame in out.items()}
            if self._limit is not None and sum(sizes.values()) > self._limit:
                largest = max(sizes, key=sizes.__getitem__)
                raise MemoryLimitError(
                    f"the statistics take {sum(sizes.values()) / 1e6:.0f} MB, more than "
                    f"memory_limit leaves for them ({self._limit / 1e6:.0f} MB); the largest are "
                    f"the distinct values of {largest[1]!r} ({sizes[largest] / 1e6:.0f} MB). Raise "
                    "the limit, or encode that column by HashBucket"
                )
        return out

    def _size(self, key: Key) -> int:
        return sum(_size(frame) for frame in self._held.get(key, ()))

    def _compact(self, key: Key) -> None:
        if len(self._held[key]) > 1:
            self._held[key] = [self._merge(key, self._held[key])]
            self._merged_size[key] = self._size(key)

    def _spill(self, key: Key) -> None:
        """Write what is held of a statistic as one run, each range a file."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="emberline-"))
        (frame,) = self._held.pop(key)
        run = self._runs[key] = self._runs.get(key, 0) + 1
        folder = self._folder(key)
        folder.mkdir(exist_ok=True)
        columns = [pl.col(name) for name in self._keys(key)]
        # The values of the hash matter only while this process lives.
        hashed = frame.with_columns((pl.struct(columns).hash(0) % RANGES).alias(_RANGE))
        with reading():
            for (number,), part in hashed.partition_by(_RANGE, as_dict=True).items():
                part.drop(_RANGE).write_parquet(
                    folder / f"{number}.{run}.parquet", compression="lz4"
                )
        self._merged_size.pop(key, None)

    def _read(self, key: Key, frames: list[pl.DataFrame]) -> pl.DataFrame:
        """Merge what is on disk, range by range."""
        self._held[key] = [self._merge(key, frames)] if frames else []
        if frames:
            self._spill(key)
        merged = []
        for number in range(RANGES):
            files = sorted(self._folder(key).glob(f"{number}.*.parquet"))
            if files:
                with reading(files):
                    runs = [pl.read_parquet(file, glob=False) for file in files]
                merged.append(self._merge(key, runs))
        self._held.pop(key, None)
        return pl.concat(merged, how="vertical_relaxed")

    def _folder(self, key: Key) -> Path:
        assert self._directory is not None, "a run was written"
        return self._directory / f"{key[0]}-{list(self._runs).index(key)}"


def _size(frame: pl.DataFrame) -> int:
    return int(frame.estimated_size())
