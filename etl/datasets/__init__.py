"""Data sets: MovieLens' official files, and generators whose best possible model is known."""

from emberline.etl.datasets.download import RELEASES, download_movielens, terms
from emberline.etl.datasets.errors import DownloadError, MovieLensMissingError
from emberline.etl.datasets.movielens import MovieLens, open_movielens
from emberline.etl.datasets.planted_auc import expected_auc, planted_auc
from emberline.etl.datasets.planted_model import planted_model
from emberline.etl.datasets.synthetic_criteo import SyntheticCriteo
from emberline.etl.datasets.synthetic_movielens import SyntheticMovieLens

__all__ = [
    "RELEASES",
    "DownloadError",
    "MovieLens",
    "MovieLensMissingError",
    "SyntheticCriteo",
    "SyntheticMovieLens",
    "download_movielens",
    "expected_auc",
    "open_movielens",
    "planted_auc",
    "planted_model",
    "terms",
]
