"""Look-up of values and rows, against Python's dictionaries."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emberline.etl import _native
from emberline.etl.combination_index import CombinationIndex
from emberline.etl.key_index import KeyIndex
from emberline.etl.native_keys import by_count, is_native

EDGE = [-(2**63), -(2**63) + 1, -1, 0, 1, 2**62, 2**63 - 1]
VALUES: list[tuple[pl.DataType, st.SearchStrategy[Any]]] = [
    (pl.Int64(), st.sampled_from(EDGE) | st.integers(-(2**63), 2**63 - 1)),
    (pl.Int64(), st.integers(-40, 40)),
    (pl.UInt64(), st.sampled_from([0, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)),
    (pl.Int8(), st.integers(-128, 127)),
    (pl.Float64(), st.floats(allow_nan=False).filter(lambda v: str(v) != "-0.0")),
    (pl.String(), st.text(max_size=3)),
    (pl.String(), st.text("ab\0é", min_size=5, max_size=14)),
    (pl.Binary(), st.binary(max_size=3)),
    (pl.Boolean(), st.booleans()),
]


def check(known: list[Any], asked: list[Any], dtype: pl.DataType) -> KeyIndex:
    index = KeyIndex(pl.Series(known, dtype=dtype))
    frame = pl.DataFrame({"x": pl.Series(asked, dtype=dtype)})
    positions = {value: i for i, value in enumerate(known)}
    found = frame.select(index.position(pl.col("x"))).to_series()
    assert found.dtype == pl.Int64
    pairs = zip(asked, found.to_list(), strict=True)
    assert all(position == positions.get(v) for v, position in pairs if v is not None)
    return index


@given(st.sampled_from(VALUES), st.data())
def test_values(case: tuple[pl.DataType, st.SearchStrategy[Any]], data: st.DataObject) -> None:
    dtype, values = case
    known = data.draw(st.lists(values, unique=True, max_size=30))
    check(known, [*known, *data.draw(st.lists(st.none() | values, max_size=10))], dtype)


@pytest.mark.parametrize("n", [0, 1, 2, 1023, 5000])
def test_dense_and_scattered_values(n: int) -> None:
    """Both tables, up to values outside of every known one."""
    dense = [3 * i - n for i in range(n)]
    index = check(dense, [*dense, *range(-2 * n - 3, 2 * n + 3), *EDGE], pl.Int64())
    assert index._index.dense == (n > 0)
    scattered = np.random.default_rng(n).integers(-(2**63), 2**63 - 1, n).tolist()
    index = check(scattered, [*scattered, *(v ^ 1 for v in scattered), *EDGE], pl.Int64())
    assert index._index.dense == (n == 1)


def test_many_values_in_one_slot() -> None:
    """Their hashes are small numbers: the slot is the first bits of the hash."""
    known = [word_of(hashed) for hashed in range(1, 2001)]
    signed = np.array(known, dtype=np.uint64).view(np.int64).tolist()
    index = check(signed, [*signed, *(v ^ 1 for v in signed)], pl.Int64())
    assert not index._index.dense


def test_texts_with_one_hash() -> None:
    """Longer than 8 bytes, a text is found by 56 bits of its hash, and then compared."""
    texts = texts_of_one_hash(20)
    assert len(set(texts)) == 20
    check(texts[:10], texts, pl.String())
    counted = _native.count(pl.Series(texts * 3))
    assert counted[0].tolist() == list(range(20))
    assert counted[1].tolist() == [3] * 20


@given(st.data())
def test_counting(data: st.DataObject) -> None:
    """Of any slice, with nulls and weights, in the order in which keys come first."""
    dtype, values = data.draw(
        st.sampled_from([case for case in VALUES if case[0] in (pl.Int64(), pl.String())])
    )
    keys = data.draw(st.lists(st.none() | values, max_size=40))
    keys += data.draw(st.lists(st.sampled_from(keys), max_size=40)) if keys else []
    start = data.draw(st.integers(0, len(keys)))
    weights = [i * i + 1 for i in range(len(keys))]
    column = pl.Series(keys, dtype=dtype).slice(start)
    expected: dict[Any, int] = {}
    for key, weight in zip(keys[start:], weights[start:], strict=True):
        expected[key] = expected.get(key, 0) + weight
    rows, counts = _native.count(column, np.array(weights[start:], dtype=np.int64))
    found = dict(zip(column.gather(pl.Series(rows)).to_list(), counts.tolist(), strict=True))
    assert found == expected
    assert sorted(rows.tolist()) == sorted(keys[start:].index(key) for key in expected)
    assert _native.count(column)[1].sum() == len(column)


@given(st.data())
def test_order(data: st.DataObject) -> None:
    """By descending count, then as the engine sorts the values."""
    dtype, values = data.draw(st.sampled_from([c for c in VALUES if is_native(c[0])]))
    keys = data.draw(st.lists(values, unique=True, max_size=40))
    counts = data.draw(st.lists(st.integers(1, 3), min_size=len(keys), max_size=len(keys)))
    counted = pl.DataFrame(
        {"k": pl.Series(keys, dtype=dtype), "count": pl.Series(counts, dtype=pl.Int64)}
    )
    assert by_count(counted).equals(counted.sort("count", "k", descending=[True, False]))


def test_the_native_code_checks_what_memory_safety_needs() -> None:
    two = pl.concat([pl.Series(["a"]), pl.Series(["b"])], rechunk=False)
    with pytest.raises(ValueError, match="one chunk"):
        _native.count(two)
    with pytest.raises(ValueError, match="not i"):
        _native.count(pl.Series([1], dtype=pl.Int32))
    with pytest.raises(ValueError, match="as many weights"):
        _native.count(pl.Series([1]), np.array([1, 2]))
    with pytest.raises(ValueError, match="float64"):
        _native.moments(pl.Series([1]))
    with pytest.raises(ValueError, match="as many counts"):
        _native.order(pl.Series([1]), np.array([1, 2]))
    for null in ([1, None], ["a", None]):
        with pytest.raises(ValueError, match="null"):
            _native.Index(pl.Series(null))
        with pytest.raises(ValueError, match="null"):
            _native.order(pl.Series(null), np.array([1, 2]))
    for twice in ([1, 1], [1, 2**60, 1], ["a", "a"]):
        with pytest.raises(ValueError, match="distinct"):
            _native.Index(pl.Series(twice))
    with pytest.raises(ValueError, match="another type"):
        _native.Index(pl.Series([1])).find(pl.Series(["a"]), first=0, unknown=0, null=0)


def texts_of_one_hash(count: int) -> list[str]:
    """Give texts of two words each: the second is chosen so that the hash comes out as wanted."""
    rng = np.random.default_rng(3)
    out: list[str] = []
    while len(out) < count:
        start = bytes(rng.integers(97, 123, 8).tolist())
        before = mixed(16 ^ int.from_bytes(start, "little"))
        before ^= before >> 32
        for low in range(256):  # the lowest byte of the hash is not kept
            hashed = 0x1234_5678_9ABC_DE00 + low
            end = (word_of(hashed ^ hashed >> 32) ^ before).to_bytes(8, "little")
            if all(32 <= byte < 127 for byte in end):
                out.append((start + end).decode())
                break
    return out


FACTORS = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93


def mixed(word: int) -> int:
    word = word * FACTORS[0] % 2**64
    return (word ^ word >> 32) * FACTORS[1] % 2**64


def word_of(hashed: int) -> int:
    """Give the word whose hash this is."""
    inverses = [pow(factor, -1, 2**64) for factor in FACTORS]
    hashed = hashed * inverses[1] % 2**64
    return (hashed ^ hashed >> 32) * inverses[0] % 2**64


ROWS = st.tuples(
    st.none() | st.sampled_from("abc"),
    st.none() | st.integers(0, 3),
    st.none() | st.sampled_from([0.0, 1.5, float("inf")]),
)


@given(st.lists(ROWS, unique=True, max_size=20), st.lists(ROWS, max_size=20), st.integers(1, 3))
@settings(max_examples=60)
def test_rows(known: list[Any], asked: list[Any], width: int) -> None:
    known = list(dict.fromkeys(row[:width] for row in known))
    schema = list(zip("abc", (pl.String(), pl.Int64(), pl.Float64()), strict=True))[:width]
    index = CombinationIndex(pl.DataFrame(known, schema=schema, orient="row"))
    rows = [row[:width] for row in [*asked, *known]]
    frame = pl.DataFrame(rows, schema=schema, orient="row").lazy()
    found = frame.select(index.position([pl.col(n) for n, _ in schema])).collect(engine="streaming")
    positions = {row: i for i, row in enumerate(known)}
    assert found.to_series().to_list() == [positions.get(row) for row in rows]
