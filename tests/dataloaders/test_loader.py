import gc
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emberline.dataloaders import Batch, Loader, LoaderStateError
from emberline.dataloaders.batch import ALIGNMENT_BYTES
from emberline.errors import DataError

WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]


def reference(
    layout: Sequence[Sequence[int]], epoch: int, *, shuffle: bool, seed: int, window: int
) -> list[int]:
    """Row numbers of one epoch, from the documented rule."""

    def permute(count: int, *purpose: int) -> Any:
        key = np.array([seed, epoch], dtype=np.uint64)
        counter = np.array([0, 0, *purpose], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=counter)).permutation(count)

    sizes = [size for file in layout for size in file if size]
    groups = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    if not shuffle:
        return [int(row) for group in groups for row in group]
    groups = [groups[i] for i in permute(len(groups), 0, 0)]
    windows = [np.concatenate(groups[i : i + window]) for i in range(0, len(groups), window)]
    return [int(r) for i, rows in enumerate(windows) for r in rows[permute(len(rows), 1, i)]]


def check(batch: Batch, rows: list[int]) -> None:
    """Every column of a batch of `make_table` rows."""
    x, y = batch
    numbers = np.array(rows)
    assert x["id"].tolist() == rows
    assert x["price"].tolist() == (numbers / 2).tolist()
    assert x["flag"].tolist() == (numbers % 3 == 0).tolist()
    assert x["name"].tolist() == [f"n{row}" for row in rows]
    assert x["pair"].tolist() == [[row, -row] for row in rows]
    ends = x["tags__offsets"]
    lists = [x["tags__values"][a:b].tolist() for a, b in itertools.pairwise(ends)]
    assert lists == [[row * 10 + k for k in range(row % 4)] for row in rows]
    assert (int(ends[0]), int(ends[-1])) == (0, len(x["tags__values"]))
    assert not isinstance(y, dict)
    assert y is not None
    assert y.tolist() == (numbers % 2).tolist()
    dtypes = {name: str(array.dtype) for name, array in x.items()}
    assert dtypes == {
        "id": "int64",
        "price": "float32",
        "flag": "bool",
        "name": "object",
        "tags__values": "int64",
        "tags__offsets": "int64",
        "pair": "int32",
    }
    assert y.dtype == np.int8


def ids(batches: Iterable[Batch]) -> list[list[int]]:
    return [x["id"].tolist() for x, _ in batches]


LAYOUTS = st.lists(
    st.lists(st.integers(0, 7), min_size=1, max_size=4), min_size=1, max_size=3
).filter(lambda layout: sum(map(sum, layout)) > 0)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    layout=LAYOUTS,
    batch_size=st.integers(1, 12),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**64 - 1),
    window=st.integers(1, 5),
    prefetch_bytes=st.sampled_from([0, 1, 1000, 2**20]),
    threads=st.sampled_from(["auto", 1, 2, 7]),
)
def test_two_epochs_are_exact(
    write_files: WriteFiles,
    layout: list[list[int]],
    batch_size: int,
    shuffle: bool,
    seed: int,
    window: int,
    prefetch_bytes: int,
    threads: Any,
) -> None:
    loader = Loader(
        write_files(layout),
        batch_size,
        shuffle=shuffle,
        seed=seed,
        window_row_groups=window,
        targets="label",
        prefetch_bytes=prefetch_bytes,
        threads=threads,
    )
    assert loader.num_rows == sum(map(sum, layout))
    for epoch in range(2):
        rows = reference(layout, epoch, shuffle=shuffle, seed=seed, window=window)
        assert sorted(rows) == list(range(loader.num_rows))
        assert loader.epoch == epoch
        batches = list(loader)
        # Compared only now that all of them are held: no buffer was used again.
        assert len(batches) == len(loader)
        for number, batch in enumerate(batches):
            check(batch, rows[number * batch_size : (number + 1) * batch_size])


def test_every_buffer_is_aligned_and_owned(write_files: WriteFiles) -> None:
    batches = list(Loader(write_files([[13, 4], [9]]), 5, shuffle=True, targets=["label", "tags"]))
    arrays = [a for x, y in batches if isinstance(y, dict) for a in (*x.values(), *y.values())]
    assert len(arrays) == 6 * 8
    spans = []
    for array in arrays:
        assert array.flags.writeable
        assert array.flags.c_contiguous
        if array.dtype != object:
            assert array.ctypes.data % ALIGNMENT_BYTES == 0
            spans.append((array.ctypes.data, array.ctypes.data + array.nbytes))
    spans.sort()
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_drop_last(write_files: WriteFiles) -> None:
    loader = Loader(write_files([[5, 5]]), 4, drop_last=True, columns=["id"])
    assert (len(loader), loader.num_rows) == (2, 10)
    assert ids(loader) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert ids(loader) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert loader.epoch == 2
    with pytest.raises(DataError, match="10 rows are fewer than batch_size 11"):
        Loader(write_files([[5, 5]]), 11, drop_last=True)


