import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberline.dataloaders.batch import ALIGNMENT_BYTES, Piece, aligned_empty, gather
from emberline.dataloaders.column import Column, ColumnFormat


@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "int32", "float64", "datetime64[us]"])
@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (64,), (1001,), (0, 3), (5, 3), (4, 0)])
def test_aligned_writable_compact(shape: tuple[int, ...], dtype: str) -> None:
    array = aligned_empty(shape, dtype)
    assert (array.shape, array.dtype) == (shape, np.dtype(dtype))
    assert array.ctypes.data % ALIGNMENT_BYTES == 0
    assert array.flags.writeable
    assert array.flags.c_contiguous
    array[...] = 1
    assert (array == np.array(1, dtype)).all()


def test_objects() -> None:
    array = aligned_empty((3,), object)
    assert array.tolist() == [None] * 3


LISTS = st.lists(st.lists(st.integers(-9, 9), max_size=4), min_size=1, max_size=8)


@given(windows=st.lists(LISTS, min_size=1, max_size=3), shuffled=st.booleans(), data=st.data())
def test_gather_takes_the_rows_in_order(
    windows: list[list[list[int]]], shuffled: bool, data: st.DataObject
) -> None:
    kinds = {
        "s": pa.int64(),
        "o": pa.string(),
        "f": pa.list_(pa.int64(), 2),
        "r": pa.list_(pa.int64()),
        "t": pa.list_(pa.string()),
    }
    formats = [ColumnFormat.from_arrow(name, kind) for name, kind in kinds.items()]
    pieces, expected = [], []
    for rows in windows:
        cells = {
            "s": [len(row) for row in rows],
            "o": [str(row) for row in rows],
            "f": [[len(row), sum(row)] for row in rows],
            "r": rows,
            "t": [[str(x) for x in row] for row in rows],
        }
        window = {
            form.name: Column.decode(pa.array(cells[form.name], kinds[form.name]), form)
            for form in formats
        }
        if shuffled:
            chosen = data.draw(
                st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=10), label="rows"
            )
            pieces.append(Piece(window=window, rows=np.array(chosen, dtype=np.int64)))
        else:
            start = data.draw(st.integers(0, len(rows) - 1))
            chosen = list(range(start, data.draw(st.integers(start + 1, len(rows)))))
            pieces.append(Piece(window=window, rows=slice(chosen[0], chosen[-1] + 1)))
        expected += [rows[i] for i in chosen]
    batch = gather(pieces, formats)
    assert sorted(batch) == ["f", "o", "r__offsets", "r__values", "s", "t__offsets", "t__values"]
    assert batch["s"].tolist() == [len(row) for row in expected]
    assert batch["o"].tolist() == [str(row) for row in expected]
    assert batch["f"].tolist() == [[len(row), sum(row)] for row in expected]
    assert batch["r__values"].tolist() == [x for row in expected for x in row]
    assert batch["t__values"].tolist() == [str(x) for row in expected for x in row]
    ends = np.cumsum([0, *(len(row) for row in expected)]).tolist()
    assert batch["r__offsets"].tolist() == batch["t__offsets"].tolist() == ends
    for array in batch.values():
        assert array.dtype == object or array.ctypes.data % ALIGNMENT_BYTES == 0
