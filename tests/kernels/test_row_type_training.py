"""Training of two-byte weights: rounding at random, right in the mean, and the same in a replay."""

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from emberline.kernels import (
    SGD,
    Adagrad,
    Adam,
    Constant,
    HashTable,
    Normal,
    TableFeature,
    TableGroup,
)
from tests import reference_rows
from tests.kernels.conftest import floats, ints
from tests.kernels.every_optimizer import ALL
from tests.kernels.simt.launcher import compiler
from tests.kernels.simt.table import simt_table
from tests.reference import ReferenceTable

Half = Literal["bfloat16", "float16"]
HALVES: list[Half] = ["bfloat16", "float16"]


@pytest.mark.parametrize("row_type", HALVES)
@pytest.mark.parametrize("name", ALL)
@settings(max_examples=4)
@given(dim=st.sampled_from([1, 2, 9, 33, 100]), seed=st.integers(0, 2**32 - 1))
def test_every_optimizer_equals_the_reference(
    row_type: Half, name: str, dim: int, seed: int
) -> None:
    """Bit for bit, with states of float32, and a save in between."""
    rng = np.random.default_rng(seed)
    make: dict[str, Any] = {"optimizer": ALL[name], "seed": seed, "row_type": row_type}
    tables: list[Any] = [HashTable(dim, **make), ReferenceTable(dim, **make)]
    for step in range(4):
        keys = rng.integers(0, 6, 9)
        gradients = rng.normal(size=(9, dim)).astype(np.float32) * 10.0 ** rng.integers(-4, 2)
        for i, table in enumerate(tables):
            rows = table.find_or_insert(keys)
            table.apply_gradients(rows, gradients.astype(np.float32), step=step)
            if step == 1:
                tables[i] = type(table)(dim, **make)
                tables[i].import_(table.export())
        ours, theirs = tables[0].export(), tables[1].export()
        for field, array in vars(ours).items():
            assert_array_equal(array, getattr(theirs, field), err_msg=field)


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler on the PATH")
@pytest.mark.parametrize("row_type", HALVES)
@pytest.mark.parametrize("dim", [1, 7, 32, 65])
@pytest.mark.parametrize("name", ALL)
def test_the_device_kernels_equal_the_cpu(name: str, dim: int, row_type: Half) -> None:
    rng = np.random.default_rng(dim)
    make: dict[str, Any] = {"optimizer": ALL[name], "row_type": row_type, "initializer": Normal()}
    tables = simt_table(dim, _seed=dim, **make), HashTable(dim, **make)
    for step in range(3):
        keys = rng.integers(0, 12, 30)
        gradients = rng.normal(size=(30, dim)).astype(np.float32)
        results = []
        for table in tables:
            rows = table.find_or_insert(keys)
            rows[::9] = -1
            table.apply_gradients(rows, gradients, step=step)
            pooled = table.gather_pooled(rows, ints(0, 3, 3, 30), combiner="mean")
            table.assign(keys[:2], gradients[:2])
            results.append((rows, pooled, table.gather(rows), table.lookup(keys + 6)))
        for mine, other in zip(*results, strict=True):
            assert_array_equal(mine, other)
    for mine, other in zip(*(vars(t.export()).values() for t in tables), strict=True):
        assert_array_equal(mine, other)


@pytest.mark.parametrize("count_steps", [True, False])
@pytest.mark.parametrize("row_type", HALVES)
def test_steps_below_the_resolution_count_in_the_mean(row_type: Half, count_steps: bool) -> None:
    """Rounding to the nearest would not move at all, and one draw for all steps would scatter."""
    updates, size = 256, 2.0**-12
    assert_array_equal(reference_rows.nearest(row_type, floats(1 - size)), [1])
    table = HashTable(
        64, optimizer=SGD(learning_rate=1.0), initializer=Constant(value=1.0), row_type=row_type
    )
    rows = table.find_or_insert(np.arange(400))
    gradient = np.full((400, 64), size, np.float32)
    for step in range(updates):
        table.apply_gradients(rows, gradient, step=step if count_steps else 0)
    weights = table.gather(rows).astype(np.float64)
    # A step moves a weight by the spacing below 1 with probability size / spacing: a binomial.
    spacing = 2.0 ** (-8 if row_type == "bfloat16" else -11)
    deviation = np.sqrt(updates * size * spacing)
    assert abs(weights.mean() - (1 - updates * size)) < 6 * deviation / np.sqrt(weights.size)
    assert weights.std() < 1.1 * deviation


def test_a_draw_is_uniform_and_neighbours_differ() -> None:
    """One update of a fraction f of the spacing: the share of weights that move is f."""
    rows, dim = 500, 64
    for fraction in (0.0, 1 / 256, 0.25, 0.5, 0.75, 255 / 256):
        table = HashTable(
            dim, optimizer=SGD(learning_rate=1.0), initializer=Constant(value=1.0),
            row_type="bfloat16",
        )  # fmt: skip
        numbers = table.find_or_insert(np.arange(rows) - 250)
        gradient = np.full((rows, dim), -fraction * 2.0**-7, np.float32)
        table.apply_gradients(numbers, gradient, step=1)
        moved = table.gather(numbers) != 1
        deviation = np.sqrt(fraction * (1 - fraction) / (rows * dim))
        assert abs(moved.mean() - fraction) <= 5 * deviation
        # By lane and by row too: neither repeats the other's draws.
        for axis, count in ((0, rows), (1, dim)):
            share = moved.mean(axis=axis)
            assert abs(share - fraction).max() <= 6 * np.sqrt(fraction * (1 - fraction) / count)


