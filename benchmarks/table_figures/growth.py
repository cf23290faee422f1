"""What a lookup costs as the table grows, and the longest step of the growth itself."""

import time
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure.figure import compare
from benchmarks.measure.interleave import Samples, interleave
from benchmarks.measure.keys import BLOCK, indices, keys_of
from benchmarks.measure.memory import available_bytes
from benchmarks.table_figures.bench import Bench, make_table
from benchmarks.table_figures.lookup import lines_per_key
from emberline.kernels import HashTable

__all__ = ["measure_growth"]

COUNT = 1_048_576


def measure_growth(bench: Bench, *, dim: int, sizes: list[int]) -> None:
    """Grow one table through `sizes`; at each, look keys up beside lines of the same footprint.

    The limit is measured twice: with huge pages, and without, which is what TLB misses cost.
    Sizes that the memory does not hold are left out, with a line that says so.
    """
    threads = bench.threads[-1]
    table = make_table(dim, threads=threads)
    have = 0
    longest = Samples((0.0,))
    for size in sizes:
        # Twice the table: the limit's buffer, and the old index while a new one is built.
        needed = 2 * size * (dim * 4 + 64 + 20)
        if needed > available_bytes():
            print(f"  {size:,} keys of dim {dim} are left out: {needed / 1e9:.1f} GB are not free")
            break
        steps: list[tuple[float, int]] = []
        for start in range(have, size, BLOCK):
            batch = keys_of(np.arange(start, min(start + BLOCK, size)))
            began = time.perf_counter()
            table.find_or_insert(batch)
            steps.append((time.perf_counter() - began, len(table)))
        have = size
        if len(table) != size:
            raise AssertionError("keys were lost while the table grew")
        worst = max(seconds * 1e3 / max(1.0, at / 1e7) for seconds, at in steps)
        longest = Samples((max(worst, longest.median),))
        index = indices("uniform", COUNT, size, 3)
        queries = keys_of(index)
        out = np.empty((COUNT, dim), np.float32)

        usage = table.memory_usage()
        footprint = usage.index + usage.rows

        samples = interleave(
            {
                "ours": partial(lookup_rate, table, queries, out),
                "huge": partial(lines_rate, bench, footprint, dim, huge=True),
                "small": partial(lines_rate, bench, footprint, dim, huge=False),
            },
            rounds=bench.rounds,
        )
        if not np.array_equal(table.find(queries), index):
            raise AssertionError("keys were mixed up while the table grew")
        for pages in ("huge", "small"):
            bench.add(
                compare(
                    f"lookup at {size:,} keys, dim {dim}, {footprint / 1e6:,.0f} MB; limit: "
                    f"{pages} pages",
                    "M keys/s",
                    samples["ours"],
                    limit=samples[pages].median,
                )
            )
    bench.add(
        compare(
            f"longest batch of 65,536 while growing to {have:,} keys, per 10 M keys",
            "ms",
            longest,
            most=100,
            smaller_is_better=True,
        )
    )


def lookup_rate(table: HashTable, queries: NDArray[np.int64], out: NDArray[np.float32]) -> float:
    """Million keys looked up per second."""
    began = time.perf_counter()
    table.lookup(queries, out=out)
    return len(queries) / (time.perf_counter() - began) / 1e6


def lines_rate(bench: Bench, size_bytes: int, dim: int, *, huge: bool) -> float:
    """Million keys per second if every line of a key came at the rate of random lines."""
    rate = bench.limits.random_lines(size_bytes, threads=bench.threads[-1], huge=huge)
    return rate / lines_per_key(dim) / 1e6
