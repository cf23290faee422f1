"""Both decoders give the same columns, and pyarrow has the last word."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emberline.dataloaders import Loader, ParquetFileError, polars_decoder
from emberline.errors import DataError

KINDS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)


def frame(rows: int = 1000) -> pl.DataFrame:
    numbers = np.arange(rows)
    columns: dict[str, Any] = {
        f"i{i}": pl.Series(numbers % 100, dtype=k) for i, k in enumerate(KINDS)
    }
    columns |= {
        "f": pl.Series(numbers / 3, dtype=pl.Float32),
        "d": pl.Series(numbers / 7, dtype=pl.Float64),
        "b": pl.Series(numbers % 3 == 0),
        "lists": pl.Series([None if i % 9 == 0 else [i] * (i % 3) for i in range(rows)]),
        "pair": pl.Series([[i, -i] for i in range(rows)], dtype=pl.Array(pl.Int16, 2)),
    }
    return pl.DataFrame(columns)


def batches(data: Any, **settings: Any) -> list[dict[str, Any]]:
    chosen: dict[str, Any] = {"shuffle": True, "seed": 4, **settings}
    return [{n: (a.dtype, a.tolist()) for n, a in x.items()} for x, _ in Loader(data, 64, **chosen)]


@pytest.fixture(autouse=True)
def free_footers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Polars read small row groups, too."""
    monkeypatch.setattr(polars_decoder, "_FOOTER_NS", 0)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether Polars read it, for each row group that it was asked for."""
    seen: list[bool] = []
    decode = polars_decoder.decode

    def noted(*arguments: Any) -> Any:
        table = decode(*arguments)
        seen.append(table is not None)
        return table

    monkeypatch.setattr(polars_decoder, "decode", noted)
    return seen


def test_the_same_as_pyarrow(
    tmp_path: Path, calls: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        frame().write_parquet(tmp_path / f"{number}.parquet", row_group_size=170)
    got = batches(tmp_path)
    assert calls == [True] * 12
    monkeypatch.setattr(polars_decoder, "can_decode", lambda *_: False)
    assert got == batches(tmp_path)
    assert len(calls) == 12


def test_only_numbers_and_only_its_own_files(tmp_path: Path, calls: list[bool]) -> None:
    frame().with_columns(s=pl.lit("text")).write_parquet(tmp_path / "text.parquet")
    batches(tmp_path / "text.parquet")
    assert calls == []
    batches(tmp_path / "text.parquet", columns=["f", "i0"])
    assert calls == [True]
    # Page checksums are pyarrow's to verify.
    pq.write_table(pa.table({"i": [1, 2]}), tmp_path / "arrow.parquet", write_page_checksum=True)
    batches(tmp_path / "arrow.parquet")
    assert calls == [True]


def test_not_where_the_footer_costs_more(
    tmp_path: Path, calls: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polars_decoder, "_FOOTER_NS", 400)
    numbers = pl.DataFrame({"i": range(20_000)})
    numbers.write_parquet(tmp_path / "few.parquet", row_group_size=10_000)
    numbers.write_parquet(tmp_path / "many.parquet", row_group_size=1000)
    batches(tmp_path / "few.parquet")
    assert calls == [True] * 2
    batches(tmp_path / "many.parquet")
    assert calls == [True] * 2


def test_names_are_no_patterns(tmp_path: Path, calls: list[bool]) -> None:
    columns = {"*": [1, 2], "^a.*$": [3, 4], "ab": [5, 6], "b c": [7, 8]}
    pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet")
    for names in (["*"], ["^a.*$", "*"], ["b c", "ab"]):
        (batch,) = batches(tmp_path / "a.parquet", columns=names, shuffle=False)
        assert {name: values for name, (_, values) in batch.items()} == {
            name: columns[name] for name in names
        }
    assert calls == [True] * 3


def test_nulls_are_found(tmp_path: Path, calls: list[bool]) -> None:
    file = tmp_path / "a.parquet"
    pl.DataFrame({"price": [1.0, None, 3.0]}).write_parquet(file)
    with pytest.raises(DataError, match=r"a\.parquet, row group 0: column 'price' has 1 null"):
        batches(file)
    assert batches(file, fill=7, shuffle=False)[0]["price"][1] == [1.0, 7.0, 3.0]
    assert calls == [True, True]


def test_damage_is_worded_by_pyarrow(tmp_path: Path, calls: list[bool]) -> None:
    file = tmp_path / "a.parquet"
    frame().write_parquet(file, row_group_size=500)
    loader = Loader(file, 64)
    content = bytearray(file.read_bytes())
    content[4:3000] = bytes(2996)
    file.write_bytes(content)
    with pytest.raises(ParquetFileError, match=r"a\.parquet, row group 0 cannot be read"):
        list(loader)
    assert False in calls  # the threads may have read the sound row group first


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_uses_pyarrow(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    frame(100).write_parquet(file)
    assert polars_decoder.decode(file, ["f"], 0, 100) is not None
    child = os.fork()
    if child == 0:
        os._exit(0 if polars_decoder.decode(file, ["f"], 0, 100) is None else 1)
    assert os.waitpid(child, 0)[1] == 0
