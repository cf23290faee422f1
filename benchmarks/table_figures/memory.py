"""Memory: bytes per key beside the row, and what the process really holds."""

import gc

from benchmarks.measure.figure import compare
from benchmarks.measure.interleave import Samples
from benchmarks.measure.keys import BLOCK
from benchmarks.measure.memory import resident_bytes
from benchmarks.table_figures.bench import Bench, insert_batches, make_table

__all__ = ["measure_memory"]

DIM = 16


def measure_memory(bench: Bench) -> None:
    """Grow a table from nothing and read its own accounts on the way, at every 65,536 keys.

    The index doubles: its bytes per key fall until the next growth. The mean is over sizes of one
    whole doubling at the end; "before a growth" is the least that was seen there.
    """
    keys = 1_500_000 if bench.quick else 12_000_000
    gc.collect()
    table = make_table(DIM, threads=bench.threads[-1])
    seen: list[tuple[int, float]] = []
    before = resident_bytes()
    for start in range(0, keys, BLOCK):
        for batch, _ in insert_batches(DIM, start, min(start + BLOCK, keys)):
            table.find_or_insert(batch)
        usage = table.memory_usage()
        seen.append((len(table), (usage.index + usage.metadata) / len(table)))
    resident = resident_bytes() - before
    expected = len(table) * DIM * 4 + usage.index + usage.metadata
    doubling = [overhead for size, overhead in seen if size > keys / 2]
    bench.add(
        compare(
            f"overhead per key, mean over sizes {keys // 2:,} to {keys:,}",
            "B",
            Samples((sum(doubling) / len(doubling),)),
            most=56,
            smaller_is_better=True,
        )
    )
    bench.add(
        compare(
            "overhead per key just before a growth",
            "B",
            Samples((min(doubling),)),
            most=44,
            smaller_is_better=True,
        )
    )
    bench.add(
        compare(
            f"resident memory / (rows + overhead), {keys:,} keys, dim {DIM}",
            "x",
            Samples((resident / expected,)),
            most=1.25,
            smaller_is_better=True,
        )
    )
