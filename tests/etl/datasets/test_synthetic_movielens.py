"""The MovieLens-shaped generator: exact, repeatable, chunk by chunk, with a known best AUC."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emberline.artifacts import open_directory
from emberline.errors import DataError
from emberline.etl.datasets import SyntheticMovieLens, open_movielens, planted_auc, planted_model
from emberline.etl.datasets.movielens_plant import GENRES

GOLDEN = [(1, 20, 3.0, 1262205087), (1, 287, 3.0, 1262205105), (1, 413, 4.5, 1262205109)]
SMALL = SyntheticMovieLens(rows=300_000, seed=3)


@pytest.fixture(scope="module")
def ratings() -> pl.DataFrame:
    return pl.concat([SMALL.chunk(k) for k in range(SMALL.chunk_count)])


@pytest.fixture(scope="module")
def movies() -> pl.DataFrame:
    return SMALL.movie_frame()


def test_rows_users_and_columns(ratings: pl.DataFrame) -> None:
    assert SMALL.chunk_count == 3
    assert ratings.height == 300_000
    assert ratings.columns == ["userId", "movieId", "rating", "timestamp"]
    assert ratings.dtypes == [pl.Int64, pl.Int64, pl.Float32, pl.Int64]
    assert ratings["userId"].unique().sort().to_list() == list(range(1, SMALL.user_count + 1))
    assert ratings["userId"].is_sorted()


def test_each_user_rates_a_movie_at_most_once_and_at_least_twenty(ratings: pl.DataFrame) -> None:
    assert ratings.select("userId", "movieId").is_unique().all()
    counts = ratings.group_by("userId").len()["len"]
    assert counts.to_numpy().min() >= 20
    # A long tail, as real activity has: the busiest tenth gives a third or more of the ratings.
    busiest = counts.sort(descending=True).head(len(counts) // 10).sum()
    assert busiest > 0.33 * ratings.height


def test_popularity_has_a_head_and_a_tail(ratings: pl.DataFrame) -> None:
    counts = ratings.group_by("movieId").len()["len"].sort(descending=True)
    assert len(counts) > 0.9 * SMALL.movie_count
    assert counts.head(len(counts) // 10).sum() > 0.3 * ratings.height
    assert counts[0] < 0.02 * ratings.height


def test_timestamps_ascend_within_a_user_and_stay_in_the_period(ratings: pl.DataFrame) -> None:
    gaps = ratings.select(pl.col("timestamp").diff().over("userId")).drop_nulls()["timestamp"]
    assert (gaps >= 0).all()
    times = ratings["timestamp"].cast(pl.Int64) * 1_000
    years = times.cast(pl.Datetime("ms")).dt.year().unique().sort().to_list()
    assert years[0] == 1996
    assert years[-1] == 2019
    assert len(years) == 24


def test_the_last_ratings_of_a_user_are_as_popular_as_the_first(ratings: pl.DataFrame) -> None:
    popularity = ratings.with_columns(pl.len().over("movieId").alias("popularity"))
    place = pl.int_range(pl.len()).over("userId") / pl.len().over("userId")
    late = popularity.select(late=place >= 0.8, popularity="popularity")
    means = late.group_by("late").agg(pl.col("popularity").mean()).sort("late")["popularity"]
    # Else a split by time would test on other movies than it trained on. 60,000 draws: 1 % apart.
    assert means[1] == pytest.approx(means[0], rel=0.02)


def test_levels_and_base_rate(ratings: pl.DataFrame) -> None:
    assert ratings["rating"].unique().sort().to_list() == [0.5 * i for i in range(1, 11)]
    assert 0.5 < float(np.mean(ratings["rating"].to_numpy() >= 4.0)) < 0.62


def test_movies(movies: pl.DataFrame, ratings: pl.DataFrame) -> None:
    assert movies.height == SMALL.movie_count
    ids = movies["movieId"]
    assert ids.is_unique().all()
    assert ids.is_sorted()
    assert int(ids.to_numpy().max()) > 2 * movies.height  # sparse, as in MovieLens
    assert ratings.join(movies, on="movieId", how="anti").height == 0
    assert movies["title"].str.contains(r"^Movie \d+ \((19|20)\d\d\)$").all()
    assert movies["title"].is_unique().all()
    genres = movies["genres"].str.split("|")
    named = set(genres.explode(empty_as_null=True, keep_nulls=True).to_list())
    assert named <= {*GENRES, "(no genres listed)"}
    assert "(no genres listed)" in named
    assert set(genres.list.len().to_list()) == {1, 2, 3}
    assert all(len(set(row)) == len(row) for row in genres.to_list())


def test_movie_frame_in_pieces_is_the_whole(movies: pl.DataFrame) -> None:
    pieces = [SMALL.movie_frame(0, 100), SMALL.movie_frame(100)]
    assert pl.concat(pieces).equals(movies)


def test_a_chunk_alone_equals_the_chunk_in_sequence(ratings: pl.DataFrame) -> None:
    fresh = SyntheticMovieLens(rows=300_000, seed=3)
    chunks = {k: fresh.chunk(k) for k in (2, 0, 1)}
    assert pl.concat([chunks[0], chunks[1], chunks[2]]).equals(ratings)


def test_another_seed_gives_other_rows(ratings: pl.DataFrame) -> None:
    other = SyntheticMovieLens(rows=300_000, seed=4).chunk(0)
    assert not other.equals(ratings.head(other.height))


def test_golden_rows_do_not_change() -> None:
    """A change here needs a new VERSION: the numbers were noted when version 1 was made."""
    frame = SyntheticMovieLens(rows=1_000, seed=1).chunk(0)
    assert frame.height == 1_000
    assert frame.head(3).rows() == GOLDEN


def test_planted_auc_and_labels(ratings: pl.DataFrame) -> None:
    logits = SMALL.logit(ratings["userId"].to_numpy(), ratings["movieId"].to_numpy())
    labels = ratings["rating"].to_numpy() >= 4.0
    reached = planted_auc(logits, labels)
    assert 0.78 < reached < 0.83
    # Labels are draws from the logits: over 300,000 of them the AUC is within 4 standard errors.
    assert reached == pytest.approx(SMALL.expected_auc(), abs=0.004)
    probability = 1 / (1 + np.exp(-logits))
    for low in np.arange(0.1, 0.9, 0.1):
        part = (probability >= low) & (probability < low + 0.1)
        error = 4 * np.sqrt(0.25 / part.sum())
        assert labels[part].mean() == pytest.approx(probability[part].mean(), abs=error)


def test_logit_needs_ids_alone_in_any_order(ratings: pl.DataFrame) -> None:
    rows = ratings.sample(2_000, with_replacement=True, seed=1)
    users, ids = rows["userId"].to_numpy(), rows["movieId"].to_numpy()
    fresh = SyntheticMovieLens(rows=300_000, seed=3)
    together = fresh.logit(users, ids)
    assert together.dtype == np.float64
    single = [fresh.logit([u], [m])[0] for u, m in zip(users[:20], ids[:20], strict=True)]
    # The dot product may add in another order for another length.
    np.testing.assert_allclose(together[:20], single, rtol=0, atol=1e-12)
    assert fresh.logit([], []).shape == (0,)


def test_logit_refuses_ids_it_does_not_have(movies: pl.DataFrame) -> None:
    known = int(movies["movieId"][5])
    with pytest.raises(DataError, match=r"user_ids\[1\] is 0, expected 1 to 1948"):
        SMALL.logit([1, 0], [known, known])
    unknown = next(i for i in range(1, 100) if i not in set(movies["movieId"].to_list()))
    with pytest.raises(DataError, match=rf"movie_ids\[1\] is {unknown}, which is no movieId"):
        SMALL.logit([1, 1], [known, unknown])
    with pytest.raises(DataError, match=r"shape \(2,\), movie_ids \(1,\); expected equal"):
        SMALL.logit([1, 1], [known])
    with pytest.raises(DataError, match=r"user_ids have dtype float64; expected int64"):
        SMALL.logit([1.5], [known])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_sizes_are_exact_and_unique(data: st.DataObject) -> None:
    users = data.draw(st.integers(1, 60), label="users")
    movies = data.draw(st.integers(1, 80), label="movies")
    rows = data.draw(st.integers(users, users * movies), label="rows")
    seed = data.draw(st.integers(0, 2**63 - 1), label="seed")
    model = SyntheticMovieLens(rows=rows, users=users, movies=movies, seed=seed)
    frame = pl.concat([model.chunk(k) for k in range(model.chunk_count)])
    assert frame.height == rows
    assert frame["userId"].n_unique() == users
    assert frame.select("userId", "movieId").is_unique().all()
    assert set(frame["movieId"].to_list()) <= set(model.movie_frame()["movieId"].to_list())
    assert frame["timestamp"].to_numpy().max() < 1_577_836_800


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 0}, "rows=0; expected 1 or more"),
        ({"rows": 10, "users": 0}, "users=0; expected 1 or more"),
        ({"rows": 10, "seed": -1}, r"seed=-1; expected 0 <= seed < 2\*\*63"),
        ({"rows": 10, "movies": 2**21}, "movies=2097152; expected at most 1048576"),
        ({"rows": 3, "users": 4}, r"give users <= rows <= users \* movies"),
        ({"rows": 7, "users": 2, "movies": 3}, "rows=7 with 2 users and 3 movies"),
    ],
)
def test_bad_arguments(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        SyntheticMovieLens(**arguments)


def test_bad_chunk_and_format(tmp_path: Path) -> None:
    unknown: dict[str, Any] = {"format": "json"}  # as from a caller without a type checker
    with pytest.raises(IndexError, match="chunk 3; expected 0 to 2"):
        SMALL.chunk(3)
    with pytest.raises(DataError, match="format='json'; expected 'csv' or 'parquet'"):
        SMALL.write(tmp_path / "x", **unknown)


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_write_is_read_back(tmp_path: Path, format: str, ratings: pl.DataFrame) -> None:
    seen: list[tuple[int, int]] = []
    path = SMALL.write(
        tmp_path / "raw",
        "csv" if format == "csv" else "parquet",
        lambda done, total: seen.append((done, total)),
    )
    data = open_movielens(path)
    assert data.layout == format
    assert data.ratings.collect().equals(ratings)
    assert data.movies.collect().equals(SMALL.movie_frame())
    assert len(seen) == SMALL.chunk_count
    assert seen[-1] == (300_000, 300_000)
    manifest = open_directory(path, kind="raw-movielens", max_version=1)
    assert manifest.info == {"rows": 300_000, "users": 1948, "movies": SMALL.movie_count}
    assert planted_model(path) == SMALL


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    model = SyntheticMovieLens(rows=5_000, seed=9)
    for format in ("csv", "parquet"):
        first = model.write(tmp_path / f"a-{format}", "csv" if format == "csv" else "parquet")
        again = SyntheticMovieLens(rows=5_000, seed=9)
        second = again.write(tmp_path / f"b-{format}", "csv" if format == "csv" else "parquet")
        for name in (f"ratings.{format}", f"movies.{format}", "planted.json"):
            assert (first / name).read_bytes() == (second / name).read_bytes()
    noted = json.loads((tmp_path / "a-csv" / "planted.json").read_text())
    assert noted["arguments"] == {"rows": 5_000, "users": None, "movies": None, "seed": 9}


def test_an_interrupted_write_leaves_the_old_directory(tmp_path: Path) -> None:
    path = SyntheticMovieLens(rows=1_000).write(tmp_path / "raw")
    before = (path / "ratings.csv").read_bytes()

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SyntheticMovieLens(rows=2_000).write(path, progress=stop)
    assert (path / "ratings.csv").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    program = (
        "import resource, sys\n"
        "from emberline.etl.datasets import SyntheticMovieLens\n"
        "rows, path = int(sys.argv[1]), sys.argv[2]\n"
        "SyntheticMovieLens(rows=rows, movies=5_000).write(path)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )

    def peak_kib(rows: int) -> int:
        command = [sys.executable, "-c", program, str(rows), str(tmp_path / str(rows))]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    # Eight times the rows: 84 MB more in memory if they were kept as columns. Allocators vary by 20.
    assert peak_kib(4_000_000) - peak_kib(500_000) < 40 * 1024
