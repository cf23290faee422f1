"""Which values of a column are the same category."""

import polars as pl

__all__ = ["canonical_key", "shared_key_dtype"]


def canonical_key(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Give a column of leaves as the keys that are counted and looked up.

    Args:
        column: the leaves.
        dtype: of the keys. Floats: NaN becomes null and -0.0 becomes 0.0.

    Returns:
        An expression whose name is not defined: give it an alias.
    """
    key = column.cast(dtype)
    if not dtype.is_float():
        return key
    key = key.fill_nan(None)
    # Spelled as a comparison, because an optimizer may drop "+ 0.0".
    return pl.when(key == 0).then(pl.lit(0.0, dtype=dtype)).otherwise(key)


def shared_key_dtype(left: pl.DataType, right: pl.DataType) -> pl.DataType | None:
    """Give the dtype that holds the keys of both exactly, or None.

    >>> shared_key_dtype(pl.Int32(), pl.UInt8()), shared_key_dtype(pl.Int64(), pl.String())
    (Int64, None)
    """
    if left == right or isinstance(right, pl.Null):
        return left
    if isinstance(left, pl.Null):
        return right
    if left.is_integer() and right.is_integer():
        if pl.UInt64() not in (left, right):
            return pl.Int64()
        both = left.is_unsigned_integer() and right.is_unsigned_integer()
        return pl.UInt64() if both else None
    if left.is_float() and right.is_float():
        return pl.Float64()
    return None
