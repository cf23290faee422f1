"""Initializers: bit for bit what their specification says, and of the right distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from emberline.kernels import Constant, HashTable, Normal, Uniform
from tests.reference import fractions, initial_weights

keys = st.integers(-(2**63), 2**63 - 1)
seeds = st.integers(0, 2**64 - 1)


def test_the_counter_by_hand() -> None:
    """SplitMix64 from state 0 gives these words first (its published test vector)."""
    from tests.reference_hash import GOLDEN, mix64

    assert [mix64(n * GOLDEN) for n in (1, 2, 3)] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]


@given(key=keys, seed=seeds, dim=st.integers(1, 40))
def test_uniform_bit_for_bit(key: int, seed: int, dim: int) -> None:
    initializer = Uniform(low=-0.3, high=0.7)
    table = HashTable(dim, initializer=initializer, seed=seed)
    expected = initial_weights(initializer, seed, key, dim)
    assert_array_equal(table.lookup([key])[0], expected)
    assert ((expected >= np.float32(-0.3)) & (expected <= np.float32(0.7))).all()


@given(key=keys, seed=seeds, dim=st.integers(1, 9))
def test_normal(key: int, seed: int, dim: int) -> None:
    initializer = Normal(mean=1.0, stddev=2.0)
    table = HashTable(dim, initializer=initializer, seed=seed)
    # The kernel's series and the C library's functions differ by 1e-12 before rounding to
    # float32, so by one unit in the last place of z at most, twice that after scaling.
    np.testing.assert_allclose(
        table.lookup([key])[0], initial_weights(initializer, seed, key, dim), rtol=0, atol=2e-6
    )


def test_normal_is_normal() -> None:
    table = HashTable(16, initializer=Normal(mean=0.0, stddev=1.0), seed=1)
    z = table.lookup(np.arange(50_000)).astype(np.float64)
    # 800,000 draws: five standard errors of mean, variance and fourth moment.
    assert abs(z.mean()) < 5 / 800_000**0.5
    assert abs(z.var() - 1) < 5 * (2 / 800_000) ** 0.5
    assert abs((z**4).mean() - 3) < 5 * (96 / 800_000) ** 0.5
    assert abs(np.corrcoef(z[:, 0], z[:, 1])[0, 1]) < 5 / 50_000**0.5
    assert np.abs(z).max() <= 5.78


def test_uniform_is_uniform() -> None:
    table = HashTable(16, initializer=Uniform(low=0.0, high=1.0))
    u = table.lookup(np.arange(50_000))
    counts = np.histogram(u, bins=100, range=(0, 1))[0]
    assert abs(counts - 8000).max() < 6 * 8000**0.5
    assert abs(np.corrcoef(u[:-1, 3], u[1:, 3])[0, 1]) < 5 / 50_000**0.5
    assert u.min() >= 0
    assert u.max() < 1


def test_constant_and_degenerate_ones() -> None:
    for initializer in (
        Constant(value=1.25),
        Uniform(low=1.25, high=1.25),
        Normal(mean=1.25, stddev=0),
    ):
        weights = HashTable(5, initializer=initializer).lookup([1, -7])
        assert_array_equal(weights, np.full((2, 5), 1.25, np.float32))


@pytest.mark.parametrize("initializer", [Uniform(), Normal()])
def test_seed_and_key_matter_order_does_not(initializer: Uniform | Normal) -> None:
    keys = np.arange(100)
    first = HashTable(4, initializer=initializer, seed=1)
    second = HashTable(4, initializer=initializer, seed=1, _hash_bits=2)
    second.find_or_insert(keys[::-1].copy())
    assert_array_equal(first.lookup(keys), second.lookup(keys))
    other = HashTable(4, initializer=initializer, seed=2)
    assert (first.lookup(keys) != other.lookup(keys)).mean() > 0.99
    assert len(np.unique(first.lookup(keys))) > 390


def test_a_wider_row_begins_with_the_narrow_one() -> None:
    assert fractions(3, 9, 8)[:4] == fractions(3, 9, 4)
    narrow, wide = HashTable(3, seed=3).lookup([9]), HashTable(8, seed=3).lookup([9])
    assert_array_equal(narrow, wide[:, :3])
