"""Frames of pandas and pyarrow, in and out."""

from typing import Any

import polars as pl
import pytest

import emberline.etl as nvt
from emberline.etl import ops

pd = pytest.importorskip("pandas", reason="pandas is not installed")


def encode(frame: Any) -> nvt.Workflow:
    return nvt.Workflow(["x"] >> ops.Categorify()).fit(nvt.Dataset(frame))


def test_pandas_in_pandas_out() -> None:
    frame = pd.DataFrame({"x": ["b", None, "b", "a"], "g": [["p"], [], ["q", "p"], []]})
    workflow = nvt.Workflow(["x", "g"] >> ops.Categorify(dtype="int32"))
    out = workflow.fit_transform(frame)
    assert isinstance(out, pd.DataFrame)
    assert out["x"].tolist() == [3, 1, 3, 4]
    assert out["x"].dtype == "int32"
    assert [list(row) for row in out["g"]] == [[3], [], [4, 3], []]


def test_the_index_of_a_frame_means_nothing() -> None:
    workflow = encode(pd.DataFrame({"x": ["a", "b", "b", None]}))
    for index in ([3, 2, 1, 0], [10, 11, 12, 13], list("wxyz")):
        frame = pd.DataFrame({"x": ["b", "a", None, "q"]}, index=index)
        assert workflow.transform(frame)["x"].tolist() == [3, 4, 1, 2]


def test_the_index_comes_back() -> None:
    frame = pd.DataFrame({"x": ["b", "a", None]}, index=pd.Index([7, 3, 5], name="row"))
    workflow = encode(frame)
    assert workflow.transform(frame).index.equals(frame.index)
    assert workflow.transform(frame).index.name == "row"
    # Rows that are dropped take their labels along; the rest is numbered anew.
    table = pd.DataFrame({"x": ["a"], "y": [1]})
    joined = nvt.Workflow(["x"] >> ops.JoinExternal(table, on="x", how="inner"))
    assert joined.fit_transform(frame).index.tolist() == [0]


def test_data_sets_of_pandas_frames_give_pandas_frames() -> None:
    frame = pd.DataFrame({"x": ["b", None, "a"]})
    data = nvt.Dataset(frame, npartitions=2)
    assert isinstance(data.compute(), pd.DataFrame)
    assert isinstance(data.head(1), pd.DataFrame)
    assert [len(part) for part in data.to_iter()] == [1, 2]
    out = nvt.Workflow(["x"] >> ops.Categorify()).fit_transform(data).compute()
    assert isinstance(out, pd.DataFrame)
    assert out["x"].tolist() == [4, 1, 3]
    assert isinstance(nvt.Dataset(pl.DataFrame({"x": [1]})).compute(), pl.DataFrame)


def test_integers_that_pandas_made_floats() -> None:
    workflow = encode(pd.DataFrame({"x": [1, 2, 2]}))
    out = workflow.transform(pd.DataFrame({"x": [1.0, float("nan"), 9.0, 2.0]}))
    assert out["x"].tolist() == [4, 1, 2, 3]
    with pytest.raises(nvt.ColumnTypeError, match=r"'x' has dtype float64, .* fitted with int64"):
        workflow.transform(pd.DataFrame({"x": [1.5]}))


def test_nan_is_null_whatever_the_dtype() -> None:
    for values in (
        pd.Series([1.5, float("nan"), 1.5]),
        pd.Series(["a", None, "a"]),
        pd.Series([1, None, 1], dtype="Int64"),
        pd.Series(pd.Categorical(["a", None, "a"])),
        pd.to_datetime(pd.Series(["2020-01-01", None, "2020-01-01"])),
    ):
        frame = pd.DataFrame({"x": values})
        assert encode(frame).transform(frame)["x"].tolist() == [3, 1, 3]


def test_mixed_types_and_odd_names_are_refused() -> None:
    with pytest.raises(nvt.ColumnTypeError, match=r"pandas column 'x' .* values of several types"):
        encode(pd.DataFrame({"x": pd.Series([1, "b", 2.5], dtype="object")}))
    with pytest.raises(nvt.ColumnTypeError, match="pandas column 0 must have a string"):
        encode(pd.DataFrame([[1]]))


def test_given_vocabulary_of_pandas() -> None:
    frame = pd.DataFrame({"x": ["a", "b"]})
    node = ["x"] >> ops.Categorify(vocabs={"x": pd.Series(["b", None, "a"])})
    assert nvt.Workflow(node).fit_transform(frame)["x"].tolist() == [4, 3]


def test_arrow_in_arrow_out() -> None:
    table = pl.DataFrame({"x": ["b", None, "b"]}).to_arrow()
    out = encode(table).transform(table)
    assert type(out) is type(table)
    assert out.column("x").to_pylist() == [3, 1, 3]


def test_dask_frames_are_computed() -> None:
    dd = pytest.importorskip("dask.dataframe", reason="dask is not installed")
    frame = pd.DataFrame({"x": [3, 1, 3]})
    data = nvt.Dataset(dd.from_pandas(frame, npartitions=2))
    assert data.npartitions == 2
    assert data.compute()["x"].tolist() == [3, 1, 3]
