"""Export and import beside the copy bandwidth of the machine."""

import time
from collections.abc import Callable

import numpy as np

from benchmarks.measure.figure import compare
from benchmarks.measure.interleave import interleave
from benchmarks.table_figures.bench import TFRA, Bench, make_table
from emberline.kernels import HashTable, TableRange

__all__ = ["measure_exchange"]

ROWS = 65_536  # of one range


def measure_exchange(bench: Bench, table: HashTable, peer_table: str | None, keys: int) -> None:
    """Stream the table out in ranges, and a copy of it into a table with room for it.

    Bytes are those of keys, weights, states and metadata; the limit is a memcpy of as many bytes
    as a range has, between buffers in use, by as many threads.
    """
    threads = bench.threads[-1]
    parts = [table.export(at, at + ROWS) for at in range(0, table.row_limit, ROWS)]
    size_bytes = sum(range_bytes(part) for part in parts)
    target = make_table(table.dim, threads=threads, optimizer=table.optimizer, capacity=keys)

    def export() -> float:
        began = time.perf_counter()
        found = 0
        for at in range(0, table.row_limit, ROWS):
            found += len(table.export(at, at + ROWS))
        seconds = time.perf_counter() - began
        if found != keys:
            raise AssertionError(f"{found} rows exported, not {keys}")
        return size_bytes / seconds / 1e9

    def import_() -> float:
        began = time.perf_counter()
        for part in parts:
            target.import_(part)
        seconds = time.perf_counter() - began
        if len(target) != keys or not np.array_equal(
            target.export(0, ROWS).values, parts[0].values
        ):
            raise AssertionError("the imported table differs")
        return size_bytes / seconds / 1e9

    def copy() -> float:
        return bench.limits.copy_bandwidth(range_bytes(parts[0]), threads=threads) / 1e9

    contenders: dict[str, Callable[[], float]] = {
        "export": export, "import": import_, "copy": copy,
    }  # fmt: skip
    peer = bench.peer
    if peer is not None and peer_table is not None:

        def theirs() -> float:
            answer = peer.call("export", table=peer_table)
            if answer["count"] != keys:
                raise AssertionError("the peer lost keys")
            return (float(answer["bytes"]) + 8 * keys) / float(answer["seconds"]) / 1e9

        contenders["peer"] = theirs
    samples = interleave(contenders, rounds=bench.rounds)
    for name in ("export", "import"):
        bench.add(
            compare(
                f"{name}, dim {table.dim}, {keys:,} keys, {threads} threads",
                "GB/s",
                samples[name],
                peer=samples.get("peer") if name == "export" else None,
                peer_name=f"{TFRA}, without metadata",
                limit=samples["copy"].median,
                share_target=0.5,
            )
        )


def range_bytes(part: TableRange) -> int:
    """Bytes of one exported range."""
    return sum(int(array.nbytes) for array in vars(part).values())
