"""Several loaders that share an epoch, and resuming with another number of them."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from emberline.dataloaders import Loader
from emberline.dataloaders.source import ParquetSource
from emberline.errors import DataError

WriteFiles = Callable[[Sequence[Sequence[int]]], list[Path]]
LAYOUT = [[6, 3, 8, 2], [1, 7, 5], [0], [9]]  # 41 rows


def make(files: list[Path], rank: int = 0, world: int = 1, **settings: Any) -> Loader:
    chosen: dict[str, Any] = {
        "shuffle": True,
        "seed": 3,
        "window_row_groups": 2,
        "columns": ["id"],
        "prefetch_bytes": 0,
        **settings,
    }
    return Loader(files, 4, rank=rank, world=world, **chosen)


def ids(batches: Any) -> list[tuple[int, ...]]:
    return [tuple(x["id"].tolist()) for x, _ in batches]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("world", [1, 2, 3, 4, 11, 13])
def test_ranks_share_the_batches_of_one(write_files: WriteFiles, world: int, shuffle: bool) -> None:
    files = write_files(LAYOUT)
    for epoch in range(2):
        whole = make(files, shuffle=shuffle)
        whole.set_epoch(epoch)
        expected = ids(whole)
        assert len(expected) == 11

        def run(remainder: str, *, epoch: int = epoch) -> list[list[tuple[int, ...]]]:
            out = []
            for rank in range(world):
                loader = make(files, rank, world, shuffle=shuffle, remainder=remainder)
                loader.set_epoch(epoch)
                out.append(ids(loader))
                assert len(out[-1]) == len(loader)
                assert loader.epoch == epoch + 1
            return out

        uneven = run("uneven")
        assert [batch for rank in uneven for batch in rank] == expected
        assert {len(rank) for rank in uneven} <= {11 // world, -(-11 // world)}
        padded = run("pad")
        assert {len(rank) for rank in padded} == {-(-11 // world)}
        assert set(itertools.chain(*padded)) == set(expected)
        for rank, without in zip(padded, uneven, strict=True):
            # A rank repeats its own last batch, or the epoch's last one where it has none.
            assert rank[: len(without)] == without
            assert rank[len(without) :] in ([], [(without or expected)[-1]])
        if world <= 11:
            dropped = run("drop")
            assert [batch for rank in dropped for batch in rank] == expected[: 11 // world * world]


def test_a_repeated_batch_is_an_array_of_its_own(write_files: WriteFiles) -> None:
    loader = make(write_files([[8, 4]]), 1, 2, columns=["tags", "name", "pair"], shuffle=False)
    (first, _), (second, _) = loader  # batches 2 and 2 of 0, 1, 2
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert array.tolist() == second[name].tolist()
        assert array.ctypes.data != second[name].ctypes.data
        assert second[name].flags.writeable


def test_a_rank_reads_its_own_row_groups(
    write_files: WriteFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    original = ParquetSource.read

    def counted(self: ParquetSource, index: int) -> Any:
        read.append(index)
        return original(self, index)

    monkeypatch.setattr(ParquetSource, "read", counted)
    files = write_files([[8] * 16])
    for rank in range(4):
        assert len(ids(make(files, rank, 4))) == 8
    assert sorted(read) == list(range(16))


@pytest.mark.parametrize("remainder", ["pad", "uneven", "drop"])
@pytest.mark.parametrize("worlds", [(1, 3), (3, 1), (2, 4), (4, 3), (3, 5)])
def test_resume_at_every_batch_with_other_ranks(
    write_files: WriteFiles, worlds: tuple[int, int], remainder: str
) -> None:
    files = write_files(LAYOUT)
    before, after = worlds
    expected = ids(make(files))
    steps = len(make(files, 0, before, remainder=remainder))
    for stop in range(steps):
        states, seen = [], []
        for rank in range(before):
            loader = make(files, rank, before, remainder=remainder)
            seen += ids(itertools.islice(loader, stop))
            states.append(json.dumps(loader.state_dict()))
        if remainder != "uneven" or stop < 11 // before:
            assert len(set(states)) == 1  # any rank's state will do
        assert len(states[0]) < 500
        rest = []
        for rank in range(after):
            loader = make(
                files, rank, after, remainder=remainder, prefetch_bytes=1000, threads=1 + rank
            )
            loader.load_state_dict(json.loads(states[0]))
            if loader.epoch == 0:
                left = len(loader) - loader.first_batch
                ahead = ids([loader.peek()])
                rest.append(ids(loader))
                assert (len(rest[-1]), rest[-1][:1]) == (left, ahead)
            assert (loader.epoch, loader.batch) == (1, 0)
        counts = Counter(seen) + Counter(itertools.chain(*rest))
        if remainder == "drop":
            # At most `after - 1` batches at the end are left out, and none comes twice.
            assert set(counts.values()) == {1}
            assert len(expected) - len(counts) < after
        elif remainder == "uneven":
            assert counts == Counter(expected)
        else:
            assert set(counts) == set(expected)
            assert sum(counts.values()) - len(expected) <= (after - 1) + (before - 1)


def test_the_same_ranks_continue_as_if_nothing_had_happened(write_files: WriteFiles) -> None:
    files = write_files(LAYOUT)
    for rank, stop in itertools.product(range(3), range(4)):
        whole = make(files, rank, 3)
        expected = ids(whole.epochs(2))
        loader = make(files, rank, 3)
        assert ids(itertools.islice(loader, stop)) == expected[:stop]
        resumed = make(files, rank, 3)
        resumed.load_state_dict(loader.state_dict())
        assert (resumed.epoch, resumed.batch) == (0, stop)
        assert ids(resumed.epochs(2)) == expected[stop:]


def test_ranks_change_twice_in_an_epoch(write_files: WriteFiles) -> None:
    files = write_files(LAYOUT)
    state = None
    seen: list[tuple[int, ...]] = []
    for world in (4, 2, 3):
        for rank in range(world):
            loader = make(files, rank, world, remainder="uneven")
            if state is not None:
                loader.load_state_dict(state)
            seen += ids(itertools.islice(loader, 1 if world > 3 else 1 if world == 2 else 9))
            if rank == 0:
                following = json.loads(json.dumps(loader.state_dict()))
        state = following
    assert sorted(seen) == sorted(ids(make(files)))


def test_a_state_of_version_1(write_files: WriteFiles) -> None:
    files = write_files(LAYOUT)
    loader = make(files)
    expected = ids(loader)
    state = {**make(files).state_dict(), "version": 1, "batch": 5}
    for key in ("world", "remainder", "left"):
        del state[key]
    loader = make(files)
    loader.load_state_dict(state)
    assert ids(loader) == expected[5:]
    both = []
    for rank in range(2):
        loader = make(files, rank, 2)
        loader.load_state_dict(state)
        both += ids(loader)
    assert both == expected[5:]


def test_fewer_batches_than_ranks(write_files: WriteFiles) -> None:
    files = write_files([[5]])
    with pytest.raises(DataError, match=r"2 batches are fewer than 3 ranks; lower batch_size"):
        make(files, 0, 3, remainder="drop")
    last = make(files, 2, 3, remainder="uneven")
    assert (len(last), list(last), last.epoch) == (0, [], 1)
    assert len(ids(make(files, 2, 3))) == 1


def test_bad_arguments(write_files: WriteFiles) -> None:
    files = write_files([[5]])
    for arguments, message in (
        ({"rank": 2, "world": 2}, "rank is 2; expected 0 <= rank < world, which is 2"),
        ({"world": 2.0}, r"world is 2\.0; expected an integer"),
        ({"remainder": "rest"}, "remainder is 'rest'"),
        ({"threads": 0}, r"threads is 0; expected 1 or more \(prefetch_bytes=0 reads without"),
        ({"threads": "all"}, "threads is 'all'; expected an integer"),
    ):
        with pytest.raises(DataError, match=message):
            make(files, **arguments)
