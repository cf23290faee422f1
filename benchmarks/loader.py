"""The loader beside merlin-dataloader 23.8, tf.data and the bare decode, in one run.

    python benchmarks/loader.py [--quick] [--json FILE] [--only PART]

merlin runs in its own environment (`make peers`); without it, its columns stay empty and the
targets that need it are reported as not measured. Inputs are made by the ETL and kept below
build/bench-loader. The same files for all; what they deliver is compared, row by row.
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.loader_figures import inputs
from benchmarks.loader_figures.bounded import measure_bounded
from benchmarks.loader_figures.contest import Contest, open_contest
from benchmarks.loader_figures.speed import measure_speed
from benchmarks.measure.figure import write_json
from benchmarks.measure.memory import available_bytes
from benchmarks.measure.report import print_header, print_targets


def criteo_rows(contest: Contest) -> Path:
    """Files of 524,288 rows: to merlin each is one partition, as files of the ETL are."""
    rows = 524_288 if contest.quick else 2_097_152
    return inputs.criteo(rows, files=rows // 524_288)


def criteo(contest: Contest) -> None:
    dataset = criteo_rows(contest)
    variants = {"ids int64": dataset}
    if not contest.quick:
        variants["ids int8 to int32"] = inputs.narrowed(dataset)
    for words, files in variants.items():
        measure_speed(
            contest, f"criteo, 40 columns, {words}", files, batch_size=65_536, share_target=0.6
        )


def movielens(contest: Contest) -> None:
    rows = 400_000 if contest.quick else 2_000_000
    measure_speed(
        contest, "movielens, ragged genres", inputs.movielens(rows), batch_size=32_768,
        first_target_s=0.5,
    )  # fmt: skip


def delivery(contest: Contest) -> None:
    # TensorFlow is imported for this part alone: it takes seconds.
    from benchmarks.loader_figures.delivery import measure_delivery, measure_wait

    dataset = criteo_rows(contest)
    measure_delivery(contest, dataset, batch_size=65_536)
    measure_wait(contest, dataset, batch_size=8_192, step_ms=10)


def memory(contest: Contest) -> None:
    dataset = inputs.plain(inputs.criteo(524_288, files=1))
    measure_bounded(contest, dataset, batch_size=65_536, times=20, limit_mb=256)


def tf_data(contest: Contest) -> None:
    from benchmarks.loader_figures.tf_data import measure_tf_data

    rows = 32_768 if contest.quick else 131_072
    measure_tf_data(contest, inputs.criteo(rows, files=1), batch_size=8_192)


PARTS = {
    "criteo": criteo,
    "movielens": movielens,
    "delivery": delivery,
    "tf_data": tf_data,
    "memory": memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, under 50 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument("--only", choices=PARTS, help="one part")
    arguments = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, {available_bytes() / 1e9:.1f} GB free, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    began = time.perf_counter()
    with open_contest(quick=arguments.quick) as contest:
        if contest.peer is None:
            print("merlin is left out: .venv-nvtabular is not there; build it with: make peers")
        print_header()
        try:
            for name, measure in PARTS.items():
                if arguments.only in (None, name):
                    measure(contest)
        finally:
            if arguments.json is not None:
                write_json(contest.figures, arguments.json)
    print_targets(contest.figures)
    print(f"{len(contest.figures)} figures in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
