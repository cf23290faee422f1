"""Categorify in every mode, fitted part by part, against a reference of a few lines."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emberline.etl as nvt
from emberline.errors import ArtifactCorruptError, DataError
from emberline.etl import ops, vocabulary
from tests.etl.hash_reference import combined, hash_of


def canonical(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


class Reference:
    """One vocabulary: keys are values, or tuples of values in a combination."""

    def __init__(self, *, threshold: int = 0, limit: int = 0, buckets: int = 1) -> None:
        self.threshold, self.limit, self.buckets = threshold, limit, buckets
        self.counts: Counter[Any] = Counter()
        self.order: list[Any] = []

    def fit(self, keys: list[Any], given: Sequence[Any] = ()) -> None:
        self.order = self.order or list(given)
        self.counts.update(key for key in keys if not self.is_null(key))
        # Nulls inside a combination sort first.
        new = [k for k in self.counts if k not in self.order and self.counts[k] >= self.threshold]
        new.sort(key=lambda k: (-self.counts[k], [(v is not None, v) for v in self.parts(k)]))
        room = max(self.limit - 2 - self.buckets - len(self.order), 0) if self.limit else None
        self.order += new[:room]

    def encode(self, key: Any) -> int:
        if self.is_null(key):
            return 1
        if key in self.order:
            return 2 + self.buckets + self.order.index(key)
        if self.buckets == 1:
            return 2
        hashed = combined(list(key)) if isinstance(key, tuple) else hash_of(key)
        return 2 + hashed % self.buckets

    @staticmethod
    def parts(key: Any) -> tuple[Any, ...]:
        return key if isinstance(key, tuple) else (key,)

    def is_null(self, key: Any) -> bool:
        return all(part is None for part in self.parts(key))


# Small domains, so that values repeat; every dtype that can be a key.
VALUES: dict[pl.DataType, list[Any]] = {
    pl.Int64(): [-3, 0, 1, 2**40],
    pl.Int8(): [-3, 0, 1],
    pl.UInt64(): [0, 1, 2**63 + 1, 2**63 + 2],
    pl.String(): ["", "a", "ä", "aa"],
    pl.Categorical(): ["", "a", "ä", "aa"],
    pl.Enum(["b", "a"]): ["a", "b"],
    pl.Binary(): [b"", b"a", b"\xff"],
    pl.Boolean(): [True, False],
    pl.Float64(): [0.0, -0.0, 1.5, float("nan"), float("inf")],
    pl.Float32(): [0.0, -0.0, 1.5, float("nan")],
    pl.Date(): [dt.date(2020, 1, 1), dt.date(1969, 12, 31)],
    pl.Datetime("us"): [dt.datetime(2020, 1, 1), dt.datetime(1969, 12, 31, 1)],
    pl.Time(): [dt.time(0), dt.time(23, 59)],
    pl.Duration("ms"): [dt.timedelta(0), dt.timedelta(days=-1)],
    pl.Decimal(9, 2): [Decimal("1.10"), Decimal("-2.25")],
}
#: Their hash is that of a number that is not the Python value: only ids without buckets compare.
NO_HASH = (pl.Date, pl.Datetime, pl.Time, pl.Duration, pl.Decimal)


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    mode = draw(st.sampled_from(["single", "list", "joint", "combo"]))
    kinds = list(VALUES)
    left = draw(st.sampled_from(kinds))
    right = left if mode == "joint" else draw(st.sampled_from(kinds))
    frames = []
    for _ in range(draw(st.integers(2, 4))):
        rows = draw(st.integers(1, 12))
        leaf = {d: st.none() | st.sampled_from(VALUES[d]) for d in (left, right)}
        a = st.lists(leaf[left], max_size=3) | st.none() if mode == "list" else leaf[left]
        frames.append(
            pl.DataFrame(
                {
                    "a": pl.Series(
                        draw(st.lists(a, min_size=rows, max_size=rows)),
                        dtype=pl.List(left) if mode == "list" else left,
                    ),
                    "b": pl.Series(
                        draw(st.lists(leaf[right], min_size=rows, max_size=rows)), dtype=right
                    ),
                }
            )
        )
    hashable = not {type(left), type(right)} & set(NO_HASH)
    arguments = draw(
        st.sampled_from(
            [{}, {"freq_threshold": 2}, {"freq_threshold": 3}, {"max_size": 6}, {"max_size": 4}]
        )
    )
    if hashable and draw(st.booleans()):
        arguments = {**arguments, "num_buckets": 2}
    return {"mode": mode, "frames": frames, "arguments": arguments, "joined": draw(st.booleans())}


def keys_of(frame: pl.DataFrame, mode: str) -> dict[str, list[Any]]:
    """Give output -> a key for every row, or a list of keys."""
    a = [
        [canonical(v) for v in row or []] if mode == "list" else canonical(row)
        for row in frame["a"].to_list()
    ]
    b = [canonical(v) for v in frame["b"]]
    if mode == "combo":
        return {"a_b": list(zip(a, b, strict=True))}
    return {"a": a, "b": b} if mode == "joint" else {"a": a}


@given(scenarios())
@settings(max_examples=80)
def test_equals_the_reference(scenario: dict[str, Any]) -> None:
    mode, arguments = scenario["mode"], scenario["arguments"]
    *parts, other = scenario["frames"]
    columns = ["a"] if mode in {"single", "list"} else [["a", "b"]]
    kind: dict[str, Any] = {"encode_type": "combo"} if mode == "combo" else {}
    workflow = nvt.Workflow(columns >> ops.Categorify(**arguments, **kind))
    reference = Reference(
        threshold=arguments.get("freq_threshold", 0),
        limit=arguments.get("max_size", 0),
        buckets=arguments.get("num_buckets", 1),
    )
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        if scenario["joined"]:  # the same ids by the other way of looking them up
            patch.setattr(vocabulary, "LOOKUP", "join")
        for number, part in enumerate(parts):
            workflow.fit(part, update=True)
            if number % 2 == 0:  # and so it is after a save
                workflow.save(Path(folder) / "w")
                workflow = nvt.Workflow.load(Path(folder) / "w")
            keys = [k for column in keys_of(part, mode).values() for k in column]
            reference.fit([leaf for k in keys for leaf in (k if mode == "list" else [k])])
            for rows in (part, other, part.clear()):
                out = workflow.transform(rows)
                assert out.to_dict(as_series=False) == {
                    name: [
                        [reference.encode(leaf) for leaf in key]
                        if mode == "list"
                        else reference.encode(key)
                        for key in column
                    ]
                    for name, column in keys_of(rows, mode).items()
                }
                lazy = workflow.transform(rows.lazy()).collect(engine="streaming")
                assert lazy.equals(out)
        sizes = nvt.get_embedding_sizes(workflow)
        single = {**sizes[0], **sizes[1]} if isinstance(sizes, tuple) else sizes
        cardinality = 2 + reference.buckets + len(reference.order)
        assert {size for size, _ in single.values()} == {cardinality}


@given(
    st.lists(
        st.lists(st.none() | st.integers(0, 9), min_size=1, max_size=9), min_size=1, max_size=3
    ),
    st.lists(st.integers(0, 12), unique=True, max_size=5),
    st.sampled_from([{}, {"freq_threshold": 2}, {"max_size": 9}]),
)
@settings(max_examples=40)
def test_given_categories_grow(
    parts: list[list[int | None]], given_values: list[int], arguments: dict[str, Any]
) -> None:
    operator = ops.Categorify(vocabs={"x": given_values}, grow=True, **arguments)
    workflow = nvt.Workflow(["x"] >> operator)
    reference = Reference(
        threshold=arguments.get("freq_threshold", 0), limit=arguments.get("max_size", 0)
    )
    for values in parts:
        frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.Int64)})
        workflow.fit(frame, update=True)
        reference.fit(list(values), given=given_values)
        rows = pl.DataFrame({"x": [*range(14), None]})
        assert workflow.transform(rows)["x"].to_list() == [reference.encode(v) for v in rows["x"]]
    with TemporaryDirectory() as folder:
        workflow.save(Path(folder) / "w")
        again = nvt.Workflow.load(Path(folder) / "w").fit(pl.DataFrame({"x": parts[0]}))
    fresh = nvt.Workflow(["x"] >> operator).fit(pl.DataFrame({"x": parts[0]}))
    assert again.transform(rows).equals(fresh.transform(rows))


def test_ids_stay_when_counts_turn_around() -> None:
    workflow = nvt.Workflow(["x"] >> ops.Categorify(freq_threshold=2))
    workflow.fit(pl.DataFrame({"x": ["a", "a", "b"]}))
    rows = pl.DataFrame({"x": ["a", "b", "c", "d", None]})
    assert workflow.transform(rows)["x"].to_list() == [3, 2, 2, 2, 1]
    # b reaches the threshold with the one of before; d has most of all, but comes later than a.
    workflow.fit(pl.DataFrame({"x": ["b", "d", "d", "d", "c"]}), update=True)
    assert workflow.transform(rows)["x"].to_list() == [3, 5, 2, 4, 1]
    assert nvt.get_embedding_sizes(workflow) == {"x": (6, 16)}
    # A fit without update begins anew.
    workflow.fit(pl.DataFrame({"x": ["d", "d"]}))
    assert workflow.transform(rows)["x"].to_list() == [2, 2, 2, 3, 1]


def test_a_column_of_nulls_gets_its_dtype_from_an_update() -> None:
    workflow = nvt.Workflow([["x", "y"], "x"] >> ops.Categorify(encode_type="combo"))
    workflow.fit(pl.DataFrame({"x": [None, None], "y": [1, 2]}))
    rows = pl.DataFrame({"x": ["a", None], "y": [1, 1]})
    assert workflow.transform(rows).to_dict(as_series=False) == {"x": [2, 1], "x_y": [2, 3]}
    workflow.fit(rows, update=True)
    assert workflow.transform(rows).to_dict(as_series=False) == {"x": [3, 1], "x_y": [5, 3]}


def test_a_group_and_its_members() -> None:
    """Columns in several groups, and alone as well."""
    frame = pl.DataFrame({"a": ["x", "y", "x"], "b": [1, 1, 2], "c": [0, 0, 0]})
    columns = [["a", "b"], "a", ["a", "c"], "c"]
    workflow = nvt.Workflow(columns >> ops.Categorify(encode_type="combo")).fit(frame)
    out = workflow.transform(frame)
    assert out.to_dict(as_series=False) == {
        "a": [3, 4, 3],
        "c": [3, 3, 3],
        "a_b": [3, 5, 4],
        "a_c": [3, 4, 3],
    }
    assert nvt.get_embedding_sizes(workflow) == {
        "a": (5, 16),
        "c": (4, 16),
        "a_b": (6, 16),
        "a_c": (5, 16),
    }
    selector = nvt.ColumnSelector([["a", "b"]])
    selector += ["a"]
    selector += [["a", "c"], "c"]
    same = nvt.Workflow(selector >> ops.Categorify(encode_type="combo")).fit_transform(frame)
    assert same.equals(out)
    node = nvt.Node.select([["a", "b"], ["a", "c"]])
    node += ["a", "c"]
    same = nvt.Workflow(node >> ops.Categorify(encode_type="combo")).fit_transform(frame)
    assert same.equals(out)


def test_combinations_without_one_of_their_columns(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": ["x", "y"], "b": [1, 1], "c": [0, 0]})
    columns = [["a", "b"], "a", ["a", "c"]]
    workflow = nvt.Workflow(columns >> ops.Categorify(encode_type="combo")).fit(frame)
    out = workflow.transform(frame)
    workflow.remove_inputs(["b"])
    assert workflow.transform(frame.drop("b")).equals(out.drop("a_b"))
    workflow.save(tmp_path / "w")
    loaded = nvt.Workflow.load(tmp_path / "w")
    assert loaded.transform(frame.drop("b")).equals(out.drop("a_b"))
    loaded.fit(frame, update=True)
    assert loaded.transform(frame).equals(out.drop("a_b"))


def test_settings_of_a_combination_are_under_its_name() -> None:
    frame = pl.DataFrame({"a": ["x", "x", "y"], "b": [1, 1, 1]})
    arguments: dict[str, Any] = {"freq_threshold": {"a_b": 2}, "num_buckets": {"a_b": 3, "a": 2}}
    operator = ops.Categorify(encode_type="combo", **arguments)
    workflow = nvt.Workflow([["a", "b"], "a"] >> operator).fit(frame)
    assert nvt.get_embedding_sizes(workflow) == {"a": (6, 16), "a_b": (6, 16)}
    unknown = 2 + combined(["y", 1]) % 3
    assert workflow.transform(frame)["a_b"].to_list() == [5, 5, unknown]


def test_given_combinations_and_frames(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": ["x", "y", None], "b": [1, 2, 7]})
    pairs = pl.DataFrame({"b": [2, 1, None, 7], "a": ["y", "q", None, None]})
    node = [["a", "b"], "a", "b"] >> ops.Categorify(
        encode_type="combo",
        vocabs={("a", "b"): pairs, "a": pl.DataFrame({"any": ["y"]}), "b": range(3)},
    )
    workflow = nvt.Workflow(node).fit(frame)
    out = workflow.transform(frame)
    assert out.to_dict(as_series=False) == {"a": [2, 3, 1], "b": [4, 5, 2], "a_b": [2, 3, 5]}
    workflow.save(tmp_path / "w")
    loaded = nvt.Workflow.load(tmp_path / "w")
    assert loaded.transform(frame).equals(out)
    # What was given stays given: in an update, and in a new fit of the loaded workflow.
    other = pl.DataFrame({"a": ["new"], "b": [9]})
    assert loaded.fit(other, update=True).transform(frame).equals(out)
    assert loaded.fit(other).transform(frame).equals(out)
    columns = pl.DataFrame({"a": ["y", None], "b": [2, 1]})
    by_frame = nvt.Workflow(["a", "b"] >> ops.Categorify(vocabs=columns)).fit(frame)
    expected = {"a": [2, 3, 1], "b": [4, 3, 2]}
    assert by_frame.transform(frame).to_dict(as_series=False) == expected
    by_pandas = nvt.Workflow(["a", "b"] >> ops.Categorify(vocabs=columns.to_pandas())).fit(frame)
    assert by_pandas.transform(frame).equals(by_frame.transform(frame))


def test_files_of_one_fit_are_the_vocabularies_of_another(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"a": ["x", "y", "y", None], "b": [1, 2, 2, 1], "c/d": ["p", "q", "q", "q"]}
    )
    node = [["a", "b"], "a", "c/d"] >> ops.Categorify(encode_type="combo", out_path=tmp_path)
    workflow = nvt.Workflow(node).fit(frame)
    folder = tmp_path / "categories"
    names = ["a", "a_b", "c%2Fd"]
    assert sorted(f.name for f in folder.iterdir()) == sorted(
        f"{kind}.{name}.parquet" for kind in ("unique", "meta") for name in names
    )
    vocabs = {n.replace("%2F", "/"): folder / f"unique.{n}.parquet" for n in names}
    again = [["a", "b"], "a", "c/d"] >> ops.Categorify(encode_type="combo", vocabs=vocabs)
    other = nvt.Workflow(again).fit(frame.head(1))
    assert other.transform(frame).equals(workflow.transform(frame))


def test_single_tables_do_not_grow() -> None:
    frame = pl.DataFrame({"x": ["a"], "y": ["b"]})
    node = ["x", "y"] >> ops.Categorify(single_table=True, num_buckets={"x": 3})
    workflow = nvt.Workflow(node).fit(frame)
    out = workflow.transform(frame).to_dict(as_series=False)
    assert out == {"x": [5], "y": [6]}, "behind the widest buckets"
    with pytest.raises(nvt.UnsupportedError, match=r"single_table=True\) cannot be updated"):
        workflow.fit(frame, update=True)
    assert workflow.transform(frame).to_dict(as_series=False) == out


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ops.Categorify(encode_type=cast("Any", "cross")),
            "must be 'joint' or 'combo', got 'cross'",
        ),
        (lambda: ops.Categorify(num_buckets={"x": 0}), "an integer of at least 1, got 0; leave"),
        (lambda: ops.Categorify(vocabs=3), "vocabs must map columns to categories.*got int"),
        (
            lambda: ["a"] >> ops.Categorify(max_size={"a": 4}, num_buckets={"a": 3}),
            "max_size of 'a' is 4, but padding, null and 3 buckets take 5 ids",
        ),
        (lambda: ["a"] >> ops.Categorify(num_buckets={"A": 3}), "num_buckets names 'A'.*'a'"),
        (lambda: [["a", "g"]] >> ops.Categorify(encode_type="combo"), "column 'g' holds lists"),
        (
            lambda: [["a", "b"], ["a_b"]] >> ops.Categorify(encode_type="combo"),
            "the joint name of a group is 'a_b', which is also a column",
        ),
        (
            lambda: [["a", "b_c"], ["a_b", "c"]] >> ops.Categorify(encode_type="combo"),
            "two groups have the joint name 'a_b_c'",
        ),
        (
            lambda: [["a", "b"]] >> ops.Categorify(encode_type="combo", vocabs={"a_b": ["x"]}),
            r"vocabs\['a_b'\] must be a frame with the columns \['a', 'b'\], got list",
        ),
        (
            lambda: ["a"] >> ops.Categorify(vocabs={"a": pl.DataFrame({"x": [1], "y": [2]})}),
            r"vocabs\['a'\] has the columns \['x', 'y'\]; expected \['a'\]",
        ),
    ],
)
def test_bad_input(make: Any, message: str) -> None:
    frame = pl.DataFrame(
        {"a": ["x"], "b": ["y"], "a_b": ["z"], "g": [["x"]], "b_c": ["x"], "c": ["x"]}
    )
    with pytest.raises(DataError, match=message):
        nvt.Workflow(make()).fit(frame)


def test_an_update_needs_the_counts_of_what_was_cut() -> None:
    """Workflows that were saved before they were kept have none."""
    workflow = nvt.Workflow(["x"] >> ops.Categorify(freq_threshold=2))
    workflow.fit(pl.DataFrame({"x": ["a", "a", "b"]}))
    operator = workflow._graph.steps[1].operator
    assert isinstance(operator, ops.Categorify)
    tables = {n: t for n, t in operator.artifacts().items() if not n.startswith("cut.")}
    old = {"freq_threshold": 2, "storage": {"x": "x"}}
    restored = ops.Categorify.restore(old, tables)
    assert restored.vocabularies["x"].keys.equals(operator.vocabularies["x"].keys)
    with pytest.raises(DataError, match="counts of what was cut from 'x' were not saved"):
        restored.statistics()
    # Nothing was cut here, so nothing is missing.
    workflow.fit(pl.DataFrame({"x": ["a", "a"]}))
    operator = workflow._graph.steps[1].operator
    assert isinstance(operator, ops.Categorify)
    assert ops.Categorify.restore(old, operator.artifacts()).statistics()["x"].height == 1


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("meta.x", lambda t: t.with_columns(offset=pl.lit(1)), "1 buckets and the first id 1"),
        ("meta.x", lambda t: t.with_columns(num_indices=pl.lit(None)), "None buckets"),
        ("meta.x", lambda t: t.head(2), "lack a column or row"),
        ("unique.x", lambda t: pl.concat([t, t]), "repeat or are null"),
        ("unique.x", lambda t: t.with_columns(x=pl.lit(None)), "repeat or are null"),
        ("unique.x", lambda t: t.drop("x"), "lack a column or row"),
        ("cut.x", lambda t: t.drop("count"), "what was cut from 'x' is wrong"),
    ],
)
def test_wrong_tables(table: str, change: Any, message: str) -> None:
    workflow = nvt.Workflow(["x"] >> ops.Categorify(freq_threshold=2))
    workflow.fit(pl.DataFrame({"x": ["a", "a", "b"]}))
    operator = workflow._graph.steps[1].operator
    assert operator is not None
    tables = operator.artifacts()
    tables[table] = change(tables[table])
    with pytest.raises(ArtifactCorruptError, match=message):
        ops.Categorify.restore({"storage": {"x": "x"}}, tables)
