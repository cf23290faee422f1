"""Ratings shaped like MovieLens from a planted model, in chunks that are made alone."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from emberline.artifacts import write_directory
from emberline.errors import DataError
from emberline.etl.datasets.activity import apportion, session_times
from emberline.etl.datasets.frame_sink import FrameSink
from emberline.etl.datasets.movielens_plant import GENRES, MoviePlant, MovieRows
from emberline.etl.datasets.planted_auc import expected_auc
from emberline.etl.datasets.popularity import distinct_ranks
from emberline.etl.datasets.random_streams import SEED_LIMIT, hashed, normals, stream_key, uniforms

__all__ = ["SyntheticMovieLens"]

VERSION = 1
"""Of what a given (arguments, seed) produces; raised by every change of a written byte."""

_CHUNK_ROWS = 131_072
_BLOCK_ROWS = 262_144  # rows of `logit` at a time
_MINIMUM_RATINGS = 20  # "all selected users had rated at least 20 movies"
_MOVIES_LIMIT = 2**20
_ACTIVITY_SIGMA = 1.4  # of log(ratings - 20): median 70 and mean 154 as in ml-25m

# Rating levels given the label, about as often as in ml-25m. Below 4: 0.5 .. 3.5.
_LOW_CDF = np.cumsum([0.03, 0.06, 0.035, 0.145, 0.11, 0.37])
_HIGH_CDF = np.cumsum([0.55, 0.18])

# The domains of the random streams; a parameter of the plant never shares one.
_PAIRS, _ACTIVITY, _START, _VALUES, _RANK = 101, 102, 103, 104, 105


@dataclass(frozen=True, kw_only=True)
class SyntheticMovieLens:
    """Ratings in the layout of ml-25m whose probabilities are known.

    A row is positive (rating >= 4) with probability sigmoid(`logit`); so the best possible AUC is
    known, and a trained model can be measured against it. The same arguments give the same bytes;
    chunk k depends on them and k alone. Memory is bounded by a chunk and the list of movies.

    Args:
        rows: ratings, exactly; at least one per user and at most users * movies.
        users: by default rows / 154, as in ml-25m.
        movies: by default 4,000 at 1M rows and 59,000 at 25M, by a power law, 200 to 90,000.
        seed: 0 <= seed < 2**63.

    Raises:
        DataError: an argument out of range.
    """

    rows: int
    users: int | None = None
    movies: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rows", "users", "movies"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DataError(f"{name}={value}; expected 1 or more")
        if not 0 <= self.seed < SEED_LIMIT:
            raise DataError(f"seed={self.seed}; expected 0 <= seed < 2**63")
        if self.movie_count > _MOVIES_LIMIT:
            raise DataError(f"movies={self.movies}; expected at most {_MOVIES_LIMIT}")
        if not self.user_count <= self.rows <= self.user_count * self.movie_count:
            raise DataError(
                f"rows={self.rows} with {self.user_count} users and {self.movie_count} movies; each "
                "user rates at least one movie and none twice, so give users <= rows <= users * movies"
            )

    @property
    def user_count(self) -> int:
        """Users; their ids are 1 .. user_count."""
        return max(1, self.rows // 154) if self.users is None else self.users

    @property
    def movie_count(self) -> int:
        """Movies in the movies file; the least popular may have no rating."""
        if self.movies is not None:
            return self.movies
        scaled = 4_000 * math.pow(self.rows / 1e6, 0.836)
        return min(90_000, max(200, round(scaled)))

    @property
    def chunk_count(self) -> int:
        """Chunks of about 131,072 rows; each is a range of whole users."""
        return min(self.user_count, math.ceil(self.rows / _CHUNK_ROWS))

    def chunk(self, index: int) -> pl.DataFrame:
        """Make one chunk of the ratings, alone.

        Args:
            index: 0 .. chunk_count - 1.

        Returns:
            userId int64, movieId int64, rating float32 (0.5 .. 5.0), timestamp int64 (seconds);
            ordered by user and, within a user, by timestamp; no (user, movie) twice.
        """
        user, position, logits = self._pairs(index)
        first, stop = self._users_of(index)
        (begin,) = uniforms(self.seed, _START, index, stop - first, 1)
        label, level, gap, long_gap = uniforms(self.seed, _VALUES, index, len(user), 4)
        probability = 1.0 / (1.0 + np.exp(-logits))
        low = (np.searchsorted(_LOW_CDF, level, side="right") + 1) * 0.5
        high = (np.searchsorted(_HIGH_CDF, level, side="right") + 8) * 0.5
        rating = np.where(label < probability, high, low)
        return pl.DataFrame(
            {
                "userId": user + (first + 1),
                "movieId": self._movie_ids[position],
                "rating": rating.astype(np.float32),
                "timestamp": session_times(user, gap, long_gap, begin),
            }
        )

    def movie_frame(self, start: int = 0, stop: int | None = None) -> pl.DataFrame:
        """Rows start .. stop of the movies file: movieId int64, title str, genres str."""
        positions = np.arange(start, self.movie_count if stop is None else stop, dtype=np.int64)
        genres = self._plant.genres(positions)
        names = np.array([*GENRES, ""])
        # Ascending indices and 19 for none, so that present names come first, in the files' order.
        parts = pl.DataFrame({f"genre_{i}": names[genres[:, i]] for i in range(3)})
        joined = pl.concat_str(pl.all(), separator="|").str.strip_chars_end("|")
        listed = parts.select(
            pl.when(joined == "").then(pl.lit("(no genres listed)")).otherwise(joined).alias("g")
        )
        return pl.DataFrame(
            {
                "movieId": self._plant.movie_ids(positions),
                "number": positions + 1,
                "year": self._plant.years(positions),
                "genres": listed["g"],
            }
        ).select("movieId", pl.format("Movie {} ({})", "number", "year").alias("title"), "genres")

    def logit(self, user_ids: npt.ArrayLike, movie_ids: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Recompute the planted logit from ids alone.

        Args:
            user_ids: int64 [n], duplicates allowed, in 1 .. user_count.
            movie_ids: int64 [n], ids of the movies file.

        Returns:
            float64 [n].

        Raises:
            DataError: lengths differ, or an id that this generator does not have.
        """
        users, movies = np.asarray(user_ids), np.asarray(movie_ids)
        if users.ndim != 1 or users.shape != movies.shape:
            raise DataError(
                f"user_ids have shape {users.shape}, movie_ids {movies.shape}; expected equal [n]"
            )
        for name, ids in (("user_ids", users), ("movie_ids", movies)):
            if len(ids) and ids.dtype.kind not in "iu":
                raise DataError(f"{name} have dtype {ids.dtype}; expected int64")
        users, movies = users.astype(np.int64), movies.astype(np.int64)
        self._plant.check_users(users)
        positions = self._plant.positions(movies)
        out = np.empty(len(users))
        for start in range(0, len(users), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            ids, user_index = np.unique(users[block], return_inverse=True)
            places, movie_index = np.unique(positions[block], return_inverse=True)
            out[block] = self._plant.logits(
                self._plant.user_rows(ids),
                user_index,
                self._plant.movie_rows(places),
                movie_index,
            )
        return out

    def expected_auc(self, max_rows: int = 1_000_000) -> float:
        """Best AUC that a model of rating >= 4 can expect, over the first chunks' rows."""
        chunks = range(min(self.chunk_count, max(1, max_rows // _CHUNK_ROWS)))
        return expected_auc(np.concatenate([self._pairs(k)[2] for k in chunks]))

    def write(
        self,
        directory: str | os.PathLike[str],
        format: Literal["csv", "parquet"] = "csv",
        progress: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Write ratings, movies and `planted.json` as one directory that appears complete.

        `open_movielens` reads it, `planted_model` finds this generator again. Memory: a chunk.

        Args:
            directory: to create; one that emberline wrote before is replaced.
            format: "csv" (the official files' layout) or "parquet" (zstd, a row group per chunk).
            progress: called after every chunk with (rows done, rows in all).

        Raises:
            DataError: an unknown format.
            FileExistsError: `directory` holds something that emberline did not write.
        """
        if format not in ("csv", "parquet"):
            raise DataError(f"format={format!r}; expected 'csv' or 'parquet'")
        with write_directory(directory, kind="raw-movielens", version=1) as staging:
            staging.info.update(rows=self.rows, users=self.user_count, movies=self.movie_count)
            with FrameSink(staging.path / f"movies.{format}", format=format) as sink:
                for start in range(0, self.movie_count, _CHUNK_ROWS):
                    sink.write(self.movie_frame(start, min(start + _CHUNK_ROWS, self.movie_count)))
            done = 0
            with FrameSink(staging.path / f"ratings.{format}", format=format) as sink:
                for k in range(self.chunk_count):
                    frame = self.chunk(k)
                    sink.write(frame)
                    done += frame.height
                    if progress is not None:
                        progress(done, self.rows)
            noted = {
                "generator": type(self).__name__,
                "version": VERSION,
                "arguments": asdict(self),
            }
            (staging.path / "planted.json").write_text(json.dumps(noted, indent=1) + "\n")
        return Path(directory)

    @cached_property
    def _plant(self) -> MoviePlant:
        return MoviePlant(seed=self.seed, users=self.user_count, movies=self.movie_count)

    @cached_property
    def _movies(self) -> MovieRows:
        return self._plant.movie_rows(np.arange(self.movie_count, dtype=np.int64))

    @cached_property
    def _movie_ids(self) -> npt.NDArray[np.int64]:
        return self._plant.movie_ids(np.arange(self.movie_count, dtype=np.int64))

    @cached_property
    def _by_popularity(self) -> npt.NDArray[np.int64]:
        """Position of the movie with popularity rank r: a permutation, unrelated to the ids."""
        positions = np.arange(self.movie_count, dtype=np.int64)
        return np.argsort(hashed(stream_key(self.seed, _RANK), positions), kind="stable")

    def _users_of(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self.chunk_count:
            raise IndexError(f"chunk {index}; expected 0 to {self.chunk_count - 1}")
        users, chunks = self.user_count, self.chunk_count
        return users * index // chunks, users * (index + 1) // chunks

    def _pairs(
        self, index: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Chunk-local users, movie positions and logits of a chunk's rows, in order."""
        first, stop = self._users_of(index)
        counts = self._ratings_per_user(index)
        user = np.repeat(np.arange(stop - first, dtype=np.int64), counts)
        (draw,) = uniforms(self.seed, _PAIRS, index, len(user), 1)
        position = self._by_popularity[distinct_ranks(user, counts, draw, self.movie_count)]
        users = self._plant.user_rows(np.arange(first + 1, stop + 1, dtype=np.int64))
        return user, position, self._plant.logits(users, user, self._movies, position)

    def _ratings_per_user(self, index: int) -> npt.NDArray[np.int64]:
        first, stop = self._users_of(index)
        users, count = self.user_count, stop - first
        # Rows are dealt to chunks in proportion to their users, so a chunk knows its share alone.
        rows = self.rows * stop // users - self.rows * first // users
        weights = np.exp(_ACTIVITY_SIGMA * normals(self.seed, _ACTIVITY, index, count))
        return apportion(
            rows,
            weights,
            minimum=min(_MINIMUM_RATINGS, rows // count),
            # The busiest users of MovieLens rated about 60 % of the movies.
            maximum=max(-(-rows // count), int(0.6 * self.movie_count)),
        )
