"""The two workflows in Polars by hand, as fast as we know how: what an ETL library may cost.

No schema, no side files, no errors that explain, no updates: a program for this data alone.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl

__all__ = ["criteo", "movielens"]

FIRST = 3  # the id of the first category: 0 padding, 1 null, 2 unknown


def movielens(directory: Path, target: Path) -> dict[str, float]:
    """Fit and write. Returns seconds by stage."""
    began = time.perf_counter()
    rows = pl.scan_parquet(directory / "rows.parquet")
    movies = pl.read_parquet(directory / "movies.parquet")
    counts = pl.collect_all(
        [rows.group_by(c).len() for c in ("userId", "movieId")], engine="streaming"
    )
    users, items = (_ordered(frame) for frame in counts)
    # A rating has the genres of its movie: 59,000 lists are encoded instead of 25 million.
    weighted = movies.join(counts[1], on="movieId").explode("genres", empty_as_null=True)
    genres = _ordered(weighted.group_by("genres").agg(pl.col("len").sum()))
    coded = (
        movies.explode("genres", empty_as_null=True)
        .with_columns(
            pl.col("genres").replace_strict(genres, _ids(genres), default=2, return_dtype=pl.Int64)
        )
        .group_by("movieId", maintain_order=True)
        .agg("genres")
    )
    middle = time.perf_counter()
    plan = rows.select(
        _gathered("userId", users, _ids(users)),
        _gathered("movieId", items, _ids(items)),
        _gathered("movieId", coded["movieId"], coded["genres"]).alias("genres"),
        (pl.col("rating") > 3).cast(pl.Int8),
    )
    _write(plan, target)
    return {"fit": middle - began, "write": time.perf_counter() - middle}


def criteo(directory: Path, target: Path) -> dict[str, float]:
    """Fit and write. Returns seconds by stage."""
    began = time.perf_counter()
    integers = [f"I{j}" for j in range(1, 14)]
    categories = [f"C{c}" for c in range(1, 27)]
    rows = pl.scan_parquet(directory / "rows.parquet")
    filled = [pl.col(c).fill_null(0).clip(lower_bound=0) for c in integers]
    dense = [x.cast(pl.Float64).log1p().cast(pl.Float32).cast(pl.Float64) for x in filled]
    moments = rows.select(
        *(x.mean().name.prefix("mean_") for x in dense),
        *(x.std(ddof=0).name.prefix("std_") for x in dense),
    )
    # One collect a column: all in one holds 26 hash tables and the strings of all columns.
    numbers = moments.collect(engine="streaming").row(0, named=True)
    enums = {
        c: pl.Enum(_ordered(rows.group_by(c).len().collect(engine="streaming"))) for c in categories
    }
    middle = time.perf_counter()
    ids = [
        pl.when(pl.col(c).is_null())
        .then(1)
        .otherwise(
            pl.col(c).cast(enum, strict=False).to_physical().cast(pl.Int64).add(FIRST).fill_null(2)
        )
        .alias(c)
        for c, enum in enums.items()
    ]
    scaled = [
        ((x - numbers[f"mean_{c}"]) / numbers[f"std_{c}"]).alias(c)
        for c, x in zip(integers, dense, strict=True)
    ]
    _write(rows.select(*ids, *scaled, "label"), target)
    return {"fit": middle - began, "write": time.perf_counter() - middle}


def _ordered(counts: pl.DataFrame) -> pl.Series:
    """Give the values by descending count, ties by value; no null."""
    name = next(c for c in counts.columns if c != "len")
    return counts.drop_nulls(name).sort("len", name, descending=[True, False])[name]


def _gathered(column: str, keys: pl.Series, values: pl.Series) -> pl.Expr:
    """Give the values that belong to a column of small positive integers.

    From a table with a row for every integer: joins that keep the order take a third longer.
    """
    largest = keys.max()
    assert isinstance(largest, int), "keys are integers"
    every = pl.DataFrame({"key": pl.int_range(largest + 1, eager=True)})
    table = every.join(pl.DataFrame({"key": keys, "value": values}), on="key", how="left")
    found = table.sort("key")["value"].rechunk()
    return pl.col(column).map_batches(found.gather, return_dtype=found.dtype, is_elementwise=True)


def _ids(values: Sequence[object] | pl.Series) -> pl.Series:
    return pl.int_range(FIRST, FIRST + len(values), eager=True)


def _write(plan: pl.LazyFrame, target: Path) -> None:
    target.mkdir()
    plan.sink_parquet(
        target / "part_0.parquet", compression="zstd", row_group_size=65_536, engine="streaming"
    )
