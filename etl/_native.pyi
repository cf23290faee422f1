"""Finding, counting and ordering keys; use emberline.etl.key_index and emberline.etl.key_counts."""

import numpy
import polars
from numpy.typing import NDArray

class Index:
    def __init__(self, keys: polars.Series) -> None: ...
    @property
    def dense(self) -> bool: ...
    def find(
        self, keys: polars.Series, *, first: int, unknown: int, null: int
    ) -> NDArray[numpy.int64]: ...

def count(
    keys: polars.Series, weights: NDArray[numpy.int64] | None = None
) -> tuple[NDArray[numpy.uint32], NDArray[numpy.int64]]: ...
def order(keys: polars.Series, counts: NDArray[numpy.int64]) -> NDArray[numpy.uint32]: ...
