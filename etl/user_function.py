"""Functions of the user: given Polars expressions where they accept them, or pandas data.

NVTabular's users write `lambda col: col.astype("int32")` and `lambda df: df["price"] > 0`. The second
works on expressions as it stands and becomes part of the plan; the first needs a pandas Series.
Which it is, is found out on the schema: the function is called with expressions, and where that does
not give a valid expression, with a few rows of pandas.
"""

import datetime as dt
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import polars as pl
from polars.exceptions import PolarsError

from emberline.errors import DataError
from emberline.etl.dtypes import canonical

__all__ = [
    "Columns",
    "Engine",
    "PandasFunctionWarning",
    "Resolved",
    "arity",
    "reads_rows",
    "resolve",
]

Engine = Literal["polars", "pandas"]

#: What pandas calls otherwise, for the warning.
_FASTER = {
    "astype": "cast(...)",
    "fillna": "fill_null(...)",
    "isna": "is_null()",
    "isnull": "is_null()",
    "notna": "is_not_null()",
    "notnull": "is_not_null()",
    "isin": "is_in(...)",
    "apply": "expressions",
    "lower": "str.to_lowercase()",
    "upper": "str.to_uppercase()",
    "strip": "str.strip_chars()",
    "len": "str.len_chars() or list.len()",
    "startswith": "str.starts_with(...)",
    "endswith": "str.ends_with(...)",
    "cumsum": "cum_sum()",
    "where": "pl.when(...).then(...)",
    "mask": "pl.when(...).then(...)",
}
#: Methods of both libraries that mean different things: pandas' `str.slice(1, 6)` ends at 6,
#: Polars' takes 6; and so on.
_FALSE_FRIENDS = re.compile(
    r"\.str\.(slice|replace|find|extract|concat_vertical)\b|\.(quantile|skew|kurtosis)\b"
)


class PandasFunctionWarning(UserWarning):
    """A function that runs on pandas data, batch by batch, where expressions would be faster."""


