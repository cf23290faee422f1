"""Whether two contenders wrote the same: ids up to the order of equally frequent categories."""

from pathlib import Path

import polars as pl

__all__ = ["differences"]


def differences(ours: Path, theirs: Path) -> list[str]:
    """Compare two data sets, row by row.

    Ids must have the same counts in the same order, and correspond one to one; so only categories
    of equal count may have changed places. Floats may differ by rounding.

    Returns:
        What differs, in words; empty where nothing does.
    """
    left, right = _read(ours), _read(theirs)
    found = []
    for name, dtype in left.collect_schema().items():
        one, other = left.select(pl.col(name)), right.select(pl.col(name))
        if dtype == pl.List:
            lengths = [side.select(pl.col(name).list.len()).collect() for side in (one, other)]
            if not lengths[0].equals(lengths[1]):
                found.append(f"{name}: lists of other lengths")
                continue
            one, other = (
                side.explode(name, empty_as_null=True, keep_nulls=True) for side in (one, other)
            )
            dtype = pl.Int64()
        a, b = (side.collect().to_series() for side in (one, other))
        pair = pl.DataFrame({"a": a, "b": b}) if len(a) == len(b) else None
        if pair is None or a.null_count() != b.null_count():
            found.append(f"{name}: other rows or nulls")
        elif dtype.is_float():
            off = pair.select((pl.col("a") - pl.col("b")).abs().max()).item()
            if off is None or not off < 1e-3:
                found.append(f"{name}: values differ by up to {off}")
        else:
            pairs = pair.group_by("a", "b").len()
            counts = [pairs.group_by(s).agg(pl.col("len").sum()).sort(s) for s in ("a", "b")]
            one_to_one = pairs.height == counts[0].height == counts[1].height
            if not one_to_one or not counts[0]["len"].equals(counts[1]["len"], check_names=False):
                found.append(f"{name}: ids do not correspond, or their counts differ")
    return found


def _read(directory: Path) -> pl.LazyFrame:
    # Part 10 comes after part 9; names alone would say otherwise.
    files = sorted(
        directory.glob("part_*.parquet"), key=lambda f: int(f.stem.removeprefix("part_"))
    )
    return pl.concat([pl.scan_parquet(file, glob=False) for file in files])
