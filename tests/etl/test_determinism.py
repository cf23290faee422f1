"""The same data gives the same bits, whatever the number of threads and the size of parts."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

SCRIPT = """
import sys
import emberline.etl as nvt
from emberline.etl import ops

class Cut(nvt.Dataset):
    def parts(self, *_, **__):
        rows, size = self.num_rows, int(sys.argv[2])
        return [self.to_lazy().slice(start, size) for start in range(0, rows, size)]

data = Cut(sys.argv[1])
group = ["k"] >> ops.JoinGroupby(cont_cols=["f"], stats=["count", "sum", "mean", "std", "max"])
encoded = [["k", "j"]] >> ops.TargetEncoding("f", kfold=4, out_dtype="float64")
numbers = ["f", "g"] >> ops.FillMedian() >> ops.LogOp() >> ops.Normalize()
scaled = ["g"] >> ops.NormalizeMinMax() >> ops.Rename(postfix="_m")
lag = ["f"] >> ops.DifferenceLag("k") >> ops.Normalize()
rows = nvt.Workflow(group + encoded + numbers + scaled + lag).fit(data)
out = rows.transform(data).to_polars()
grouped = ["k", "j", "f"] >> ops.Groupby("k", "j", {"f": ["list", "sum", "mean", "std", "median"]})
sessions = nvt.Workflow(grouped).fit(data).transform(data).to_polars()
out.write_ipc(sys.argv[3] + ".rows")
sessions.write_ipc(sys.argv[3] + ".sessions")
"""


@pytest.mark.slow
def test_threads_and_parts_do_not_show(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    rows = 300_000
    floats = rng.lognormal(sigma=3, size=rows)
    frame = pl.DataFrame(
        {
            "k": np.sort(rng.integers(0, 2_000, rows)),
            "j": rng.integers(0, 50, rows),
            "f": pl.Series(floats).set(pl.Series(rng.random(rows) < 0.1), None),
            "g": rng.normal(size=rows).astype("float32"),
        }
    )
    frame.write_parquet(tmp_path / "data.parquet", row_group_size=20_000)
    expected: list[pl.DataFrame] = []
    for threads, part in ((1, 300_000), (4, 300_000), (3, 70_001)):
        out = tmp_path / f"out{threads}_{part}"
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "data.parquet"), str(part), str(out)],
            env={**os.environ, "POLARS_MAX_THREADS": str(threads)},
            check=True,
        )
        frames = [pl.read_ipc(f"{out}.{kind}") for kind in ("rows", "sessions")]
        if not expected:
            expected = frames
        for frame, first in zip(frames, expected, strict=True):
            for name in first.columns:
                assert frame[name].equals(first[name]), f"{name}, {threads} threads, {part} rows"
