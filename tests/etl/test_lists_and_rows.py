"""ListSlice, ValueCount, Bucketize, Dropna, DropLowCardinality, DataStats, ColumnSimilarity."""

import datetime as dt
import math
import statistics
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
from tests.etl.every_way import every_way

BOUND = st.integers(-4, 4)
LISTS = st.lists(st.lists(st.integers(0, 9), max_size=5) | st.none(), min_size=1, max_size=4)


def of_lists(lists: list[Any]) -> pl.DataFrame:
    return pl.DataFrame({"x": pl.Series(lists, dtype=pl.List(pl.Int64))})


# ListSlice


@settings(max_examples=60)
@given(LISTS, BOUND, st.none() | BOUND)
def test_list_slice_is_pythons(lists: list[Any], start: int, end: int | None) -> None:
    out = every_way(["x"] >> ops.ListSlice(start, end), of_lists(lists))["x"].to_list()
    first, last = (0, start) if start > 0 and end is None else (start, end)
    assert out == [None if item is None else item[first:last] for item in lists]


@settings(max_examples=40)
@given(LISTS, BOUND, st.none() | BOUND)
def test_list_slice_pads(lists: list[Any], start: int, end: int | None) -> None:
    try:
        operator = ops.ListSlice(start, end, pad=True, pad_value=-1)
    except DataError:
        return
    length = operator.max_elements
    assert length is not None
    first, last = (0, start) if start > 0 and end is None else (start, end)
    kept = [(item or [])[first:last] for item in lists]
    out = every_way(["x"] >> operator, of_lists(lists))
    assert out["x"].to_list() == [item + [-1] * (length - len(item)) for item in kept]
    assert out.schema["x"] == pl.Array(pl.Int64, length)


def test_list_slice_of_text_and_of_fixed_lists(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "s": [["a", "b"], []],
            "f": pl.Series([[1.5, 2.5], [3.5, 4.5]], dtype=pl.Array(pl.Float32, 2)),
        }
    )
    node = (["s"] >> ops.ListSlice(1, pad=True, pad_value="-")) + (["f"] >> ops.ListSlice(-1))
    out = every_way(node, frame, tmp_path)
    assert out.to_dict(as_series=False) == {"s": [["a"], ["-"]], "f": [[2.5], [4.5]]}
    schema = nvt.Workflow(node).fit(frame).output_schema
    assert schema["s"].properties == {"value_count": {"min": 1, "max": 1}}
    assert schema["f"].properties == {"value_count": {"min": 0, "max": 1}}
    assert schema["s"].tags == {"list"}


def test_list_slice_mistakes() -> None:
    frame = pl.DataFrame({"n": [1], "i": [[1]], "s": [["a"]]})
    wrong: Any = "2"
    mistakes: list[tuple[Any, str]] = [
        (lambda: ops.ListSlice(wrong), "start must be an integer, got '2'"),
        (lambda: ops.ListSlice(1, -1, pad=True), "needs a slice of a known length above 0"),
        (lambda: ["n"] >> ops.ListSlice(1), "column 'n' has dtype int64; it must be a list"),
        (
            lambda: ["i"] >> ops.ListSlice(1, pad=True, pad_value=0.5),
            "cannot hold the pad_value 0.5",
        ),
        (lambda: ["s"] >> ops.ListSlice(1, pad=True), "holds string, which cannot hold"),
    ]
    for make, message in mistakes:
        with pytest.raises(DataError, match=message):
            nvt.Workflow(make()).fit(frame)


# ValueCount


@settings(max_examples=40)
@given(LISTS)
def test_value_count(lists: list[Any]) -> None:
    node = ["x"] >> ops.ValueCount()
    every_way(node, of_lists(lists))
    lengths = [len(item or []) for item in lists]
    column = nvt.Workflow(node).fit(of_lists(lists)).output_schema["x"]
    assert column.properties == {"value_count": {"min": min(lengths), "max": max(lengths)}}
    assert column.is_ragged == (min(lengths) != max(lengths) or max(lengths) == 0)


