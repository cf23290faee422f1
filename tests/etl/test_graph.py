import polars as pl
import pytest

import emberline.etl as nvt
from emberline.errors import DataError
from emberline.etl import ops
from emberline.etl.schema import ColumnSchema, Schema

FRAME = pl.DataFrame({"a": [1, 2], "b": [3, 4], "c": [5.0, 6.0], "d": ["x", "y"]})


def plus(n: int) -> ops.LambdaOp:
    return ops.LambdaOp(lambda column: column + n)


def run(node: object, frame: pl.DataFrame = FRAME) -> dict[str, list[object]]:
    out = nvt.Workflow(node).fit_transform(frame)
    assert isinstance(out, pl.DataFrame)
    return out.to_dict(as_series=False)


def test_columns_alone_pass_through() -> None:
    assert run(["b", "a"]) == {"b": [3, 4], "a": [1, 2]}
    assert run("a") == {"a": [1, 2]}
    assert list(run(nvt.ColumnSelector("*"))) == ["a", "b", "c", "d"]


def test_plus_joins_in_order() -> None:
    node = ["a"] >> plus(1)
    assert run(node + "b") == {"a": [2, 3], "b": [3, 4]}
    assert run("b" + node) == {"b": [3, 4], "a": [2, 3]}
    assert run(["d", "b"] + node + (["c"] >> plus(1))) == {
        "d": ["x", "y"],
        "b": [3, 4],
        "a": [2, 3],
        "c": [6.0, 7.0],
    }
    assert list(run(nvt.ColumnSelector("c") + node)) == ["c", "a"]
    assert list(run(node + nvt.ColumnSelector("c"))) == ["a", "c"]


def test_lists_and_functions_on_the_right() -> None:
    assert run(["a"] >> ops.Clip(min_value=2) >> (lambda x: x * 10)) == {"a": [20, 20]}
    assert run(nvt.ColumnSelector(["a"]) >> [plus(1), plus(10)]) == {"a": [12, 13]}
    assert run(nvt.Node.select("a") >> ops.LogOp).keys() == {"a"}


def test_subset_and_drop() -> None:
    node = ["a", "b", "c"] >> plus(1)
    assert list(run(node["c", "a"])) == ["c", "a"]
    assert list(run(node["b"])) == ["b"]
    assert list(run(node[["b", "a"]])) == ["b", "a"]
    assert list(run(node - ["b"])) == ["a", "c"]
    assert list(run(node - "c")) == ["a", "b"]
    with pytest.raises(nvt.ColumnNotFoundError, match="node '4_subset': no column 'z'"):
        run((node + "d")["z"])


def test_a_shared_node_is_one_column_not_a_conflict() -> None:
    base = ["a"] >> plus(1)
    assert run(base + base) == {"a": [2, 3]}
    assert run((base + "b") + (base + "c")) == {"a": [2, 3], "b": [3, 4], "c": [5.0, 6.0]}


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match=r"two different columns are named 'a'.*ops\.Rename"):
        run((["a"] >> plus(1)) + ["a"])


def test_the_same_operator_object_serves_two_nodes() -> None:
    encode = ops.Categorify()
    node = (["a"] >> encode) + (["d"] >> encode)
    assert run(node) == {"a": [3, 4], "d": [3, 4]}
    assert not encode.fitted


def test_selection_by_tag() -> None:
    schema = Schema([ColumnSchema("a", tags=frozenset({"user"})), ColumnSchema("b")])
    data = nvt.Dataset(FRAME, schema=schema)
    workflow = nvt.Workflow(nvt.ColumnSelector(tags=["user"]) >> plus(1)).fit(data)
    assert workflow.input_schema.names == ["a"]
    with pytest.raises(DataError, match="with tags \\['item'\\] is empty"):
        nvt.Workflow(nvt.ColumnSelector(tags=["item"])).fit(data)


def test_unknown_columns_name_the_node_and_the_nearest() -> None:
    node = ["a", "userID"] >> ops.Categorify()
    frame = FRAME.rename({"b": "userId"})
    with pytest.raises(
        nvt.ColumnNotFoundError,
        match="node '0_select': no column 'userID' in the data; did you mean 'userId'",
    ):
        nvt.Workflow(node).fit(frame)
    assert issubclass(nvt.ColumnNotFoundError, KeyError)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: [1] >> plus(1), "list of names"),
        (lambda: nvt.Workflow(3), "expected column names"),
        (lambda: (["a"] >> plus(1)) >> 3, "must be an operator or a function, got 3"),
        (
            lambda: nvt.Workflow([["a", "b"], ["a", "c"]] >> ops.Categorify()).fit(
                pl.DataFrame({"a": [1], "b": [1], "c": [1]})
            ),
            "'a' is in two groups",
        ),
    ],
)
def test_wrong_graphs_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(DataError, match=message):
        make()


def test_names_with_slashes_and_quotes_do_not_meet_the_plans_names() -> None:
    odd = pl.DataFrame({"data/a": [1, 2], "a": [2, 2], "0/a": [3, 4], "é 'q'": [5, 6]})
    node = (odd.columns >> plus(1)) >> ops.Rename(postfix="/1")
    assert run(node + odd.columns, odd) == {
        "data/a/1": [2, 3],
        "a/1": [3, 3],
        "0/a/1": [4, 5],
        "é 'q'/1": [6, 7],
        "data/a": [1, 2],
        "a": [2, 2],
        "0/a": [3, 4],
        "é 'q'": [5, 6],
    }
    with pytest.raises(DataError, match="control character"):
        run("a", pl.DataFrame({"\x1fa": [1], "a": [1]}))


def test_a_long_chain_does_not_meet_the_recursion_limit() -> None:
    node = nvt.Node.select("a")
    for _ in range(1500):
        node = node + "b"
    steps = list(node.walk())
    assert steps[-1] is node
    assert len(steps) == 3001


def test_nodes_are_not_iterable() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        iter(["a"] >> plus(1))