def test_polars_files(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "i": [1, 2, 3],
            "s": ["a", "b", "c"],
            "c": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
            "l": pl.Series([[1], None, [2, 3]], dtype=pl.List(pl.Int32)),
            "f": pl.Series([[1, 2], [3, 4], [5, 6]], dtype=pl.Array(pl.Float32, 2)),
        }
    )
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=2)
    ((x, _),) = Loader(tmp_path / "a.parquet", 3)
    assert {name: array.tolist() for name, array in x.items()} == {
        "i": [1, 2, 3],
        "s": ["a", "b", "c"],
        "c": ["x", "y", "x"],
        "l__values": [1, 2, 3],
        "l__offsets": [0, 1, 1, 3],
        "f": [[1, 2], [3, 4], [5, 6]],
    }


def test_resume_at_every_batch(write_files: WriteFiles) -> None:
    files = write_files([[6, 3, 8], [1, 7, 5]])

    def make(prefetch_bytes: int = 2**20) -> Loader:
        return Loader(
            files,
            4,
            shuffle=True,
            seed=5,
            window_row_groups=2,
            columns=["id"],
            prefetch_bytes=prefetch_bytes,
        )

    whole = make()
    expected = [ids(whole) for _ in range(3)]
    for epoch, stop in itertools.product(range(2), range(len(whole) + 1)):
        loader = make()
        loader.set_epoch(epoch)
        taken = ids(itertools.islice(loader, stop))
        assert taken == expected[epoch][:stop]
        state = json.loads(json.dumps(loader.state_dict()))
        resumed = make(prefetch_bytes=0 if stop % 2 else 100)
        resumed.load_state_dict(state)
        if stop < len(whole):
            assert (resumed.epoch, resumed.first_batch) == (epoch, stop)
            assert ids([resumed.peek()]) == expected[epoch][stop : stop + 1]
            assert ids(resumed) == expected[epoch][stop:]
        assert resumed.epoch == epoch + 1
        assert ids(resumed) == expected[epoch + 1]


def test_the_last_batch_completes_the_epoch(write_files: WriteFiles) -> None:
    loader = Loader(write_files([[8]]), 4)
    batches = iter(loader)
    next(batches)
    assert (loader.epoch, loader.batch) == (0, 1)
    next(batches)  # a consumer that counts batches stops here
    assert (loader.epoch, loader.batch) == (1, 0)
    assert list(batches) == []
    assert (loader.epoch, loader.batch) == (1, 0)


def test_left_early_starts_again(write_files: WriteFiles) -> None:
    loader = Loader(write_files([[4, 4]]), 2, shuffle=True, columns=["id"])
    first = ids(itertools.islice(loader, 2))
    assert loader.state_dict()["batch"] == 2
    again = ids(loader)
    assert again[:2] == first
    state = {**loader.state_dict(), "batch": 1}
    loader.load_state_dict(state)
    rest = ids(itertools.islice(loader, 1))
    assert ids(loader)[:1] == rest
    assert loader.epoch == 2


def test_states_that_do_not_fit(write_files: WriteFiles) -> None:
    files = write_files([[6, 6]])
    loader = Loader(files, 4, shuffle=True, seed=1)
    state = loader.state_dict()
    changes: list[tuple[dict[str, Any], str]] = [
        ({"seed": 2}, "saved with seed=2, this loader has seed=1"),
        ({"batch_size": 8}, "saved with batch_size=8, this loader has batch_size=4"),
        ({"shuffle": False}, "saved with shuffle=False"),
        ({"window_row_groups": 9}, "window_row_groups=9"),
        ({"drop_last": True}, "drop_last=True"),
        ({"fingerprint": "0"}, "the files have changed since the state was saved"),
        ({"batch": 3}, "epoch 0, batch 3 does not exist: an epoch has 3 batches"),
        ({"batch": -1}, "batch -1 does not exist"),
        ({"epoch": -1}, "epoch -1, batch 0 does not exist"),
        ({"epoch": "1"}, "epoch '1', batch 0 are not two integers"),
        ({"version": 3}, "loader state version 3; this emberline reads up to 2"),
        ({"version": "2"}, "loader state version '2'"),
        ({"version": 1}, "not a loader state: it has"),
        ({"world": 0}, "not a loader state: world is 0"),
        ({"world": None}, "world None of the state is not an integer"),
        ({"remainder": "padded"}, "not a loader state: remainder is 'padded'"),
        ({"left": [[0, 4]]}, r"left is \[\[0, 4\]\]; expected ascending pairs of numbers up to 3"),
        ({"left": [[2, 2]]}, "expected ascending pairs"),
        ({"left": [[1, 3], [0, 1]]}, "expected ascending pairs"),
        ({"left": [[0, True]]}, "expected ascending pairs"),
        ({"left": [[0]]}, "expected ascending pairs"),
        ({"left": 3}, "expected ascending pairs"),
        ({"more": 1}, "not a loader state: it has .*'more'"),
    ]
    for change, message in changes:
        with pytest.raises(LoaderStateError, match=message):
            loader.load_state_dict({**state, **change})
    nothing: Any = None
    with pytest.raises(LoaderStateError, match="not a loader state: it has None"):
        loader.load_state_dict(nothing)
    assert loader.state_dict() == state


