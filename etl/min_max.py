"""The smallest and the largest value of every column, as a mergeable statistic."""

import math
from collections.abc import Mapping, Sequence

import polars as pl

from emberline.etl.learned_numbers import Numbers
from emberline.etl.leaves import leaf_frames
from emberline.etl.schema import Schema

__all__ = ["learned_min_max", "merged_min_max", "min_max"]


def min_max(frame: pl.LazyFrame, columns: Schema) -> dict[str, pl.LazyFrame]:
    """Give the plans of the statistics over leaves; nulls and NaN are passed over."""
    return {
        name: leaves.select(
            pl.all().min().name.suffix(".min"),
            pl.all().max().name.suffix(".max"),
        )
        for name, leaves in leaf_frames(frame, columns).items()
    }


def merged_min_max(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Join the statistics of several parts."""
    both = pl.concat(frames, how="vertical_relaxed")
    return both.select(
        pl.col(name).min() if name.endswith(".min") else pl.col(name).max() for name in both.columns
    )


def learned_min_max(statistics: Mapping[str, pl.DataFrame]) -> dict[str, Numbers]:
    """Give column -> "min" and "max", None where there was no value."""
    out: dict[str, Numbers] = {}
    for frame in statistics.values():
        row = frame.row(0, named=True)
        for key in row:
            column, _, kind = key.rpartition(".")
            if kind == "min":
                out[column] = {"min": _known(row[key]), "max": _known(row[f"{column}.max"])}
    return out


def _known(value: float | None) -> float | None:
    # Of NaN alone the smallest is NaN.
    return None if value is None or math.isnan(value) else value
