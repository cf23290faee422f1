"""NVTabular's `nvtabular.io`: the names that its users import from there."""

from emberline.etl.dataset import Dataset
from emberline.etl.shuffle import Shuffle

__all__ = ["Dataset", "Shuffle"]