def test_lists_of_one_length_become_fixed(tmp_path: Path) -> None:
    frame = of_lists([[1, 2], [3, 4]])
    node = ["x"] >> ops.ValueCount()
    assert every_way(node, frame, tmp_path).schema["x"] == pl.Array(pl.Int64, 2)
    workflow = nvt.Workflow(node).fit(frame)
    with pytest.raises(DataError, match="cannot be processed"):
        workflow.transform(of_lists([[1]]))
    grown = workflow.fit(of_lists([[1]]), update=True)
    assert grown.transform(of_lists([[1]]))["x"].to_list() == [[1]]
    with pytest.raises(nvt.ColumnTypeError, match="column 'n' has dtype int64; it must be a list"):
        nvt.Workflow(["n"] >> ops.ValueCount()).fit(pl.DataFrame({"n": [1]}))


# Bucketize


@given(
    st.lists(st.none() | st.floats(-9, 9) | st.just(math.nan), min_size=1, max_size=6),
    st.lists(st.integers(-9, 9), min_size=1, max_size=4, unique=True),
)
def test_bucketize_is_numpys(values: list[float | None], bounds: list[int]) -> None:
    bounds = sorted(bounds)
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64)})
    out = every_way(["x"] >> ops.Bucketize(bounds), frame)["x"].to_list()
    numbers = [math.nan if value is None else value for value in values]
    assert out == np.digitize(numbers, bounds).tolist()


def test_bucketize_arguments(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [1, 5, None], "y": [1, 5, 9]})
    by_name: dict[str, Any] = {"x": [2], "y": np.array([2, 6])}
    choices: list[Any] = [by_name, lambda name: by_name[name]]
    for boundaries in choices:
        out = every_way(["x", "y"] >> ops.Bucketize(boundaries), frame, tmp_path)
        assert out.rows() == [(0, 0), (1, 1), (1, 2)]
        assert out.dtypes == [pl.Int32(), pl.Int32()]
    mistakes: list[tuple[Any, str]] = [
        (lambda: ops.Bucketize([]), "must be a list of numbers"),
        (lambda: ops.Bucketize([2, 1]), r"must ascend, got \[2, 1\]; sort them"),
        (lambda: ["y"] >> ops.Bucketize({"x": [1]}), "no entry for column 'y'"),
    ]
    for make, message in mistakes:
        with pytest.raises(DataError, match=message):
            nvt.Workflow(make()).fit(frame)


# Rows and columns that go


def test_dropna(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "f": [1.0, float("nan"), None, 4.0, 5.0],
            "l": [[1], [2], [3], None, []],
            "other": [1, 2, 3, 4, 5],
        }
    )
    node = (["f", "l"] >> ops.Dropna()) + ["other"]
    out = every_way(node, frame, tmp_path)
    assert out.rows() == [(1.0, [1], 1), (5.0, [], 5)]
    assert every_way(["f"] >> ops.Dropna() >> ops.Normalize(), frame)["f"].to_list() == [
        pytest.approx(v) for v in (-1.1208970766356099, 0.32025630761017426, 0.8006407690254357)
    ]


def test_drop_low_cardinality(tmp_path: Path) -> None:
    frame = pl.DataFrame({"one": ["a"] * 3, "two": ["a", "b", "a"], "n": [1, 2, 3]})
    node = (["one", "two"] >> ops.Categorify()) + ["n"]
    assert every_way(node >> ops.DropLowCardinality(4), frame, tmp_path).columns == ["two", "n"]
    assert every_way(node >> ops.DropLowCardinality(), frame).columns == ["two", "n"]
    everything = ["one", "two"] >> ops.Categorify() >> ops.DropLowCardinality(99)
    with pytest.raises(DataError, match=r"every column of \['one', 'two'\] has fewer ids"):
        nvt.Workflow(everything).fit(frame)


# DataStats