def test_changed_files_are_noticed(tmp_path: Path) -> None:
    def write(value: int) -> None:
        pq.write_table(pa.table({"id": [1, 2, value]}), tmp_path / "a.parquet")

    write(3)
    state = Loader(tmp_path, 1).state_dict()
    Loader(tmp_path, 1).load_state_dict(state)
    write(4)  # the same size and layout
    with pytest.raises(LoaderStateError, match="the files have changed"):
        Loader(tmp_path, 1).load_state_dict(state)


def test_epochs_and_peek(write_files: WriteFiles) -> None:
    files = write_files([[5, 5, 5]])

    def make() -> Loader:
        return Loader(files, 4, shuffle=True, columns=["id"])

    two = make()
    expected = [batch for _ in range(2) for batch in ids(two)]
    loader = make()
    assert ids([loader.peek()]) == ids([loader.peek()]) == expected[:1]
    got = []
    for number, (x, _) in enumerate(loader.epochs(2)):
        got.append(x["id"].tolist())
        if number + 1 < len(expected):
            assert ids([loader.peek()]) == expected[number + 1 : number + 2]
    assert got == expected
    assert loader.epoch == 2


def test_bad_arguments(write_files: WriteFiles, tmp_path: Path) -> None:
    files = write_files([[4]])
    half: Any = 2.5
    with pytest.raises(DataError, match="batch_size is 0; expected 1 or more"):
        Loader(tmp_path / "absent", 0)
    with pytest.raises(ValueError, match=r"batch_size is 2.5; expected an integer"):
        Loader(files, half)
    with pytest.raises(DataError, match="batch_size is True; expected an integer"):
        Loader(files, True)
    with pytest.raises(DataError, match="prefetch_bytes is -1; expected 0 or more"):
        Loader(files, 2, prefetch_bytes=-1)
    with pytest.raises(DataError, match="window_row_groups is 0"):
        Loader(files, 2, window_row_groups=0)
    loader = Loader(files, 2)
    with pytest.raises(DataError, match="epoch is -3; expected 0 or more"):
        loader.set_epoch(-3)
    assert repr(loader) == (
        "Loader(1 files, 4 rows, 2 batches of 2 on the cpu, in file order, at epoch 0, batch 0)"
    )


def our_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("emberline")]


def test_no_thread_after_break_exception_or_collection(write_files: WriteFiles) -> None:
    # So small a budget that both threads must wait for the consumer.
    loader = Loader(write_files([[4] * 20]), 2, prefetch_bytes=2, threads=2)
    assert our_threads() == []
    for _ in loader:
        assert sorted(our_threads()) == ["emberline-read-0", "emberline-read-1"]
        break
    assert our_threads() == []

    def fail() -> None:
        for _ in loader:
            raise KeyError("the consumer's")

    with pytest.raises(KeyError, match="consumer"):
        fail()
    assert our_threads() == []
    left: list[Any] = [iter(loader)]
    left.append(left)  # a cycle: only the collector ends it
    next(left[0])
    assert len(our_threads()) == 2
    del left
    gc.collect()
    assert our_threads() == []


def test_an_error_of_the_reader_leaves_no_thread(write_files: WriteFiles) -> None:
    files = write_files([[4], [4], [4]])
    loader = Loader(files, 2, columns=["id"])
    files[1].write_bytes(b"PAR1")
    batches = iter(loader)
    assert ids(itertools.islice(batches, 2)) == [[0, 1], [2, 3]]
    with pytest.raises(OSError, match=r"part_1.parquet, row group 0 cannot be read"):
        next(batches)
    assert our_threads() == []


def test_two_iterators_at_once(write_files: WriteFiles) -> None:
    loader = Loader(write_files([[5, 5]]), 3, shuffle=True, columns=["id"])
    pairs = list(zip(loader, loader, strict=True))
    assert ids(a for a, _ in pairs) == ids(b for _, b in pairs)
    assert loader.epoch == 1


def test_two_hundred_loaders_leak_nothing(write_files: WriteFiles) -> None:
    files = write_files([[3, 3], [3]])
    before = len(os.listdir("/proc/self/fd"))
    for number in range(200):
        loader = Loader(files, 2, shuffle=True, columns=["id"])
        batches = iter(loader)
        next(batches)
        if number % 2:
            assert len(list(batches)) == len(loader) - 1
        del batches
    gc.collect()
    assert our_threads() == []
    assert len(os.listdir("/proc/self/fd")) <= before


def run_python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_import_brings_no_tensorflow_and_starts_nothing() -> None:
    program = """
import sys, threading
import emberline.dataloaders
print([m for m in ("tensorflow", "keras", "polars") if m in sys.modules], threading.active_count())
"""
    assert run_python(program) == "[] 1\n"


def test_the_interpreter_exits_inside_an_epoch(write_files: WriteFiles) -> None:
    (file,) = write_files([[4] * 50])
    program = f"""
from emberline.dataloaders import Loader
left_open = iter(Loader({str(file)!r}, 2, shuffle=True, prefetch_bytes=2000))
print(next(left_open)[0]["id"].shape)
"""
    assert run_python(program) == "(2,)\n"
