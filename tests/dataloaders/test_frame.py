import polars as pl
import pyarrow as pa
import pytest

from emberline.dataloaders import to_batch
from emberline.dataloaders.batch import ALIGNMENT_BYTES
from emberline.errors import DataError

FRAME = pl.DataFrame(
    {
        "id": [3, 1, 2],
        "name": ["a", "b", "c"],
        "tags": pl.Series([[1], None, [2, 3]], dtype=pl.List(pl.Int64)),
        "pair": pl.Series([[1, 2], [3, 4], [5, 6]], dtype=pl.Array(pl.Float32, 2)),
    }
)


def test_a_frame_is_one_batch() -> None:
    for frame in (FRAME, FRAME.to_arrow(), pl.concat([FRAME[:1], FRAME[1:]], rechunk=False)):
        batch = to_batch(frame)
        assert {name: array.tolist() for name, array in batch.items()} == {
            "id": [3, 1, 2],
            "name": ["a", "b", "c"],
            "tags__values": [1, 2, 3],
            "tags__offsets": [0, 1, 1, 3],
            "pair": [[1, 2], [3, 4], [5, 6]],
        }
        aligned = [a.ctypes.data % ALIGNMENT_BYTES for a in batch.values() if a.dtype != object]
        assert aligned == [0, 0, 0, 0]


def test_a_frame_without_rows() -> None:
    batch = to_batch(FRAME[:0])
    shapes = {name: array.shape for name, array in batch.items()}
    assert shapes == {
        "id": (0,),
        "name": (0,),
        "tags__values": (0,),
        "tags__offsets": (1,),
        "pair": (0, 2),
    }


def test_nulls_are_named() -> None:
    with pytest.raises(DataError, match="column 'id' has 1 null values"):
        to_batch(pa.table({"id": [1, None]}))
