"""Random graphs on random frames: in memory, streaming, in parts, saved and row by row are one."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import emberline.etl as nvt
from emberline.etl import ops
from tests.etl.every_way import every_way

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-50, 50),
            "f": st.none() | st.floats(-100, 100).map(lambda v: round(v, 3)),
            "s": st.none() | st.sampled_from(["a", "b", "a|b", ""]),
            "l": st.none() | st.lists(st.none() | st.integers(0, 5), max_size=3),
        }
    ),
    min_size=1,
    max_size=8,
)
SCHEMA: dict[str, pl.DataType] = {
    "i": pl.Int64(),
    "f": pl.Float64(),
    "s": pl.String(),
    "l": pl.List(pl.Int64()),
}

TABLE = pl.DataFrame(
    {
        "i": range(-3, 13),
        "year": [None if i % 5 == 0 else 1990 + i % 4 for i in range(16)],
        "tags": [None if i % 7 == 0 else ["a", None, "b", "c"][: i % 5] for i in range(16)],
    }
)

Step = Callable[[Any], Any]
INTEGER: list[Step] = [
    lambda n: n >> ops.FillMissing(3),
    lambda n: n >> ops.Clip(-20, 20),
    lambda n: n >> ops.FillMedian(),
    lambda n: n >> ops.Cast("float32") >> ops.Cast("int64"),
    lambda n: n >> ops.LambdaOp(lambda c: c * 2 + 1),
]
FLOAT: list[Step] = [
    lambda n: n >> ops.FillMissing(0.5),
    lambda n: n >> ops.Clip(min_value=0),
    lambda n: n >> ops.FillMedian(),
    lambda n: n >> ops.Normalize(),
    lambda n: n >> ops.NormalizeMinMax(),
    # By a power of two: Polars multiplies a column by the reciprocal of a literal, but divides a
    # single row, so that thirds of a frame and of its rows differ in the last bit.
    lambda n: n >> ops.LambdaOp(lambda c: c / 4),
]
LIST: list[Step] = [
    lambda n: n >> ops.ListSlice(2),
    lambda n: n >> ops.ListSlice(-2, pad=True, pad_value=7),
    lambda n: n >> ops.ListSlice(1, 3),
]
NUMBER_ENDS: list[Step] = [
    lambda n: n,
    lambda n: n >> ops.Bucketize([-10, 0, 10]),
    lambda n: n >> ops.ReduceDtypeSize(),
    lambda n: n >> ops.LogOp(),
]
KEY_ENDS: list[Step] = [
    lambda n: n >> ops.Categorify(),
    lambda n: n >> ops.Categorify(freq_threshold=2),
    lambda n: n >> ops.JoinGroupby(cont_cols=["f"], stats=["count", "sum", "std", "min"]),
    lambda n: n >> ops.HashBucket(5),
]
JOIN_ENDS: list[Step] = [
    lambda n: n,
    lambda n: n >> ops.Categorify(),
    lambda n: n["tags", "i"] >> ops.Categorify(freq_threshold=2),
    lambda n: n["tags"] >> ops.ListSlice(2) >> ops.HashBucket(5),
    lambda n: n[[["i", "year"]]] >> ops.Categorify(encode_type="combo"),
    lambda n: n["year"] >> ops.FillMissing(1900) >> ops.Normalize(),
    lambda n: n["year"] >> ops.LambdaOp(lambda c: c // 2) >> ops.Categorify(),
]
LIST_ENDS: list[Step] = [
    lambda n: n,
    lambda n: n >> ops.Categorify(),
    lambda n: n >> ops.Normalize(),
    lambda n: n >> ops.ValueCount(),
]


def chain(start: str, middle: list[Step], ends: list[Step]) -> st.SearchStrategy[Any]:
    steps = st.lists(st.sampled_from(middle), max_size=3)

    def build(parts: tuple[list[Step], Step]) -> Any:
        node: Any = nvt.Node.select([start])
        for step in [*parts[0], parts[1]]:
            node = step(node)
        return node

    return st.tuples(steps, st.sampled_from(ends)).map(build)


def joined(end: Step) -> Step:
    return lambda n: end(n >> ops.JoinExternal(TABLE, on="i"))


CHAINS = [
    chain("i", INTEGER, [joined(end) for end in JOIN_ENDS]),
    chain("i", INTEGER, [*NUMBER_ENDS, *KEY_ENDS]),
    chain("f", FLOAT, NUMBER_ENDS),
    chain("s", [lambda n: n], KEY_ENDS),
    chain("l", LIST, LIST_ENDS),
]
#: What may be done to the rows of all.
ROW_STEPS: list[Step] = [
    lambda n: n,
    lambda n: n + (["i"] >> ops.Dropna() >> ops.Rename(postfix="_kept")),
    lambda n: n + (["f", "i"] >> ops.Filter(lambda df: df["f"] > -50) >> ops.Rename(postfix="_k")),
]


@st.composite
def graphs(draw: st.DrawFn) -> Any:
    count = draw(st.integers(1, 4))
    nodes = [draw(one) for one in draw(st.permutations(CHAINS))[:count]]
    out = nodes[0]
    for number, node in enumerate(nodes[1:]):
        out = out + (node >> ops.Rename(postfix=f"_{number}"))
    return draw(st.sampled_from(ROW_STEPS))(out)


@settings(max_examples=60)
@given(ROWS, graphs())
def test_every_way_of_running_a_graph_gives_the_same(rows: list[Any], graph: Any) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    with tempfile.TemporaryDirectory() as folder:
        savable = not any(
            isinstance(node.operator, (ops.LambdaOp, ops.Filter)) for node in graph.walk()
        )
        out = every_way(graph, frame, Path(folder) if savable else None)
    workflow = nvt.Workflow(graph).fit(frame)
    alone = [workflow.transform(frame[i]) for i in range(frame.height)]
    assert pl.concat(alone).equals(out), "row by row"
