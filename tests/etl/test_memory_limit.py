"""A stated memory budget: the same results, in less memory."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emberline.etl as nvt
from emberline.errors import DataError
from emberline.etl import ops
from emberline.etl.statistics_store import Key, StatisticsStore

COUNTS = st.lists(st.tuples(st.integers(0, 30) | st.none(), st.integers(1, 5)), max_size=40)


def merge(key: Key, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frames).group_by("value").agg(pl.col("count").sum())


def counts(rows: list[tuple[int | None, int]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"value": pl.Int64, "count": pl.Int64}, orient="row")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@given(parts=st.lists(COUNTS, min_size=1, max_size=6), budget=st.sampled_from([1, 300, None]))
def test_the_store_gives_what_one_merge_gives(
    parts: list[list[tuple[int | None, int]]], budget: int | None
) -> None:
    keyed, whole = (3, "keyed"), (4, "whole")
    with StatisticsStore(
        merge, lambda key: ["value"] if key == keyed else [], budget=budget
    ) as store:
        for part in parts:
            store.add({keyed: counts(part), whole: counts(part)})
        if budget == 1 and any(parts):
            assert store.spilled
        results = store.results()
    expected = merge(keyed, [counts(part) for part in parts]).sort("value")
    assert list(results) == [keyed, whole] or set(results) == {keyed, whole}
    for frame in results.values():
        assert frame.sort("value").equals(expected)


def test_files_are_removed(temporary: Path) -> None:
    with StatisticsStore(merge, lambda key: ["value"], budget=1) as store:
        store.add({(0, "a"): counts([(1, 1)]), (0, "b"): counts([(2, 1)])})
        (folder,) = temporary.iterdir()
        assert sorted(p.name for p in folder.iterdir()) == ["0-0", "0-1"]
        store.results()
    assert not list(temporary.iterdir())

    def breaks() -> None:
        with StatisticsStore(merge, lambda key: ["value"], budget=1) as store:
            store.add({(0, "a"): counts([(1, 1)])})
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        breaks()
    assert not list(temporary.iterdir())


def test_rows_are_merged_a_few_times_however_many_parts() -> None:
    seen = 0

    def counting(key: Key, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        nonlocal seen
        seen += sum(frame.height for frame in frames)
        return merge(key, frames)

    with StatisticsStore(counting, lambda key: []) as store:
        for i in range(200):
            store.add({(0, "a"): counts([(i, 1)])})
        assert store.results()[0, "a"].height == 200
    # One merge a part would touch 200 * 201 / 2 rows.
    assert seen < 200 * 10


FRAME = pl.DataFrame(
    {
        "a": [f"user {i * 7919 % 3001}" for i in range(20_000)],
        "g": [[i % 11, i % 501][: i % 3] for i in range(20_000)],
        "x": [float(i % 100) for i in range(20_000)],
    }
)


def workflow() -> nvt.Workflow:
    ids = ["a", "g"] >> ops.Categorify(freq_threshold=3)
    number = ["x"] >> ops.FillMissing(0) >> ops.LogOp()
    return nvt.Workflow(ids + number + (["x"] >> ops.Sql("x > 7", name="y")))


def test_the_limit_changes_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    monkeypatch.setattr("emberline.etl.memory_size.LEAST_ROWS", 512)
    spilled = 0
    spill = StatisticsStore._spill

    def counting(self: StatisticsStore, key: Key) -> None:
        nonlocal spilled
        spilled += 1
        spill(self, key)

    monkeypatch.setattr(StatisticsStore, "_spill", counting)
    FRAME.write_parquet(tmp_path / "in.parquet", row_group_size=1000)
    data = nvt.Dataset(tmp_path / "in.parquet")
    free, bound = workflow().fit(data), workflow().fit(data, memory_limit="400 kB")
    assert spilled > 0
    free.save(tmp_path / "free")
    bound.save(tmp_path / "bound")
    contents = [json.loads((tmp_path / n / "workflow.json").read_text()) for n in ("free", "bound")]
    assert contents[0]["output_schema"] == contents[1]["output_schema"]
    expected = free.transform(FRAME)
    assert bound.transform(FRAME).equals(expected)
    lazy = bound.transform(data, memory_limit="400 kB")
    assert lazy.to_polars().equals(expected)
    assert lazy.head(3).equals(expected.head(3))
    assert lazy.to_lazy().select("y").filter("y").collect().height == expected["y"].sum()
    written = lazy.to_parquet(tmp_path / "out", shuffle=1, output_files=2, memory_limit="400 kB")
    assert written.to_polars().equals(
        bound.transform(data).to_parquet(tmp_path / "o2", shuffle=1).to_polars()
    )
    assert not [p for p in temporary.iterdir() if p.name.startswith("emberline-")]


def test_bad_limits_and_values_that_outgrow_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for call in (workflow().fit, workflow().fit(FRAME).transform):
        with pytest.raises(DataError, match="memory_limit must be a positive number of bytes"):
            call(nvt.Dataset(FRAME), memory_limit="lots")
    with pytest.raises(nvt.MemoryLimitError, match=r"the distinct values of 'a' .* HashBucket"):
        workflow().fit(FRAME, memory_limit=50_000)
    assert issubclass(nvt.MemoryLimitError, MemoryError)


def test_a_damaged_file_is_named_in_parts_too(tmp_path: Path) -> None:
    from tests.etl.test_dataset import damage

    for i in range(2):
        FRAME.write_parquet(tmp_path / f"{i}.parquet")
    data = nvt.Dataset(tmp_path)
    fitted = workflow().fit(data)
    damage(tmp_path / "1.parquet")
    with pytest.raises(DataError, match=r"1\.parquet cannot be read"):
        fitted.transform(data, memory_limit="1MB").to_parquet(tmp_path / "out")


SCRIPT = """
import json, sys
from pathlib import Path
import polars as pl
import emberline.etl as nvt
from emberline.etl import ops

