"""LambdaOp, Filter and `>> function`: expressions where a function takes them, else pandas."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

import emberline.etl as nvt
from emberline.errors import DataError
from emberline.etl import PandasFunctionWarning, ops

pd = pytest.importorskip("pandas", reason="pandas is not installed")

FRAME = pl.DataFrame(
    {"s": ["Abc-d", "xyz", None, "E"], "n": [1, 2, None, 4], "f": [0.5, -1.0, 2.0, None]}
)


def run(node: Any, frame: pl.DataFrame = FRAME) -> pl.DataFrame:
    out = nvt.Workflow(node).fit_transform(frame)
    assert isinstance(out, pl.DataFrame)
    return out


@pytest.mark.parametrize(
    ("column", "function", "expected"),
    [
        ("n", lambda c: c * 2, [2, 4, None, 8]),
        ("n", lambda c: c > 1, [False, True, None, True]),
        ("f", abs, [0.5, 1.0, 2.0, None]),
        ("f", lambda c: c.clip(0, 1), [0.5, 0.0, 1.0, None]),
        ("s", lambda c: c.str.slice(0, 2), ["Ab", "xy", None, "E"]),
        ("s", lambda c: c.str.contains("x"), [False, True, None, False]),
        ("f", np.exp, [np.exp(0.5), np.exp(-1.0), np.exp(2.0), None]),
    ],
)
def test_functions_that_take_expressions(
    column: str, function: Callable[[Any], Any], expected: list[Any]
) -> None:
    # filterwarnings=error: no warning either.
    assert run([column] >> ops.LambdaOp(function))[column].to_list() == expected


@pytest.mark.parametrize(
    ("column", "function", "expected", "dtype"),
    [
        ("n", lambda c: c.fillna(0), [1, 2, 0, 4], "int64"),
        ("n", lambda c: c.astype("float32"), [1.0, 2.0, None, 4.0], "float32"),
        ("s", lambda c: c.str.lower(), ["abc-d", "xyz", None, "e"], "string"),
        ("s", lambda c: c.str.len().fillna(0).astype("int32"), [5, 3, 0, 1], "int32"),
        ("n", lambda c: c.isin([1, 4]).astype(int), [1, 0, 0, 1], "int64"),
        ("n", lambda c: pd.cut(c, [0, 1, 9], labels=False).fillna(-1), [0, 1, -1, 1], "int64"),
        ("f", lambda c: np.where(c > 0, 1, 0), [1, 0, 1, 0], "int64"),
        ("n", lambda c: c.apply(lambda v: f"<{v:.0f}>"), ["<1>", "<2>", "<nan>", "<4>"], "string"),
    ],
)
def test_functions_for_pandas(
    column: str, function: Callable[[Any], Any], expected: list[Any], dtype: str
) -> None:
    with pytest.warns(PandasFunctionWarning, match="given pandas data, batch by batch on the CPU"):
        workflow = nvt.Workflow([column] >> ops.LambdaOp(function)).fit(FRAME)
    assert workflow.transform(FRAME)[column].to_list() == expected
    assert workflow.output_schema[column].dtype == dtype
    streamed = workflow.transform(FRAME.lazy()).collect(engine="streaming")
    assert streamed[column].to_list() == expected


def test_one_warning_names_the_faster_form() -> None:
    node = ["s"] >> ops.LambdaOp(lambda c: c.str.upper())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        workflow = nvt.Workflow(node).fit(FRAME)
        workflow.transform(FRAME)
        workflow.transform(FRAME)
    assert [w.category for w in caught] == [PandasFunctionWarning]
    assert "in Polars upper is str.to_uppercase()" in str(caught[0].message)


def test_one_name_two_meanings() -> None:
    """`str.slice(1, 3)` ends at 3 in pandas, NVTabular's; in Polars it takes three."""
    node = ["s"] >> ops.LambdaOp(lambda c: c.str.slice(1, 3))
    with pytest.warns(PandasFunctionWarning, match=r"str.slice means something else in Polars"):
        assert run(node)["s"].to_list() == ["bc", "yz", None, ""]
    ours = ["s"] >> ops.LambdaOp(lambda c: c.str.slice(1, 3), engine="polars")
    assert run(ours)["s"].to_list() == ["bc-", "yz", None, ""]
    replaced = ["s"] >> ops.LambdaOp(lambda c: c.str.replace(".", "!"))
    with pytest.warns(PandasFunctionWarning, match="str.replace means something else"):
        assert run(replaced)["s"].to_list() == ["Abc-d", "xyz", None, "E"]


