"""Restrict: the least frequent fifth of a table goes, with its Adam states."""

import time
from typing import Any

from benchmarks.measure.figure import compare
from benchmarks.measure.interleave import Samples, interleave
from benchmarks.table_figures.bench import TFRA, Bench, insert_batches, make_table
from emberline import kernels
from emberline.kernels import HashTable

__all__ = ["measure_restrict"]

DIM = 64


def measure_restrict(bench: Bench) -> None:
    """1 M -> 800 k keys of dim 64 with Adam's two states; left out where the table cannot yet.

    All keys are as frequent as each other, so the ones that leave are scattered over all slabs:
    the worst case for memory, which only `shrink` gives back then. Measured alone and with it.
    """
    adam = getattr(kernels, "Adam", None)
    if adam is None or not hasattr(HashTable, "restrict"):
        return
    keys = 100_000 if bench.quick else 1_000_000
    kept = keys * 4 // 5
    threads = bench.threads[-1]
    table: Any = make_table(DIM, threads=threads, optimizer=adam())

    def train() -> None:
        table.clear()  # or the keys that came again would have the low scores and the last rows
        for number, (batch, vectors) in enumerate(insert_batches(DIM, 0, keys)):
            rows = table.find_or_insert(batch)
            table.apply_gradients(rows, vectors, step=number)

    freed: list[int] = []
    both: list[float] = []

    def ours() -> float:
        train()
        before = table.memory_usage().total
        began = time.perf_counter()
        evicted = table.restrict(kept)
        seconds = time.perf_counter() - began
        if evicted != keys - kept or len(table) != kept:
            raise AssertionError(f"{evicted} evicted, {len(table)} kept, not {kept}")
        began = time.perf_counter()
        table.shrink()
        both.append((seconds + time.perf_counter() - began) * 1e3)
        table.check()
        freed.append(before - table.memory_usage().total)
        return seconds * 1e3

    contenders = {"ours": ours}
    peer = bench.peer
    if peer is not None:
        peer.call("restrict_setup", table="restrict", count=keys, dim=DIM)

        def theirs() -> float:
            answer = peer.call("restrict", table="restrict", num_reserved=kept, count=keys)
            if answer["size"] != kept:
                raise AssertionError(f"the peer kept {answer['size']}, not {kept}")
            return float(answer["seconds"]) * 1e3

        contenders["peer"] = theirs
    samples = interleave(contenders, rounds=3)
    for name, ours_ms, extra in (
        ("restrict", samples["ours"], None),
        (
            "restrict and shrink",
            Samples(tuple(both[1:])),
            ("memory given back", min(freed) > keys // 5 * DIM * 12 * 0.9),
        ),
    ):
        bench.add(
            compare(
                f"{name} {keys:,} -> {kept:,}, dim {DIM}, Adam states, {threads} threads",
                "ms",
                ours_ms,
                peer=samples.get("peer"),
                peer_name=TFRA,
                ratio_target=20,
                extra=extra,
                smaller_is_better=True,
            )
        )
