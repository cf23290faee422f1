"""Categorify: merging, look-up, given vocabularies and its own messages."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emberline.etl as nvt
from emberline.errors import DataError
from emberline.etl import ops, vocabulary
from emberline.etl.selection import Selection


@given(
    st.lists(st.none() | st.integers(0, 5), min_size=2, max_size=40), st.integers(1, 4), st.data()
)
def test_statistics_merge(values: list[int | None], parts: int, data: st.DataObject) -> None:
    """Partials of parts, merged, are the partial of the whole: any split, any order."""
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.Int64)})
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), min_size=parts, max_size=parts)))
    pieces = [frame[a:b] for a, b in zip([0, *cuts], [*cuts, len(values)], strict=True)]
    operator = ops.Categorify()
    selection = Selection(nvt.Dataset(frame).schema)

    def partial(piece: pl.DataFrame) -> pl.DataFrame:
        return operator.condense("x", operator.partial(piece.lazy(), selection)["x"].collect())

    merged = operator.merge("x", [partial(p) for p in data.draw(st.permutations(pieces))])
    operator.finalize({"x": merged}, selection)
    whole = nvt.Workflow(["x"] >> ops.Categorify()).fit_transform(frame)
    assert operator.transform(frame.lazy(), selection).collect().equals(whole)


def test_many_rows_keep_their_order_whichever_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 200_000
    values = pl.select((pl.int_range(n) * 7919 % 5003).alias("x"), pl.int_range(n).alias("row"))
    workflow = nvt.Workflow((["x"] >> ops.Categorify()) + ["row"]).fit(values)
    small = workflow.transform(values.lazy()).collect(engine="streaming")
    monkeypatch.setattr(vocabulary, "LOOKUP", "join")
    large = workflow.transform(values.lazy()).collect(engine="streaming")
    assert large.equals(small)
    assert large["row"].is_sorted()
    assert (large["x"] >= 3).all()


def test_joint_vocabularies_of_different_widths_and_kinds() -> None:
    frame = pl.DataFrame(
        {
            "a": pl.Series([1, 2, None], dtype=pl.Int16),
            "b": pl.Series([[2, 2**40], [], None], dtype=pl.List(pl.Int64)),
        }
    )
    workflow = nvt.Workflow([["a", "b"]] >> ops.Categorify(dtype="int32"))
    out = workflow.fit_transform(frame)
    assert out.to_dict(as_series=False) == {"a": [4, 3, 1], "b": [[3, 5], [], []]}
    assert out.schema == {"a": pl.Int32(), "b": pl.List(pl.Int32)}


def test_fixed_length_lists_are_encoded_as_lists() -> None:
    frame = pl.DataFrame({"x": pl.Series([["a", "b"], ["a", "c"]], dtype=pl.Array(pl.String, 2))})
    workflow = nvt.Workflow(["x"] >> ops.Categorify())
    assert workflow.fit_transform(frame)["x"].to_list() == [[3, 4], [3, 5]]
    assert workflow.output_schema["x"].is_ragged


def test_settings_by_column_and_by_joint_name() -> None:
    frame = pl.DataFrame({"a": ["x", "x", "y"], "b": ["x", "y", "z"], "c": ["q", "q", "r"]})
    node = [["a", "b"], "c"] >> ops.Categorify(freq_threshold={"a_b": 3, "c": 2})
    assert nvt.Workflow(node).fit_transform(frame).to_dict(as_series=False) == {
        "a": [3, 3, 2],
        "b": [3, 2, 2],
        "c": [3, 3, 2],
    }
    by_member = [["a", "b"]] >> ops.Categorify(freq_threshold={"a": 3})
    assert nvt.Workflow(by_member).fit_transform(frame)["b"].to_list() == [3, 2, 2]
    two = [["a", "b"]] >> ops.Categorify(freq_threshold={"a": 3, "b": 1})
    with pytest.raises(DataError, match="'a_b' have different settings"):
        nvt.Workflow(two).fit(frame)
    wrong = ["a"] >> ops.Categorify(freq_threshold={"A": 2})
    with pytest.raises(DataError, match=r"freq_threshold names 'A', which is not encoded.*'a'"):
        nvt.Workflow(wrong).fit(frame)


def test_name_sep_and_a_joint_name_that_is_a_column() -> None:
    frame = pl.DataFrame({"a": ["x"], "b": ["y"], "a_b": ["z"]})
    with pytest.raises(DataError, match="'a_b', which is also a column"):
        nvt.Workflow([["a", "b"], "a_b"] >> ops.Categorify()).fit(frame)
    workflow = nvt.Workflow([["a", "b"], "a_b"] >> ops.Categorify(name_sep="+")).fit(frame)
    assert workflow.output_schema["a"].properties["domain"]["name"] == "a+b"


def test_given_vocabularies(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [7, 5, None, 6], "y": [["a"], ["b"], [], ["zz"]]})
    pl.DataFrame({"any": ["b", None, "a"]}).write_parquet(tmp_path / "v.parquet")
    vocabs = {"x": [5, None, 7], "y": str(tmp_path / "v.parquet")}
    workflow = nvt.Workflow(["x", "y"] >> ops.Categorify(vocabs=vocabs)).fit(frame)
    out = workflow.transform(frame)
    assert out["x"].to_list() == [4, 3, 1, 2]
    assert out["y"].to_list() == [[4], [3], [], [2]]
    workflow.save(tmp_path / "w")
    assert nvt.Workflow.load(tmp_path / "w").transform(frame).equals(out)
    for given_vocab, error, message in (
        ([5, 5], DataError, "holds 5 more than once"),
        (["a"], nvt.ColumnTypeError, r"vocabs\['x'\] holds String, the column Int64"),
        (str(tmp_path / "absent.parquet"), DataError, "no file"),
    ):
        with pytest.raises(error, match=message):
            nvt.Workflow(["x"] >> ops.Categorify(vocabs={"x": given_vocab})).fit(frame)


def test_all_null_column_of_no_type() -> None:
    frame = pl.DataFrame({"x": [None, None]})
    workflow = nvt.Workflow(["x"] >> ops.Categorify()).fit(frame)
    assert workflow.transform(frame)["x"].to_list() == [1, 1]
    assert workflow.transform(pl.DataFrame({"x": ["a", None]}))["x"].to_list() == [2, 1]
    floats = pl.DataFrame({"x": [1.0, float("nan")]})
    assert workflow.transform(floats)["x"].to_list() == [2, 1]
    assert nvt.get_embedding_sizes(workflow) == {"x": (3, 16)}


def test_empty_partitions() -> None:
    workflow = nvt.Workflow(["x", "g"] >> ops.Categorify())
    workflow.fit(pl.DataFrame({"x": [1], "g": [["a"]]}))
    empty = pl.DataFrame(schema={"x": pl.Int64, "g": pl.List(pl.String)})
    out = workflow.transform(empty)
    assert out.shape == (0, 2)
    assert out.schema == {"x": pl.Int64(), "g": pl.List(pl.Int64)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"freq_threshold": -1}, "freq_threshold must be 0 or an integer of at least 0, got -1"),
        ({"freq_threshold": {"x": 1.5}}, "freq_threshold must be"),
        ({"max_size": 2}, "max_size must be 0 or an integer of at least 3, got 2: ids 0, 1"),
        ({"dtype": "float32"}, "must be an integer dtype"),
        ({"dtype": "int65"}, "dtype int65"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ops.Categorify(**arguments)


def test_columns_that_cannot_be_keys_or_cannot_share() -> None:
    frame = pl.DataFrame({"s": [{"a": 1}], "i": [1], "t": ["x"]})
    with pytest.raises(DataError, match=r"column 's' has dtype Struct.*flatten"):
        nvt.Workflow(["s"] >> ops.Categorify()).fit(frame)
    with pytest.raises(nvt.ColumnTypeError, match=r"'i' .*and 't' .*jointly as 'i_t'"):
        nvt.Workflow([["i", "t"]] >> ops.Categorify()).fit(frame)


def test_ids_must_fit_their_dtype() -> None:
    frame = pl.DataFrame({"x": range(126)})
    with pytest.raises(DataError, match="'x' has 129 ids, more than int8 can hold"):
        nvt.Workflow(["x"] >> ops.Categorify(dtype="int8")).fit(frame)
    out = nvt.Workflow(["x"] >> ops.Categorify(dtype="int8")).fit_transform(frame.head(125))
    assert out["x"].max() == 127


@pytest.mark.parametrize("dtype", ["int32", np.int32, np.dtype("int32"), pl.Int32, pl.Int32()])
def test_spellings_of_the_dtype(dtype: Any) -> None:
    assert ops.Categorify(dtype=dtype).dtype == "int32"


def test_embedding_sizes_need_sizes() -> None:
    workflow = nvt.Workflow(["x"] >> ops.AddTags(["categorical"])).fit(pl.DataFrame({"x": [1]}))
    with pytest.raises(DataError, match="'x' is tagged categorical but has no embedding sizes"):
        nvt.get_embedding_sizes(workflow)
    node: Any = ["x"] >> ops.Categorify()
    with pytest.raises(DataError, match="make a Workflow of the node and fit it"):
        nvt.get_embedding_sizes(node)
