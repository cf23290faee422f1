"""What the report's passes note, against Counter, NumPy and numbers worked out by hand."""

import math
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberline.etl.report.batches import each_batch
from emberline.etl.report.bins import drift_bins, picture_bins
from emberline.etl.report.column_sketch import ColumnSketch
from emberline.etl.report.drift import measure
from emberline.etl.report.number_sample import LIMIT, NumberSample
from emberline.etl.report.value_counts import ValueCounts


@given(st.lists(st.integers(0, 30), max_size=200), st.integers(1, 40), st.integers(1, 40))
def test_counts_are_too_low_by_at_most_the_error(
    values: list[int], size: int, counters: int
) -> None:
    counts = ValueCounts(counters=counters)
    for start in range(0, len(values), size):
        counts.update(pl.Series(values[start : start + size], dtype=pl.Int64))
    true = Counter(values)
    assert counts.error <= len(values) / (counters + 1)
    found = dict(counts.top(counters).rows())
    assert len(found) <= counters
    for value, count in true.items():
        assert count - counts.error <= found.get(value, 0) <= count
    assert counts.distinct == len(true)  # fewer than the hashes that are kept: no estimate
    if counts.exact:
        assert found == dict(true.most_common(counters))


def test_many_distinct_values_are_estimated() -> None:
    counts = ValueCounts(counters=1000)
    for start in range(0, 400_000, 100_000):
        counts.update(pl.Series(range(start, start + 100_000)).cast(pl.String))
        counts.update(pl.Series(range(50_000)).cast(pl.String))  # seen before: not counted again
    assert not counts.exact
    assert counts.values is None
    assert counts.distinct == pytest.approx(400_000, rel=0.03)  # four standard errors


@pytest.mark.parametrize("size", [1, 7, 50_000, 200_001])
def test_the_sample_does_not_depend_on_the_batches(size: int) -> None:
    numbers = np.arange(200_001, dtype=np.float64)
    sample = NumberSample()
    for start in range(0, numbers.size, max(size, 50)):
        sample.update(numbers[start : start + max(size, 50)])
    assert sample.values.tolist() == list(range(0, 200_001, 4))
    assert sample.values.size <= LIMIT


def test_batches_have_one_size_whatever_the_engine_gives() -> None:
    frame = pl.DataFrame({"x": range(1000)})
    pieces: list[pl.DataFrame] = []
    each_batch(frame.lazy(), pieces.append, rows=300)
    assert [piece.height for piece in pieces] == [300, 300, 300, 100]
    assert pl.concat(pieces).equals(frame)


@given(st.lists(st.none() | st.floats(-1e6, 1e6) | st.just(math.nan), max_size=60))
def test_moments(values: list[float | None]) -> None:
    sketch = ColumnSketch(pl.Float64())
    for start in range(0, len(values), 7):
        sketch.update(pl.Series(values[start : start + 7], dtype=pl.Float64))
    known = [v for v in values if v is not None and not math.isnan(v)]
    assert (sketch.rows, sketch.missing) == (len(values), len(values) - len(known))
    assert sketch.leaves == len(known)
    if known:
        assert (sketch.low, sketch.high) == (min(known), max(known))
        scale = max(1.0, *map(abs, known))
        assert sketch.mean == pytest.approx(np.mean(known), abs=1e-12 * scale)
    if len(known) > 1:
        assert sketch.std == pytest.approx(np.std(known, ddof=1), abs=1e-9 * scale)
    else:
        assert math.isnan(sketch.std)


def test_lists() -> None:
    sketch = ColumnSketch(pl.List(pl.String()))
    for rows in ([["a", "b"], [], None], [["a", None, "a"]]):
        sketch.update(pl.Series(rows, dtype=pl.List(pl.String)))
    assert (sketch.rows, sketch.missing, sketch.missing_leaves, sketch.leaves) == (4, 1, 1, 4)
    assert sketch.lengths[:4].tolist() == [1, 0, 1, 1]
    assert sketch.mean_length == 5 / 3
    assert sketch.values.top(5).rows() == [("a", 3), ("b", 1)]


def test_bins_of_a_picture() -> None:
    few = picture_bins(np.array([1.0, 2.0, 5.0]), 1, 5, whole=True)
    assert few is not None
    assert (few.scale, few.edges) == ("each", (0.5, 1.5, 2.5, 3.5, 4.5, 5.5))
    assert few.counts(np.array([1.0, 5.0, 5.0])).tolist() == [1, 0, 0, 0, 2]
    tail = picture_bins(np.arange(1000.0), 0, 1e6, whole=True)
    assert tail is not None
    assert tail.scale == "log"
    assert tail.counts(np.array([0.0, 1e6, 2e6]))[[0, -1]].tolist() == [1, 2]
    even = picture_bins(np.linspace(-1, 1, 1001), -1, 900, whole=False)
    assert even is not None
    assert even.scale == "linear"
    assert even.edges[-1] == pytest.approx(0.99)  # the outlier is in the last bin
    assert even.counts(np.array([-np.inf, 900.0, np.inf]))[[0, -1]].tolist() == [1, 2]
    one = picture_bins(np.array([2.5]), 2.5, 2.5, whole=False)
    assert one is not None
    assert one.counts(np.array([2.5])).tolist() == [1]
    assert picture_bins(np.array([]), math.nan, math.nan, whole=True) is None


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=100))
def test_bins_of_drift_hold_every_number_once(values: list[float]) -> None:
    numbers = np.array(values)
    bins = drift_bins(np.sort(numbers))
    assert bins is not None
    counts = bins.counts(numbers)
    assert counts.sum() == numbers.size
    assert counts.size <= 10
    assert list(bins.edges) == sorted(bins.edges)


def test_drift_by_hand() -> None:
    drift = measure([60, 40, 0], [30, 70, 0])
    assert drift is not None
    p, q = (60.5 / 101, 40.5 / 101), (30.5 / 101, 70.5 / 101)
    psi = (q[0] - p[0]) * math.log(q[0] / p[0]) + (q[1] - p[1]) * math.log(q[1] / p[1])
    assert drift.psi == pytest.approx(psi, abs=1e-15)
    assert drift.psi == pytest.approx(0.3679, abs=1e-3)
    assert drift.by_chance == pytest.approx(0.02)
    assert drift.verdict == "far apart"
    mixed = (0.45, 0.55)
    kl = [
        sum(a * math.log2(a / m) for a, m in zip(side, mixed, strict=True))
        for side in ((0.6, 0.4), (0.3, 0.7))
    ]
    assert drift.jensen_shannon == pytest.approx(sum(kl) / 2, abs=1e-12)
    assert measure([5], [0]) is None
    assert measure([0, 0], [1, 2]) is None


def test_chance_is_what_samples_of_one_distribution_show() -> None:
    rng = np.random.default_rng(0)
    draws = [
        measure(*(rng.multinomial(n, [0.1] * 10).tolist() for n in (500, 2000))) for _ in range(400)
    ]
    psi = [drift.psi for drift in draws if drift is not None]
    # Mean of 400 draws; chi-squared of 9 degrees scaled has a deviation of sqrt(2/9) of its mean.
    assert np.mean(psi) == pytest.approx(9 * (1 / 500 + 1 / 2000), rel=0.1)
