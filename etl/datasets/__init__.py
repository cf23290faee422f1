"""Data sets: the official MovieLens and Criteo files, and generators whose best possible model is known."""

from emberline.etl.datasets.criteo import Criteo, open_criteo
from emberline.etl.datasets.download import RELEASES, download_movielens, terms
from emberline.etl.datasets.errors import CriteoMissingError, DownloadError, MovieLensMissingError
from emberline.etl.datasets.movielens import MovieLens, open_movielens
from emberline.etl.datasets.planted_auc import expected_auc, planted_auc
from emberline.etl.datasets.planted_model import planted_model
from emberline.etl.datasets.synthetic_criteo import SyntheticCriteo
from emberline.etl.datasets.synthetic_movielens import SyntheticMovieLens

__all__ = [
    "RELEASES",
    "Criteo",
    "CriteoMissingError",
    "DownloadError",
    "MovieLens",
    "MovieLensMissingError",
    "SyntheticCriteo",
    "SyntheticMovieLens",
    "download_movielens",
    "expected_auc",
    "open_criteo",
    "open_movielens",
    "planted_auc",
    "planted_model",
    "terms",
]
