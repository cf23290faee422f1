"""An epoch in a process whose memory is limited, with files many times larger than the limit.

    python -m benchmarks.loader_figures.bounded BATCH_SIZE LIMIT_MB FILE ...

Prints rows, seconds and the growth of memory as JSON.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.loader_figures.contest import Contest
from benchmarks.loader_figures.inputs import many_times
from benchmarks.measure.child import ROOT, peak_bytes
from benchmarks.measure.figure import compare
from benchmarks.measure.interleave import Samples
from benchmarks.measure.memory import resident_bytes
from emberline.dataloaders import Loader

__all__ = ["measure_bounded"]

_PREFETCH_BYTES = 32 * 2**20


def data_bytes() -> int:
    """Give what RLIMIT_DATA counts: private writable memory, touched or not."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmData")


def run_bounded(files: Sequence[Path], batch_size: int, limit_mb: int) -> dict[str, float]:
    """Run one epoch over these files in a process of its own, under a limit.

    Raises:
        RuntimeError: the process failed, for example for want of memory.
    """
    module = "benchmarks.loader_figures.bounded"
    done = subprocess.run(
        [sys.executable, "-m", module, str(batch_size), str(limit_mb), *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def measure_bounded(
    contest: Contest, dataset: Path, *, batch_size: int, times: int, limit_mb: int
) -> None:
    """Compare the files `times` times with a fifth of that, under the same RLIMIT_DATA.

    Args:
        contest: the run.
        dataset: the files.
        batch_size: rows of a batch.
        times: how often they come in the large epoch.
        limit_mb: of the memory that the process may have beyond what it starts with.
    """
    small: list[dict[str, float]] = []
    large: list[dict[str, float]] = []
    few, many = many_times(dataset, times // 5), many_times(dataset, times)
    for _ in range(1 if contest.quick else 3):
        small.append(run_bounded(few, batch_size, limit_mb))
        large.append(run_bounded(many, batch_size, limit_mb))
    size_mb = large[0]["size_mb"]
    name = f"{large[0]['rows']:,.0f} rows, {size_mb / limit_mb:.1f}x a limit of {limit_mb} MB"
    contest.add(
        compare(
            f"{name}: speed beside that of a fifth of it", "times",
            Samples(tuple(a["rows_per_s"] / b["rows_per_s"] for a, b in zip(large, small, strict=True))),
            extra=(">= 0.9 times", _median(large, "rows_per_s") >= 0.9 * _median(small, "rows_per_s")),
        )
    )  # fmt: skip
    asked = (
        "<= 1.15 times that of a fifth",
        _median(large, "grown_mb") <= 1.15 * _median(small, "grown_mb"),
    )
    grown = Samples(tuple(run["grown_mb"] for run in large))
    contest.add(compare(f"{name}: peak memory above the start", "MB", grown, extra=asked))
    print(f"    a fifth: {_median(small, 'grown_mb'):.0f} MB, {_rate(small)}; all: {_rate(large)}")


def _rate(runs: Sequence[dict[str, float]]) -> str:
    return f"{_median(runs, 'rows_per_s') / 1e6:.2f} Mrows/s"


def _median(runs: Sequence[dict[str, float]], name: str) -> float:
    return Samples(tuple(run[name] for run in runs)).median


def main() -> None:
    batch_size, limit_mb = int(sys.argv[1]), int(sys.argv[2])
    files = [Path(name) for name in sys.argv[3:]]
    # One batch without threads: what the libraries allocate once is not the loader's.
    next(iter(Loader(files[:1], batch_size, targets="label", prefetch_bytes=0)))
    before = resident_bytes()
    limit = data_bytes() + limit_mb * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    loader = Loader(
        files, batch_size, targets="label", shuffle=True, prefetch_bytes=_PREFETCH_BYTES
    )
    began = time.perf_counter()
    rows = sum(len(y) for _, y in loader)
    seconds = time.perf_counter() - began
    answer = {
        "rows": rows,
        "rows_per_s": rows / seconds,
        "grown_mb": (peak_bytes() - before) / 2**20,
        "size_mb": sum(file.stat().st_size for file in files) / 2**20,
    }
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
