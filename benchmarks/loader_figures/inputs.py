"""Encoded data sets that all contenders read, made by the ETL once and kept below build/."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from emberline.etl import Dataset
from emberline.etl.datasets import (
    SyntheticCriteo,
    SyntheticMovieLens,
    open_criteo,
    open_movielens,
)
from emberline.etl.datasets.criteo import CATEGORIES
from emberline.workflows.recipes.criteo import criteo_workflow
from emberline.workflows.recipes.movielens_ranking import feature_workflow, joined_with_genres

__all__ = ["criteo", "many_times", "movielens", "narrowed", "plain"]

KEPT = Path(__file__).parents[2] / "build" / "bench-loader"

#: Those of the Kaggle challenge, but the five largest have 1 M categories.
CARDINALITIES = (
    *(1_460, 583, 1_000_000, 1_000_000, 305, 24, 12_517, 633, 3, 93_145, 5_683, 1_000_000, 3_194),
    *(27, 14_992, 1_000_000, 10, 5_652, 2_173, 4, 1_000_000, 18, 15, 286_181, 105, 142_572),
)


def criteo(rows: int, *, files: int) -> Path:
    """Give a data set of 13 float32 columns, 26 columns of ids and the label: 40 columns."""

    def make(scratch: Path, target: Path) -> None:
        SyntheticCriteo(rows=rows, cardinalities=CARDINALITIES).write(
            scratch / "raw", format="parquet"
        )
        raw = open_criteo(scratch / "raw").frame
        encoded = criteo_workflow(min_count=2).fit_transform(Dataset(raw))
        encoded.to_parquet(target, output_files=files)

    return _kept(f"criteo-{rows}-{files}", make)


def narrowed(dataset: Path) -> Path:
    """Give the rows of a Criteo-shaped data set, every id in the smallest integer that holds it."""

    def make(scratch: Path, target: Path) -> None:
        source = Dataset(dataset)
        largest = source.to_lazy().select(pl.col(CATEGORIES).max()).collect().row(0)
        dtypes = {
            name: next(d for d in ("int8", "int16", "int32") if value <= np.iinfo(d).max)
            for name, value in zip(CATEGORIES, largest, strict=True)
        }
        source.to_parquet(target, output_files=len(list(dataset.glob("*.parquet"))), dtypes=dtypes)

    return _kept(f"{dataset.name}-narrowed", make)


def movielens(rows: int) -> Path:
    """Give a data set of userId, movieId, the ragged genres and the label, in one file."""

    def make(scratch: Path, target: Path) -> None:
        SyntheticMovieLens(rows=rows).write(scratch / "raw", format="parquet")
        raw = joined_with_genres(open_movielens(scratch / "raw"))
        feature_workflow().fit_transform(Dataset(raw)).to_parquet(target)

    return _kept(f"movielens-{rows}", make)


def plain(dataset: Path) -> Path:
    """Give the rows of a data set in one file without compression and dictionaries.

    It is as large as what is decoded from it: so files are many times larger than memory with few
    rows.
    """

    def make(scratch: Path, target: Path) -> None:
        target.mkdir()
        pq.write_table(
            pq.read_table(sorted(dataset.glob("*.parquet"))), target / "rows.parquet",
            row_group_size=65_536, compression="none", use_dictionary=False,
        )  # fmt: skip

    return _kept(f"{dataset.name}-plain", make)


def many_times(dataset: Path, times: int) -> list[Path]:
    """Give the files of a data set under `times` names each, without a copy.

    Hard links: to a loader each is a file of its own, on the disk it is there once.
    """
    directory = KEPT / f"{dataset.name}-times-{times}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    made = []
    for number in range(times):
        for file in sorted(dataset.glob("*.parquet")):
            made.append(directory / f"{number:03}-{file.name}")
            os.link(file, made[-1])
    return made


def _kept(name: str, make: Callable[[Path, Path], None]) -> Path:
    target = KEPT / name
    if not target.is_dir():
        scratch = KEPT / f"{name}.tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        make(scratch, target)
        shutil.rmtree(scratch)
    return target
