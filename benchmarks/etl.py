"""The ETL beside NVTabular 23.8, Polars by hand and a copy of the file, in one run.

    python benchmarks/etl.py [--quick] [--json FILE] [--rounds N]

NVTabular runs in its own environment (`make peers`); without it, its columns stay empty and the
targets that need it are reported as not measured. Every contender is a process of its own, so that
peak memory is its alone, and what it wrote is compared. Inputs are kept below build/bench-etl.
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.etl_figures import inputs
from benchmarks.etl_figures.contest import Contest, measure_growth, measure_work
from benchmarks.measure.figure import write_json
from benchmarks.measure.memory import available_bytes
from benchmarks.measure.report import print_header, print_targets


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, under 50 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument("--rounds", type=int, help="of everything but NVTabular; 2 or 3 by default")
    parser.add_argument("--only", choices=["movielens", "criteo", "growth"], help="one part")
    arguments = parser.parse_args()
    quick = arguments.quick
    contest = Contest(rounds=arguments.rounds or (2 if quick else 3))
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, {available_bytes() / 1e9:.1f} GB free, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    if not contest.has_peer:
        print("NVTabular is left out: .venv-nvtabular is not there; build it with: make peers")
    began = time.perf_counter()
    print_header()
    try:
        if arguments.only in (None, "movielens"):
            rows = 250_000 if quick else 25_000_000
            measure_work(
                contest, "movielens", inputs.movielens(rows), rows=rows,
                ratio_target=50, memory_target=1.0, copy_target=None,
            )  # fmt: skip
        if arguments.only in (None, "criteo"):
            rows = 50_000 if quick else 10_000_000
            measure_work(
                contest, "criteo", inputs.criteo(rows), rows=rows,
                ratio_target=25, memory_target=2.5, copy_target=2.5,
            )  # fmt: skip
        if arguments.only in (None, "growth"):
            # The same users and movies at every size: what is learned does not grow, rows do.
            sizes = (500_000, 1_000_000) if quick else (1_000_000, 10_000_000, 100_000_000)
            users, movies = (1_000, 4_000) if quick else (6_000, 40_000)
            made = [(n, inputs.movielens(n, users=users, movies=movies)) for n in sizes]
            measure_growth(contest, made, limit="128MB" if quick else "512MB")
    finally:
        if arguments.json is not None:
            write_json(contest.figures, arguments.json)
    print_targets(contest.figures)
    print(f"{len(contest.figures)} figures in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
