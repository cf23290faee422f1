"""Columns of a joined table: what is made on the table is what would be made row by row."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emberline.etl as nvt
from emberline.errors import DataError
from emberline.etl import ops, vocabulary
from emberline.etl.joined_table import JoinedTable, gathered, with_null_row
from emberline.etl.operator import Operator
from emberline.etl.ops import Categorify
from emberline.etl.selection import Selection
from tests.etl.every_way import InParts, every_way

GENRES = st.none() | st.lists(st.none() | st.sampled_from(["a", "b", "c"]), max_size=3)
TEXT = st.none() | st.sampled_from(["x", "x|y", "", "y"])
TABLES = st.dictionaries(st.integers(0, 6), st.tuples(GENRES, TEXT), max_size=6)
ROWS = st.lists(
    st.fixed_dictionaries({"k": st.none() | st.integers(0, 8), "t": TEXT}), min_size=1, max_size=12
)


def table_of(found: dict[int, Any]) -> pl.DataFrame:
    rows = [(key, genres, text) for key, (genres, text) in found.items()]
    schema: dict[str, Any] = {"k": pl.Int64, "genres": pl.List(pl.String), "text": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def frame_of(rows: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"k": pl.Int32, "t": pl.String})


#: What may be done with the columns k and t of the data, genres and text of the table.
GRAPHS: dict[str, Callable[[Any], Any]] = {
    "all alone": lambda j: j >> ops.Categorify(),
    "threshold": lambda j: j >> ops.Categorify(freq_threshold={"genres": 2, "t": 3}),
    "size": lambda j: j >> ops.Categorify(max_size={"genres": 5}, num_buckets={"genres": 2}),
    "one table": lambda j: j >> ops.Categorify(single_table=True),
    "given": lambda j: j["genres", "text"] >> ops.Categorify(vocabs={"genres": ["b", "z"]}),
    "grown": lambda j: j["genres"] >> ops.Categorify(vocabs={"genres": ["b", "z"]}, grow=True),
    "joint, of the table": lambda j: j[[["genres", "text"]]] >> ops.Categorify(),
    "joint, of both": lambda j: j[[["genres", "t"]]] >> ops.Categorify(),
    "combination, of both": lambda j: j[[["text", "k"]]] >> ops.Categorify(encode_type="combo"),
    "split": lambda j: j["text"] >> ops.SplitString("|") >> ops.ListSlice(1) >> ops.Categorify(),
    "renamed": lambda j: (
        j["genres", "t"]
        >> ops.AddTags(["item"])
        >> ops.Rename(names={"genres": "t", "t": "genres"})
        >> ops.Categorify()
    ),
    "buckets": lambda j: (
        j["genres", "text", "t"] >> ops.HashBucket({"genres": 3, "text": 5, "t": 7})
    ),
    "crossed": lambda j: j[[["text", "t"]]] >> ops.HashedCross(9),
    "filled": lambda j: j["text"] >> ops.FillMissing("none", add_binary_cols=True),
    "function": lambda j: (
        j["text", "t"] >> ops.LambdaOp(lambda c: c.str.to_uppercase()) >> ops.Categorify()
    ),
    "after a filter": lambda j: j >> ops.Filter(lambda df: df["k"] > 2) >> ops.Categorify(),
    "without nulls": lambda j: j["text", "t"] >> ops.Dropna() >> ops.Categorify(),
    "as it is": lambda j: j["genres", "k", "text"],
    "learned twice": lambda j: j["text"] >> ops.Categorify() >> ops.NormalizeMinMax(),
    "counted": lambda j: j["text"] >> ops.JoinGroupby(),
    "folds": lambda j: (
        j["text"] >> ops.TargetEncoding(target=["k"] >> ops.FillMissing(1), kfold=2, p_smooth=1)
    ),
    "lengths": lambda j: j["genres"] >> ops.ValueCount() >> ops.Categorify(),
}
UNSAVED = ("function", "after a filter")


@pytest.mark.parametrize("name", GRAPHS)
@settings(max_examples=12)
@given(TABLES, ROWS, ROWS)
def test_a_table_beside_the_rows_changes_nothing(
    name: str, found: dict[int, Any], rows: list[Any], more: list[Any]
) -> None:
    joined = ["k", "t"] >> ops.JoinExternal(table_of(found), on="k")
    results: list[list[Any]] = []
    for lookup in ("index", "join"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vocabulary, "LOOKUP", lookup)
            try:
                workflow = nvt.Workflow(GRAPHS[name](joined)).fit(InParts(frame_of(rows)))
                out = workflow.transform(frame_of(rows))
            except DataError as error:  # no rows are left by the filters
                results.append([str(error)])
                continue
            results.append([out, workflow.output_schema, *counts_of(workflow)])
            if name != "one table":
                workflow.fit(frame_of(more), update=True)
                out = workflow.transform(frame_of(rows + more))
                results[-1] += [out, workflow.output_schema, *counts_of(workflow)]
    for ours, theirs in zip(*results, strict=True):
        same = ours.equals(theirs) if isinstance(ours, pl.DataFrame) else ours == theirs
        assert same, (ours, theirs)


def counts_of(workflow: nvt.Workflow) -> list[pl.DataFrame]:
    """Give the statistics of every Categorify."""
    operators = [step.operator for step in workflow.graph.steps]
    return [
        frame.sort(frame.columns)
        for operator in operators
        if isinstance(operator, Categorify)
        for frame in operator.statistics().values()
    ]


@pytest.mark.parametrize("name", [name for name in GRAPHS if name not in UNSAVED])
def test_saved_and_within_a_memory_limit(name: str, tmp_path: Path) -> None:
    table = table_of({1: (["a", "b"], "x"), 2: ([], "x|y"), 3: (None, None), 9: (["c"], "")})
    frame = frame_of([{"k": k % 5, "t": "xy"[k % 2]} for k in range(40)])
    joined = ["k", "t"] >> ops.JoinExternal(table, on="k")
    out = every_way(GRAPHS[name](joined), frame, tmp_path)
    frame.write_parquet(tmp_path / "rows.parquet")
    data = nvt.Dataset(tmp_path / "rows.parquet")
    workflow = nvt.Workflow(GRAPHS[name](joined)).fit(data, memory_limit="1MB")
    written = workflow.transform(data, memory_limit="1MB").to_parquet(tmp_path / "out")
    assert written.to_polars().equals(out)


def test_unmatched_rows_and_counts_by_hand() -> None:
    table = pl.DataFrame({"k": [1, 2, 3], "genres": [["a", None], ["b"], ["never"]]})
    frame = pl.DataFrame({"k": [1, 2, 1, 7, None, 1]})
    node = (["k"] >> ops.JoinExternal(table, on="k"))["genres"] >> ops.Categorify()
    workflow = nvt.Workflow(node).fit(frame)
    # a three times, b once; a row of the table that the data never meets counts for nothing.
    (operator,) = [s.operator for s in workflow.graph.steps if isinstance(s.operator, Categorify)]
    assert operator.vocabularies["genres"].keys.to_series().to_list() == ["a", "b"]
    assert operator.vocabularies["genres"].nulls == 3
    assert workflow.transform(frame)["genres"].to_list() == [[3, 1], [4], [3, 1], [], [], [3, 1]]
    assert workflow.output_schema["genres"].properties["domain"]["max"] == 4


def test_categorify_counts_a_joined_column_by_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[str]] = {"weighted_partial": [], "partial": []}
    for method, names in seen.items():
        given = getattr(Categorify, method)

        def note(
            self: Any, frame: Any, selection: Any, given: Any = given, names: Any = names
        ) -> Any:
            names += selection.names
            return given(self, frame, selection)

        monkeypatch.setattr(Categorify, method, note)
    joined = ["k", "t"] >> ops.JoinExternal(table_of({1: (["a"], "x")}), on="k")
    rows = frame_of([{"k": 1, "t": "y"}])
    nvt.Workflow(joined >> ops.Categorify()).fit(rows)
    # Its key as well: it has been counted already.
    assert seen == {"weighted_partial": ["genres", "text", "k"], "partial": ["t"]}
    for names in seen.values():
        names.clear()
    nvt.Workflow(joined[[["text", "t"]]] >> ops.Categorify()).fit(rows)
    assert seen == {"weighted_partial": [], "partial": ["text", "t"]}, "one vocabulary for both"


class Watched(Operator):
    """Notes how many rows it is given."""

    elementwise = True

    def __init__(self, seen: list[int]) -> None:
        self.seen = seen

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Double."""

        def double(values: pl.Series) -> pl.Series:
            self.seen.append(len(values))
            return values * 2

        names = [pl.col(name) for name in selection.names]
        return frame.with_columns(
            c.map_batches(double, return_dtype=pl.Int64, is_elementwise=True) for c in names
        )


