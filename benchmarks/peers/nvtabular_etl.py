"""NVTabular 23.8 as a peer of the ETL: one workflow, fitted and written.

    python -m benchmarks.peers.nvtabular_etl movielens|criteo INPUT OUTPUT

Runs in .venv-nvtabular (requirements/nvtabular.txt), where emberline is not.
"""

import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.measure.child import print_measured

nvt = import_module("nvtabular")
ops = import_module("nvtabular.ops")
pandas = import_module("pandas")


def movielens(directory: Path, scratch: str) -> Any:
    """Give NVTabular's own MovieLens example as one workflow."""
    movies = pandas.read_parquet(directory / "movies.parquet")
    joined = ["userId", "movieId"] >> ops.JoinExternal(movies, on=["movieId"])
    label = nvt.ColumnSelector(["rating"]) >> ops.LambdaOp(lambda col: (col > 3).astype("int8"))
    return (joined >> ops.Categorify(out_path=scratch)) + label


def criteo(directory: Path, scratch: str) -> Any:
    """Give NVTabular's own Criteo example, its log and clip in the usual order."""
    integers = [f"I{j}" for j in range(1, 14)]
    categories = [f"C{c}" for c in range(1, 27)]
    dense = integers >> ops.FillMissing() >> ops.Clip(min_value=0) >> ops.LogOp()
    dense = dense >> ops.Normalize()
    return (categories >> ops.Categorify(out_path=scratch)) + dense + ["label"]


def main() -> None:
    work, source, target = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        workflow = nvt.Workflow({"movielens": movielens, "criteo": criteo}[work](source, scratch))
        data = nvt.Dataset(str(source / "rows.parquet"), engine="parquet", cpu=True)
        workflow.fit(data)
        fitted = time.perf_counter()
        workflow.transform(data).to_parquet(target)
        done = time.perf_counter()
    print_measured({"fit": fitted - began, "write": done - fitted})


if __name__ == "__main__":
    main()