def test_engine_is_a_choice() -> None:
    asked = ["n"] >> ops.LambdaOp(lambda c: c * 2, engine="pandas")
    assert run(asked)["n"].to_list() == [2, 4, None, 8]
    with pytest.raises(DataError, match=r"does not accept Polars expressions: .*'fillna'"):
        run(["n"] >> ops.LambdaOp(lambda c: c.fillna(0), engine="polars"))
    wrong: Any = "cudf"
    with pytest.raises(DataError, match="engine must be 'polars' or 'pandas', got 'cudf'"):
        ops.LambdaOp(abs, engine=wrong)


def test_column_and_frame() -> None:
    node = ["n"] >> ops.LambdaOp(lambda c, df: c + df["f"] + df.f, dependency=["f"])
    assert run(node).to_dict(as_series=False) == {"n": [2.0, 0.0, None, None]}

    def pandas(column: Any, frame: Any) -> Any:
        return column.fillna(0) + frame["f"].fillna(10)

    with pytest.warns(PandasFunctionWarning, match="in Polars fillna is fill_null"):
        out = run(["n"] >> ops.LambdaOp(pandas, dependency="f"))
    assert out["n"].to_list() == [1.5, 1.0, 2.0, 14.0]


def test_dependency_may_be_made_by_a_node() -> None:
    doubled = ["f"] >> ops.LambdaOp(lambda c: c * 2) >> ops.Rename(postfix="_2")
    node = ["n"] >> ops.LambdaOp(lambda c, df: c + df["f_2"], dependency=doubled)
    assert run(node)["n"].to_list() == [2.0, 0.0, None, None]
    # A name of a selected column means that column, here the doubled one.
    both = (["n"] >> ops.LambdaOp(lambda c: c * 10)) + ["f"]
    inner = both >> ops.LambdaOp(lambda c, df: df["n"] + 0 * c, dependency=["n"])
    assert run(inner)["f"].to_list() == [10.0, 20.0, None, None]


def test_functions_after_columns() -> None:
    assert run(["n"] >> ops.Cast("float64") >> (lambda c: c / 2))["n"].to_list()[:2] == [0.5, 1.0]
    assert run(nvt.ColumnSelector(["n"]) >> (lambda c: c + 1))["n"].to_list()[:2] == [2, 3]


def test_metadata_dtype_and_label() -> None:
    made = ops.LambdaOp(
        lambda c: c > 1, dtype=np.int8, tags=["target"], properties={"p": 1}, label="is_large"
    )
    workflow = nvt.Workflow(["n"] >> made).fit(FRAME)
    column = workflow.output_schema["n"]
    assert column.dtype == "int8"
    assert column.tags == {"target"}
    assert column.properties == {"p": 1}
    assert workflow.transform(FRAME)["n"].to_list() == [0, 1, None, 1]
    assert made.label == "is_large"
    assert ops.LambdaOp(abs).label == "abs"


def test_an_aggregate_is_of_all_data(tmp_path: Any) -> None:
    """What learns from x - mean(x) must not get the mean of a part."""
    frame = pl.DataFrame({"x": [1.0, 2.0, 3.0, 10.0]})
    frame.write_parquet(tmp_path / "x.parquet", row_group_size=2)
    dataset = nvt.Dataset(tmp_path / "x.parquet")
    node = ["x"] >> ops.LambdaOp(lambda c: c - c.mean()) >> ops.NormalizeMinMax()
    whole = nvt.Workflow(node).fit(frame)
    parts = dataset.parts
    dataset.parts = lambda rows=2: parts(2)  # type: ignore[method-assign]  # two parts of two rows
    cut = nvt.Workflow(node).fit(dataset)
    expected = [0.0, 1 / 9, 2 / 9, 1.0]
    for workflow in (whole, cut):
        assert workflow.transform(frame)["x"].to_list() == pytest.approx(expected)


