"""Numbers and values as people read them."""

import datetime
import math

import polars as pl

__all__ = ["number", "percent", "place", "shown"]


def number(value: float) -> str:
    """Give four significant digits, thousands set apart.

    >>> [number(x) for x in (1234567, 0.00012346, 2.50004, 45000000000000, float("nan"))]
    ['1,234,567', '0.0001235', '2.5', '4.5e+13', '-']
    """
    if not math.isfinite(value):
        return "-" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if float(value).is_integer() and abs(value) < 1e12:
        return f"{value:,.0f}"
    if abs(value) >= 1e12 or (value and abs(value) < 1e-4):
        return f"{value:.4g}"
    digits = max(0, 3 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: float) -> str:
    """Give a share in percent; one that is not 0 never looks like 0, nor one below 1 like 100.

    >>> [percent(x) for x in (0, 0.00001, 0.1234, 0.99999, 1)]
    ['0 %', '< 0.1 %', '12.3 %', '> 99.9 %', '100 %']
    """
    if share in (0, 1):
        return f"{share * 100:.0f} %"
    if share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if share > 0.999 else f"{share * 100:.1f} %"


def place(value: float, dtype: pl.DataType) -> str:
    """Give a place on the axis of a column: times as times."""
    leaf = dtype.inner if isinstance(dtype, (pl.List, pl.Array)) else dtype
    assert isinstance(leaf, pl.DataType), "dtypes of data are instances"
    if not leaf.is_temporal() or not math.isfinite(value):
        return number(value)
    # Nanoseconds since midnight end at 24:00, which is no time of the day.
    whole = min(round(value), 86_399_999_999_999) if leaf == pl.Time() else round(value)
    physical = pl.Series([whole], dtype=pl.Int64)
    return shown(physical.cast(pl.Series([], dtype=leaf).to_physical().dtype).cast(leaf)[0])


def shown(value: object) -> str:
    """Give a value of the data as text.

    >>> shown("x"), shown(""), shown(True), shown(1.50)
    ('x', '(empty text)', 'true', '1.5')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return number(value) if isinstance(value, float) else str(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ", timespec="seconds")
    text = str(value)
    return text if text else "(empty text)"