class Columns:
    """What a function of a frame gets for the frame: its columns as expressions.

    `columns["a"]` and `columns.a` are expressions; `columns[mask]` is the rows of the mask.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.columns = list(names)

    def __getitem__(self, key: Any) -> "pl.Expr | Rows":
        """Give a column, or rows."""
        if isinstance(key, pl.Expr):
            return Rows(key)
        if isinstance(key, str) and key in self.columns:
            return pl.col(key)
        raise KeyError(f"no column {key!r}; there are {self.columns}")

    def __getattr__(self, name: str) -> pl.Expr:
        """Give a column."""
        if name in self.__dict__.get("columns", ()):
            return pl.col(name)
        raise AttributeError(f"a frame of expressions has no {name!r}", name=name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self.columns


@dataclass(frozen=True)
class Rows:
    """Rows of `Columns`, chosen by a mask."""

    mask: pl.Expr


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """How a function is used in the plan.

    Attributes:
        expr: its result for every row.
        pandas: why it gets pandas data, for the warning; empty where it gets expressions.
    """

    expr: pl.Expr
    pandas: str = ""


def arity(function: Callable[..., Any], *, where: str, allowed: Sequence[int]) -> int:
    """Give how many arguments a function takes; 1 for builtins that do not say.

    Raises:
        DataError: not as many as allowed.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    required = [
        p
        for p in parameters
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    count = max(len(required), 1)
    if count not in allowed:
        raise DataError(
            f"{where}: the function must take {' or '.join(map(str, allowed))} arguments, "
            f"it takes {len(required)}"
        )
    return count


def resolve(
    function: Callable[..., Any],
    columns: Sequence[str | None],
    dtypes: Mapping[str, pl.DataType],
    *,
    where: str,
    engine: Engine | None = None,
    dtype: pl.DataType | None = None,
) -> Resolved:
    """Find out how a function is called, and give its result as an expression.

    Args:
        function: the user's.
        columns: its arguments: a column's name, or None for the frame of all columns.
        dtypes: all columns.
        where: the operator and column, for messages.
        engine: "polars" or "pandas" to have one of them; None tries Polars first.
        dtype: of the result; None finds it out.

    Raises:
        DataError: it accepts neither, or not `engine`; the message quotes both errors.
    """
    sample = _sample(dtypes)
    made, refused = (None, None) if engine == "pandas" else _polars(function, columns, dtypes)
    if made is not None:
        expr = made.cast(dtype) if dtype is not None else made
        found = _FALSE_FRIENDS.search(str(made)) if engine is None else None
        if found is None or _agree(function, columns, sample, made):
            return Resolved(expr=expr)
        reason = f"{found[0].lstrip('.')} means something else in Polars"
        hint = 'pass engine="polars" for its meaning there'
    elif engine == "polars":
        raise DataError(f"{where}: the function does not accept Polars expressions: {refused}")
    else:
        reason = "it is asked for" if refused is None else f"expressions gave: {refused}"
        missing = getattr(refused, "name", None)
        hint = (
            f"in Polars {missing} is {_FASTER[missing]}"
            if missing in _FASTER
            else ("written with Polars expressions it is much faster")
        )
    if dtype is None:
        dtype = _result_dtype(function, columns, sample, where=where, refused=refused)
    call = _PandasCall(function, tuple(columns), tuple(dtypes), dtype, where)
    needed = list(dtypes) if None in columns else [c for c in columns if c is not None]
    batch = pl.struct(needed)
    expr = batch.map_batches(call, return_dtype=dtype, is_elementwise=True)
    if reads_rows(expr, dtypes):
        # A mean or a shift of a batch would depend on the batch: it gets all rows at once.
        expr = batch.map_batches(call, return_dtype=dtype)
    warning = (
        f"{where}: the function is given pandas data, batch by batch on the CPU ({reason}); {hint}"
    )
    return Resolved(expr=expr, pandas="" if engine == "pandas" else warning)


def reads_rows(expr: pl.Expr, dtypes: Mapping[str, pl.DataType]) -> bool:
    """Say whether an expression looks beyond its own row, by trying it on a few."""
    made_up = _sample(dtypes)
    nulls = pl.DataFrame({name: [None] for name in dtypes}, schema=dict(dtypes))
    # With a null row as well, because filling it may be what looks at the others; in one chunk,
    # because the engine gives a function one chunk at a time.
    return _differs(expr, made_up) or _differs(expr, pl.concat([made_up, nulls], rechunk=True))


def _differs(expr: pl.Expr, sample: pl.DataFrame) -> bool:
    """Say whether an expression gives something else where each row is on its own."""
    try:
        whole = sample.select(expr.alias("x"))
        alone = pl.concat(sample[i].select(expr.alias("x")) for i in range(sample.height))
    except (PolarsError, DataError):
        return False  # it cannot be tried on made-up values
    return not whole.equals(alone)


def _polars(
    function: Callable[..., Any], columns: Sequence[str | None], dtypes: Mapping[str, pl.DataType]
) -> tuple[pl.Expr | None, Exception | None]:
    """Give the function's expression, or why there is none."""
    frame = Columns(list(dtypes))
    try:
        made = function(*(frame if name is None else pl.col(name) for name in columns))
        if isinstance(made, Rows):
            made = made.mask
        if not isinstance(made, pl.Expr):
            return None, TypeError(f"it returned {type(made).__name__}, not an expression")
        pl.LazyFrame(schema=dtypes).select(made.alias("x")).collect_schema()
    except Exception as error:  # noqa: BLE001  # code for other data may raise anything at all
        return None, error
    return made, None


def _pandas(
    function: Callable[..., Any], columns: Sequence[str | None], frame: pl.DataFrame
) -> Any:
    """Call the function with pandas data."""
    import pandas as pd

    data = pd.DataFrame({name: frame[name].to_pandas() for name in frame.columns})
    return function(*(data if name is None else data[name] for name in columns))


def _series(result: Any, rows: int) -> pl.Series:
    """Give what a function made of pandas data as a Polars Series.

    Raises:
        TypeError: no column of as many rows.
    """
    import pandas as pd

    if isinstance(result, pd.DataFrame):
        # A frame filtered by the function: which rows are left.
        kept = result.index
        if not kept.isin(range(rows)).all() or kept.has_duplicates:
            raise TypeError("it returned a frame whose index does not say which rows are left")
        return pl.Series(pd.RangeIndex(rows).isin(kept))
    if isinstance(result, pd.Series):
        series = pl.Series(pl.from_pandas(result.reset_index(drop=True)))
    elif isinstance(result, pl.Series):
        series = result
    elif hasattr(result, "__len__") and not isinstance(result, (str, bytes)):
        series = pl.Series(result, nan_to_null=True)
    else:
        raise TypeError(f"it returned {type(result).__name__}, not a Series")
    if len(series) != rows:
        raise TypeError(f"it returned {len(series)} values for {rows} rows")
    return series.cast(canonical(series.dtype))


@dataclass(frozen=True)
class _PandasCall:
    """Calls the function with a batch; pickles where the function does."""

    function: Callable[..., Any]
    columns: tuple[str | None, ...]
    names: tuple[str, ...]
    dtype: pl.DataType
    where: str

    def __call__(self, batch: pl.Series) -> pl.Series:
        if batch.is_empty():
            return pl.Series(batch.name, [], dtype=self.dtype)
        frame = batch.struct.unnest()
        try:
            result = _series(_pandas(self.function, self.columns, frame), frame.height)
            if result.dtype.is_float() and self.dtype.is_integer():
                # pandas makes integers with nulls floats. Fractions must not be cut off.
                fractions = result.filter(result != result.round())
                if not fractions.is_empty():
                    raise TypeError(
                        f"it gave {fractions[0]} where its results seemed to be {self.dtype}; "
                        'say what they are, as in dtype="float64"'
                    )
            return result.cast(self.dtype).alias(batch.name)
        except Exception as error:  # the function may raise anything
            raise DataError(
                f"{self.where}: the function failed on pandas data: {type(error).__name__}: {error}"
            ) from error


def _result_dtype(
    function: Callable[..., Any],
    columns: Sequence[str | None],
    sample: pl.DataFrame,
    *,
    where: str,
    refused: Exception | None,
) -> pl.DataType:
    """Find the dtype of the function's results, on made-up rows or on none."""
    failed: Exception | None = None
    for frame in (sample, sample.head(1), sample.clear()):
        try:
            found = _series(_pandas(function, columns, frame), frame.height).dtype
        except ImportError as error:
            raise DataError(
                f"{where}: the function does not accept Polars expressions ({refused}), and "
                "pandas is not installed"
            ) from error
        except Exception as error:  # noqa: BLE001  # the function may raise anything
            failed = failed or error
            continue
        if not isinstance(found, (pl.Null, pl.Object)):
            return found
    raise DataError(
        f"{where}: the function accepts neither Polars expressions ({refused}) nor pandas data "
        f"({failed or 'its results have no dtype'}). Where only its results' dtype cannot be found "
        "out, give it: dtype=..."
    )


def _agree(
    function: Callable[..., Any],
    columns: Sequence[str | None],
    sample: pl.DataFrame,
    made: pl.Expr,
) -> bool:
    """Say whether pandas cannot run the function, or gives what the expression gives."""
    try:
        theirs = _series(_pandas(function, columns, sample), sample.height)
    except Exception:  # noqa: BLE001  # then only Polars' meaning is left, whatever it is
        return True
    try:
        ours = sample.select(made.alias("x")).to_series()
        return ours.equals(theirs.cast(ours.dtype), check_names=False)
    except PolarsError:
        return False


def _sample(dtypes: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Give a few rows of made-up values."""
    return pl.DataFrame(
        [pl.Series(n, _values(d), dtype=d, strict=False) for n, d in dtypes.items()]
    )


def _values(dtype: pl.DataType) -> list[Any]:
    if isinstance(dtype, (pl.List, pl.Array)):
        inner = dtype.inner() if isinstance(dtype.inner, type) else dtype.inner
        few = _values(inner)
        if isinstance(dtype, pl.Array):
            return [[value] * dtype.size for value in few]
        return [few, few[:1], few[1:], few[:2]]
    moments = [dt.datetime(2020, month, 7 * month, 3 * month) for month in (1, 2, 3, 4)]
    made: dict[type[pl.DataType], list[Any]] = {
        pl.String: ["abcdefghij klm", "a-b.c-d e", "12", "Xyz|a"],
        pl.Boolean: [True, False, False, True],
        pl.Binary: [b"abc", b"de", b"f", b""],
        pl.Datetime: moments,
        pl.Date: [moment.date() for moment in moments],
        pl.Time: [moment.time() for moment in moments],
        pl.Duration: [dt.timedelta(hours=hours) for hours in (1, 5, 30, 2)],
        pl.Decimal: [Decimal(number) for number in (1, 3, 7, 2)],
        pl.Null: [None] * 4,
    }
    if dtype.is_float():
        return [0.5, 3.25, 7.0, 2.0]
    return made.get(type(dtype), [1, 3, 7, 2])
