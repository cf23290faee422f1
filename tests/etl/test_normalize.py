"""Normalize, NormalizeMinMax, FillMedian, ReduceDtypeSize, LogOp: against a few lines of Python."""

import math
import statistics
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emberline.etl as nvt
from emberline.errors import DataError
from emberline.etl import ops
from emberline.etl.exact_moments import float_moments, merged_float_moments, read_moments
from emberline.etl.exact_sum import as_fraction, split, split_squares, summed, variances
from tests.etl.every_way import InParts, every_way

# Values are resolved to 2**-92, 2e-28.
FLOATS = st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-20)
FLOATS |= st.sampled_from([0.0, -0.0, 3e-15, 2.0**70, float("nan")])
INTS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)


def is_missing(value: Any) -> bool:
    return value is None or math.isnan(value)


def known(values: list[Any]) -> list[Any]:
    return [value for value in values if not is_missing(value)]


@settings(max_examples=40)
@given(st.lists(st.none() | FLOATS, min_size=1, max_size=9))
def test_normalize_is_exact(values: list[float | None]) -> None:
    out = every_way(
        ["x"] >> ops.Normalize(), pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64)})
    )
    exact = [Fraction(v) for v in known(values)]
    mean = float(sum(exact) / len(exact)) if exact else math.nan
    std = 0.0
    if len(exact) > 1:
        middle = sum(exact) / len(exact)
        std = math.sqrt(sum((v - middle) ** 2 for v in exact) / (len(exact) - 1))
    largest = max((abs(float(v)) for v in exact), default=1.0)
    for value, got in zip(values, out["x"], strict=True):
        if value is None or math.isnan(value):
            assert got is None
        elif std > 1e-6 * largest:
            # The squares are rounded: a share of 2**-53 * mean**2 / variance.
            assert got == pytest.approx((value - mean) / std, rel=1e-3, abs=1e-9)


@settings(max_examples=40)
@given(st.lists(st.none() | INTS, min_size=2, max_size=9))
def test_normalize_of_integers_is_exact(values: list[int | None]) -> None:
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.Int64)})
    workflow = nvt.Workflow(["x"] >> ops.Normalize()).fit(InParts(frame))
    operator = workflow._graph.steps[-1].operator
    assert isinstance(operator, ops.Normalize)
    numbers = [Fraction(v) for v in known(values)]
    if not numbers:
        assert operator.means == {"x": None}
        return
    mean = sum(numbers) / len(numbers)
    assert operator.means == {"x": float(mean)}
    if len(numbers) > 1:
        variance = sum((v - mean) ** 2 for v in numbers) / (len(numbers) - 1)
        assert operator.stds["x"] == pytest.approx(math.sqrt(variance), rel=1e-15)


def test_normalize_by_hand(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "x": [1, 2, 3, None],
            "constant": [7.0, 7.0, None, float("nan")],
            "lists": [[1.0, 3.0], [], None, [5.0, None]],
            "nulls": pl.Series([None] * 4, dtype=pl.Float64),
        }
    )
    out = every_way(["x", "constant", "lists", "nulls"] >> ops.Normalize(), frame, tmp_path)
    assert out.to_dict(as_series=False) == {
        "x": [-1.0, 0.0, 1.0, None],
        "constant": [0.0, 0.0, None, None],
        "lists": [[-1.0, 0.0], [], None, [1.0, None]],
        "nulls": [None] * 4,
    }
    narrow = nvt.Workflow(["x"] >> ops.Normalize(out_dtype=np.float32)).fit_transform(frame)
    assert narrow.schema["x"] == pl.Float32
    fixed = pl.DataFrame({"x": pl.Series([[1, 2], [3, 2]], dtype=pl.Array(pl.Int8, 2))})
    assert every_way(["x"] >> ops.Normalize(), fixed, tmp_path).schema["x"] == pl.Array(
        pl.Float64, 2
    )


def test_a_small_deviation_of_large_numbers() -> None:
    """NVTabular sums squares in float64 and gets 0 or worse here."""
    base = 1_700_000_000_000
    frame = pl.DataFrame({"x": [base + i for i in (0, 1, 2)]})
    assert every_way(["x"] >> ops.Normalize(), frame)["x"].to_list() == [-1.0, 0.0, 1.0]


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    values = rng.lognormal(sigma=4, size=10_001)
    values[::2] *= -1
    means = set()
    for _ in range(3):
        rng.shuffle(values)
        workflow = nvt.Workflow(["x"] >> ops.Normalize()).fit(pl.DataFrame({"x": values}))
        operator = workflow._graph.steps[-1].operator
        assert isinstance(operator, ops.Normalize)
        means.add((operator.means["x"], operator.stds["x"]))
    assert len(means) == 1
    assert next(iter(means))[0] == pytest.approx(math.fsum(values) / len(values), rel=1e-15)


