"""The planted model behind `SyntheticMovieLens`: logits as a function of the ids alone.

    logit(u, m) = c + b_u + b_m + mean over the genres g of m of w[u, g] + p_u . q_m

The biases and the genres' common effects are what a linear model on one-hot user and movie finds;
each user's own taste for genres and the latent factors are what is left for a better one.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emberline.errors import DataError
from emberline.etl.datasets.random_streams import (
    hashed,
    hashed_normals,
    hashed_uniforms,
    stream_key,
)

__all__ = ["GENRES", "MoviePlant", "MovieRows", "UserRows"]

# The 19 genre names of the MovieLens files with about their share of the tags there.
GENRES: dict[str, float] = {
    "Action": 0.065,
    "Adventure": 0.037,
    "Animation": 0.026,
    "Children": 0.026,
    "Comedy": 0.150,
    "Crime": 0.048,
    "Documentary": 0.050,
    "Drama": 0.230,
    "Fantasy": 0.024,
    "Film-Noir": 0.006,
    "Horror": 0.053,
    "IMAX": 0.004,
    "Musical": 0.013,
    "Mystery": 0.026,
    "Romance": 0.069,
    "Sci-Fi": 0.032,
    "Thriller": 0.077,
    "War": 0.018,
    "Western": 0.012,
}
_NO_GENRE = len(GENRES)
_WITHOUT_GENRES = 0.05
_GENRE_COUNT_CDF = (0.40, 0.78)  # one, then one or two; the rest has three

# Standard deviations on the logit's scale, tuned at 200k and 1M rows: base rate about 0.55,
# planted AUC about 0.80, a linear model on one-hot ids at 80-88 % of the distance from 0.5.
_INTERCEPT = 0.25
_USER_BIAS = 0.90
_MOVIE_BIAS = 0.90
_GENRE_COMMON = 0.40
_GENRE_OWN = 0.55
_LATENT = 4
_LATENT_LOGIT = 0.55

# Each movieId owns a block of this many numbers and takes one of them: ids are about as sparse as
# those of ml-25m (62,423 movies, ids up to 209,171) and the movie is found again by division.
_ID_STRIDE = 3

_USER_BIAS_WORD, _MOVIE_BIAS_WORD, _COMMON_WORD, _OWN_WORD = 1, 2, 3, 4
_USER_LATENT_WORD, _MOVIE_LATENT_WORD, _GENRE_WORD, _GENRE_COUNT_WORD = 5, 6, 7, 8
_ID_WORD, _YEAR_WORD = 9, 10


@dataclass(frozen=True, kw_only=True)
class UserRows:
    """Parameters of some users: bias [n], taste [n, genres + 1] (last column 0), latent [n, k]."""

    bias: npt.NDArray[np.float64]
    taste: npt.NDArray[np.float64]
    latent: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MovieRows:
    """Parameters of some movies: bias [n], genres [n, 3] (19 = none), share [n], latent [n, k].

    `share` is one over the number of genres, so that a sum over `genres` becomes a mean.
    """

    bias: npt.NDArray[np.float64]
    genres: npt.NDArray[np.int64]
    share: npt.NDArray[np.float64]
    latent: npt.NDArray[np.float64]


class MoviePlant:
    """Parameters by id for one seed and one catalogue.

    Args:
        seed: of the generator.
        users: user ids are 1 .. users.
        movies: movies are at positions 0 .. movies - 1; `movie_ids` gives their ids.
    """

    def __init__(self, *, seed: int, users: int, movies: int) -> None:
        self._seed = seed
        self._users = users
        self._movies = movies
        shares = np.array(list(GENRES.values()))
        self._genre_cdf = np.cumsum(shares / shares.sum())
        ids = np.arange(len(GENRES), dtype=np.int64)
        common = _GENRE_COMMON * hashed_normals(self._key(_COMMON_WORD), ids)
        # Centred, so that one seed's taste for Drama does not move the base rate.
        self._common = common - (common * shares).sum() / shares.sum()

    def movie_ids(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Sparse, increasing, distinct movie ids of positions 0 .. movies - 1; int64 [n]."""
        offset = hashed(self._key(_ID_WORD), positions) % np.uint64(_ID_STRIDE)
        return positions * _ID_STRIDE + 1 + offset.astype(np.int64)

    def positions(self, movie_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Invert `movie_ids`.

        Raises:
            DataError: an id that no movie of this model has.
        """
        positions = (movie_ids - 1) // _ID_STRIDE
        known = (positions >= 0) & (positions < self._movies)
        known &= self.movie_ids(positions) == movie_ids
        if not known.all():
            at = int(np.argmin(known))
            raise DataError(
                f"movie_ids[{at}] is {int(movie_ids[at])}, which is no movieId of this planted "
                "model; take the ids from the movies file that the same generator wrote"
            )
        return positions

    def check_users(self, user_ids: npt.NDArray[np.int64]) -> None:
        """Refuse ids outside 1 .. users.

        Raises:
            DataError: with the first of them.
        """
        known = (user_ids >= 1) & (user_ids <= self._users)
        if not known.all():
            at = int(np.argmin(known))
            raise DataError(
                f"user_ids[{at}] is {int(user_ids[at])}, expected 1 to {self._users}, the users "
                "of this planted model"
            )

    def user_rows(self, user_ids: npt.NDArray[np.int64]) -> UserRows:
        """Parameters of these users."""
        taste = np.zeros((len(user_ids), len(GENRES) + 1))
        for genre in range(len(GENRES)):
            own = hashed_normals(self._key(_OWN_WORD, genre), user_ids)
            taste[:, genre] = self._common[genre] + _GENRE_OWN * own
        return UserRows(
            bias=_USER_BIAS * hashed_normals(self._key(_USER_BIAS_WORD), user_ids),
            taste=taste,
            latent=self._latent(_USER_LATENT_WORD, user_ids),
        )

    def movie_rows(self, positions: npt.NDArray[np.int64]) -> MovieRows:
        """Parameters of the movies at these positions."""
        genres = self.genres(positions)
        count = np.count_nonzero(genres != _NO_GENRE, axis=1)
        return MovieRows(
            bias=_MOVIE_BIAS * hashed_normals(self._key(_MOVIE_BIAS_WORD), positions),
            genres=genres,
            share=1.0 / np.maximum(count, 1),
            latent=self._latent(_MOVIE_LATENT_WORD, positions),
        )

    def genres(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Genres as indices into `GENRES`, int64 [n, 3], ascending, distinct; 19 means none."""
        drawn = np.empty((len(positions), 3), dtype=np.int64)
        for i in range(3):
            u = hashed_uniforms(self._key(_GENRE_WORD, i), positions)
            # Clipped: the last sum of the table may round to just below 1.
            index = np.searchsorted(self._genre_cdf, u, side="right")
            drawn[:, i] = np.minimum(index, len(GENRES) - 1)
        drawn[:, 1][drawn[:, 1] == drawn[:, 0]] = _NO_GENRE
        repeated = (drawn[:, 2] == drawn[:, 0]) | (drawn[:, 2] == drawn[:, 1])
        drawn[:, 2][repeated] = _NO_GENRE
        u = hashed_uniforms(self._key(_GENRE_COUNT_WORD), positions)
        drawn[u < _WITHOUT_GENRES] = _NO_GENRE
        u = (u - _WITHOUT_GENRES) / (1.0 - _WITHOUT_GENRES)
        drawn[:, 1][u < _GENRE_COUNT_CDF[0]] = _NO_GENRE
        drawn[:, 2][u < _GENRE_COUNT_CDF[1]] = _NO_GENRE
        return np.sort(drawn, axis=1)

    def years(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Release years 1916 .. 2018, most of them recent; int64 [n]."""
        u = hashed_uniforms(self._key(_YEAR_WORD), positions)
        return 2018 - (103 * u * u * u).astype(np.int64)

    def logits(
        self,
        users: UserRows,
        user_index: npt.NDArray[np.int64],
        movies: MovieRows,
        movie_index: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float64]:
        """Logits of pairs given as indices into parameter rows; float64 [n]."""
        taste = users.taste.ravel()
        base = user_index * users.taste.shape[1]
        genres = movies.genres[movie_index]
        liked = taste[base + genres[:, 0]] + taste[base + genres[:, 1]] + taste[base + genres[:, 2]]
        logits: npt.NDArray[np.float64] = users.bias[user_index] + movies.bias[movie_index]
        logits += liked * movies.share[movie_index]
        logits += np.einsum("ij,ij->i", users.latent[user_index], movies.latent[movie_index])
        logits += _INTERCEPT
        return logits

    def _latent(self, word: int, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        # Each product of two coordinates has variance scale**4; k of them add up.
        scale = math.sqrt(_LATENT_LOGIT / math.sqrt(_LATENT))
        columns = [hashed_normals(self._key(word, i), ids) for i in range(_LATENT)]
        return np.stack(columns, axis=1) * np.float64(scale)

    def _key(self, *words: int) -> int:
        return stream_key(self._seed, *words)