def test_elementwise_operators_see_the_table_once_and_others_the_rows(tmp_path: Path) -> None:
    seen: list[int] = []
    table = pl.DataFrame({"k": [1, 2], "v": [10, 20]})
    frame = pl.DataFrame({"k": [1, 2, 2, 3] * 25_000})
    frame.write_parquet(tmp_path / "rows.parquet")
    node = (["k"] >> ops.JoinExternal(table, on="k"))["v"] >> Watched(seen) >> ops.FillMissing(5)
    data = nvt.Dataset(tmp_path / "rows.parquet")
    out = nvt.Workflow(node).transform(data, memory_limit="20MB").to_parquet(tmp_path / "out")
    assert out.to_polars()["v"].to_list() == [20, 40, 40, 5] * 25_000
    assert sum(seen) == 3, "both rows and the one for rows without a match, for all parts"


def test_what_may_refuse_a_value_sees_the_rows_of_the_data_only() -> None:
    table = pl.DataFrame({"k": [1, 2], "v": [10, 1000]})
    node = (["k"] >> ops.JoinExternal(table, on="k"))["v"] >> ops.Cast("int8")
    assert nvt.Workflow(node).fit_transform(pl.DataFrame({"k": [1, 1]}))["v"].to_list() == [10, 10]
    with pytest.raises(DataError, match="cannot be processed"):
        nvt.Workflow(node).fit_transform(pl.DataFrame({"k": [1, 2]}))