def test_data_stats_by_hand(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "f": [1.0, 2.0, float("nan"), 6.0],
            "i": [3, None, 3, -1],
            "s": ["a", "ccc", None, "a"],
            "l": [[1, 2], [], None, [2]],
            "d": [dt.date(1970, 1, day) for day in (2, 3, 4, 3)],
            "nulls": pl.Series([None] * 4, dtype=pl.Float64),
        }
    )
    stats = ops.DataStats()
    node = ["f", "i", "s", "l", "d", "nulls"] >> stats
    every_way(node, frame, tmp_path)
    output = stats.output
    assert output["f"] == {
        "dtype": "float64",
        "min": 1.0,
        "max": 6.0,
        "mean": 3.0,
        "std": statistics.stdev([1, 2, 6]),
        "per_nan": 25.0,
    }
    assert output["i"] == {
        "dtype": "int64",
        "min": -1,
        "max": 3,
        "mean": 5 / 3,
        "per_nan": 25.0,
        "cardinality": 2,
    }
    # Of text and lists the lengths.
    assert (output["s"]["min"], output["s"]["max"], output["s"]["cardinality"]) == (1, 3, 2)
    assert (output["l"]["min"], output["l"]["max"], output["l"]["cardinality"]) == (0, 2, 2)
    assert (output["d"]["min"], output["d"]["mean"], output["d"]["cardinality"]) == (1, 2.0, 3)
    nothing = {"dtype": "float64", "min": None, "max": None, "mean": None, "std": None}
    assert output["nulls"] == nothing | {"per_nan": 100.0}
    # A second fit starts anew, in the same object.
    nvt.Workflow(["f"] >> stats).fit(frame.head(1))
    assert list(output) == ["f"]
    assert output["f"]["mean"] == 1.0


# ColumnSimilarity

FEATURES = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])


@pytest.mark.parametrize("metric", ["inner", "cosine", "tfidf"])
@pytest.mark.parametrize("sparse", [True, False])
def test_column_similarity_against_numpy(metric: Any, sparse: bool, tmp_path: Path) -> None:
    given_features: Any = FEATURES
    if sparse:
        given_features = pytest.importorskip("scipy.sparse").csr_matrix(FEATURES)
    weighted = FEATURES.copy()
    if metric == "tfidf":
        weighted *= np.log(len(FEATURES) / (FEATURES > 0).sum(axis=0))
    if metric != "inner":
        lengths = np.sqrt((weighted**2).sum(axis=1, keepdims=True))
        weighted = np.divide(weighted, lengths, out=np.zeros_like(weighted), where=lengths > 0)
    pairs = [(a, b) for a in range(4) for b in range(4)]
    frame = pl.DataFrame([*pairs, (None, 1), (0, 99)], schema=["a", "b"], orient="row")
    node = [["a", "b"]] >> ops.ColumnSimilarity(given_features, metric=metric)
    out = every_way(node, frame, tmp_path)["a_b_sim"].to_list()
    assert out[:16] == [pytest.approx(float(weighted[a] @ weighted[b])) for a, b in pairs]
    assert out[16:] == [None, 0.0]


def test_column_similarity_of_two_matrices_and_pairs(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [0, 1], "b": [1, 0], "c": [0, 0]})
    right = FEATURES[::-1]
    node = [["a", "b"], ["c", "a"]] >> ops.ColumnSimilarity(FEATURES, right, metric="inner")
    out = every_way(node, frame, tmp_path)
    assert out.columns == ["a_b_sim", "c_a_sim"]
    assert out["a_b_sim"].to_list() == [FEATURES[0] @ right[1], FEATURES[1] @ right[0]]
    assert out["c_a_sim"].to_list() == [FEATURES[0] @ right[0], FEATURES[0] @ right[1]]
    workflow = nvt.Workflow(node).fit(frame)
    column = workflow.output_schema["a_b_sim"]
    assert column.dtype == "float64"
    assert column.tags == {"continuous"}
    workflow.remove_inputs("b")
    assert workflow.transform(frame).columns == ["c_a_sim"]


def test_column_similarity_mistakes() -> None:
    frame = pl.DataFrame({"a": [0], "s": ["x"]})
    wrong: Any = "jaccard"
    mistakes: list[tuple[Any, str]] = [
        (lambda: ops.ColumnSimilarity(FEATURES, metric=wrong), "metric must be tfidf, cosine or"),
        (lambda: ops.ColumnSimilarity("x"), "must be a sparse matrix, a 2-D array or a frame"),
        (lambda: ["a"] >> ops.ColumnSimilarity(FEATURES), "takes pairs of columns"),
        (lambda: [["a", "s"]] >> ops.ColumnSimilarity(FEATURES), "'s' has dtype string; row"),
    ]
    for make, message in mistakes:
        with pytest.raises(DataError, match=message):
            nvt.Workflow(make()).fit(frame)
