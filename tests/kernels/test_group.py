"""TableGroup: many features in one call are the tables' own calls, one after the other."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from emberline.kernels import (
    SGD,
    Adagrad,
    ArrayShapeError,
    ArrayTypeError,
    ConfigError,
    Constant,
    CountAdmission,
    DeviceError,
    HashTable,
    RowIndexError,
    TableFeature,
    TableFullError,
    TableGroup,
)
from tests.kernels.conftest import floats, ints
from tests.kernels.simt.launcher import compiler
from tests.kernels.simt.table import simt_table
from tests.reference import ReferenceTable

TABLES = {"a": (3, Adagrad(learning_rate=0.1)), "b": (8, SGD(learning_rate=0.5)), "c": (1, SGD())}
THREADS = [1, 2, 7]
DEVICES = pytest.mark.parametrize(
    "kind",
    [
        pytest.param(HashTable, id="cpu"),
        pytest.param(
            simt_table,
            id="simt",
            marks=pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler on the PATH"),
        ),
    ],
)


def make_tables(kind: Any = HashTable, **settings: Any) -> list[Any]:
    return [
        kind(dim, name=name, optimizer=optimizer, **settings)
        for name, (dim, optimizer) in TABLES.items()
    ]


def assert_same(ours: Any, theirs: Any) -> None:
    for one, two in zip(vars(ours.export()).values(), vars(theirs.export()).values(), strict=True):
        assert_array_equal(one, two)


def one_by_one(
    tables: dict[str, ReferenceTable],
    features: list[TableFeature],
    keys: list[NDArray[np.int64]],
    offsets: list[NDArray[np.int64] | None],
    weights: list[NDArray[np.float32] | None],
    defaults: dict[str, NDArray[np.float32]],
    gradients: NDArray[np.float32],
    insert: bool,
    step: int,
) -> NDArray[np.float32]:
    """The step with the reference's methods; returns the vectors.

    Ignored keys are left out beforehand; what is left is a batch like any other.
    """
    keys, offsets, weights = list(keys), list(offsets), list(weights)
    for f, feature in enumerate(features):
        part = offsets[f]
        if part is None or feature.max_length is None:
            continue
        lengths = np.diff(part)
        kept = np.array([i < feature.max_length for n in lengths for i in range(n)], bool)
        keys[f] = keys[f][kept]
        given = weights[f]
        weights[f] = None if given is None else given[kept]
        offsets[f] = np.cumsum([0, *np.minimum(lengths, feature.max_length)])
    batch = len(gradients)
    found, vectors = [], []
    for table in tables.values():  # what is new to a step comes in with all its features at once
        joined = [k for k, f in zip(keys, features, strict=True) if f.table == table.name]
        if insert and joined:
            table.find_or_insert(np.concatenate(joined))
    for f, (feature, each, part) in enumerate(zip(features, keys, offsets, strict=True)):
        table = tables[feature.table]
        rows = table.find(each)
        part = np.arange(batch + 1) if part is None else part
        vectors.append(
            table.gather_pooled(
                rows,
                part,
                combiner=feature.combiner,
                weights=weights[f],
                default=defaults.get(table.name),
            )
        )
        found.append(rows)
    columns = np.cumsum([0, *(v.shape[1] for v in vectors)])
    for name, table in tables.items():
        uses = [f for f, feature in enumerate(features) if feature.table == name]
        all_rows: list[Any] = []
        source: list[Any] = []
        scale: list[Any] = []
        stacked: list[Any] = []
        for f in uses:
            part = offsets[f]
            lengths = np.ones(batch, int) if part is None else np.diff(part)
            given = weights[f]
            factors = np.ones(len(found[f]), np.float32) if given is None else given
            segments = np.split(factors, np.cumsum(lengths)[:-1]) if batch else []
            all_rows.append(found[f])
            source.append(np.repeat(np.arange(batch), lengths) + batch * len(stacked))
            scale += [shares(segment, features[f].combiner) for segment in segments]
            stacked.append(gradients[:, columns[f] : columns[f + 1]])
        if uses:
            table.apply_gradients(
                np.concatenate(all_rows),
                np.concatenate(stacked),
                source=np.concatenate(source),
                scale=np.concatenate([np.empty(0, np.float32), *scale]),
                step=step,
            )
    return np.concatenate(vectors, axis=1)


def shares(weights: NDArray[np.float32], combiner: str) -> NDArray[np.float32]:
    """What each key of a sample gets of its gradient, one float32 operation after the other."""
    divisor = np.float32(0)
    for weight in weights:
        divisor = divisor + (weight if combiner == "mean" else weight * weight)
    if combiner == "sum":
        return weights
    divisor = np.sqrt(divisor) if combiner == "sqrtn" else divisor
    return weights / divisor if divisor != 0 else np.zeros_like(weights)


@given(
    features=st.lists(
        st.tuples(
            st.sampled_from(list(TABLES)),
            st.sampled_from(["sum", "mean", "sqrtn"]),
            st.booleans(),
            st.none() | st.integers(1, 4),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
    ),
    batch=st.integers(0, 12),
    insert=st.lists(st.booleans(), min_size=1, max_size=3),
    admission=st.sampled_from([None, CountAdmission(threshold=2)]),
    threads=st.sampled_from([*THREADS, "simt"]),
    seed=st.integers(0, 2**16),
)
def test_equals_the_reference_feature_by_feature(
    features: list[tuple[str, str, bool, int | None, bool]],
    batch: int,
    insert: list[bool],
    admission: CountAdmission | None,
    threads: Any,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    if threads == "simt" and compiler() is not None:
        tables = make_tables(simt_table, _hash_bits=3, _seed=seed, admission=admission)
    else:
        count = 1 if threads == "simt" else threads
        tables = make_tables(threads=count, _grain=2, _hash_bits=3, admission=admission)
    references = dict(zip(TABLES, make_tables(ReferenceTable, admission=admission), strict=True))
    named = [
        TableFeature(name=f"f{n}", table=table, combiner=combiner, max_length=max_length)
        for n, (table, combiner, _, max_length, _) in enumerate(features)
    ]
    defaults = {"b": rng.normal(size=8).astype(np.float32)}
    group = TableGroup(tables, named, defaults=defaults)
    for step, inserting in enumerate([True, *insert]):
        keys: list[NDArray[np.int64]] = []
        offsets: list[NDArray[np.int64] | None] = []
        weights: list[NDArray[np.float32] | None] = []
        for _, _, pooled, _, weighted in features:
            lengths = rng.integers(0, 6, batch) if pooled else np.ones(batch, int)
            keys.append(rng.integers(-4, 9, lengths.sum()))
            offsets.append(np.cumsum([0, *lengths]) if pooled else None)
            factors = rng.integers(0, 4, lengths.sum()).astype(np.float32)
            weights.append(factors / 3 if weighted else None)
        gradients = rng.normal(size=(batch, group.width)).astype(np.float32)
        out = np.full((batch, group.width + 3), np.nan, np.float32)
        vectors, rows = group.forward(
            keys, offsets, weights=weights, insert=inserting, out=out[:, 1:-2]
        )
        expected = one_by_one(
            references, named, keys, offsets, weights, defaults, gradients, inserting, step
        )
        assert_array_equal(vectors, expected)
        assert np.isnan(out[:, [0, -2, -1]]).all()
        group.backward(rows, gradients, offsets, weights=weights, step=step)
        for table in tables:
            table.check()
            assert_same(table, references[table.name])


def test_every_number_of_threads_gives_the_same_bits() -> None:
    """Default parts, so that tables run side by side, and one table has most keys."""
    features = [TableFeature(name=str(n), table="abbc"[n % 4]) for n in range(8)]
    features.append(TableFeature(name="many", table="c", combiner="mean"))
    results = []
    for threads in THREADS:
        rng = np.random.default_rng(5)
        tables = make_tables(threads=threads)
        group = TableGroup(tables, features)
        out = []
        for step in range(3):
            keys = [rng.zipf(1.3, 3000) for _ in range(8)] + [rng.zipf(1.1, 60_000) % 20_000]
            offsets = [None] * 8 + [np.arange(3001) * 20]
            vectors, rows = group.forward(keys, offsets, insert=True)
            gradients = rng.normal(size=vectors.shape).astype(np.float32)
            group.backward(rows, gradients, offsets, step=step, learning_rates={"b": 0.25})
            out += [vectors, rows]
        for table in tables:
            table.check()
            out += vars(table.export()).values()
        results.append(out)
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert_array_equal(one, two)


@DEVICES
def test_by_hand(kind: Any) -> None:
    table = kind(2, name="t", optimizer=SGD(learning_rate=1.0), initializer=Constant(value=0))
    features = [
        TableFeature(name="one", table="t"),
        TableFeature(name="mean", table="t", combiner="mean"),
    ]
    group = TableGroup([table], features)
    assert group.width == 4
    assert group.columns == {"one": slice(0, 2), "mean": slice(2, 4)}
    offsets = [None, ints(0, 2, 2)]
    vectors, rows = group.forward([ints(5, 6), ints(6, 7)], offsets, insert=True)
    assert_array_equal(rows, ints(0, 1, 1, 2))
    assert_array_equal(vectors, np.zeros((2, 4), np.float32))
    gradients = floats([1, 2, 4, 8], [16, 32, 64, 128])
    group.backward(rows, gradients, offsets, learning_rates={"t": 2.0}, step=3)
    expected = floats([-2, -4], [-2 * (16 + 2), -2 * (32 + 4)], [-4, -8])
    assert_array_equal(table.lookup(ints(5, 6, 7)), expected)
    assert_array_equal(table.export().frequency, [1, 2, 1])
    assert_array_equal(table.export().last_step, [3, 3, 3])


@DEVICES
def test_ignored_keys_get_no_row_and_are_no_occurrence(kind: Any) -> None:
    table = kind(1, name="t", admission=CountAdmission(threshold=2))
    features = [
        TableFeature(name="seen", table="t", max_length=2),
        TableFeature(name="x", table="t"),
    ]
    group = TableGroup([table], features, defaults={"t": floats(8)})
    keys, offsets = [ints(1, 1, 9, 9, 2, 2, 9), ints(3, 3)], [ints(0, 4, 7), None]
    vectors, rows = group.forward(keys, offsets, insert=True)
    assert_array_equal(rows, ints(0, 0, -1, -1, 1, 1, -1, 2, 2))
    assert_array_equal(table.keys(), ints(1, 2, 3))
    assert table.export_policy_state().candidate_keys.size == 0
    assert_array_equal(vectors[:, 0], 2 * table.lookup(ints(1, 2))[:, 0])
    group.backward(rows, np.ones_like(vectors), offsets)
    assert_array_equal(table.export().frequency, [2, 2, 2])


@DEVICES
def test_defaults_are_for_keys_without_a_row_only(kind: Any) -> None:
    table = kind(2, name="t", initializer=Constant(value=1))
    features = [TableFeature(name="one", table="t"), TableFeature(name="many", table="t")]
    default = floats(8, 9)
    group = TableGroup([table], features, defaults={"t": default})
    default[:] = 0  # the group has its own
    keys, offsets = [ints(5, 6), ints(5, 6)], [None, ints(0, 2, 2)]
    group.forward([ints(5), ints(5)], insert=True)
    vectors, rows = group.forward(keys, offsets, insert=False)
    assert_array_equal(rows, ints(0, -1, 0, -1))
    assert_array_equal(vectors, floats([1, 1, 9, 10], [8, 9, 0, 0]))
    group.backward(rows, np.ones_like(vectors), offsets, learning_rates={"t": 1})
    assert_array_equal(table.export().values, floats([-1, -1]))


@pytest.mark.parametrize("threads", THREADS)
def test_a_look_up_does_not_repeat_what_the_insertion_before_it_did(threads: int) -> None:
    settings: dict[str, Any] = {"max_rows": 2, "on_full": "evict", "threads": threads}
    table = HashTable(1, name="t", admission=CountAdmission(threshold=2), **settings)
    group = TableGroup([table], [TableFeature(name="x", table="t")])
    group.forward([[1, 1, 2, 2]], insert=True)
    group.forward([[1, 3, 3, 4]], insert=True)
    before = table.stats()
    assert (before.evicted, before.rejected) == (1, 1)
    _, rows = group.forward([[1, 2, 3, 4]], insert=False)
    assert_array_equal(rows, ints(0, -1, 1, -1))
    assert table.stats() == before
    table.check()


@DEVICES
def test_weights_scale_vectors_and_gradients(kind: Any) -> None:
    table = kind(1, name="t", optimizer=SGD(learning_rate=1), initializer=Constant(value=1))
    group = TableGroup([table], [TableFeature(name="m", table="t", combiner="mean")])
    weights, offsets = [floats(3, 1, 0, 2, -2)], [ints(0, 2, 3, 5)]
    vectors, rows = group.forward([[1, 2, 3, 4, 5]], offsets, weights=weights, insert=True)
    assert_array_equal(vectors, floats([1], [0], [0]))
    group.backward(rows, floats([4], [4], [4]), offsets, weights=weights)
    assert_array_equal(table.export().values, floats([-2], [0], [1], [1], [1]))
    single, _ = group.forward([[1, 2]], weights=[floats(7, 0)], insert=False)
    assert_array_equal(single, floats([-2], [0]))


@DEVICES
def test_each_table_has_its_rate(kind: Any) -> None:
    tables = [
        kind(1, name=name, optimizer=SGD(learning_rate=1.0), initializer=Constant(value=0))
        for name in "abc"
    ]
    group = TableGroup(tables, [TableFeature(name=name, table=name) for name in "cab"])
    _, rows = group.forward([[1], [2], [3]], insert=True)
    rates = {"a": 2.0, "c": 4.0}
    group.backward(rows, floats([1, 10, 100]), learning_rates=rates, step=1)
    assert [table.export().values.item() for table in tables] == [-20, -100, -4]


@DEVICES
def test_a_full_table_leaves_all_as_they_were(kind: Any) -> None:
    tables = [kind(2, name="free"), kind(2, name="small", max_rows=3)]
    features = [TableFeature(name="x", table="free"), TableFeature(name="y", table="small")]
    group = TableGroup(tables, features)
    group.forward([[1], [1]], insert=True)
    with pytest.raises(TableFullError, match="'small' is full"):
        group.forward([ints(1, 2, 3, 4), ints(1, 2, 3, 4)], insert=True)
    for table in tables:
        table.check()
        assert_array_equal(table.keys(), ints(1))
    _, rows = group.forward([ints(1, 2, 3), ints(3, 2, 1)], insert=True)
    assert_array_equal(rows, ints(0, 1, 2, 1, 2, 0))


@DEVICES
def test_bad_rows_leave_all_as_they_were(kind: Any) -> None:
    tables = make_tables(kind)
    group = TableGroup(tables, [TableFeature(name=name, table=name) for name in TABLES])
    vectors, rows = group.forward([[1, 2]] * 3, insert=True)
    tables[2].erase([2])
    before = [table.export() for table in tables]
    with pytest.raises(RowIndexError, match=r"rows\[1\] is 1, a row of table 'c'"):
        group.backward(rows, np.ones_like(vectors))
    for table, export in zip(tables, before, strict=True):
        for one, two in zip(vars(table.export()).values(), vars(export).values(), strict=True):
            assert_array_equal(one, two)


@DEVICES
def test_bad_arguments(kind: Any) -> None:
    tables = make_tables(kind)
    features = [TableFeature(name="x", table="a"), TableFeature(name="y", table="b")]
    group = TableGroup(tables, features)
    assert repr(group) == "TableGroup(['a', 'b', 'c'], features=2, width=11)"
    with pytest.raises(ArrayShapeError, match="keys has 1 entries; expected one for each of the 2"):
        group.forward([[1]], insert=True)
    with pytest.raises(ArrayShapeError, match="feature 'y' has 2 samples, 'x' has 1"):
        group.forward([[1], [1, 2]], insert=True)
    with pytest.raises(ArrayShapeError, match=r"feature 'y': offsets\[1\] is 2"):
        group.forward([[1, 1], [1]], [None, ints(0, 2, 1)], insert=True)
    with pytest.raises(ArrayShapeError, match="offsets of feature 'x' is empty"):
        group.forward([[1], [1]], [ints(), None], insert=True)
    assert [len(table) for table in tables] == [0, 0, 0]
    vectors, rows = group.forward([[1, 1], [1]], [None, ints(0, 1, 1)], insert=True)
    with pytest.raises(ArrayShapeError, match="offsets of feature 'y' has length 2; expected 3"):
        group.backward(rows, vectors, [None, ints(0, 1)])
    with pytest.raises(ArrayShapeError, match=r"rows has shape \[3\]; expected \[4\]"):
        group.backward(rows, vectors)
    with pytest.raises(ArrayShapeError, match=r"feature 'y': offsets\[0\] is 1"):
        group.backward(rows, vectors, [None, ints(1, 0, 1)])
    with pytest.raises(ConfigError, match=r"the group has no table 'bb'.*'b'"):
        group.backward(rows, vectors, [None, ints(0, 1, 1)], learning_rates={"bb": 1.0})
    with pytest.raises(ConfigError, match=r"learning_rates\['b'\] is -1"):
        group.backward(rows, vectors, [None, ints(0, 1, 1)], learning_rates={"b": -1.0})
    with pytest.raises(ArrayShapeError, match="weights has 1 entries; expected one for each"):
        group.forward([[1], [1]], weights=[None], insert=True)
    message = r"weights of feature 'y' has shape \[2\]; expected \[1\]"
    with pytest.raises(ArrayShapeError, match=message):
        group.forward([[1], [1]], weights=[None, floats(1, 2)], insert=True)
    with pytest.raises(ArrayShapeError, match=message):
        group.backward(rows, vectors, [None, ints(0, 1, 1)], weights=[None, floats(1, 2)])
    with pytest.raises(ArrayTypeError, match="weights of feature 'x' has dtype int64"):
        group.forward([[1], [1]], weights=[ints(1), None], insert=True)  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="defaults: the group has no table 'd'"):
        TableGroup(tables, features, defaults={"d": floats(1)})
    with pytest.raises(ArrayShapeError, match=r"defaults\['a'\] has shape \[1\]; expected \[3\]"):
        TableGroup(tables, features, defaults={"a": floats(1)})
    with pytest.raises(ConfigError, match="feature 'x': max_length is 0; expected None or"):
        TableFeature(name="x", table="a", max_length=0)
    with pytest.raises(ConfigError, match="different names"):
        TableGroup([tables[0], tables[0]], features)
    with pytest.raises(ConfigError, match="feature 'x' is given twice"):
        TableGroup(tables, features[:1] * 2)
    with pytest.raises(ConfigError, match="feature 'x': the group has no table 'd'"):
        TableGroup(tables, [TableFeature(name="x", table="d")])
    with pytest.raises(ConfigError, match="at least one feature"):
        TableGroup(tables, [])
    with pytest.raises(ConfigError, match="feature 'x': unknown combiner 'max'"):
        TableFeature(name="x", table="a", combiner="max")


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler on the PATH")
def test_tables_of_a_group_are_on_one_device() -> None:
    features = [TableFeature(name=name, table=name) for name in TABLES]
    mixed = make_tables()
    mixed[1] = simt_table(2, name="b")
    with pytest.raises(DeviceError, match=r"one device: 'a' is on 'cpu', 'b' on 'simt'"):
        TableGroup(mixed, features)
    apart = make_tables(simt_table)
    apart[2].native.on_device.storage.launcher.device = 3
    with pytest.raises(DeviceError, match="one device: 'a' is on GPU 0, 'c' on GPU 3"):
        TableGroup(apart, features)
