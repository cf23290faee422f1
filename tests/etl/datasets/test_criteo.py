"""The reader of Criteo's layouts, on files written by hand and generated ones."""

import gzip
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from emberline.errors import DataError
from emberline.etl.datasets import CriteoMissingError, SyntheticCriteo, open_criteo
from emberline.etl.datasets.criteo import CATEGORIES, INTEGERS


def line(label: str = "1", i1: str = "7", c1: str = "68fd1e64", c26: str = "") -> str:
    return "\t".join([label, i1, *["-2", *[""] * 11], c1, *[""] * 24, c26]) + "\n"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_text(tmp_path: Path, packed: bool, end: str) -> None:
    text = (line() + line("0", "", "", "0000000a")).replace("\n", end)
    file = tmp_path / f"day_0{'.gz' if packed else ''}"
    file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    data = open_criteo(file)
    rows = data.frame.collect()
    assert rows.columns == ["label", *INTEGERS, *CATEGORIES]
    assert rows["label"].dtype == rows["I13"].dtype == pl.Int32
    assert rows.select("label", "I1", "I2", "I3", "C1", "C26").rows() == [
        (1, 7, -2, None, "68fd1e64", None),
        (0, None, -2, None, None, "0000000a"),
    ]
    assert (data.layout, data.files) == ("tsv", (file,))


def test_hex_is_read_as_nvtabular_does(tmp_path: Path) -> None:
    (tmp_path / "day_0").write_text(line(c1="0000000f", c26="ffffffff"))
    rows = open_criteo(tmp_path / "day_0", categories="hex").frame.collect()
    assert rows.select("C1", "C2", "C26").row(0) == (15, None, -1)
    assert rows["C1"].dtype == pl.Int32


def test_days_come_by_number(tmp_path: Path) -> None:
    for day in (10, 9, 0):
        (tmp_path / f"day_{day}").write_text(line(i1=str(day)))
    (tmp_path / "readme.txt").write_text("about the data")
    for path in (tmp_path, tmp_path / "day_*"):
        data = open_criteo(path)
        assert [f.name for f in data.files] == ["day_0", "day_9", "day_10"]
        assert data.frame.collect()["I1"].to_list() == [0, 9, 10]
        assert [plan.collect()["I1"].item() for plan in data.each] == [0, 9, 10]
    assert open_criteo([tmp_path / "day_9", tmp_path / "day_0"]).frame.collect()["I1"][0] == 9


def test_parquet_and_text_hold_the_same(tmp_path: Path) -> None:
    made = SyntheticCriteo(rows=300, seed=3, cardinalities=(50,) * 26)
    made.write(tmp_path / "tsv", "tsv", files=3)
    made.write(tmp_path / "parquet", "parquet", files=2)
    text, parquet = open_criteo(tmp_path / "tsv"), open_criteo(tmp_path / "parquet")
    assert (text.layout, len(text.files)) == ("tsv", 3)
    assert (parquet.layout, len(parquet.files)) == ("parquet", 2)
    assert_frame_equal(text.frame.collect(), parquet.frame.collect())
    assert_frame_equal(text.frame.collect(), made.chunk(0))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (line("2"), r"day_0, line 3: column 'label' holds '2'; expected 0 or 1"),
        (line(i1="x"), r"day_0, line 3: column 'I1' holds 'x'; expected an integer"),
        (line(i1="3000000000"), r"line 3: column 'I1' holds '3000000000'"),
        (line(c1="68fd1e6g"), r"line 3: column 'C1' holds '68fd1e6g'; expected up to 8 hex"),
        (line(c26="123456789"), r"line 3: column 'C26' holds '123456789'"),
        ("1\t2\t3\n", r"line 3: 3 fields, expected 40"),
        (line()[:-1] + "\t\n", r"line 3: 41 fields, expected 40"),
        ("\n", r"line 3: 1 fields, expected 40"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_line_is_named(tmp_path: Path, bad: str, message: str, packed: bool) -> None:
    text = (line() * 2 + bad + line("9")).encode()
    (tmp_path / "day_0").write_bytes(text)
    if packed:
        (tmp_path / "day_0").unlink()
        (tmp_path / "day_0.gz").write_bytes(gzip.compress(text))
        message = message.replace("day_0", "day_0.gz")
    with pytest.raises(DataError, match=message):
        open_criteo(tmp_path)


def test_the_first_bad_line_of_many(tmp_path: Path) -> None:
    lines = [line()] * 30_000
    lines[20_001] = lines[29_000] = line("x")
    (tmp_path / "day_0").write_text("".join(lines))
    with pytest.raises(DataError, match=r"line 20002: column 'label' holds 'x'"):
        open_criteo(tmp_path)
    assert open_criteo(tmp_path, check=False).layout == "tsv"  # beyond the lines it looks at


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CriteoMissingError, match="nowhere does not exist"):
        open_criteo(tmp_path / "nowhere")
    (tmp_path / "test.txt").write_text("no label")
    with pytest.raises(CriteoMissingError, match=r"looked for .* found test\.txt"):
        open_criteo(tmp_path)
    with pytest.raises(CriteoMissingError, match="empty list"):
        open_criteo([])
    (tmp_path / "day_0").touch()
    with pytest.raises(DataError, match=r"day_0 is empty"):
        open_criteo(tmp_path)
    with pytest.raises(DataError, match="categories='int'"):
        open_criteo(tmp_path, categories="int")  # type: ignore[arg-type]


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "day_0.gz").write_bytes(gzip.compress(line().encode() * 5000)[:-40])
    with pytest.raises(DataError, match=r"day_0\.gz cannot be read, it is cut or damaged"):
        open_criteo(tmp_path)
    rows = SyntheticCriteo(rows=5, cardinalities=(5,) * 26).chunk(0)
    rows.drop("C4").write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: column 'C4' is missing"):
        open_criteo(tmp_path)
    rows.with_columns(C4=1.5).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"column 'C4' has dtype Float64; expected hexadecimal"):
        open_criteo(tmp_path)
    (tmp_path / "day_0").write_text(line())
    with pytest.raises(DataError, match="parquet and text files"):
        open_criteo([tmp_path / "a.parquet", tmp_path / "day_0"])