@pytest.mark.parametrize("row_type", HALVES)
def test_subnormal_weights_are_unbiased_too(row_type: Half) -> None:
    least = 2.0 ** (-133 if row_type == "bfloat16" else -24)
    table = HashTable(
        64, optimizer=SGD(learning_rate=1.0), initializer=Constant(value=0.0), row_type=row_type
    )
    rows = table.find_or_insert(np.arange(300))
    table.apply_gradients(rows, np.full((300, 64), -0.25 * least, np.float32), step=3)
    found = table.gather(rows)
    assert set(np.unique(found / np.float32(least)).tolist()) == {0.0, 1.0}
    assert abs((found > 0).mean() - 0.25) < 6 * np.sqrt(0.25 * 0.75 / found.size)


@pytest.mark.parametrize("row_type", HALVES)
def test_training_replays_bit_for_bit(row_type: Half) -> None:
    """Other row numbers, threads and hash, a save in the middle: the same bits by key."""
    make: dict[str, Any] = {"optimizer": Adam(learning_rate=0.01), "seed": 5, "row_type": row_type}
    straight = HashTable(9, threads=1, **make)
    other = HashTable(9, threads=7, _grain=3, _hash_bits=3, **make)
    other.find_or_insert(np.arange(1000, 1050))
    rng = np.random.default_rng(1)
    for step in range(8):
        if step == 4:
            saved, other = other, HashTable(9, threads=2, _grain=5, **make)
            for start in reversed(range(0, saved.row_limit, 40)):
                other.import_(saved.export(start, start + 40))
        keys = rng.integers(-60, 60, 200)
        gradients = rng.normal(size=(200, 9)).astype(np.float32)
        for table in (straight, other):
            table.apply_gradients(table.find_or_insert(keys), gradients, step=step)
    other.erase(np.arange(1000, 1050))
    ours, theirs = straight.export(), other.export()
    mine, its = np.argsort(ours.keys), np.argsort(theirs.keys)
    for field, array in vars(ours).items():
        assert_array_equal(array[mine], getattr(theirs, field)[its], err_msg=field)


def test_the_seed_is_in_the_rounding() -> None:
    results = []
    for seed in (0, 1):
        table = HashTable(
            64, initializer=Constant(value=1.0), optimizer=SGD(learning_rate=1.0), seed=seed,
            row_type="bfloat16",
        )  # fmt: skip
        table.apply_gradients(table.find_or_insert(ints(3)), np.full((1, 64), 1 / 512, np.float32))
        results.append(table.lookup(ints(3)))
    assert (results[0] != results[1]).any()


def test_a_group_of_mixed_row_types() -> None:
    """One call for all: what the tables give by themselves, one after the other."""

    def tables() -> list[HashTable]:
        return [
            HashTable(4, name="a", optimizer=Adam(), row_type="bfloat16"),
            HashTable(3, name="b", optimizer=Adagrad()),
            HashTable(5, name="c", row_type="float16", threads=3, _grain=2),
        ]

    together, alone = tables(), tables()
    names = ["a", "c", "b", "a"]
    features = [TableFeature(name=f"{i}", table=n, combiner="mean") for i, n in enumerate(names)]
    group = TableGroup(together, features)
    by_name = {table.name: table for table in alone}
    rng = np.random.default_rng(0)
    for step in range(3):
        offsets = ints(0, 2, 2, 7)
        keys = [rng.integers(0, 9, 7) for _ in features]
        vectors, rows = group.forward(keys, [offsets] * 4, insert=True)
        gradients = rng.normal(size=vectors.shape).astype(np.float32)
        group.backward(rows, gradients, [offsets] * 4, step=step)
        # The model: keys of a table together, each with its sample's gradient divided by the count.
        for name in ("a", "b", "c"):
            table = by_name[name]
            mine = [i for i, n in enumerate(names) if n == name]
            found = table.find_or_insert(np.concatenate([keys[i] for i in mine])).reshape(-1, 7)
            for i, part in zip(mine, found, strict=True):
                pooled = table.gather_pooled(part, offsets, combiner="mean")
                assert_array_equal(vectors[:, group.columns[f"{i}"]], pooled)
            sample = np.tile(np.repeat([0, 2], [2, 5]), len(mine))
            wide = [gradients[:, group.columns[f"{i}"]] for i in mine]
            source = sample + np.repeat(np.arange(len(mine)) * 3, 7)
            table.apply_gradients(
                found.reshape(-1), np.concatenate(wide), source=source, step=step,
                scale=np.float32(1) / np.array([2, 5], np.float32)[sample // 2],
            )  # fmt: skip
    for one, other in zip(together, alone, strict=True):
        for mine_, its in zip(
            vars(one.export()).values(), vars(other.export()).values(), strict=True
        ):
            assert_array_equal(mine_, its)