@pytest.mark.parametrize(
    "function",
    [
        lambda c: c.fillna(c.mean()),
        lambda c: c.astype("float64").rank(pct=True),
        lambda c: c.shift(1).fillna(-1.0),
    ],
)
def test_pandas_functions_of_all_rows_get_all_rows(function: Any) -> None:
    rows = 250_000  # several batches
    values = [None if i % 5 == 0 else i / 7 for i in range(rows)]
    frame = pl.DataFrame({"x": values})
    with pytest.warns(PandasFunctionWarning):
        workflow = nvt.Workflow(["x"] >> ops.LambdaOp(function)).fit(frame)
    out = workflow.transform(frame.lazy()).collect(engine="streaming")["x"]
    expected = function(pd.Series(values, dtype="float64"))
    assert np.array_equal(out.to_numpy(), expected.to_numpy(), equal_nan=True)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda c: 3, r"accepts neither Polars expressions .* nor pandas data \(it returned int"),
        (lambda c: c.nonsense(), "accepts neither .*nonsense"),
        (lambda c, d, e: c, "must take 1 or 2 arguments, it takes 3"),
    ],
)
def test_mistakes(function: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        run(["n"] >> ops.LambdaOp(function))


def test_failures_on_the_data_name_the_column() -> None:
    def fails(column: Any) -> Any:
        if (column == 4).any():
            raise ValueError("no fours")
        return column.astype(float)

    with pytest.warns(PandasFunctionWarning):
        workflow = nvt.Workflow(["n"] >> ops.LambdaOp(fails)).fit(FRAME.head(2))
    with pytest.raises(DataError, match=r"LambdaOp on column 'n': .* ValueError: no fours"):
        workflow.transform(FRAME)
    with pytest.warns(PandasFunctionWarning):
        mean = nvt.Workflow(["n"] >> ops.LambdaOp(lambda c: c.fillna(c.mean()))).fit(FRAME)
    with pytest.raises(DataError, match=r"column 'n': .* gave 2.33.* seemed to be Int64; say what"):
        mean.transform(FRAME)
    text: Any = "x"
    with pytest.raises(DataError, match="takes a function"):
        ops.LambdaOp(text)


# Filter


@pytest.mark.parametrize(
    "function",
    [
        lambda df: df["n"] > 1,
        lambda df: df[df["n"] > 1],
        lambda df: (df.n > 1) & (df["s"] != "q"),
    ],
)
def test_filter_with_expressions(function: Any) -> None:
    assert run(["n", "s"] >> ops.Filter(function)).rows() == [(2, "xyz"), (4, "E")]


@pytest.mark.parametrize(
    "function",
    [
        lambda df: df["n"].fillna(0) > 1,
        lambda df: df[df["n"].fillna(0) > 1],
        lambda df: df["n"].isin([2, 4]),
        lambda df: df.dropna(subset=["n"]).query("n > 1"),
    ],
)
def test_filter_with_pandas(function: Any) -> None:
    node = ["n", "s"] >> ops.Filter(function)
    with pytest.warns(PandasFunctionWarning, match="Filter: the function is given pandas data"):
        assert run(node).rows() == [(2, "xyz"), (4, "E")]


def test_filter_keeps_branches_aligned() -> None:
    node = (["n"] >> ops.Filter(lambda df: df["n"] > 1)) + ["s"]
    assert run(node).rows() == [(2, "xyz"), (4, "E")]


def test_filter_mistakes() -> None:
    with pytest.raises(DataError, match="must give a bool for each row, got Int64"):
        run(["n"] >> ops.Filter(lambda df: df["n"]))
    with pytest.raises(DataError, match=r"accepts neither .*no column 'q'"):
        run(["n"] >> ops.Filter(lambda df: df["q"] > 1))