@pytest.mark.parametrize("op", [ops.Normalize, ops.NormalizeMinMax])
def test_normalize_refuses(op: Any) -> None:
    with pytest.raises(
        nvt.ColumnTypeError, match=r"column 's' has dtype string; it must be a number"
    ):
        nvt.Workflow(["s"] >> op()).fit(pl.DataFrame({"s": ["a"]}))
    with pytest.raises(DataError, match=r"column 'x' holds infinite .* clip it before"):
        nvt.Workflow(["x"] >> op()).fit(pl.DataFrame({"x": [1.0, math.inf]}))
    with pytest.raises(DataError, match="out_dtype must be float32 or float64, got 'int8'"):
        op(out_dtype="int8")


@settings(max_examples=40)
@given(st.lists(st.none() | st.floats(-1e9, 1e9), min_size=1, max_size=9))
def test_min_max(values: list[float | None]) -> None:
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64)})
    out = every_way(["x"] >> ops.NormalizeMinMax(), frame)["x"].to_list()
    numbers = known(values)
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 0.0)
    expected = [
        None if v is None else 0.5 if low == high else (v - low) / (high - low) for v in values
    ]
    assert out == expected


def test_min_max_of_lists(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [[1, 3], [], [5, None], None]})
    out = every_way(["x"] >> ops.NormalizeMinMax("float32"), frame, tmp_path)
    assert out["x"].to_list() == [[0.0, 0.5], [], [1.0, None], None]


@settings(max_examples=40)
@given(st.lists(st.none() | st.floats(-1e9, 1e9) | st.just(math.nan), min_size=1, max_size=9))
def test_median(values: list[float | None]) -> None:
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64)})
    out = every_way(["x"] >> ops.FillMedian(add_binary_cols=True), frame)
    numbers = known(values)
    median = statistics.median(numbers) if numbers else 0.0
    missing = [is_missing(v) for v in values]
    assert out["x"].to_list() == [median if m else v for v, m in zip(values, missing, strict=True)]
    assert out["x_filled"].to_list() == missing


def test_median_of_integers(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [1, 4, None, 2**60, 3], "y": [1, 2, None, None, None]})
    out = every_way(["x", "y"] >> ops.FillMedian(), frame, tmp_path)
    # 3.5 and 1.5, half to even; the dtype stays.
    assert out.row(2) == (4, 2)
    assert out.schema == frame.schema
    with pytest.raises(nvt.ColumnTypeError, match=r"FillMedian: column 's' has dtype string"):
        nvt.Workflow(["s"] >> ops.FillMedian()).fit(pl.DataFrame({"s": ["a"]}))
    with pytest.raises(DataError, match="a column x_filled already"):
        nvt.Workflow(["x", "x_filled"] >> ops.FillMedian(True)).fit(
            pl.DataFrame({"x": [1], "x_filled": [2]})
        )


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 127], "int8"),
        ([-129, 0], "int16"),
        ([128, None], "int16"),
        ([2**31], "int64"),
        ([-(2**31)], "int32"),
        ([None], "int8"),
    ],
)
def test_reduce_dtype_size(values: list[int | None], dtype: str, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "x": pl.Series(values, dtype=pl.Int64),
            "f": pl.Series([1.0] * len(values)),
            "l": pl.Series([[v] for v in values], dtype=pl.List(pl.Int64)),
        }
    )
    node = ["x", "f", "l"] >> ops.ReduceDtypeSize()
    every_way(node, frame, tmp_path)
    schema = nvt.Workflow(node).fit(frame).output_schema
    assert [column.dtype for column in schema] == [dtype, "float32", dtype]


def test_reduce_dtype_size_refuses_what_does_not_fit() -> None:
    workflow = nvt.Workflow(["x"] >> ops.ReduceDtypeSize()).fit(pl.DataFrame({"x": [1]}))
    with pytest.raises(DataError, match=r"cannot be processed.*300"):
        workflow.transform(pl.DataFrame({"x": [300]}))


def test_statistics_grow_with_new_data() -> None:
    node = (
        (["x"] >> ops.Normalize() >> ops.Rename(postfix="_n"))
        + (["x"] >> ops.NormalizeMinMax() >> ops.Rename(postfix="_m"))
        + (["x"] >> ops.FillMedian())
    )
    first, second = pl.DataFrame({"x": [1.0, 2.0, None]}), pl.DataFrame({"x": [7.0, 9.0, 3.0]})
    both = pl.concat([first, second])
    updated = nvt.Workflow(node).fit(first).fit(second, update=True)
    assert updated.transform(both).equals(nvt.Workflow(node).fit(both).transform(both))


