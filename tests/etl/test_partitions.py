"""Partitions: ranges of rows that change no result."""

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emberline.etl as nvt
from emberline.errors import DataError
from emberline.etl import partitioned_plan
from emberline.etl.memory_size import parse_size

FRAME = pl.DataFrame({"n": range(10), "k": ["a", "b", None, "a", "c"] * 2})


def test_number_and_size() -> None:
    assert nvt.Dataset(FRAME).npartitions == 1
    assert nvt.Dataset(FRAME, npartitions=3).partition_lens == [3, 3, 4]
    per_row = FRAME.estimated_size() // 10
    assert nvt.Dataset(FRAME, part_size=int(per_row) * 5).npartitions == 2
    assert nvt.Dataset(FRAME, npartitions=4, part_size="1KB").npartitions == 4
    assert nvt.Dataset(FRAME, part_mem_fraction=0.5).npartitions == 1
    assert nvt.Dataset(FRAME.clear(), npartitions=2).partition_lens == [0, 0]
    for arguments, message in (
        ({"npartitions": 0}, "npartitions must be a positive integer, got 0"),
        ({"part_size": "big"}, "part_size must be a positive number of bytes"),
        ({"part_mem_fraction": 2.0}, "part_mem_fraction must be between 0 and 1, got 2.0"),
    ):
        with pytest.raises(DataError, match=message):
            nvt.Dataset(FRAME, **arguments)


def test_default_partitions_are_the_fits_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitioned_plan, "PART_ROWS", 4)
    assert nvt.Dataset(FRAME).partition_lens == [3, 3, 4]


@given(st.integers(1, 12), st.integers(0, 12))
def test_iteration_gives_every_row_once(count: int, rows: int) -> None:
    frame = FRAME.head(rows)
    parts = list(nvt.Dataset(frame, npartitions=count).to_iter())
    assert len(parts) == count
    assert pl.concat(parts).equals(frame)


def test_iteration_chooses() -> None:
    data = nvt.Dataset(FRAME, npartitions=5)
    assert [p["n"].to_list() for p in data.to_iter("n", indices=[4, 0])] == [[8, 9], [0, 1]]
    orders = [[p["n"][0] for p in data.to_iter(shuffle=True, seed=s)] for s in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == [0, 2, 4, 6, 8]
    with pytest.raises(DataError, match="no partition 5; there are 5"):
        list(data.to_iter(indices=[5]))
    with pytest.raises(nvt.ColumnNotFoundError, match="no column 'm'"):
        list(data.to_iter(["m"]))


def test_head_tail_persist_and_repartition(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "f.parquet")
    data = nvt.Dataset(tmp_path / "f.parquet", npartitions=2)
    assert data.head(2)["n"].to_list() == [0, 1]
    assert data.tail(2)["n"].to_list() == [8, 9]
    kept = data.persist()
    (tmp_path / "f.parquet").unlink()
    assert kept.compute().equals(FRAME)
    assert kept.npartitions == 2
    assert kept.repartition(5).partition_lens == [2] * 5
    size = int(FRAME.estimated_size()) // 10 * 2
    assert kept.repartition(partition_size=size).npartitions == 5
    assert kept.npartitions == 2
    for arguments in ({}, {"npartitions": 1, "partition_size": 1}):
        with pytest.raises(DataError, match="either npartitions or partition_size"):
            kept.repartition(**arguments)


def test_where_the_files_rows_are(tmp_path: Path) -> None:
    FRAME[:4].write_parquet(tmp_path / "a.parquet")
    FRAME[4:].write_parquet(tmp_path / "b.parquet")
    data = nvt.Dataset(tmp_path, npartitions=5)
    placed = {Path(file).name: parts for file, parts in data.file_partition_map.items()}
    assert placed == {"a.parquet": [0, 1], "b.parquet": [2, 3, 4]}
    assert nvt.Dataset(FRAME).file_partition_map == {}


@pytest.mark.parametrize("keys", ["k", ["k", "n"]])
def test_shuffle_by_keys(keys: Any) -> None:
    data = nvt.Dataset(FRAME).shuffle_by_keys(keys, npartitions=3)
    parts = list(data.to_iter())
    assert len(parts) == 3
    assert pl.concat(parts).sort("n").equals(FRAME)
    found = [set(part.select(keys).rows()) for part in parts]
    assert not any(a & b for i, a in enumerate(found) for b in found[:i])
    for part in parts:
        if keys == "k":
            assert all(group["n"].is_sorted() for group in part.partition_by("k"))
    with pytest.raises(nvt.ColumnNotFoundError, match="keys: no column 'K'; did you mean 'k'"):
        data.shuffle_by_keys("K")


def test_merge() -> None:
    right = pl.DataFrame({"k": ["a", "b", "z"], "v": [1, 2, 3], "n": [0, 0, 0]})
    out = nvt.Dataset.merge(nvt.Dataset(FRAME), right, on="k", how="left")
    assert out.to_polars().columns == ["n_x", "k", "v", "n_y"]
    assert out.to_polars()["v"].to_list() == [1, 2, None, 1, None] * 2
    assert nvt.Dataset.merge(FRAME, right, on="k").num_rows == 6
    assert nvt.Dataset.merge(FRAME, right, on="k", how="outer").num_rows == 11
    renamed = right.rename({"k": "key"})
    out = nvt.Dataset.merge(FRAME, renamed, left_on="k", right_on="key", suffixes=("", "_r"))
    assert out.to_polars().columns == ["n", "k", "key", "v", "n_r"]
    for arguments, message in (
        ({}, "merge needs on, or left_on and right_on"),
        ({"on": "K"}, "merge: the left data has no column 'K'"),
        ({"on": "k", "how": "cross"}, "how must be 'inner', 'left' or 'outer'"),
        ({"on": "k", "indicator": True}, "merge has no argument 'indicator'"),
    ):
        with pytest.raises(DataError, match=message):
            nvt.Dataset.merge(FRAME, right, **arguments)


def test_validation(tmp_path: Path) -> None:
    data = nvt.Dataset(FRAME).to_parquet(tmp_path / "d")
    assert data.validate_dataset()
    assert data.validate_dataset(file_min_size=10, row_group_max_size="1MB")
    for arguments, message in (
        ({"file_min_size": "1GB"}, "bytes, fewer than 1000000000; write fewer files"),
        ({"row_group_max_size": 1}, "a row group of .* more than 1; write it with a smaller"),
    ):
        with pytest.warns(UserWarning, match=message):
            assert not data.validate_dataset(**arguments)
    FRAME.write_parquet(tmp_path / "f.parquet")
    plain = nvt.Dataset(tmp_path / "f.parquet")
    assert plain.validate_dataset(require_metadata_file=False)
    with pytest.warns(UserWarning, match="has no _metadata; write it with to_parquet"):
        assert not plain.validate_dataset()
    with pytest.warns(UserWarning, match="no local parquet files"):
        assert not nvt.Dataset(FRAME).validate_dataset()
    with pytest.raises(nvt.UnsupportedError, match="write with to_parquet"):
        plain.validate_dataset(add_metadata_file=True)


def test_sizes() -> None:
    for value, expected in ((5, 5), ("1.5 kB", 1500), ("2MiB", 2 << 20), ("7", 7), ("1 t", 10**12)):
        assert parse_size(value, name="x") == expected
    for bad in (0, -1, True, "", "1XB", "GB", None, 1.5, "0"):
        with pytest.raises(DataError, match=re.escape(f"got {bad!r}")):
            parse_size(bad, name="x")  # type: ignore[arg-type]  # values of every kind
