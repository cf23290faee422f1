"""Sums that are the same to the last bit, whatever the order of the rows.

A sum of floats depends on the order of its additions, so on threads and on parts. These are kept as
integers instead: `whole`, the sum of the integer parts, and `fraction`, the sum of the rest in units
of 2**-92, both Int128, which holds such sums of up to 2**35 rows. What a value has below 2**-92 (2e-28)
is cut; squares have a `rest` as well, in units of 2**-184. `large` sums, as floats, the values from
2**92 (5e27) on and infinities, which the others cannot hold: only there may the last bits depend on
the order. Integers have a `whole` alone; squares of 64-bit integers are kept by their halves, `high`,
`cross` and `low`.

The squares of floats are rounded to float64 one by one, which moves a variance by a share of
2**-53 * mean**2 / variance at most; those of integers are exact.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["as_float", "as_fraction", "split", "split_squares", "summed", "variances"]

_UNIT_BITS = 92
_UNIT = float(2**_UNIT_BITS)
_HALF = 2**32
_WIDE = (pl.Int64(), pl.UInt64())


def split(frame: pl.LazyFrame, names: Mapping[str, str], *, fine: bool = False) -> pl.LazyFrame:
    """Add the columns that `summed` adds up.

    Args:
        frame: has the columns.
        names: column of integers, floats or bools -> name of its sum. Null and NaN count as nothing.
        fine: keep a `rest` too.

    Returns:
        The frame with columns `<name>.whole` and so on. They are columns, not parts of the
        aggregates, because the engine would compute what aggregates share once for each.
    """
    dtypes = frame.collect_schema()
    floats = {c: name for c, name in names.items() if dtypes[c].is_float()}
    whole = (pl.col(c).cast(pl.Int128) for c in names if c not in floats)
    frame = frame.with_columns(w.name.map(lambda c: f"{names[c]}.whole") for w in whole)
    if not floats:
        return frame
    for part in ("value", "small", "whole", "fraction", *(["rest"] if fine else [])):
        made = (_part(part, column, name) for column, name in floats.items())
        frame = frame.with_columns(expr for exprs in made for expr in exprs)
    return frame


def _part(part: str, column: str, name: str) -> list[pl.Expr]:
    """Give one step of splitting a float column up, of what the steps before gave."""
    value, small = pl.col(f"{name}.value"), pl.col(f"{name}.small")
    left = small - pl.col(f"{name}.whole").cast(pl.Float64)
    # All exact: the fraction of a float is a float, and a power of two only scales it.
    match part:
        case "value":
            out = pl.col(column).cast(pl.Float64).fill_nan(None)
        case "small":
            inside = value.abs() < _UNIT
            large = pl.when(~inside).then(value).alias(f"{name}.large")
            return [pl.when(inside).then(value).alias(f"{name}.small"), large]
        case "whole":
            out = small.cast(pl.Int128)
        case "fraction":
            out = (left * _UNIT).cast(pl.Int128)
        case _:
            taken = pl.col(f"{name}.fraction").cast(pl.Float64)
            out = ((left * _UNIT - taken) * _UNIT).cast(pl.Int128)
    return [out.alias(f"{name}.{part}")]


def split_squares(frame: pl.LazyFrame, names: Mapping[str, str]) -> pl.LazyFrame:
    """Add the columns for the sums of squares; arguments and result as of `split`."""
    dtypes = frame.collect_schema()
    wide = {c: name for c, name in names.items() if dtypes[c] in _WIDE}
    rest = {c: name for c, name in names.items() if c not in wide}
    halves = []
    for column, name in wide.items():
        value = pl.col(column).cast(pl.Int128)
        high = value // _HALF
        low = value - high * _HALF
        halves += [(high * high).alias(f"{name}.high"), (high * low).alias(f"{name}.cross")]
        halves += [(low * low).alias(f"{name}.low")]
    squared = []
    for column, name in rest.items():
        value = pl.col(column).cast(pl.Float64 if dtypes[column].is_float() else pl.Int64)
        squared.append((value * value).alias(f"{name}.squared"))
    frame = frame.with_columns(*halves, *squared)
    return split(frame, {f"{name}.squared": name for name in rest.values()}, fine=True)


def summed(frame: pl.LazyFrame, names: Iterable[str]) -> list[pl.Expr]:
    """Give the aggregates that add up every part of the sums called `names`.

    Args:
        frame: what `split` or `split_squares` gave, or frames of such sums, to merge.
        names: of the sums.
    """
    kinds = ("whole", "fraction", "rest", "large", "high", "cross", "low")
    found = frame.collect_schema()
    parts = [f"{name}.{kind}" for name in names for kind in kinds]
    return [pl.col(part).sum() for part in parts if part in found]


def as_float(name: str, dtype: pl.DataType) -> pl.Expr:
    """Give the sum called `name` of a column of `dtype`, rounded to float64."""
    whole = pl.col(f"{name}.whole").cast(pl.Float64)
    if not dtype.is_float():
        return whole
    fraction = pl.col(f"{name}.fraction").cast(pl.Float64) / _UNIT
    return whole + fraction + pl.col(f"{name}.large")


def as_fraction(row: Mapping[str, Any], name: str) -> Fraction:
    """Give the sum called `name` in a row of parts, exactly.

    Raises:
        OverflowError: an infinite value was summed.
    """
    if f"{name}.high" in row:
        high, cross, low = (row[f"{name}.{kind}"] for kind in ("high", "cross", "low"))
        return Fraction(high * _HALF**2 + 2 * cross * _HALF + low)
    fraction = Fraction(row.get(f"{name}.fraction", 0), 2**_UNIT_BITS)
    fraction += Fraction(row.get(f"{name}.rest", 0), 4**_UNIT_BITS)
    return Fraction(row[f"{name}.whole"]) + fraction + Fraction(row.get(f"{name}.large", 0))


def variances(frame: pl.DataFrame, count: str, total: str, squares: str) -> pl.Series:
    """Give the sample variance (ddof 1) of every row of sums, float64, null below two values.

    Computed in pairs of float64 (Dekker 1971), 106 bits in all: the difference of two nearly equal
    numbers keeps its digits.

    Args:
        frame: one row a group.
        count: the column that counts the values.
        total: the name of their sum.
        squares: the name of the sum of their squares.
    """
    n = frame[count].to_numpy().astype(np.float64)
    with np.errstate(all="ignore"):  # groups of no or one value, and infinities, come out as NaN
        (a, a_rest), (b, b_rest) = _pair(frame, total), _pair(frame, squares)
        mean = a / n
        product, error = _two_product(mean, n)
        mean_rest = ((a - product) - error + a_rest) / n
        product, error = _two_product(a, mean)
        error += a * mean_rest + a_rest * mean
        difference, rest = _two_sum(b, -product)
        variance = np.maximum(difference + (rest + (b_rest - error)), 0.0) / (n - 1)
    out = pl.Series(variance, dtype=pl.Float64)
    return out.zip_with(frame[count] > 1, pl.Series([None], dtype=pl.Float64))


_Array = npt.NDArray[np.float64]


def _two_sum(a: _Array, b: _Array) -> tuple[_Array, _Array]:
    """Give the rounded sum and what rounding lost (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _two_product(a: _Array, b: _Array) -> tuple[_Array, _Array]:
    """Give the rounded product and what rounding lost (Dekker)."""
    product = a * b
    splitter = float(2**27 + 1)
    a_high = a * splitter - (a * splitter - a)
    b_high = b * splitter - (b * splitter - b)
    a_low, b_low = a - a_high, b - b_high
    lost = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, lost


def _pair(frame: pl.DataFrame, name: str) -> tuple[_Array, _Array]:
    """Give the sums called `name` as a pair of float64."""
    scales = {"whole": 1.0, "fraction": 1 / _UNIT, "rest": _UNIT**-2, "large": 1.0}
    scales |= {"high": _HALF**2, "cross": 2.0 * _HALF, "low": 1.0}
    total = rest = np.zeros(frame.height)
    for kind, scale in scales.items():
        if f"{name}.{kind}" not in frame.columns:
            continue
        part = frame[f"{name}.{kind}"]
        rounded = part.cast(pl.Float64)
        pieces = [rounded]
        if part.dtype == pl.Int128:
            pieces.append((part - rounded.cast(pl.Int128)).cast(pl.Float64))
        for piece in pieces:
            total, lost = _two_sum(total, piece.to_numpy() * scale)
            rest = rest + lost
    return _two_sum(total, rest)
