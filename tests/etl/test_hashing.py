"""The stable hash against its specification, and the operators made of it."""

import datetime as dt
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emberline.etl as nvt
from emberline.errors import DataError
from emberline.etl import ops
from emberline.etl.hashing import stable_hash, with_hashes
from tests.etl.golden import GOLDEN, check_schema
from tests.etl.hash_reference import combined, hash_of, xxh64

CASES = {"op_HashBucket", "op_HashedCross"}

# Published with XXH64, and in docs/nvtabular.md.
VECTORS = {
    b"": 0xEF46DB3751D8E999,
    b"a": 0xD24EC4F1A98C6E5B,
    b"abc": 0x44BC2CF5AD770999,
}


def hashes(values: list[Any], dtype: pl.DataType) -> list[int]:
    """By column and by expression, on both engines."""
    frame = pl.DataFrame({"x": pl.Series(values, dtype=dtype)}).lazy()
    by_column = with_hashes(frame, {"h": ("x", dtype)}).collect(engine="streaming")["h"]
    by_expression = frame.select(stable_hash(pl.col("x"), dtype)).collect().to_series()
    assert by_column.dtype == by_expression.dtype == pl.UInt64
    assert by_column.to_list() == by_expression.to_list()
    return by_column.to_list()


def test_published_vectors() -> None:
    assert {data: xxh64(data) for data in VECTORS} == VECTORS
    assert dict(zip(VECTORS, hashes(list(VECTORS), pl.Binary()), strict=True)) == VECTORS


def test_every_length() -> None:
    """Each number of whole stripes, words and bytes, in one column and one column each."""
    random = np.random.default_rng(5)
    data = [bytes(random.integers(0, 256, n, dtype=np.uint8)) for n in [*range(101), 1000, 4099]]
    assert hashes(data, pl.Binary()) == [xxh64(d) for d in data]
    for one in data[:40]:
        assert hashes([one, one], pl.Binary()) == [xxh64(one)] * 2


def test_slices_of_a_column() -> None:
    """A slice shares the buffer of the whole column."""
    texts = pl.Series("x", [f"{'ä' * (i % 9)}{i}" if i % 4 else None for i in range(100)])
    for start, length in ((0, 0), (1, 1), (7, 30), (99, 1)):
        part = texts.slice(start, length)
        assert hashes(part.to_list(), pl.String()) == [hash_of(v) for v in part]
        frame = part.to_frame().select(stable_hash(pl.col("x"), pl.String()))
        assert frame.to_series().to_list() == [hash_of(v) for v in part]


VALUES: list[tuple[pl.DataType, st.SearchStrategy[Any]]] = [
    (pl.String(), st.text(max_size=50)),
    (pl.Binary(), st.binary(max_size=70)),
    (pl.Int64(), st.integers(-(2**63), 2**63 - 1)),
    (pl.UInt64(), st.integers(0, 2**64 - 1)),
    (pl.Int8(), st.integers(-128, 127)),
    (pl.Float64(), st.floats()),
    (pl.Float32(), st.floats(width=32)),
    (pl.Boolean(), st.booleans()),
]


@given(
    st.sampled_from(VALUES).flatmap(lambda v: st.tuples(st.just(v[0]), st.lists(st.none() | v[1])))
)
def test_equals_the_reference(case: tuple[pl.DataType, list[Any]]) -> None:
    dtype, values = case
    assert hashes(values, dtype) == [hash_of(value) for value in values]


def test_other_dtypes_are_their_numbers() -> None:
    day = dt.date(2020, 1, 2)
    since = (day - dt.date(1970, 1, 1)).days
    assert hashes([day], pl.Date()) == [hash_of(since)]
    assert hashes([dt.datetime(2020, 1, 2)], pl.Datetime("ms")) == [hash_of(since * 86_400_000)]
    assert hashes([dt.timedelta(seconds=1)], pl.Duration("us")) == [hash_of(1_000_000)]
    assert hashes([dt.time(0, 0, 1)], pl.Time()) == [hash_of(1_000_000_000)]
    assert hashes([Decimal("1.25")], pl.Decimal(9, 2)) == [hash_of(1.25)]
    assert hashes([None, None], pl.Null()) == [0, 0]


