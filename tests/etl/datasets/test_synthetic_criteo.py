"""The Criteo-shaped generator: layout, repeatability, bijective codes, known best AUC."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberline.artifacts import open_directory
from emberline.errors import DataError
from emberline.etl.datasets import SyntheticCriteo, planted_auc, planted_model
from emberline.etl.datasets.hex_codes import hex_series, mixed_codes

COLUMNS = ["label", *(f"I{j}" for j in range(1, 14)), *(f"C{c}" for c in range(1, 27))]
GOLDEN = (
    1,
    3,
    2,
    None,
    5,
    33974,
    10,
    16,
    3,
    11,
    1,
    2,
    None,
    1,
    "596294e9",
    "c0a29df4",
    "62a61dc0",
    "9eddccd0",
    "d41ba227",
    "677425db",
    "1407fcfa",
    "712588c2",
    "7fee8dcb",
    "9cf2deb5",
    "c0a8e1d7",
    "c9ecf0ea",
    "36643b1d",
    "4bb06930",
    "d3d2a16e",
    None,
    "89469308",
    "a0792c80",
    None,
    "6130d6dc",
    "a0d369c2",
    "3f8cef53",
    "2035b6e6",
    "fbbb71e0",
    "c81814fd",
    None,
)
SMALL = SyntheticCriteo(rows=100_000, seed=2)


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return pl.concat([SMALL.chunk(k) for k in range(SMALL.chunk_count)])


def test_columns_and_types(frame: pl.DataFrame) -> None:
    assert SMALL.chunk_count == 2
    assert frame.columns == COLUMNS
    assert frame.height == 100_000
    assert frame.dtypes == [pl.Int32] * 14 + [pl.String] * 26
    assert frame["label"].unique().sort().to_list() == [0, 1]
    strings = frame.select(pl.col("^C.*$").drop_nulls().str.contains("^[0-9a-f]{8}$").all())
    assert strings.row(0) == (True,) * 26


def test_integers_are_heavy_tailed_with_nulls_and_negatives(frame: pl.DataFrame) -> None:
    nulls = dict(zip(frame.columns, frame.null_count().row(0), strict=True))
    assert nulls["I12"] == pytest.approx(76_000, abs=600)  # 4 standard errors
    assert nulls["I2"] == 0
    assert (frame["I2"] < 0).any()
    values = frame["I5"].drop_nulls().to_numpy()
    assert values.mean() > 2 * np.median(values)
    assert values.max() > 100_000


def test_categories_follow_their_cardinalities(frame: pl.DataFrame) -> None:
    assert frame["C9"].n_unique() == 3
    assert frame["C20"].drop_nulls().n_unique() == 4
    assert frame["C3"].n_unique() > 40_000
    assert frame["C22"].null_count() == pytest.approx(76_000, abs=600)
    top = frame["C3"].drop_nulls().value_counts(sort=True)["count"][0]
    assert 0.01 < top / frame.height < 0.1


def test_base_rate_and_planted_auc(frame: pl.DataFrame) -> None:
    logits = SMALL.logit(frame)
    labels = frame["label"].to_numpy()
    assert labels.mean() == pytest.approx(0.25, abs=0.012)
    reached = planted_auc(logits, labels)
    assert 0.775 < reached < 0.805
    assert reached == pytest.approx(SMALL.expected_auc(), abs=0.008)
    probability = 1 / (1 + np.exp(-logits))
    assert labels.mean() == pytest.approx(probability.mean(), abs=4 * 0.0014)


def test_cardinalities_of_any_size_keep_rate_and_auc() -> None:
    model = SyntheticCriteo(rows=65_536, seed=5, cardinalities=tuple(range(1, 27)))
    frame = model.chunk(0)
    assert frame["C1"].n_unique() == 1
    assert frame["C26"].drop_nulls().n_unique() == 26
    assert frame["label"].to_numpy().mean() == pytest.approx(0.25, abs=0.012)
    assert 0.775 < model.expected_auc() < 0.805


def test_a_chunk_alone_equals_the_chunk_in_sequence(frame: pl.DataFrame) -> None:
    fresh = SyntheticCriteo(rows=100_000, seed=2)
    last = fresh.chunk(1)
    assert last.equals(frame.tail(last.height))
    assert fresh.chunk(0).equals(frame.head(65_536))
    assert not SyntheticCriteo(rows=100_000, seed=3).chunk(1).equals(last)


def test_golden_row_does_not_change() -> None:
    """A change here needs a new VERSION: the numbers were noted when version 1 was made."""
    row = SyntheticCriteo(rows=10, seed=1).chunk(0).row(0)
    assert row == GOLDEN


def test_logit_of_any_rows(frame: pl.DataFrame) -> None:
    part = frame.sample(500, seed=1)
    whole = pl.Series(SMALL.logit(frame))
    expected = whole.gather(frame.with_row_index().sample(500, seed=1)["index"])
    np.testing.assert_array_equal(SMALL.logit(part.drop("label")), expected.to_numpy())
    nulls = part.with_columns(pl.lit(None).alias("C1"), pl.lit(None).alias("I1"))
    assert np.isfinite(SMALL.logit(nulls)).all()


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pl.lit(1.5).alias("I3"), "column 'I3' has dtype Float64; expected an integer"),
        (pl.lit(7).alias("C4"), "column 'C4' has dtype Int32; expected hex strings"),
        (pl.lit("XYZ").alias("C4"), "column 'C4' holds 'XYZ'; expected 8 lower-case hex digits"),
    ],
)
def test_logit_refuses_other_frames(frame: pl.DataFrame, column: pl.Expr, message: str) -> None:
    with pytest.raises(DataError, match=message):
        SMALL.logit(frame.head(5).with_columns(column))


def test_logit_names_a_missing_column(frame: pl.DataFrame) -> None:
    with pytest.raises(DataError, match=r"column 'I13' is missing; did you mean"):
        SMALL.logit(frame.drop("I13"))


@given(st.sets(st.integers(0, 2**32 - 1), min_size=1, max_size=200), st.integers(0, 2**32 - 1))
def test_distinct_ranks_give_distinct_strings(ranks: set[int], key: int) -> None:
    codes = mixed_codes(np.array(sorted(ranks), dtype=np.int64), key)
    text = hex_series("c", codes, np.zeros(len(codes), dtype=np.bool_))
    assert text.to_list() == [f"{int(code):08x}" for code in codes]
    assert text.n_unique() == len(ranks)


def test_nulls_in_hex_series() -> None:
    null = np.array([False, True, False])
    series = hex_series("C1", np.array([0, 1, 2**32 - 1], dtype=np.uint32), null)
    assert series.to_list() == ["00000000", None, "ffffffff"]
    assert series.name == "C1"
    assert hex_series("x", np.zeros(0, np.uint32), np.zeros(0, np.bool_)).to_list() == []


@pytest.mark.parametrize("files", [1, 3])
def test_write_tsv(tmp_path: Path, frame: pl.DataFrame, files: int) -> None:
    seen: list[tuple[int, int]] = []
    path = SMALL.write(
        tmp_path / "raw", files=files, progress=lambda done, total: seen.append((done, total))
    )
    parts = sorted(path.glob("part_*.tsv"))
    assert [p.name for p in parts] == [f"part_{i:04d}.tsv" for i in range(files)]
    schema = dict(zip(frame.columns, frame.dtypes, strict=True))
    read = [pl.read_csv(p, separator="\t", has_header=False, schema=schema) for p in parts]
    heights = [r.height for r in read]
    assert max(heights) - min(heights) <= 1
    assert pl.concat(read).equals(frame)
    assert seen == [(65_536, 100_000), (100_000, 100_000)]
    assert planted_model(path) == SMALL


def test_write_parquet_and_the_same_bytes_again(tmp_path: Path) -> None:
    model = SyntheticCriteo(rows=2_000, seed=8, cardinalities=(50,) * 26)
    first = model.write(tmp_path / "a", "parquet", files=2)
    second = model.write(tmp_path / "b", "parquet", files=2)
    assert pl.read_parquet(first / "part_*.parquet").equals(model.chunk(0))
    for name in ("part_0000.parquet", "part_0001.parquet", "planted.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert open_directory(first, kind="raw-criteo", max_version=1).info["rows"] == 2_000
    assert planted_model(first) == model


@pytest.mark.parametrize(
    ("rows", "seed", "cardinalities", "message"),
    [
        (0, 0, None, "rows=0; expected 1 or more"),
        (1, 2**63, None, "expected 0 <= seed"),
        (1, 0, (1, 2), "2 cardinalities; expected 26"),
        (1, 0, (0,) + (5,) * 25, r"cardinality 0 of C1; expected 1 to 2\*\*32"),
    ],
)
def test_bad_arguments(
    rows: int, seed: int, cardinalities: tuple[int, ...] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        SyntheticCriteo(rows=rows, seed=seed, cardinalities=cardinalities)


def test_bad_chunk_and_files(tmp_path: Path) -> None:
    with pytest.raises(IndexError, match="chunk 2; expected 0 to 1"):
        SMALL.chunk(2)
    with pytest.raises(DataError, match="files=0; expected 1 to 100000"):
        SMALL.write(tmp_path / "x", files=0)
    assert list(tmp_path.iterdir()) == []
