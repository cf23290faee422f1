"""The data that all contenders read, made once and kept below build/."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from emberline.etl.datasets import SyntheticCriteo, SyntheticMovieLens

__all__ = ["criteo", "movielens"]

KEPT = Path(__file__).parents[2] / "build" / "bench-etl"

#: Those of the Kaggle challenge, but the five largest have 1 M categories.
CARDINALITIES = (
    *(1_460, 583, 1_000_000, 1_000_000, 305, 24, 12_517, 633, 3, 93_145, 5_683, 1_000_000, 3_194),
    *(27, 14_992, 1_000_000, 10, 5_652, 2_173, 4, 1_000_000, 18, 15, 286_181, 105, 142_572),
)


def movielens(rows: int, *, users: int | None = None, movies: int | None = None) -> Path:
    """Give a directory with rows.parquet and movies.parquet (movieId, genres: a list of strings).

    NVTabular on a CPU wants its data in one file with the columns it uses, so both get that.
    """
    source = SyntheticMovieLens(rows=rows, users=users, movies=movies)
    directory = KEPT / f"movielens-{rows}-{source.user_count}-{source.movie_count}"
    if not directory.is_dir():
        staging = _staging(directory)
        chunks = (source.chunk(k) for k in range(source.chunk_count))
        _write(chunks, staging / "rows.parquet")
        listed = source.movie_frame().select("movieId", pl.col("genres").str.split("|"))
        listed.write_parquet(staging / "movies.parquet")
        staging.rename(directory)
    return directory


def criteo(rows: int) -> Path:
    """Give a directory with rows.parquet: label, I1 .. I13 and C1 .. C26, hex strings."""
    directory = KEPT / f"criteo-{rows}"
    if not directory.is_dir():
        source = SyntheticCriteo(rows=rows, cardinalities=CARDINALITIES)
        staging = _staging(directory)
        _write((source.chunk(k) for k in range(source.chunk_count)), staging / "rows.parquet")
        staging.rename(directory)
    return directory


def _staging(directory: Path) -> Path:
    staging = directory.with_name(f"{directory.name}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def _write(chunks: Iterator[pl.DataFrame], file: Path) -> None:
    writer = None
    for chunk in chunks:
        # `string`, not `large_string` or views: the peer's pyarrow is from 2023.
        table = chunk.to_arrow(compat_level=pl.CompatLevel.oldest())
        if writer is None:
            fields = [
                pa.field(f.name, pa.string() if pa.types.is_large_string(f.type) else f.type)
                for f in table.schema
            ]
            writer = pq.ParquetWriter(file, pa.schema(fields), compression="zstd")
        writer.write_table(table.cast(writer.schema))
    if writer is None:
        raise ValueError("no chunks")
    writer.close()