def test_another_process_gives_the_same(tmp_path: Path) -> None:
    """Whatever PYTHONHASHSEED and the number of threads."""
    frame = pl.DataFrame({"x": [f"value {i}" for i in range(1000)], "y": range(1000)})
    frame.write_parquet(tmp_path / "in.parquet")
    code = (
        "import polars as pl, emberline.etl as nvt\n"
        f"frame = pl.read_parquet({str(tmp_path / 'in.parquet')!r})\n"
        "node = (['x', 'y'] >> nvt.ops.HashBucket(97)) + ([['x', 'y']] >> nvt.ops.HashedCross(89))\n"
        "out = nvt.Workflow(node).fit_transform(frame)\n"
        f"out.write_parquet({str(tmp_path / 'out.parquet')!r})\n"
    )
    environment = {"PYTHONHASHSEED": "7", "POLARS_MAX_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    node = (["x", "y"] >> ops.HashBucket(97)) + ([["x", "y"]] >> ops.HashedCross(89))
    ours = nvt.Workflow(node).fit_transform(frame)
    assert pl.read_parquet(tmp_path / "out.parquet").equals(ours)
    assert ours["x"].to_list() == [hash_of(v) % 97 for v in frame["x"]]
    assert ours["x_X_y"].to_list() == [combined([a, b]) % 89 for a, b in frame.rows()]
    # Spread evenly: the counts of 97 buckets have a standard deviation near sqrt(1000 / 97) = 3.2.
    assert ours["x"].n_unique() == 97
    assert ours["x"].value_counts()["count"].max() < 30


def test_hash_bucket(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "s": ["a", "b", None, "a"],
            "i": pl.Series([1, -2, None, 1], dtype=pl.Int16),
            "g": [["a", None], [], None, ["b", "a"]],
            "w": pl.Series([[1, 2], [3, 4], None, [5, 6]], dtype=pl.Array(pl.Int64, 2)),
        }
    )
    counts = {"s": 10, "i": 7, "g": 5, "w": 3}
    workflow = nvt.Workflow(frame.columns >> ops.HashBucket(counts)).fit(frame)
    out = workflow.transform(frame)
    assert out.schema == {
        "s": pl.Int32(),
        "i": pl.Int32(),
        "g": pl.List(pl.Int32),
        "w": pl.List(pl.Int32),
    }
    assert out.to_dict(as_series=False) == {
        name: [
            [hash_of(v) % n for v in row]
            if isinstance(row, list)
            else ([] if name in "gw" else hash_of(row) % n)
            for row in frame[name].to_list()
        ]
        for name, n in counts.items()
    }
    assert workflow.transform(frame.lazy()).collect(engine="streaming").equals(out)
    single, multi = nvt.get_embedding_sizes(workflow)
    assert single == {"s": (10, 16), "i": (7, 16)}
    assert multi == {"g": (5, 16), "w": (3, 16)}
    workflow.save(tmp_path / "w")
    loaded = nvt.Workflow.load(tmp_path / "w")
    assert loaded.transform(frame).equals(out)
    assert loaded.output_schema == workflow.output_schema


def test_hashed_crosses(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": ["x", "y", None], "b": [1, 1, None], "c": [0.5, None, None]})
    counts: dict[str | tuple[str, ...], int] = {("a", "b"): 50, "a_X_b_X_c": 60, ("b", "a"): 50}
    groups = [["a", "b"], ["a", "b", "c"], ["b", "a"]]
    workflow = nvt.Workflow(groups >> ops.HashedCross(counts)).fit(frame)
    out = workflow.transform(frame)
    assert out.to_dict(as_series=False) == {
        "a_X_b": [combined([a, b]) % 50 for a, b, _ in frame.rows()],
        "a_X_b_X_c": [combined([a, b, c]) % 60 for a, b, c in frame.rows()],
        "b_X_a": [combined([b, a]) % 50 for a, b, _ in frame.rows()],
    }
    assert out["a_X_b"].to_list() != out["b_X_a"].to_list()
    workflow.save(tmp_path / "w")
    loaded = nvt.Workflow.load(tmp_path / "w")
    assert loaded.transform(frame).equals(out)
    # A cross goes with each of its columns; what is left of its group is no cross.
    less = loaded.remove_inputs(["c"])
    assert less.transform(frame).equals(out.drop("a_X_b_X_c"))
    less.save(tmp_path / "less")
    assert nvt.Workflow.load(tmp_path / "less").transform(frame).equals(out.drop("a_X_b_X_c"))
    plain = nvt.Workflow(["a", "b"] >> ops.HashedCross(50)).fit_transform(frame)
    assert plain.equals(out.select("a_X_b"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ops.HashBucket(0), "HashBucket: num_buckets must be an integer from 1 to"),
        (lambda: ops.HashBucket(True), "must be an integer from 1 to"),
        (lambda: ops.HashBucket({"a": 2**31}), "must be an integer from 1 to"),
        (lambda: ["a"] >> ops.HashBucket({"A": 2}), "no number for column 'a'; did you mean 'A'"),
        (lambda: ["s"] >> ops.HashBucket(2), "column 's' has dtype Struct.*flatten"),
        (lambda: [["a", "b"]] >> ops.HashedCross({"a_b": 2}), "no number for 'a_X_b'"),
        (lambda: [["a", "b"], "g"] >> ops.HashedCross(2), r"columns \['g'\] are in no group"),
        (lambda: ["a"] >> ops.HashedCross(2), "one column; a cross needs two"),
        (lambda: [["a", "g"]] >> ops.HashedCross(2), "column 'g' holds lists"),
    ],
)
def test_bad_input(make: Any, message: str) -> None:
    frame = pl.DataFrame({"a": [1], "b": [2], "g": [[1]], "s": [{"x": 1}]})
    with pytest.raises(DataError, match=message):
        nvt.Workflow(make()).fit(frame)


