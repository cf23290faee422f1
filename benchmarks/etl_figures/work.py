"""One contender's work on one input, in this process: prints what it took as JSON.

python -m benchmarks.etl_figures.work ours|polars|copy movielens|criteo INPUT OUTPUT [LIMIT]
"""

import shutil
import sys
import time
from pathlib import Path

import polars as pl

import emberline.etl as nvt
from benchmarks.etl_figures import by_hand
from benchmarks.measure.child import print_measured
from emberline.etl import ops


def workflow(work: str, directory: Path) -> nvt.Workflow:
    """Give the workflow as a user of NVTabular writes it; the peer has the same."""
    if work == "movielens":
        movies = pl.read_parquet(directory / "movies.parquet")
        joined = ["userId", "movieId"] >> ops.JoinExternal(movies, on=["movieId"])
        label = ["rating"] >> ops.Sql("cast(rating > 3 as tinyint)", name="rating")
        return nvt.Workflow((joined >> ops.Categorify()) + label)
    integers = [f"I{j}" for j in range(1, 14)]
    categories = [f"C{c}" for c in range(1, 27)]
    dense = integers >> ops.FillMissing() >> ops.Clip(min_value=0) >> ops.LogOp()
    dense = dense >> ops.Normalize()
    return nvt.Workflow((categories >> ops.Categorify()) + dense + ["label"])


def ours(work: str, directory: Path, target: Path, limit: str | None) -> dict[str, float]:
    """Fit and write. Returns seconds by stage."""
    began = time.perf_counter()
    data = nvt.Dataset(directory / "rows.parquet")
    fitted = workflow(work, directory).fit(data, memory_limit=limit)
    middle = time.perf_counter()
    fitted.transform(data, memory_limit=limit).to_parquet(target)
    return {"fit": middle - began, "write": time.perf_counter() - middle}


def copy(directory: Path, target: Path) -> dict[str, float]:
    """Read and write all columns as they are."""
    began = time.perf_counter()
    target.mkdir()
    pl.scan_parquet(directory / "rows.parquet").sink_parquet(
        target / "part_0.parquet", compression="zstd", row_group_size=65_536, engine="streaming"
    )
    return {"write": time.perf_counter() - began}


def main() -> None:
    who, work, directory, target = *sys.argv[1:3], Path(sys.argv[3]), Path(sys.argv[4])
    limit = sys.argv[5] if len(sys.argv) > 5 else None
    shutil.rmtree(target, ignore_errors=True)
    if who == "ours":
        stages = ours(work, directory, target, limit)
    elif who == "copy":
        stages = copy(directory, target)
    else:
        stages = {"movielens": by_hand.movielens, "criteo": by_hand.criteo}[work](directory, target)
    print_measured(stages)


if __name__ == "__main__":
    main()
