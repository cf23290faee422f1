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

__all__ = ["measure_growth", "measure_growth_steps"]

COUNT = 1_048_576


def measure_growth(bench: Bench, *, dim: int, sizes: list[int]) -> None:
    """Grow one table through `sizes`; at each, look keys up beside lines of the same footprint.

    The limit is measured twice: with huge pages, and without, which is what TLB misses cost.
    Sizes that the memory does not hold are left out, with a line that says so.
    """
    threads = bench.threads[-1]
    table = make_table(dim, threads=threads)
    have = 0
    for size in sizes:
        if not fits(table, size):
            break
        for start in range(have, size, BLOCK):
            table.find_or_insert(keys_of(np.arange(start, min(start + BLOCK, size))))
        have = size
        if len(table) != size:
            raise AssertionError("keys were lost while the table grew")
        index = indices("uniform", COUNT, size, 3)
        queries = keys_of(index)
        out = np.empty((COUNT, dim), np.float32)
        usage = table.memory_usage()
        footprint = usage.index + usage.rows
        # Half of what is free, should the table be larger: beyond some GB the rate hardly falls.
        over = min(footprint, available_bytes() // 2)
        for pages in ("huge", "small"):
            samples = interleave(
                {
                    "ours": partial(lookup_rate, table, queries, out),
                    "limit": partial(lines_rate, bench, over, dim, huge=pages == "huge"),
                },
                rounds=bench.rounds,
            )
            bench.limits.close()
            bench.add(
                compare(
                    f"lookup at {size:,} keys, dim {dim}, {footprint / 1e6:,.0f} MB; limit: "
                    f"{pages} pages{'' if over == footprint else f' over {over / 1e6:,.0f} MB'}",
                    "M keys/s",
                    samples["ours"],
                    limit=samples["limit"].median,
                )
            )
        if not np.array_equal(table.find(queries), index):
            raise AssertionError("keys were mixed up while the table grew")


def fits(table: HashTable, keys: int) -> bool:
    """Whether a table may grow to so many keys; says so where the memory is not there.

    Rows and metadata as the table predicts, an eighth more for growing in small steps, and 1 GB
    for everything else. The index has six keys in each chunk of 128 bytes at most, and twice as
    many chunks as the last one, which is still there while the new one is built.
    """
    usage = table.memory_usage(keys)
    chunks = 1 << (max(1, keys // 6) - 1).bit_length()
    rows = (usage.rows + usage.metadata) * 9 // 8
    while_growing = 128 * chunks * 3 // 2 + rows * 3 * chunks // max(1, keys)
    needed = max(128 * chunks + rows, while_growing) + 10**9 - table.memory_usage().total
    free = available_bytes()
    if needed > free:
        print(
            f"left out: {keys:,} keys of dim {table.dim} need {needed / 1e9:.1f} GB more; "
            f"{free / 1e9:.1f} GB are free"
        )
    return needed <= free


def measure_growth_steps(bench: Bench, *, dim: int, keys: int) -> None:
    """Insert batches of 65,536 until there are `keys`; the longest batch, per 10 M keys present.

    Three times from nothing, the least time of each batch: a growth is in all of them, while the
    machine's own pauses are not.
    """
    batches = [keys_of(np.arange(at, min(at + BLOCK, keys))) for at in range(0, keys, BLOCK)]
    times = np.full(len(batches), np.inf)
    for _ in range(3):
        table = make_table(dim, threads=bench.threads[-1])
        for number, batch in enumerate(batches):
            began = time.perf_counter()
            table.find_or_insert(batch)
            times[number] = min(times[number], time.perf_counter() - began)
        if len(table) != keys:
            raise AssertionError("keys were lost while the table grew")
        del table
    present = np.maximum(1e7, np.arange(1, len(batches) + 1) * BLOCK)
    worst = float((times * 1e3 / (present / 1e7)).max())
    bench.add(
        compare(
            f"longest batch of 65,536 while growing to {keys:,} keys, dim {dim}, per 10 M keys",
            "ms",
            Samples((worst,)),
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