N = pl.DataFrame({"x": ["a", "b", None, "a"], "y": [1, 2, 3, 4]})


def test_golden_hash_bucket() -> None:
    """NVTabular hashes the row's number with the value; its domain is one too large."""
    golden = GOLDEN["op_HashBucket"]["out"]["x"]["values"]
    assert golden[0] != golden[3], "the same value in two buckets"
    workflow = nvt.Workflow(["x", "y"] >> ops.HashBucket(10)).fit(N)
    out = workflow.transform(N)
    assert out["x"].to_list() == [hash_of(v) % 10 for v in N["x"]]
    assert nvt.get_embedding_sizes(workflow) == {"x": (10, 16), "y": (10, 16)}
    check_schema("op_HashBucket", workflow, ignore=frozenset({"domain"}))
    domains = [column.properties["domain"] for column in workflow.output_schema]
    assert domains == [{"min": 0, "max": 9}] * 2
    assert GOLDEN["op_HashBucket"]["schema"]["x"]["properties"]["domain"] == {"min": 0, "max": 10}


def test_golden_hashed_cross() -> None:
    """NVTabular combines by xor, whatever the order, and gives the cross no tag and no sizes."""
    workflow = nvt.Workflow([["x", "y"]] >> ops.HashedCross(7)).fit(N)
    out = workflow.transform(N)
    assert out.columns == list(GOLDEN["op_HashedCross"]["out"])
    assert out["x_X_y"].to_list() == [combined(list(row)) % 7 for row in N.rows()]
    assert out["x_X_y"].dtype == pl.Int32
    assert nvt.get_embedding_sizes(workflow) == {"x_X_y": (7, 16)}
    assert GOLDEN["op_HashedCross"]["embedding_sizes"] == {}


def test_the_documented_vectors() -> None:
    """Every row of the table in docs/nvtabular.md."""
    page = Path(__file__).parents[2] / "docs" / "nvtabular.md"
    rows = re.findall(
        r"^\| `(.+?)` \| `(0x[0-9a-f]{16})` \| (\d+) \|$", page.read_text(), re.MULTILINE
    )
    assert len(rows) == 15
    names = {"null": None, "NaN": float("nan"), "true": True}
    for shown, hashed, bucket in rows:
        several = [] if shown.startswith('"') else shown.split(", ")
        if shown.startswith("("):
            parts = [eval(part, {}, names) for part in shown[1:-1].split(", ")]
            assert combined(parts) == int(hashed, 16)
            frame = pl.DataFrame({f"c{i}": [part] for i, part in enumerate(parts)})
            ours = nvt.Workflow(frame.columns >> ops.HashedCross(1000)).fit_transform(frame)
            assert ours.to_series().to_list() == [int(bucket)]
            continue
        for text in several or [shown]:
            value = eval(text, {}, names)
            frame = pl.DataFrame({"x": [value]})
            ours = nvt.Workflow(["x"] >> ops.HashBucket(1000)).fit_transform(frame)
            assert (hash_of(value), ours["x"][0]) == (int(hashed, 16), int(bucket)), text
