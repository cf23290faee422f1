"""Random operations on the table and on the dict model, for any length of time.

    python -m tests.kernels.fuzz --seconds 120 [--seed N]
    python -m tests.kernels.fuzz --episode N --verbose      replay one episode

An episode is one pair of tables with random settings and a few hundred operations, and a pure
function of its number: what failed once fails again. Episode numbers count up from the seed.
"""

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emberline.errors import EmberlineError
from emberline.kernels import SGD, Adagrad, Constant, HashTable, Uniform
from tests.reference import ReferenceTable

__all__ = ["Episode", "FuzzError", "fuzz"]

Keys = NDArray[np.int64]

EXTREMES = np.array([-(2**63), -(2**63) + 1, -1, 0, 1, 2**63 - 2, 2**63 - 1], np.int64)


class FuzzError(AssertionError):
    """The tables differ; the message names the episode, the operation and how to replay it."""


@dataclass
class Episode:
    """Both tables and the operations on them.

    Attributes:
        number: the seed of everything in it.
        verbose: print each operation before it runs.
    """

    number: int
    verbose: bool = False

    def __post_init__(self) -> None:
        """Choose the settings and make the tables."""
        self.rng = rng = np.random.default_rng(self.number)
        self.dim = int(rng.choice([1, 2, 3, 7, 8, 9, 16]))
        # Small whole numbers are exact in float32 in any order; others are not, and must match.
        self.whole = bool(rng.random() < 0.3)
        self.settings: dict[str, Any] = {
            "optimizer": self.choose([SGD(learning_rate=0.5), Adagrad(learning_rate=0.25)]),
            # Not Normal: the model's log and cos are the C library's, equal up to the last bits.
            "initializer": self.choose([Uniform(), Constant(value=0.5)]),
            "seed": int(rng.integers(0, 2**63)) * 2 + 1,
            "row_type": self.choose(["float32", "float32", "bfloat16", "float16"]),
            "max_rows": int(self.choose([5, 40, 300, 2**32 - 2, 2**32 - 2])),
        }
        self.span = int(self.choose([8, 60, 400, 10**6, 2**62]))
        self.batch = int(self.choose([1, 10, 100, 600]))
        self.ours, self.theirs = self.new_table(), ReferenceTable(self.dim, **self.settings)
        self.step, self.closed, self.operations, self.keys_used = 0, 0, 0, 0

    def new_table(self) -> HashTable:
        """Make a table with a hash, threads and parts of its own, which must not matter."""
        return HashTable(
            self.dim,
            threads=int(self.choose([1, 1, 2, 3, 7])),
            capacity=int(self.choose([0, 0, self.settings["max_rows"] // 2 % 1000])),
            _hash_bits=int(self.choose([0, 1, 3, 6, 64, 64])),
            _grain=int(self.choose([1, 5, 64])),
            **self.settings,
        )

    def choose(self, values: list[Any]) -> Any:
        """Pick one."""
        return values[int(self.rng.integers(0, len(values)))]

    def keys(self) -> Keys:
        """Draw a batch: uniform or nearly all equal, with the extremes now and then."""
        count = int(self.rng.integers(0, self.batch + 1))
        low = -self.span if self.rng.random() < 0.5 else 0
        keys = self.rng.integers(low, self.span, count)
        if self.rng.random() < 0.2:
            keys %= 3
        if self.rng.random() < 0.2 and count:
            at = self.rng.integers(0, count, 3)
            keys[at] = self.rng.choice(EXTREMES, 3)
        self.keys_used += count
        return keys

    def floats(self, *shape: int) -> NDArray[np.float32]:
        """Draw a matrix."""
        if self.whole:
            return self.rng.integers(-3, 4, shape).astype(np.float32)
        return self.rng.standard_normal(shape).astype(np.float32)

    def both(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method of both; the same error or the same bits must come back."""
        if self.verbose:
            sizes = [getattr(a, "shape", a) for a in (*arguments, *named.values())]
            print(f"{self.operations:5} {method} {sizes} of {self.theirs.size} keys")
        results: list[Any] = []
        for table in (self.ours, self.theirs):
            try:
                results.append(getattr(table, method)(*arguments, **named))
            except EmberlineError as error:
                results.append(type(error).__name__)
        equal = type(results[0]) is type(results[1]) and np.array_equal(
            results[0], results[1], equal_nan=isinstance(results[0], np.ndarray)
        )
        if not equal:
            self.fail(f"{method} gave {results[0]!r}, the model {results[1]!r}")
        return results[0]

    def fail(self, what: str) -> None:
        """Stop here."""
        raise FuzzError(
            f"episode {self.number}, operation {self.operations}: {what}; replay with: "
            f"python -m tests.kernels.fuzz --episode {self.number} --verbose"
        )

    def run(self, operations: int = 200) -> None:
        """Do random operations; compare everything every twenty and at the end.

        Raises:
            FuzzError: the first difference.
        """
        for self.operations in range(operations):
            self.choose(OPERATIONS)(self)
            if self.operations % 20 == 19:
                self.compare()
        self.compare()

    def compare(self) -> None:
        """Compare contents, row by row, and check our invariants."""
        self.ours.check()
        self.theirs.check()
        ours, theirs = vars(self.ours.export()), vars(self.theirs.export())
        for name, column in ours.items():
            if not np.array_equal(column, theirs[name], equal_nan=True):
                self.fail(f"{name} of the rows differ")
        for name in ("size", "row_limit"):
            if getattr(self.ours, name) != getattr(self.theirs, name):
                self.fail(f"{name} is {getattr(self.ours, name)}")

    def insert(self) -> None:
        self.both("find_or_insert", self.keys())

    def read(self) -> None:
        keys = self.keys()
        rows = self.both("find", keys)
        self.both("gather", rows)
        self.both("lookup", keys, missing=self.choose(["initial", "zeros"]))

    def pool(self) -> None:
        rows = self.both("find", self.keys())
        cuts = np.sort(self.rng.integers(0, len(rows) + 1, int(self.rng.integers(0, 9))))
        offsets = np.array([0, *cuts, len(rows)], np.int64)
        weights = None if self.rng.random() < 0.5 else self.floats(len(rows))
        combiner = self.choose(["sum", "mean", "sqrtn"])
        longest = self.choose([None, None, 1, 2, 7])
        self.both(
            "gather_pooled", rows, offsets, combiner=combiner, weights=weights, max_length=longest
        )

    def add(self) -> None:
        keys = self.keys()
        values = self.floats(len(keys), self.dim)
        self.both("add", keys, values, missing=self.choose(["initial", "zeros"]))

    def assign(self) -> None:
        keys = self.keys()
        width = self.settings["optimizer"].state_floats(self.dim)
        states = None if self.rng.random() < 0.5 else np.abs(self.floats(len(keys), width))
        self.both("assign", keys, self.floats(len(keys), self.dim), states)

    def erase(self) -> None:
        self.both("erase", self.keys())

    def train(self) -> None:
        self.step += 1
        rows = self.both(self.choose(["find", "find_or_insert"]), self.keys())
        if isinstance(rows, str):
            return
        if self.rng.random() < 0.5:
            self.both("apply_gradients", rows, self.floats(len(rows), self.dim), step=self.step)
            return
        gradients = self.floats(5, self.dim)
        source = self.rng.integers(0, 5, len(rows))
        scale = self.floats(len(rows))
        self.both(
            "apply_gradients", rows, gradients, source=source, scale=scale, step=self.step,
            learning_rate=float(self.choose([0.0, 0.125, 1.0])),
        )  # fmt: skip

    def misuse(self) -> None:
        """Rows that nobody has: an error, and nothing changes."""
        rows = np.array([0, -1, self.theirs.row_limit + int(self.rng.integers(-1, 2))], np.int64)
        self.both("apply_gradients", rows, self.floats(3, self.dim), step=self.step)

    def reload(self) -> None:
        """Move both to new tables in ranges; the work goes on there."""
        ours, theirs = self.new_table(), ReferenceTable(self.dim, **self.settings)
        width = int(self.choose([1 + self.theirs.row_limit // 3, 2**40]))
        for old, new in ((self.ours, ours), (self.theirs, theirs)):
            for start in range(0, old.row_limit, width):
                new.import_(old.export(start, start + width))
        self.ours, self.theirs, self.closed = ours, theirs, 0

    def delta(self) -> None:
        changed = [table.export(since=self.closed) for table in (self.ours, self.theirs)]
        if not np.array_equal(changed[0].keys, changed[1].keys):
            self.fail(f"export(since={self.closed}) gave other keys than the model")
        self.closed = self.both("advance_version")

    def reserve(self) -> None:
        self.both("reserve", self.theirs.size + int(self.rng.integers(0, 100)))

    def clear(self) -> None:
        if self.rng.random() < 0.2:
            self.both("clear")


OPERATIONS: list[Callable[[Episode], None]] = [
    Episode.insert, Episode.insert, Episode.read, Episode.read, Episode.pool, Episode.assign,
    Episode.add, Episode.erase, Episode.erase, Episode.train, Episode.train, Episode.train, Episode.misuse,
    Episode.reload, Episode.delta, Episode.reserve, Episode.clear,
]  # fmt: skip


def fuzz(*, seconds: float, seed: int) -> tuple[int, int]:
    """Run episodes seed, seed + 1, ... until the time is over.

    Returns:
        Episodes and keys worked on.

    Raises:
        FuzzError: the first difference.
    """
    end = time.monotonic() + seconds
    episodes = keys = 0
    while time.monotonic() < end:
        episode = Episode(seed + episodes)
        try:
            episode.run()
        except FuzzError:
            raise
        except Exception as error:  # a crash of either table is a finding as well
            raise FuzzError(f"episode {episode.number}: {type(error).__name__}: {error}") from error
        episodes += 1
        keys += episode.keys_used
    return episodes, keys


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, help="the first episode; random if left out")
    parser.add_argument("--episode", type=int, help="run this one alone")
    parser.add_argument("--verbose", action="store_true", help="print each operation")
    arguments = parser.parse_args()
    if arguments.episode is not None:
        Episode(arguments.episode, verbose=arguments.verbose).run()
        print(f"episode {arguments.episode}: no difference")
        return
    seed = arguments.seed
    if seed is None:
        seed = random.SystemRandom().randrange(2**40)
    print(f"fuzz: --seed {seed}, {arguments.seconds:g} s", flush=True)
    episodes, keys = fuzz(seconds=arguments.seconds, seed=seed)
    print(f"fuzz: no difference in {episodes} episodes, {keys} keys")


if __name__ == "__main__":
    main()
