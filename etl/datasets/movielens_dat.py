"""The `::`-separated files of ml-1m and ml-10m."""

from pathlib import Path

import polars as pl

from emberline.errors import DataError
from emberline.etl.datasets.table_source import TableSource

__all__ = ["dat_movies_source", "dat_ratings_source"]


def dat_ratings_source(file: Path) -> TableSource:
    """`userId::movieId::rating::timestamp`, read in a streaming way.

    Polars splits at one byte: at ":", each "::" yields an empty column between two real ones.
    The values are numbers, so no other ":" occurs.

    Raises:
        DataError: an empty file, or a first line of another form.
    """
    with file.open("rb") as opened:
        first = opened.readline(1_000)
    if not first:
        raise DataError(f"{file} is empty (0 bytes); download or extract it again")
    if first.count(b"::") != 3:
        raise DataError(
            f"{file}, line 1: {first.decode('latin-1').strip()!r}; expected "
            "userId::movieId::rating::timestamp"
        )
    types = {
        "userId": pl.Int64(),
        "movieId": pl.Int64(),
        "rating": pl.Float32(),
        "timestamp": pl.Int64(),
    }
    typed: dict[str, pl.DataType] = {}
    for name, dtype in types.items():
        typed |= {name: dtype, f"after {name}": pl.String()}
    del typed["after timestamp"]
    text = dict.fromkeys(typed, pl.String())

    def scan(schema: dict[str, pl.DataType]) -> pl.LazyFrame:
        options = pl.scan_csv(file, separator=":", has_header=False, schema=schema, quote_char=None)
        return options.select(list(types))

    return TableSource(file=file, typed=scan(typed), text=scan(dict(text)))


def dat_movies_source(file: Path) -> TableSource:
    """`movieId::title::genres`, with titles that hold ":" and, in ml-1m, Latin-1 letters.

    The whole file is decoded in memory: the largest, of ml-10m, has half a megabyte. ml-10m is UTF-8;
    an accented Latin-1 title is not valid UTF-8, so the encoding is recognised, not guessed.

    Raises:
        DataError: an empty file, or a line of another form, with its number.
    """
    data = file.read_bytes()
    if not data:
        raise DataError(f"{file} is empty (0 bytes); download or extract it again")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    # Only line feeds end a line: str.splitlines would also split at U+0085, a Latin-1 byte.
    lines = pl.Series("line", [line.removesuffix("\r") for line in text.split("\n")])
    if lines[-1] == "":
        lines = lines.head(-1)
    # The first and the last "::" separate: a title may hold one too.
    fields = lines.str.extract_groups(r"^(\d{1,18})::(.*)::([^:]+)$").struct.unnest()
    fields.columns = ["movieId", "title", "genres"]
    bad = fields["movieId"].is_null()
    if bad.any():
        at = int(bad.arg_true()[0])
        raise DataError(f"{file}, line {at + 1}: {lines[at]!r}; expected movieId::title::genres")
    frame = fields.with_columns(pl.col("movieId").cast(pl.Int64))
    return TableSource(file=file, typed=frame.lazy(), text=None)
