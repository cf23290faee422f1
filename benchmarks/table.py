"""The hash table beside TFRA 0.8.1, a dict and the machine's limits, in one run.

    python benchmarks/table.py [--quick] [--json FILE] [--threads 1,2]

TFRA runs in its own environment (`make peers`); without it, its columns stay empty and the
targets that need it are reported as not measured. Answers are checked inside every measurement.
"""

import argparse
import inspect
import os
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measure.figure import write_json
from benchmarks.measure.keys import KINDS
from benchmarks.measure.limits import Limits
from benchmarks.measure.memory import available_bytes
from benchmarks.measure.peer import PeerError
from benchmarks.measure.report import print_header, print_targets
from benchmarks.table_figures.bench import Bench, start_peer
from benchmarks.table_figures.exchange import measure_exchange
from benchmarks.table_figures.growth import measure_growth, measure_growth_steps
from benchmarks.table_figures.insert import measure_insert, measure_update
from benchmarks.table_figures.lookup import filled_tables, measure_dictionary, measure_lookup
from benchmarks.table_figures.machine import measure_machine
from benchmarks.table_figures.memory import measure_memory
from benchmarks.table_figures.restrict import measure_restrict
from benchmarks.table_figures.train import measure_train
from emberline.kernels import HashTable


def quick(bench: Bench) -> None:
    """The targets' figures at sizes that take seconds."""
    measure_machine(bench)
    measure_insert(bench, dim=16, keys=500_000, target=12)
    tables, name = filled_tables(bench, dim=16, keys=1_000_000)
    measure_lookup(
        bench, tables, name, kind="uniform", keys=1_000_000, batch=262_144,
        ratio_target=5, share_target=0.8,
    )  # fmt: skip
    measure_lookup(bench, tables, name, kind="zipf", keys=1_000_000, batch=262_144, ratio_target=6)
    measure_lookup(bench, tables, name, kind="missing", keys=1_000_000, batch=262_144)
    table = tables[bench.threads[-1]]
    measure_dictionary(bench, table, keys=1_000_000, batch=262_144)
    measure_update(bench, table, name, 1_000_000)
    measure_exchange(bench, table, name, 1_000_000)
    del tables, table
    measure_memory(bench)
    measure_growth(bench, dim=16, sizes=[1_000_000, 2_000_000])
    measure_growth_steps(bench, dim=16, keys=2_000_000)
    measure_restrict(bench)
    measure_train(bench)


def full(bench: Bench) -> None:
    """Every figure of the table, then the sweeps: one axis at a time, the rest named.

    The largest tables come first: the peer does not give its memory back.
    """
    measure_machine(bench)
    measure_growth(bench, dim=16, sizes=[1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000,
                                         50_000_000])  # fmt: skip
    measure_growth(bench, dim=8, sizes=[200_000_000])
    measure_growth_steps(bench, dim=16, keys=10_000_000)
    measure_memory(bench)
    measure_insert(bench, dim=16, keys=10_000_000, target=12)
    bench.renew_peer()
    for dim, keys in ((16, 10_000_000), (64, 4_000_000)):
        tables, name = filled_tables(bench, dim=dim, keys=keys)
        measure_lookup(
            bench, tables, name, kind="uniform", keys=keys, batch=262_144,
            ratio_target=5, share_target=0.8,
        )  # fmt: skip
        measure_lookup(bench, tables, name, kind="zipf", keys=keys, batch=262_144, ratio_target=6)
        measure_lookup(bench, tables, name, kind="missing", keys=keys, batch=262_144)
        table = tables[bench.threads[-1]]
        measure_update(bench, table, name, keys)
        measure_exchange(bench, table, name, keys)
        bench.renew_peer()
        del tables, table
    measure_train(bench)
    measure_restrict(bench)
    for dim in (8, 16, 32, 64, 128, 256, 512):
        sweep(bench, dim)


def sweep(bench: Bench, dim: int) -> None:
    """One dim: insert, then look-ups of all kinds; at two of the dims with batches of all sizes."""
    keys = min(1_000_000, 128_000_000 // dim)
    measure_insert(bench, dim=dim, keys=keys, target=None)
    bench.renew_peer()
    tables, name = filled_tables(bench, dim=dim, keys=keys)
    for batch in (4_096, 16_384, 65_536, 262_144) if dim in (16, 64) else (65_536,):
        for kind in KINDS:
            measure_lookup(bench, tables, name, kind=kind, keys=keys, batch=batch)
    bench.renew_peer()
    if dim == 16:
        measure_dictionary(bench, tables[bench.threads[-1]], keys=keys, batch=262_144)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, under 50 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument("--threads", default="1,2", help="of our table, the last for the targets")
    arguments = parser.parse_args()
    threads = tuple(int(part) for part in arguments.threads.split(","))
    if "threads" not in inspect.signature(HashTable.__init__).parameters:
        threads = (1,)
    peer = None
    try:
        peer = start_peer(threads[-1])
    except PeerError as error:
        print(f"TFRA is left out: {error}")
        peer = None
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, {available_bytes() / 1e9:.1f} GB free, "
        f"load {os.getloadavg()[0]:.1f}; our threads: {threads}"
    )
    bench = Bench(quick=arguments.quick, threads=threads, peer=peer, limits=Limits())
    began = time.perf_counter()
    print_header()
    try:
        (quick if arguments.quick else full)(bench)
    finally:
        bench.limits.close()
        if bench.peer is not None:
            bench.peer.close()
        if arguments.json is not None:
            write_json(bench.figures, arguments.json)
    print()
    print_targets(bench.figures)
    print(f"\n{len(bench.figures)} figures in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
