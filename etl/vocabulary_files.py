"""Vocabularies as tables: NVTabular's `unique` and `meta`, and what later data needs."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pyarrow.parquet as pq

from emberline.errors import ArtifactCorruptError
from emberline.etl.vocabulary import NULL, OOV, Vocabulary, key_columns

__all__ = ["restore_vocabulary", "vocabulary_tables", "write_category_files"]


def vocabulary_tables(vocabulary: Vocabulary) -> dict[str, pl.DataFrame]:
    """Give the tables of a vocabulary.

    `unique.<name>`: the categories under their labels, and `<name>_size` with the counts.
    `meta.<name>`: kind, offset, num_indices, num_observed of pad, null, oov and unique.
    `cut.<name>`: the keys and counts of what was seen but got no id, where there is any: an update
    adds to them. Names are percent-encoded, because a column may be called anything.
    """
    name = quote(vocabulary.name, safe=" ")
    tables = {f"unique.{name}": _unique(vocabulary), f"meta.{name}": _meta(vocabulary)}
    if vocabulary.cut is not None and vocabulary.cut.height:
        keys = vocabulary.keys.columns
        # Sorted, because the order of a merge is random and equal workflows are equal files.
        tables[f"cut.{name}"] = vocabulary.cut.select(*keys, "count").sort(keys)
    return tables


def _unique(vocabulary: Vocabulary) -> pl.DataFrame:
    labels = vocabulary.labels
    table = vocabulary.keys.rename(dict(zip(vocabulary.keys.columns, labels, strict=True)))
    if vocabulary.counts is None:
        return table
    return table.with_columns(vocabulary.counts.alias(f"{vocabulary.name}_size"))


def _meta(vocabulary: Vocabulary) -> pl.DataFrame:
    kept = None if vocabulary.counts is None else int(vocabulary.counts.sum())
    pad = None if kept is None else 0
    return pl.DataFrame(
        {
            "kind": ["pad", "null", "oov", "unique"],
            "offset": [0, NULL, OOV, vocabulary.first],
            "num_indices": [1, 1, vocabulary.buckets, vocabulary.keys.height],
            "num_observed": [pad, vocabulary.nulls, vocabulary.infrequent, kept],
        },
        schema={
            "kind": pl.String,
            "offset": pl.Int64,
            "num_indices": pl.Int64,
            "num_observed": pl.Int64,
        },
    )


def restore_vocabulary(
    name: str, labels: Sequence[str], tables: Mapping[str, pl.DataFrame], *, given: int = 0
) -> Vocabulary:
    """Rebuild a vocabulary from `vocabulary_tables`.

    Args:
        name: the column, group or combination.
        labels: see `Vocabulary`.
        tables: the operator's artifacts.
        given: see `Vocabulary`.

    Raises:
        ArtifactCorruptError: a table is missing or is not what `vocabulary_tables` gives.
    """
    file = quote(name, safe=" ")
    unique, meta = tables.get(f"unique.{file}"), tables.get(f"meta.{file}")
    if unique is None or meta is None:
        raise ArtifactCorruptError(f"Categorify: the vocabulary {name!r} has no table")
    size = f"{name}_size"
    lost = [n for n in labels if n not in unique.columns]
    if lost or meta.height != 4 or not {"offset", "num_indices", "num_observed"} <= {*meta.columns}:
        raise ArtifactCorruptError(f"Categorify: the tables of {name!r} lack a column or row")
    names = key_columns(len(labels))
    keys = unique.select(pl.col(n).alias(k) for n, k in zip(labels, names, strict=True))
    null = keys.filter(pl.all_horizontal(pl.all().is_null())).height
    if null or keys.n_unique() != keys.height:
        raise ArtifactCorruptError(f"Categorify: categories of {name!r} repeat or are null")
    first, buckets = meta["offset"][3], meta["num_indices"][2]
    if not (isinstance(first, int) and isinstance(buckets, int) and first >= OOV + buckets > OOV):
        raise ArtifactCorruptError(
            f"Categorify: {name!r} has {buckets} buckets and the first id {first}"
        )
    counts = unique[size].alias("count") if size in unique.columns else None
    infrequent = meta["num_observed"][2]
    cut = tables.get(f"cut.{file}")
    if cut is None and counts is not None and infrequent == 0:
        cut = keys.clear().with_columns(pl.lit(0, dtype=pl.Int64).alias("count"))
    if cut is not None and cut.columns != [*names, "count"]:
        raise ArtifactCorruptError(f"Categorify: the table of what was cut from {name!r} is wrong")
    return Vocabulary(
        name=name,
        labels=tuple(labels),
        keys=keys,
        first=first,
        buckets=buckets,
        counts=counts,
        nulls=meta["num_observed"][1],
        cut=cut,
        infrequent=infrequent,
        given=given if counts is not None else keys.height,
    )


def write_category_files(root: str | os.PathLike[str], vocabularies: Iterable[Vocabulary]) -> None:
    """Write `categories/unique.<name>.parquet` and `categories/meta.<name>.parquet` for NVTabular.

    As NVTabular does, the ids of `unique` are no column but the range index of pandas' metadata.
    Each file appears whole or not at all; a "/" in a name becomes "%2F".
    """
    folder = Path(root) / "categories"
    folder.mkdir(parents=True, exist_ok=True)
    for vocabulary in vocabularies:
        name = vocabulary.name.replace("/", "%2F")
        _write(_unique(vocabulary), folder / f"unique.{name}.parquet", first=vocabulary.first)
        meta = _meta(vocabulary)
        if vocabulary.counts is None:
            meta = meta.drop("num_observed")
        _write(meta, folder / f"meta.{name}.parquet", first=0)


def _write(table: pl.DataFrame, file: Path, *, first: int) -> None:
    arrow = table.to_arrow(compat_level=pl.CompatLevel.oldest())
    index = {"kind": "range", "name": None, "start": first, "stop": first + table.height, "step": 1}
    # Columns are not described: their Arrow types say all that pandas needs.
    pandas = {"index_columns": [index], "column_indexes": [], "columns": []}
    metadata = {b"pandas": json.dumps(pandas).encode()}
    unfinished = file.with_name(f".{file.name}.writing")
    try:
        pq.write_table(arrow.replace_schema_metadata(metadata), unfinished, compression="none")
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
