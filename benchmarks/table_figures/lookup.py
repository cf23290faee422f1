"""Lookup: vectors of keys, uniform, Zipf 1.05 and absent, beside the machine's random lines."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.measure.figure import compare
from benchmarks.measure.interleave import interleave
from benchmarks.measure.keys import BLOCK, Kind, block, indices, keys_of
from benchmarks.table_figures.bench import TFRA, Bench, insert_batches, make_table
from emberline.kernels import HashTable

__all__ = ["filled_tables", "lines_per_key", "measure_dictionary", "measure_lookup"]

SAMPLE = 64


def filled_tables(bench: Bench, *, dim: int, keys: int) -> tuple[dict[int, HashTable], str | None]:
    """Give one table per number of threads, and the peer's name of the same table."""
    tables = {threads: make_table(dim, threads=threads) for threads in bench.threads}
    for part in range(0, keys, 16 * BLOCK):
        for batch, vectors in insert_batches(dim, part, min(part + 16 * BLOCK, keys)):
            for table in tables.values():
                table.assign(batch, vectors)
    if bench.peer is None:
        return tables, None
    name = f"lookup_{dim}_{keys}"
    bench.peer.call("create", table=name, dim=dim)
    bench.peer.call("insert", table=name, start=0, count=keys)
    return tables, name


def lines_per_key(dim: int) -> int:
    """Cache lines that a hit touches: the two of its index chunk and those of its row."""
    return 2 + (dim * 4 + 63) // 64


def measure_lookup(
    bench: Bench,
    tables: dict[int, HashTable],
    peer_table: str | None,
    *,
    kind: Kind,
    keys: int,
    batch: int,
    ratio_target: float | None = None,
    share_target: float | None = None,
) -> None:
    """Look 2,097,152 keys up (quick: half) in batches, into an output that is used again.

    The limit of hits is random lines per second over as much memory as the table's index and
    rows take, divided by the lines that one key touches.
    """
    dim = next(iter(tables.values())).dim
    count = 1_048_576 if bench.quick else 2_097_152
    index = indices(kind, count, keys, 7)
    batches = [keys_of(index[at : at + batch]) for at in range(0, count, batch)]
    tail = index[(len(batches) - 1) * batch :][:SAMPLE]
    expected = np.zeros((SAMPLE, dim)) if kind == "missing" else block(dim)[tail % BLOCK]

    def check(found: object) -> None:
        if not np.array_equal(np.asarray(found, np.float32), expected):
            raise AssertionError(f"wrong vectors: {kind}, dim {dim}, batch {batch}")

    def ours(table: HashTable) -> float:
        out = np.full((batch, dim), np.nan, np.float32)
        began = time.perf_counter()
        for part in batches:
            table.lookup(part, missing="zeros", out=out[: len(part)])
        seconds = time.perf_counter() - began
        check(out[:SAMPLE])
        return count / seconds / 1e6

    contenders: dict[str, Callable[[], float]] = {
        f"ours {threads}": partial(ours, table) for threads, table in tables.items()
    }
    peer = bench.peer
    if peer is not None and peer_table is not None:

        def theirs() -> float:
            answer = peer.call(
                "lookup", table=peer_table, kind=kind, count=count, batch=batch,
                cardinality=keys, seed=7,
            )  # fmt: skip
            check(answer["sample"])
            return count / float(answer["seconds"]) / 1e6

        contenders["peer"] = theirs
    usage = next(iter(tables.values())).memory_usage()
    if kind == "uniform":
        for threads in tables:
            contenders[f"limit {threads}"] = partial(
                lines_limit, bench, usage.index + usage.rows, dim, threads
            )
            contenders[f"pattern {threads}"] = partial(
                pattern_limit, bench, usage.index, usage.rows, dim, batch, threads
            )
    samples = interleave(contenders, rounds=bench.rounds)
    for threads in tables:
        name = f"lookup {kind}, dim {dim}, {keys:,} keys, batch {batch:,}, {threads} threads"
        last = threads == bench.threads[-1]
        limit = samples.get(f"limit {threads}")
        bench.add(
            compare(
                name,
                "M keys/s",
                samples[f"ours {threads}"],
                peer=samples.get("peer"),
                peer_name=TFRA,
                limit=None if limit is None else limit.median,
                ratio_target=ratio_target if last else None,
                share_target=share_target if last else None,
            )
        )
        if last and limit is not None:
            bench.add(
                compare(
                    f"{name}, limit: its bare accesses",
                    "M keys/s",
                    samples[f"ours {threads}"],
                    limit=samples[f"pattern {threads}"].median,
                )
            )


def lines_limit(bench: Bench, size_bytes: int, dim: int, threads: int) -> float:
    """Million keys per second if every line of a key came at the rate of random lines."""
    return bench.limits.random_lines(size_bytes, threads=threads) / lines_per_key(dim) / 1e6


def pattern_limit(bench: Bench, index: int, rows: int, dim: int, batch: int, threads: int) -> float:
    """Million keys per second of a loop with a look-up's accesses and no table."""
    rate = bench.limits.lookups(
        index_bytes=index, rows_bytes=rows, row_bytes=dim * 4, batch=batch, threads=threads
    )
    return rate / 1e6


def measure_dictionary(bench: Bench, table: HashTable, *, keys: int, batch: int) -> None:
    """The plain way: a dict of row numbers and one NumPy matrix."""
    dim = table.dim
    vectors = block(dim)
    rows_of = {key: row for row, key in enumerate(keys_of(np.arange(keys)).tolist())}
    matrix = vectors[np.arange(keys) % BLOCK]
    index = indices("uniform", batch, keys, 8)
    queries = keys_of(index)
    out = np.empty((batch, dim), np.float32)

    def ours() -> float:
        began = time.perf_counter()
        table.lookup(queries, out=out)
        seconds = time.perf_counter() - began
        if not np.array_equal(out, vectors[index % BLOCK]):
            raise AssertionError("wrong vectors")
        return batch / seconds / 1e6

    def theirs() -> float:
        began = time.perf_counter()
        found = matrix[np.fromiter(map(rows_of.__getitem__, queries.tolist()), np.int64, batch)]
        seconds = time.perf_counter() - began
        if not np.array_equal(found, vectors[index % BLOCK]):
            raise AssertionError("wrong vectors")
        return batch / seconds / 1e6

    samples = interleave({"ours": ours, "peer": theirs}, rounds=bench.rounds)
    bench.add(
        compare(
            f"lookup uniform, dim {dim}, {keys:,} keys, batch {batch:,}, beside dict and NumPy",
            "M keys/s",
            samples["ours"],
            peer=samples["peer"],
            peer_name="dict and NumPy",
        )
    )
