import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emberline.dataloaders import Loader, LoaderStateError, MissingColumnError
from emberline.dataloaders import frame_source as module
from emberline.dataloaders.frame_source import FrameSource
from emberline.errors import DataError
from tests.dataloaders.conftest import make_table

WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]

ROWS = 23
FRAME = pl.DataFrame(
    {
        "id": np.arange(ROWS),
        "price": np.arange(ROWS, dtype=np.float32) / 2,
        "name": [f"n{i}" for i in range(ROWS)],
        "flag": [i % 3 == 0 for i in range(ROWS)],
        "tags": [None if i % 8 == 0 else list(range(i % 4)) for i in range(ROWS)],
        "label": [i % 2 for i in range(ROWS)],
    },
    schema_overrides={"label": pl.Int8},
)


@pytest.fixture(autouse=True)
def small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROW_GROUP_ROWS", 5)


def numbered(frame: Any, **arguments: Any) -> list[list[int]]:
    return [x["id"].tolist() for x, _ in Loader(frame, 4, targets="label", **arguments)]


def forms() -> dict[str, Any]:
    return {
        "polars": FRAME,
        "chunks": pl.concat([FRAME[:3], FRAME[3:17], FRAME[17:]], rechunk=False),
        "arrow": FRAME.to_arrow(),
        "batch": FRAME.to_arrow().combine_chunks().to_batches()[0],
        "pandas": FRAME.to_pandas().set_index("price", drop=False),
        "sliced": pl.concat([FRAME, FRAME])[ROWS:],
    }


@pytest.mark.parametrize("form", forms())
def test_any_frame_gives_the_same_batches(form: str) -> None:
    frame = forms()[form]
    expected = list(Loader(FRAME, 4, shuffle=True, seed=7, targets="label"))
    batches = list(Loader(frame, 4, shuffle=True, seed=7, targets="label"))
    assert sorted(itertools.chain(*(x["id"].tolist() for x, _ in batches))) == list(range(ROWS))
    for (x, y), (other, z) in zip(batches, expected, strict=True):
        assert list(x) == list(other)
        for name, array in x.items():
            assert array.tolist() == other[name].tolist()
        assert y.tolist() == z.tolist()


