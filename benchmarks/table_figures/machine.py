"""What the machine gives, whatever runs on it: the ceilings of all other figures."""

from functools import partial

from benchmarks.measure.figure import compare
from benchmarks.measure.interleave import interleave
from benchmarks.table_figures.bench import Bench

__all__ = ["measure_machine"]


def measure_machine(bench: Bench) -> None:
    """Random cache lines per second on huge and on small pages, and the bandwidth of a copy.

    Over more memory than the last-level cache of most machines has (quick: a quarter of that).
    """
    size_bytes = 2**28 if bench.quick else 2**30
    for threads in bench.threads:
        lines = {
            pages: partial(
                bench.limits.random_lines, size_bytes, threads=threads, huge=pages == "huge"
            )
            for pages in ("huge", "small")
        }
        copy = partial(bench.limits.copy_bandwidth, size_bytes, threads=threads)
        samples = interleave({**lines, "copy": copy}, rounds=bench.rounds)
        of = f"over {size_bytes >> 20:,} MiB, {threads} threads"
        for pages in lines:
            name = f"machine: random 64-byte lines, {pages} pages, {of}"
            bench.add(compare(name, "M lines/s", samples[pages].scaled(1e-6)))
        bench.add(compare(f"machine: copy {of}", "GB/s", samples["copy"].scaled(1e-9)))
    bench.limits.close()
