"""Which batches of an epoch are whose: a pure function of how many there are and how many ranks.

The batches of an epoch are numbered and made as if there were one rank. Each rank gets a run of
neighbours, so that it reads only the row groups of its own part (dealing batches round robin would
make every rank decode every window). What is left of an epoch is a list of runs; after a part of
it was delivered and the ranks have changed, the rest is dealt in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from emberline.errors import DataError, nearest

__all__ = ["Remainder", "Runs", "Share"]

Remainder = Literal["pad", "drop", "uneven"]

Runs = tuple[tuple[int, int], ...]
"""Batches by number: runs `(start, stop)`, ascending, none empty, none touching the next."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """One rank's part of any list of batches.

    Of `m` batches for `world` ranks, every rank gets `m // world` neighbours, the first ranks one
    more where the division leaves a rest: rank 0 the first run, rank 1 the next.

    Attributes:
        rank: 0 <= rank < world.
        world: how many ranks there are.
        remainder: what happens with the rest. "pad": ranks without an extra batch repeat the last
            batch before the end of their run, so that all deliver equally many; "drop": the rest,
            the last batches of the list, is left out; "uneven": some ranks have one batch less.

    Raises:
        DataError: a setting outside its range.
    """

    rank: int = 0
    world: int = 1
    remainder: Remainder = "pad"

    def __post_init__(self) -> None:
        if self.world < 1:
            raise DataError(f"world is {self.world}; expected 1 or more ranks")
        if not 0 <= self.rank < self.world:
            raise DataError(
                f"rank is {self.rank}; expected 0 <= rank < world, which is {self.world}"
            )
        if self.remainder not in get_args(Remainder):
            raise DataError(
                f"remainder is {self.remainder!r}{nearest(str(self.remainder), get_args(Remainder))}; "
                "expected 'pad', 'drop' or 'uneven'"
            )

    def count(self, batches: int) -> int:
        """Batches that this rank delivers of so many, repeated ones included."""
        start, stop = self._bounds(self.rank, batches)
        return stop - start + self._repeats(batches)

    def numbers(self, runs: Runs, first: int = 0) -> tuple[range, ...]:
        """Give the numbers of this rank's batches of `runs`, from its batch `first` on.

        Ascending; with "pad" the last number may come twice.
        """
        total = _total(runs)
        start, stop = self._bounds(self.rank, total)
        own = [range(*run) for run in _slice(runs, start + first, stop)]
        if self._repeats(total) and first <= stop - start:
            (last,) = _slice(runs, stop - 1, stop)
            own.append(range(*last))
        return tuple(own)

    def left(self, runs: Runs, delivered: int) -> Runs:
        """Give what is left of `runs` after every rank has delivered so many of its batches."""
        total = _total(runs)
        rest: list[tuple[int, int]] = []
        end = 0
        for rank in range(self.world):
            start, end = self._bounds(rank, total)
            rest += _slice(runs, min(start + delivered, end), end)
        return _joined([*rest, *_slice(runs, end, total)])

    def _bounds(self, rank: int, batches: int) -> tuple[int, int]:
        size, rest = divmod(batches, self.world)
        if self.remainder == "drop":
            return rank * size, (rank + 1) * size
        start = rank * size + min(rank, rest)
        return start, start + size + (rank < rest)

    def _repeats(self, batches: int) -> bool:
        rest = batches % self.world
        return self.remainder == "pad" and rest > 0 and self.rank >= rest


def _total(runs: Runs) -> int:
    return sum(stop - start for start, stop in runs)


def _slice(runs: Runs, first: int, last: int) -> list[tuple[int, int]]:
    """Entries `first` to `last` of the batches in `runs`."""
    out = []
    passed = 0
    for start, stop in runs:
        begin, end = max(start, start + first - passed), min(stop, start + last - passed)
        if begin < end:
            out.append((begin, end))
        passed += stop - start
    return out


def _joined(runs: Sequence[tuple[int, int]]) -> Runs:
    out: list[tuple[int, int]] = []
    for start, stop in runs:
        if out and out[-1][1] == start:
            out[-1] = (out[-1][0], stop)
        else:
            out.append((start, stop))
    return tuple(out)