def test_arrays_by_name() -> None:
    arrays = {
        "id": np.arange(4),
        "pair": np.arange(8).reshape(4, 2),
        "tags__values": np.array([1, 2, 3]),
        "tags__offsets": np.array([0, 1, 1, 3, 3]),
        "name": np.array(["a", "b", "c", "d"], dtype=object),
        "label": np.zeros(4, dtype=np.int8),
    }
    ((x, y),) = Loader(arrays, 9, targets="label")
    assert {**x, "label": y}.keys() == arrays.keys()
    for name, array in x.items():
        assert array.tolist() == arrays[name].tolist()
    for offsets in ([0, 9], [0, 2, 1], [0, -1]):
        with pytest.raises(DataError, match=r"this dict does not fit into Arrow: .*ffset"):
            Loader({"a__values": np.arange(3), "a__offsets": np.array(offsets)}, 1)
    with pytest.raises(DataError, match=r"arrays of different lengths: \{'a': 1, 'b': 2\}"):
        Loader({"a": np.zeros(1), "b": np.zeros(2)}, 1)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.integers(1, 33),
    cuts=st.lists(st.integers(0, 33), max_size=3).map(sorted),
    batch_size=st.integers(1, 12),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**64 - 1),
    window=st.integers(1, 5),
    world=st.integers(1, 3),
    prefetch_bytes=st.sampled_from([0, 1000, 2**20]),
)
def test_a_frame_is_a_file_with_row_groups_of_that_size(
    write_files: WriteFiles,
    rows: int,
    cuts: list[int],
    batch_size: int,
    shuffle: bool,
    seed: int,
    window: int,
    world: int,
    prefetch_bytes: int,
) -> None:
    arguments: dict[str, Any] = {
        "shuffle": shuffle,
        "seed": seed,
        "window_row_groups": window,
        "world": world,
        "rank": world - 1,
        "prefetch_bytes": prefetch_bytes,
        "targets": "label",
    }
    sizes = [5] * (rows // 5) + ([rows % 5] if rows % 5 else [])
    table = make_table(0, rows)
    edges = [0, *(min(cut, rows) for cut in cuts), rows]
    parts = [table.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    frame = pa.concat_tables(parts)
    files = Loader(write_files([sizes]), batch_size, **arguments)
    for (x, y), (other, z) in zip(Loader(frame, batch_size, **arguments), files, strict=True):
        assert {name: array.tolist() for name, array in x.items()} == {
            name: array.tolist() for name, array in other.items()
        }
        assert y.tolist() == z.tolist()


def test_numbers_are_views() -> None:
    ids = np.arange(100)
    source = FrameSource({"id": ids, "pair": ids.reshape(50, 2).repeat(2, axis=0)})
    (part,) = source.read(3)["id"]
    assert np.shares_memory(part.values, ids)
    assert part.values.tolist() == [15, 16, 17, 18, 19]


def test_resume_at_every_batch() -> None:
    loader = Loader(FRAME, 4, shuffle=True, targets="label")
    whole = numbered(FRAME, shuffle=True)
    for stop in range(len(loader)):
        list(itertools.islice(loader, stop))
        again = Loader(FRAME.to_arrow(), 4, shuffle=True, targets="label")
        again.load_state_dict(loader.state_dict())
        assert [x["id"].tolist() for x, _ in again] == whole[stop:]


def test_the_fingerprint_is_of_the_values() -> None:
    states = {name: FrameSource(frame, fill=0).fingerprint for name, frame in forms().items()}
    assert len(set(states.values())) == 1, states
    assert FrameSource(FRAME.reverse(), fill=0).fingerprint not in states.values()
    assert FrameSource(FRAME.drop("flag"), fill=0).fingerprint not in states.values()
    changed = FRAME.with_columns(
        name=pl.when(pl.col("id") == 22).then(pl.lit("x")).otherwise("name")
    )
    loader = Loader(changed, 4)
    with pytest.raises(LoaderStateError, match="have changed since the state was saved"):
        loader.load_state_dict(Loader(FRAME, 4).state_dict())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        ([[1, 2], [3]], [[1], [2, 3]]),
        ([[1], []], [[], [1]]),
        ([None, 0], [0, None]),
        ([None, "a"], ["a", None]),
        ([1, 2], [1.0, 2.0]),
    ],
)
def test_fingerprints_tell_neighbours_apart(one: list[Any], other: list[Any]) -> None:
    prints = [FrameSource(pa.table({"a": values})).fingerprint for values in (one, other)]
    assert prints[0] != prints[1]


def test_garbage_behind_nulls_does_not_count() -> None:
    mask = np.array([False, True, False])
    tables = [pa.table({"a": pa.array([1, hidden, 3], mask=mask)}) for hidden in (7, 8)]
    assert len({FrameSource(table).fingerprint for table in tables}) == 1


def test_what_a_frame_lacks() -> None:
    with pytest.raises(MissingColumnError, match=r"'pric' is not in the frame; did you mean"):
        Loader(FRAME, 4, columns=["pric"])
    with pytest.raises(DataError, match="no rows in the frame"):
        Loader(FRAME[:0], 4)
    with pytest.raises(DataError, match="2 columns named 'a'"):
        Loader(pa.table([[1], [2]], names=["a", "a"]), 1, columns=["a"])
    with pytest.raises(DataError, match=r"rows 5 to 10 of the frame: column 'a' has 1 null"):
        list(Loader(pl.DataFrame({"a": [*range(7), None, 8, 9, 10]}), 4))
    with pytest.raises(DataError, match="this DataFrame does not fit into Arrow"):
        Loader(pd.DataFrame({"a": [1, "x"]}), 1)


def test_nan_of_pandas_is_a_null_as_in_its_files(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, float("nan")]}, index=[7, 9])
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    for data in (frame, tmp_path):
        with pytest.raises(DataError, match="column 'a' has 1 null values"):
            list(Loader(data, 4))
        ((x, _),) = Loader(data, 4, fill=0.0)
        assert x["a"].tolist() == [1.5, 0.0]
    ((x, _),) = Loader(pl.DataFrame({"a": [float("nan")]}), 4)
    assert np.isnan(x["a"]).all()


def test_its_repr_says_frame() -> None:
    assert repr(Loader(FRAME, 4)).startswith("Loader(a frame, 23 rows, 6 batches of 4 on the cpu")