def test_log_of_lists(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [[0.0, math.e - 1], [], None], "i": [0, None, 1]})
    out = every_way(["x", "i"] >> ops.LogOp(), frame, tmp_path)
    assert out["x"].to_list() == [[0.0, 1.0], [], None]
    assert out.schema == {"x": pl.List(pl.Float32), "i": pl.Float32}
    with pytest.raises(nvt.ColumnTypeError, match=r"LogOp: column 's' has dtype string"):
        nvt.Workflow(["s"] >> ops.LogOp()).fit(pl.DataFrame({"s": [["a"]]}))


# Exact sums


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-(2**63), 2**63 - 1)), min_size=1),
    st.sampled_from([1, 2**20]),
)
def test_variances_of_groups(rows: list[tuple[int, int]], spread: int) -> None:
    """Large means, small deviations: the digits that float64 would lose are there."""
    rows = [(key, value // spread * spread) for key, value in rows]
    frame = pl.DataFrame(rows, schema={"k": pl.Int64, "x": pl.Int64}, orient="row").lazy()
    parts = split_squares(split(frame, {"x": "s"}), {"x": "q"})
    sums = parts.group_by("k").agg(pl.len().alias("n"), *summed(parts, ["s", "q"])).collect()
    for (key, *_), got in zip(sums.iter_rows(), variances(sums, "n", "s", "q"), strict=True):
        numbers = [Fraction(value) for k, value in rows if k == key]
        if len(numbers) == 1:
            assert got is None
        else:
            assert got == pytest.approx(float(statistics.variance(numbers)), rel=1e-14, abs=1e-3)


@given(st.lists(st.floats(-1e18, 1e18), min_size=1, max_size=20))
def test_sums_are_exact(values: list[float]) -> None:
    # 2**-92 is the unit: values with digits below it are left out.
    values = [v for v in values if v == 0 or abs(v) > 2.0**-30]
    parts = split(pl.LazyFrame({"x": values}, schema={"x": pl.Float64}), {"x": "s"})
    row = parts.select(summed(parts, ["s"])).collect().row(0, named=True)
    assert float(as_fraction(row, "s")) == math.fsum(values)


def test_values_beyond_the_integers() -> None:
    parts = split(pl.LazyFrame({"x": [2.0**100, -(2.0**101), 1.0]}), {"x": "s"})
    row = parts.select(summed(parts, ["s"])).collect().row(0, named=True)
    assert as_fraction(row, "s") == 2**100 - 2**101 + 1


WIDE = st.floats(allow_nan=False, allow_infinity=False, width=64).filter(lambda v: abs(v) < 1e150)


@given(st.lists(WIDE, min_size=1, max_size=12), st.integers(0, 12), st.integers(0, 12))
def test_moments_do_not_depend_on_the_batches(values: list[float], one: int, two: int) -> None:
    def partial(part: list[float]) -> pl.DataFrame:
        return float_moments(pl.LazyFrame({"x": part}, schema={"x": pl.Float64})).collect()

    first, second = sorted((one, two))
    parts = [partial(values[:first]), partial(values[first:second]), partial(values[second:])]
    whole = merged_float_moments([partial(values)])
    shuffled = partial(values[::-1])
    for other in (
        merged_float_moments(parts),
        merged_float_moments([parts[2], merged_float_moments(parts[:2])]),
        merged_float_moments([shuffled]),
    ):
        assert other.equals(whole)
    count, total, squares = read_moments(whole.row(0, named=True), "x")
    assert count == len(values)
    largest = max(abs(v) for v in values)
    # 78 bits below the largest value, per value; nothing below 2**-1066.
    slack = Fraction(len(values)) * (Fraction(largest) / 2**77 + Fraction(1, 2**1000))
    assert abs(total - sum(map(Fraction, values))) <= slack
    slack = Fraction(len(values)) * (Fraction(largest * largest) / 2**77 + Fraction(1, 2**1000))
    assert abs(squares - sum(Fraction(v * v) for v in values)) <= slack


def test_moments_of_nothing_and_of_infinities() -> None:
    nothing = pl.LazyFrame({"x": [None, math.nan]}, schema={"x": pl.Float32})
    merged = merged_float_moments([float_moments(nothing).collect()])
    nought = Fraction(0)
    assert read_moments(merged.row(0, named=True), "x") == (0, nought, nought)
    for value in (math.inf, -math.inf, 1e200):
        infinite = float_moments(pl.LazyFrame({"x": [1.0, value]})).collect()
        row = merged_float_moments([infinite]).row(0, named=True)
        with pytest.raises(OverflowError, match="column 'x' holds infinite or too large values"):
            read_moments(row, "x")
