"""Insert: new keys into an empty table, and vectors of present keys replaced."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure.figure import Figure, compare
from benchmarks.measure.interleave import Samples, interleave
from benchmarks.measure.keys import BLOCK, block, indices, keys_of
from benchmarks.table_figures.bench import TFRA, Bench, insert_batches, make_table, seconds_of
from emberline.kernels import HashTable

__all__ = ["measure_insert", "measure_update"]


def measure_insert(bench: Bench, *, dim: int, keys: int, target: float | None) -> None:
    """Insert keys into a fresh table, batches of 65,536, in slices that take turns.

    The table grows from nothing. `assign` copies vectors in, as TFRA's `upsert` does;
    `find_or_insert` draws them from the initializer.
    """
    slices = 4 if bench.quick else 10
    seconds: dict[str, list[float]] = {}
    for number in range(3):  # the first is not counted: a virtual machine gets its memory there
        ours = {
            f"{method} {threads}": (method, make_table(dim, threads=threads))
            for threads in bench.threads
            for method in ("assign", "find_or_insert")
        }
        totals = dict.fromkeys([*ours, "peer", "dict"], 0.0)
        peer_table = f"insert_{dim}_{keys}_{number}"
        if bench.peer is not None:
            bench.peer.call("create", table=peer_table, dim=dim)
        rows_of: dict[int, int] = {}
        for part in range(slices):
            # Whole blocks, so that a key's vector is that of its index; the last takes the rest.
            start, stop = (keys * at // slices // BLOCK * BLOCK for at in (part, part + 1))
            stop = keys if part == slices - 1 else stop
            batches = insert_batches(dim, start, stop)
            for name, (method, table) in ours.items():
                for batch, vectors in batches:
                    if method == "assign":
                        totals[name] += seconds_of(partial(table.assign, batch, vectors))
                    else:
                        totals[name] += seconds_of(partial(table.find_or_insert, batch))
            if bench.peer is not None:
                totals["peer"] += bench.peer.call(
                    "insert", table=peer_table, start=start, count=stop - start
                )
            if keys <= 1_000_000 and dim == 16:  # a dict has no vectors: one figure is enough
                for batch, _ in batches:
                    totals["dict"] += seconds_of(partial(number_keys, rows_of, batch))
        for method, table in ours.values():
            check_content(table, dim, keys, vectors=method == "assign")
        if bench.peer is not None:
            if bench.peer.call("size", table=peer_table) != keys:
                raise AssertionError("the peer lost keys")
            bench.renew_peer()
        for name, total in totals.items():
            if total > 0 and number > 0:
                seconds.setdefault(name, []).append(keys / total / 1e6)
        del ours
    samples = {name: Samples(tuple(values)) for name, values in seconds.items()}
    for threads in bench.threads:
        for method in ("assign", "find_or_insert"):
            bench.add(
                figure_of(
                    f"insert new keys, {method}, dim {dim}, {keys:,} keys, {threads} threads",
                    samples[f"{method} {threads}"],
                    samples.get("peer"),
                    target if threads == bench.threads[-1] else None,
                )
            )
    if "dict" in samples:
        bench.add(
            figure_of(
                f"insert new keys, find_or_insert, dim {dim}, {keys:,}, beside a dict",
                samples[f"find_or_insert {bench.threads[-1]}"],
                samples["dict"],
                None,
                peer_name="dict, numbers only",
            )
        )


def measure_update(bench: Bench, table: HashTable, peer_table: str | None, keys: int) -> None:
    """Replace the vectors of 8 x 65,536 random present keys."""
    dim = table.dim
    vectors = block(dim)
    found = [indices("uniform", BLOCK, keys, 100 + i) for i in range(8)]
    batches = [(keys_of(index), vectors[index % BLOCK]) for index in found]

    def ours() -> float:
        return 8 * BLOCK / sum(seconds_of(partial(table.assign, *b)) for b in batches) / 1e6

    contenders = {"ours": ours}
    peer = bench.peer
    if peer is not None and peer_table is not None:

        def theirs() -> float:
            seconds = peer.call("update", table=peer_table, batches=8, cardinality=keys, seed=100)
            return 8 * BLOCK / float(seconds) / 1e6

        contenders["peer"] = theirs
    samples = interleave(contenders, rounds=bench.rounds)
    if not np.array_equal(table.lookup(batches[0][0]), batches[0][1]):
        raise AssertionError("update changed vectors that it should have written again")
    name = f"update present keys, dim {dim}, {keys:,} keys, {bench.threads[-1]} threads"
    bench.add(figure_of(name, samples["ours"], samples.get("peer"), None))


def figure_of(
    name: str, ours: Samples, peer: Samples | None, target: float | None, peer_name: str = TFRA
) -> Figure:
    """A row in million keys per second."""
    return compare(name, "M keys/s", ours, peer=peer, peer_name=peer_name, ratio_target=target)


def number_keys(rows_of: dict[int, int], batch: NDArray[np.int64]) -> None:
    """What a dict can do of an insert: give each new key the next number."""
    for key in batch.tolist():
        rows_of.setdefault(key, len(rows_of))


def check_content(table: HashTable, dim: int, keys: int, *, vectors: bool) -> None:
    """Every key is there, in the order of its insertion, with its vector."""
    index = np.random.default_rng(0).integers(0, keys, 100_000)
    if len(table) != keys or not np.array_equal(table.find(keys_of(index)), index):
        raise AssertionError("keys were lost or mixed up")
    expected = block(dim)[index % BLOCK] if vectors else HashTable(dim).lookup(keys_of(index))
    if not np.array_equal(table.lookup(keys_of(index)), expected):
        raise AssertionError("vectors differ from what was inserted")
