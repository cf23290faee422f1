"""Click logs shaped like Criteo's display advertising sets from a planted model."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from emberline.artifacts import write_directory
from emberline.errors import DataError, nearest
from emberline.etl.datasets.criteo_plant import INTEGERS, CriteoPlant
from emberline.etl.datasets.frame_sink import FrameSink
from emberline.etl.datasets.hex_codes import hex_series, mixed_codes
from emberline.etl.datasets.planted_auc import expected_auc
from emberline.etl.datasets.random_streams import SEED_LIMIT, normals, stream_key, uniforms

__all__ = ["SyntheticCriteo"]

VERSION = 1
"""Of what a given (arguments, seed) produces; raised by every change of a written byte."""

_CHUNK_ROWS = 65_536
_CALIBRATION_ROWS = 16_384
_BASE_RATE = 0.25
_SPREAD = 1.3  # standard deviation of the logits: an AUC of about 0.79 at this base rate
_POPULARITY_SHIFT = 2.0

# Distinct values of C1 .. C26 in the training file of the Kaggle challenge (45.8M rows).
_CARDINALITIES = (
    *(1_460, 583, 10_131_227, 2_202_608, 305, 24, 12_517, 633, 3, 93_145, 5_683, 8_351_593, 3_194),
    *(27, 14_992, 5_461_306, 10, 5_652, 2_173, 4, 7_046_547, 18, 15, 286_181, 105, 142_572),
)
_NULL_SHARES = {3: 0.034, 4: 0.034, 6: 0.12, 12: 0.034, 16: 0.034, 19: 0.44, 20: 0.44, 21: 0.034}
_NULL_SHARES |= {22: 0.76, 24: 0.034, 25: 0.44, 26: 0.44}

_ROWS, _CALIBRATION, _CODE_KEY = 1, 2, 3
_UNIFORMS, _NORMALS = 0, 1

_INTEGER_NAMES = [f"I{j}" for j in range(1, 14)]
_CATEGORY_NAMES = [f"C{c}" for c in range(1, 27)]


class _Rows(NamedTuple):
    label: npt.NDArray[np.float64]
    integers: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]]
    codes: list[npt.NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class SyntheticCriteo:
    """Rows of label, I1 .. I13 and C1 .. C26 whose click probabilities are known.

    A label is 1 with probability sigmoid(`logit`): about one in four. The same arguments give the
    same bytes; chunk k depends on them and k alone. Memory is bounded by one chunk.

    Args:
        rows: 1 or more.
        seed: 0 <= seed < 2**63.
        cardinalities: of C1 .. C26, each 1 .. 2**32; by default those of the Kaggle challenge. Values
            are drawn by a Zipf-like law; how many of them occur depends on the rows.

    Raises:
        DataError: an argument out of range.
    """

    rows: int
    seed: int = 0
    cardinalities: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise DataError(f"rows={self.rows}; expected 1 or more")
        if not 0 <= self.seed < SEED_LIMIT:
            raise DataError(f"seed={self.seed}; expected 0 <= seed < 2**63")
        if self.cardinalities is None:
            return
        # A list is taken too (it comes from JSON), but a frozen object holds a tuple.
        object.__setattr__(self, "cardinalities", tuple(self.cardinalities))
        if len(self.cardinalities) != 26:
            raise DataError(f"{len(self.cardinalities)} cardinalities; expected 26, for C1 .. C26")
        for name, n in zip(_CATEGORY_NAMES, self.cardinalities, strict=True):
            if not 1 <= n <= 2**32:
                raise DataError(f"cardinality {n} of {name}; expected 1 to 2**32")

    @property
    def chunk_count(self) -> int:
        """Chunks of 65,536 rows; the last may be shorter."""
        return math.ceil(self.rows / _CHUNK_ROWS)

    def chunk(self, index: int) -> pl.DataFrame:
        """Make one chunk, alone.

        Args:
            index: 0 .. chunk_count - 1.

        Returns:
            label int32; I1 .. I13 int32 with nulls; C1 .. C26 str (8 hex digits) with nulls.
        """
        if not 0 <= index < self.chunk_count:
            raise IndexError(f"chunk {index}; expected 0 to {self.chunk_count - 1}")
        count = min(_CHUNK_ROWS, self.rows - index * _CHUNK_ROWS)
        rows = self._draw(_ROWS, index, count)
        signal = self._plant.signal(rows.integers, rows.codes)
        probability = 1.0 / (1.0 + np.exp(-self._logit_of(signal)))
        columns = [pl.Series("label", (rows.label < probability).astype(np.int32))]
        for name, (values, null) in zip(_INTEGER_NAMES, rows.integers, strict=True):
            series = pl.Series(name, values.astype(np.int32))
            columns.append(series.set(pl.Series(null), None) if null.any() else series)
        for name, code in zip(_CATEGORY_NAMES, rows.codes, strict=True):
            null = code < 0
            columns.append(hex_series(name, np.where(null, 0, code).astype(np.uint32), null))
        return pl.DataFrame(columns)

    def logit(self, frame: pl.DataFrame) -> npt.NDArray[np.float64]:
        """Recompute the planted logit from rows; float64 [n].

        Args:
            frame: with I1 .. I13 (integers) and C1 .. C26 (hex strings); more columns are ignored.

        Raises:
            DataError: a column is missing, not an integer, or not hex digits.
        """
        for name in (*_INTEGER_NAMES, *_CATEGORY_NAMES):
            if name not in frame.columns:
                raise DataError(f"column {name!r} is missing{nearest(name, frame.columns)}")
        integers = []
        for name in _INTEGER_NAMES:
            column = frame[name]
            if not column.dtype.is_integer() and column.dtype != pl.Null:
                raise DataError(f"column {name!r} has dtype {column.dtype}; expected an integer")
            values = column.cast(pl.Int64).fill_null(0).to_numpy()
            integers.append((values, column.is_null().to_numpy()))
        codes = [_parsed(frame[name]) for name in _CATEGORY_NAMES]
        return self._logit_of(self._plant.signal(integers, codes))

    def expected_auc(self, max_rows: int = 262_144) -> float:
        """Best AUC that a model of the label can expect, over the first chunks' rows."""
        chunks = range(min(self.chunk_count, max(1, max_rows // _CHUNK_ROWS)))
        return expected_auc(np.concatenate([self.logit(self.chunk(k)) for k in chunks]))

    def write(
        self,
        directory: str | os.PathLike[str],
        format: Literal["tsv", "parquet"] = "tsv",
        files: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Write `part_0000.<format>` ... and `planted.json` as one directory that appears complete.

        `planted_model` finds this generator again. How many files the rows are cut into does not
        change the rows.

        Args:
            directory: to create; one that emberline wrote before is replaced.
            format: "tsv" (the challenge's layout: no header, nulls empty) or "parquet" (zstd).
            files: 1 .. rows.
            progress: called after every chunk with (rows done, rows in all).

        Raises:
            DataError: an unknown format, or a number of files out of range.
            FileExistsError: `directory` holds something that emberline did not write.
        """
        if format not in ("tsv", "parquet"):
            raise DataError(f"format={format!r}; expected 'tsv' or 'parquet'")
        if not 1 <= files <= self.rows:
            raise DataError(f"files={files}; expected 1 to {self.rows}, the number of rows")
        with write_directory(directory, kind="raw-criteo", version=1) as staging:
            staging.info.update(rows=self.rows, files=files)
            frame = pl.DataFrame()
            offset = done = 0  # rows taken of the current chunk; rows drawn
            chunks = iter(range(self.chunk_count))
            for part in range(files):
                left = self.rows * (part + 1) // files - self.rows * part // files
                with FrameSink(staging.path / f"part_{part:04d}.{format}", format=format) as sink:
                    while left:
                        if offset == frame.height:
                            frame, offset = self.chunk(next(chunks)), 0
                            done += frame.height
                        piece = frame.slice(offset, left)
                        sink.write(piece)
                        offset += piece.height
                        left -= piece.height
                        if progress is not None and offset == frame.height:
                            progress(done, self.rows)
            noted = {
                "generator": type(self).__name__,
                "version": VERSION,
                "arguments": asdict(self),
            }
            (staging.path / "planted.json").write_text(json.dumps(noted, indent=1) + "\n")
        return Path(directory)

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        return _CARDINALITIES if self.cardinalities is None else self.cardinalities

    @cached_property
    def _plant(self) -> CriteoPlant:
        return CriteoPlant(seed=self.seed, cardinalities=self._sizes)

    @cached_property
    def _calibration(self) -> tuple[float, float, float]:
        """(mean, std, intercept) of the signal on a fixed sample that is never written."""
        rows = self._draw(_CALIBRATION, 0, _CALIBRATION_ROWS)
        signal = self._plant.signal(rows.integers, rows.codes)
        mean, std = float(signal.mean()), float(signal.std())
        centred = _SPREAD * (signal - mean) / std
        low, high = -20.0, 20.0
        for _ in range(60):  # bisection down to the last bit: the rate grows with the intercept
            middle = 0.5 * (low + high)
            rate = float((1.0 / (1.0 + np.exp(-(centred + middle)))).mean())
            low, high = (middle, high) if rate < _BASE_RATE else (low, middle)
        return mean, std, low

    def _logit_of(self, signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        mean, std, intercept = self._calibration
        return intercept + _SPREAD * (signal - mean) / std

    def _draw(self, domain: int, index: int, count: int) -> _Rows:
        label, *streams = uniforms(
            stream_key(self.seed, domain), _UNIFORMS, index, count, 1 + len(INTEGERS) + 26
        )
        z = normals(stream_key(self.seed, domain), _NORMALS, index, count * len(INTEGERS))
        integers = []
        for j, (mean, deviation, lowest, null_share) in enumerate(INTEGERS):
            log = mean + deviation * z[j * count : (j + 1) * count]
            # |z| < 3.47 keeps every value within int32.
            values = np.floor(np.exp(log)).astype(np.int64) + lowest
            null = streams[j] < null_share
            integers.append((np.where(null, 0, values), null))
        codes = []
        for c, cardinality in enumerate(self._sizes):
            share = _NULL_SHARES.get(c + 1, 0.0)
            u = streams[len(INTEGERS) + c]
            null = u < share
            u = np.maximum(u - share, 0.0) / (1.0 - share)
            scale = math.log1p(cardinality / _POPULARITY_SHIFT)
            rank = (_POPULARITY_SHIFT * np.expm1(u * scale)).astype(np.int64)
            key = stream_key(self.seed, _CODE_KEY, c) & 0xFFFFFFFF
            code = mixed_codes(np.minimum(rank, cardinality - 1), key).astype(np.int64)
            codes.append(np.where(null, -1, code))
        return _Rows(label, integers, codes)


def _parsed(column: pl.Series) -> npt.NDArray[np.int64]:
    """Hex strings to 32-bit numbers as int64 [n], -1 where null."""
    if column.dtype == pl.Null:
        return np.full(len(column), -1, dtype=np.int64)
    if column.dtype != pl.String:
        raise DataError(f"column {column.name!r} has dtype {column.dtype}; expected hex strings")
    bad = column.filter(~column.str.contains("^[0-9a-f]{8}$"))
    if len(bad):
        raise DataError(
            f"column {column.name!r} holds {bad[0]!r}; expected 8 lower-case hex digits"
        )
    return column.str.to_integer(base=16, dtype=pl.Int64).fill_null(-1).to_numpy()
