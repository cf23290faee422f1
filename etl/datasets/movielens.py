"""Readers of the official MovieLens layouts."""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from emberline.artifacts import recover
from emberline.errors import DataError
from emberline.etl.datasets.errors import MovieLensMissingError
from emberline.etl.datasets.movielens_archive import extract_archive
from emberline.etl.datasets.movielens_dat import dat_movies_source, dat_ratings_source
from emberline.etl.datasets.table_source import TableSource, csv_source, parquet_source

__all__ = ["MovieLens", "open_movielens"]

Layout = Literal["parquet", "csv", "dat"]

_RATINGS: dict[str, pl.DataType] = {
    "userId": pl.Int64(),
    "movieId": pl.Int64(),
    "rating": pl.Float32(),
    "timestamp": pl.Int64(),
}
_MOVIES: dict[str, pl.DataType] = {
    "movieId": pl.Int64(),
    "title": pl.String(),
    "genres": pl.String(),
}

# In this order: where a folder holds several layouts, the faster to read wins.
_LAYOUTS: tuple[Layout, ...] = ("parquet", "csv", "dat")


@dataclass(frozen=True, kw_only=True)
class MovieLens:
    """A MovieLens release, lazily.

    Attributes:
        name: of the release: the folder's or the archive's name.
        layout: "csv" (ml-latest-small, ml-20m, ml-25m, ml-32m, ml-latest), "dat" (ml-1m, ml-10m)
            or "parquet".
        ratings: userId int64, movieId int64, rating float32, timestamp int64 (seconds since 1970), in
            the file's order; read in a streaming way.
        movies: movieId int64, title str, genres str (separated by "|"; "(no genres listed)").
    """

    name: str
    layout: Layout
    ratings: pl.LazyFrame
    movies: pl.LazyFrame


def open_movielens(
    path: str | os.PathLike[str],
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    check: bool = True,
) -> MovieLens:
    """Open a folder or an official `.zip` of MovieLens data.

    Args:
        path: a folder with ratings and movies as `.csv`, `.dat` or `.parquet`, or the archive.
        cache_dir: where an archive is extracted to, by default the folder it lies in. Only the two
            files are, once, and they appear complete.
        check: read both files once, in a streaming way, so that a value of the wrong type or a missing
            one is found before any work starts. Without it only the columns and the first rows are
            looked at, and Polars itself reports what it meets later.

    Raises:
        MovieLensMissingError: no such path, or not both files there.
        DataError: an empty file, no rows, a missing column, a value of the wrong type (with its file,
            row and column), a damaged archive.
    """
    given = Path(path)
    if given.is_file():
        if not zipfile.is_zipfile(given):
            raise DataError(
                f"{given} is neither a folder nor a whole zip archive; give the folder with the "
                "ratings and movies files, or the official .zip (download it again if it is cut)"
            )
        folder = extract_archive(given, _LAYOUTS, Path(cache_dir or given.parent))
        name = given.stem
    else:
        recover(given)
        folder = given
        name = given.resolve().name
    layout = _layout_of(folder)
    ratings = _source(folder / f"ratings.{layout}", _RATINGS, layout)
    movies = _source(folder / f"movies.{layout}", _MOVIES, layout)
    movies.check(whole=check)
    ratings.check(whole=check)
    return MovieLens(name=name, layout=layout, ratings=ratings.typed, movies=movies.typed)


def _layout_of(folder: Path) -> Layout:
    for layout in _LAYOUTS:
        if all((folder / f"{stem}.{layout}").is_file() for stem in ("ratings", "movies")):
            return layout
    looked = " or ".join(f"ratings.{layout} + movies.{layout}" for layout in _LAYOUTS)
    if not folder.is_dir():
        raise MovieLensMissingError(
            f"{folder} does not exist; expected a folder with {looked}, or an official .zip"
        )
    found = sorted(p.name for p in folder.iterdir())[:10]
    raise MovieLensMissingError(
        f"{folder} holds no MovieLens files; looked for {looked}, found "
        f"{', '.join(found) or 'nothing'}"
    )


def _source(file: Path, columns: dict[str, pl.DataType], layout: Layout) -> TableSource:
    if layout == "parquet":
        return parquet_source(file, columns)
    if layout == "csv":
        return csv_source(file, columns)
    return dat_ratings_source(file) if file.stem == "ratings" else dat_movies_source(file)