def peak():
    # Not getrusage: that counts what the process was before it became this program.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

source, target, limit = sys.argv[1:]
pl.scan_parquet(source).head(10).group_by("id").len().collect(engine="streaming")
start = peak()
text = [f"t{i}" for i in range(10)]
workflow = nvt.Workflow(["id", *text] >> ops.Categorify(dtype="int32"))
data = nvt.Dataset(source)
arguments = {} if limit == "none" else {"memory_limit": limit}
workflow.fit(data, **arguments)
fitted = peak()
workflow.transform(data, **arguments).to_parquet(target)
print(json.dumps({"start": start, "fit": fitted - start, "all": peak() - start}))
"""


@pytest.mark.slow
def test_ten_times_the_limit(tmp_path: Path) -> None:
    limit = 256_000_000
    rows, size = 0, 0
    (tmp_path / "in").mkdir()
    while size < 10 * limit:
        i = pl.int_range(rows, rows + 200_000, eager=True).alias("i")
        texts = [
            (
                pl.lit("a long text that is repeated " * 3)
                + (pl.col("i") % (97 + c)).cast(pl.String)
            ).alias(f"t{c}")
            for c in range(10)
        ]
        frame = i.to_frame().select((pl.col("i") * 7919 % 400_009).alias("id"), *texts)
        frame.write_parquet(tmp_path / "in" / f"{rows:09}.parquet", row_group_size=20_000)
        rows, size = rows + frame.height, size + int(frame.estimated_size())

    def run(limit: Any) -> dict[str, int]:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "in"), str(tmp_path / "out")]
        done = subprocess.run([*command, str(limit)], capture_output=True, text=True, check=True)
        found: dict[str, int] = json.loads(done.stdout)
        return found

    used = run(limit)
    print(f"{size / 1e6:.0f} MB of rows, limit {limit / 1e6:.0f} MB: {used}")
    assert used["fit"] <= limit
    assert used["all"] <= limit
    assert nvt.Dataset(tmp_path / "out").num_rows == rows