def test_joins_of_joined_columns_and_of_two_tables() -> None:
    films = pl.DataFrame({"film": [1, 2, 3], "studio": ["s", None, "z"], "length": [90, 80, 70]})
    studios = pl.DataFrame({"studio": ["s", "q"], "city": ["Rome", "Oslo"]})
    users = pl.DataFrame({"user": [5, 6], "age": [30, 40]})
    frame = pl.DataFrame({"film": [1, 3, 2, 1, 8], "user": [5, 6, 7, 5, 6]})
    node = ["film", "user"] >> ops.JoinExternal(films, on="film")
    node = node >> ops.JoinExternal(studios, on="studio") >> ops.JoinExternal(users, on="user")
    out = every_way(node, frame)
    assert out.rows() == [
        (1, 5, "s", 90, "Rome", 30),
        (3, 6, "z", 70, None, 40),
        (2, 7, None, 80, None, None),
        (1, 5, "s", 90, "Rome", 30),
        (8, 6, None, None, None, 40),
    ]
    ids = every_way(node >> ops.Categorify(), frame)
    backwards = node["city", "age", "length", "studio", "user", "film"]
    assert every_way(backwards >> ops.Categorify(), frame).select(ids.columns).equals(ids)
    assert ids["city"].to_list() == [3, 1, 1, 3, 1]
    assert ids["age"].to_list() == [3, 4, 1, 3, 4]
    grouped = node >> ops.Groupby(groupby_cols=["user"], aggs={"city": "list", "age": "max"})
    assert nvt.Workflow(grouped).fit_transform(frame).sort("user").rows() == [
        (5, ["Rome", "Rome"], 30),
        (6, [None, None], 40),
        (7, [None], None),
    ]


DAY = dt.date(2024, 5, 1)


@pytest.mark.parametrize(
    ("keys", "theirs"),
    [
        (["x", None, "y"], ["y", None, "z"]),
        ([True, None, False], [False, None]),
        ([DAY, None, dt.date(1969, 1, 1)], [dt.date(1969, 1, 1), DAY]),
        ([2**63 - 1, -(2**63), 0], [0, -(2**63), 5]),
        ([b"\x00\xff", b"", None], [b"", b"\x00\xff"]),
        ([1.5, float("nan"), None, -0.0], [float("nan"), 0.0, 1.5]),
        ([None, None], [None]),
    ],
)
def test_keys_of_any_kind(keys: list[Any], theirs: list[Any]) -> None:
    table = pl.DataFrame({"k": theirs, "v": range(len(theirs))})
    frame = pl.DataFrame({"k": keys})
    out = every_way(["k"] >> ops.JoinExternal(table, on="k"), frame)
    expected = frame.join(table, on="k", how="left", maintain_order="left")
    assert out.equals(expected)
    node = ["k"] >> ops.JoinExternal(table, on="k") >> ops.Categorify()
    ids = every_way(node, frame)
    assert ids.equals(every_way(["k", "v"] >> ops.Categorify(), expected))


def test_several_keys_and_keys_that_the_data_cannot_hold() -> None:
    table = pl.DataFrame(
        {"a": [1, 1, None, 300], "b": ["x", "y", "x", "x"], "v": [0, 1, 2, 3]},
    )
    frame = pl.DataFrame(
        {"a": pl.Series([1, 1, None, 44], dtype=pl.Int8), "b": ["y", "x", "x", "x"]}
    )
    out = every_way(["a", "b"] >> ops.JoinExternal(table, on=["a", "b"]), frame)
    assert out["v"].to_list() == [1, 0, None, None]


def test_an_empty_table() -> None:
    table = pl.DataFrame(schema={"k": pl.Int64, "v": pl.List(pl.String)})
    node = ["k"] >> ops.JoinExternal(table, on="k") >> ops.Categorify()
    assert every_way(node, pl.DataFrame({"k": [4, 4]})).rows() == [(3, []), (3, [])]


def test_positions_of_a_table() -> None:
    rows = with_null_row(pl.DataFrame({"k": [3, None, 4], "v": ["a", "b", "c"]}))
    table = JoinedTable(["k"], rows.select("k"), rows.select("v"))
    assert table.columns["v"].to_list() == ["a", "c", None]
    frame = pl.DataFrame({"k": [4, None, 9, 3]})
    frame = frame.with_columns(table.position(["k"]).alias("row"))
    assert frame["row"].to_list() == [1, 2, 2, 0]
    assert frame.select(gathered("row", table.columns["v"])).to_series().to_list() == [
        *("c", None, None, "a")
    ]
