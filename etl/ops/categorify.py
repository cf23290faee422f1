"""Categorify: values to contiguous ids."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import polars as pl

from emberline.errors import ArtifactCorruptError, DataError, nearest
from emberline.etl.dtypes import integer_range, parse_dtype
from emberline.etl.embedding_sizes import embedding_dimension
from emberline.etl.errors import ColumnTypeError, NotFittedError, UnsupportedError
from emberline.etl.frames import as_series
from emberline.etl.keys import canonical_key, shared_key_dtype
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.stat_operator import StatOperator
from emberline.etl.tags import Tags
from emberline.etl.vocabulary import FIRST, Vocabulary

__all__ = ["Categorify"]


@register_operator
class Categorify(StatOperator):
    """Encode values as contiguous ids, the most frequent first.

    Ids: 0 padding (never produced), 1 null, 2 out of vocabulary or infrequent, 3 and up the
    categories by descending count, ties by ascending value. NaN is null, -0.0 is 0.0. The leaves
    of list columns are encoded; a null inside a list becomes 1, a null list an empty list.
    A nested list of columns, `[["a", "b"]] >> Categorify()`, shares one vocabulary called `a_b`;
    scalars and lists may share.

    Semantics of NVTabular 23.08, except that a null inside a list gets 1 (there: 2), and that a
    null list, an all-null column and an empty partition are no errors.
    """

    def __init__(
        self,
        freq_threshold: int | Mapping[str, int] = 0,
        *,
        encode_type: Literal["joint"] = "joint",
        dtype: str | None = None,
        name_sep: str = "_",
        num_buckets: None = None,
        vocabs: Mapping[str, Any] | None = None,
        max_size: int | Mapping[str, int] = 0,
    ) -> None:
        """Remember the settings.

        Args:
            freq_threshold: categories seen fewer times get id 2; a number, or one for each column
                (or joint name).
            encode_type: "joint"; combinations of columns are not offered.
            dtype: integer dtype of the ids, int64 by default.
            name_sep: joins the names of a group.
            num_buckets: None; buckets for unknown values are not offered.
            vocabs: column (or joint name) -> categories in the order of their ids: a sequence, a
                Series, or the path of a parquet file whose first column holds them. Nulls are
                dropped.
            max_size: at most this many ids, 0 and 1 and 2 included; 0 is no limit.

        Raises:
            DataError: arguments out of range, or `freq_threshold` with `max_size`.
            UnsupportedError: an argument of NVTabular that is not offered; says so.
        """
        if encode_type != "joint":
            raise UnsupportedError(
                f"encode_type={encode_type!r} is not offered; only 'joint' is. To encode "
                "combinations, make the combined column first, for example with ops.Sql"
            )
        if num_buckets is not None:
            raise UnsupportedError(
                f"num_buckets={num_buckets!r} is not offered: unknown and infrequent values share "
                "id 2; leave num_buckets out"
            )
        self.freq_threshold = freq_threshold
        self.encode_type = encode_type
        self.dtype = "int64" if dtype is None else _name_of(dtype)
        self.name_sep = name_sep
        self.num_buckets = num_buckets
        self.vocabs = dict(vocabs or {})
        self.max_size = max_size
        if not parse_dtype(self.dtype, column="ids").is_integer():
            raise DataError(f"dtype of ids must be an integer dtype, got {dtype!r}")
        for name, value, least in (
            ("freq_threshold", freq_threshold, 0),
            ("max_size", max_size, FIRST),
        ):
            for item in value.values() if isinstance(value, Mapping) else [value]:
                if isinstance(item, bool) or not isinstance(item, int) or 0 != item < least:
                    raise DataError(
                        f"{name} must be 0 or an integer of at least {least}, got {item!r}"
                        + (": ids 0, 1 and 2 are always there" if name == "max_size" else "")
                    )
        if freq_threshold and max_size:
            raise DataError("freq_threshold and max_size cannot be used together; choose one")
        self._fitted: dict[str, Vocabulary] | None = None
        self._storage: dict[str, str] = {}

    @property
    def fitted(self) -> bool:
        """Whether the vocabularies are there."""
        return self._fitted is not None

    @property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """The vocabularies by name.

        Raises:
            NotFittedError: before the fit.
        """
        if self._fitted is None:
            raise NotFittedError("Categorify has not been fitted; call Workflow.fit first")
        return dict(self._fitted)

    def check(self, selection: Selection) -> None:
        """Refuse dtypes that are no keys, and settings for columns that are not here."""
        known = {*selection.names, *self._groups(selection)}
        for argument in ("freq_threshold", "max_size", "vocabs"):
            value = getattr(self, argument)
            for name in value if isinstance(value, Mapping) else ():
                # After a fit, columns may have been removed; the settings then stay as they were.
                if name not in known and not self.fitted:
                    raise DataError(
                        f"Categorify: {argument} names {name!r}, which is not encoded"
                        f"{nearest(name, known)}"
                    )
        if not self.fitted:
            for name, columns in self._groups(selection).items():
                self._key_dtype(name, columns, selection)

    def _groups(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give vocabulary name -> columns."""
        out: dict[str, tuple[str, ...]] = {}
        grouped = {column for group in selection.groups for column in group}
        for group in selection.groups:
            out[self.name_sep.join(group)] = group
        for column in selection.names:
            if column not in grouped:
                if column in out:
                    raise DataError(
                        f"Categorify: the joint name of a group is {column!r}, which is also a "
                        "column; choose another name_sep"
                    )
                out[column] = (column,)
        return out

    def _key_dtype(self, name: str, columns: Sequence[str], selection: Selection) -> pl.DataType:
        """Give the dtype of the keys that the columns share."""
        found: pl.DataType = pl.Null()
        owner = ""
        for column in columns:
            leaf = parse_dtype(selection.schema[column].dtype, column=column)
            both = shared_key_dtype(found, leaf)
            if both is None:
                raise ColumnTypeError(
                    f"Categorify: columns {owner!r} ({found}) and {column!r} ({leaf}) are encoded "
                    f"jointly as {name!r} and need one dtype; cast one of them before"
                )
            if both != found:
                found, owner = both, column
        return found

    def _setting(self, value: int | Mapping[str, int], name: str, columns: Sequence[str]) -> int:
        """Give a number for a vocabulary: under its own name, or else under a column's."""
        if not isinstance(value, Mapping):
            return value
        given = {value[key] for key in ([name] if name in value else columns) if key in value}
        if len(given) > 1:
            raise DataError(
                f"Categorify: the columns of {name!r} have different settings "
                f"{sorted(given)}; give one for {name!r}"
            )
        return next(iter(given), 0)

    def partial(self, frame: pl.LazyFrame, selection: Selection) -> dict[str, pl.LazyFrame]:
        """Count the values of every vocabulary: `value`, `count` (int64)."""
        plans: dict[str, pl.LazyFrame] = {}
        for name, columns in self._groups(selection).items():
            if self._given(name, columns) is not None:
                continue
            dtype = self._key_dtype(name, columns, selection)
            counts = []
            for column in columns:
                values = frame.select(pl.col(column).alias("value"))
                if selection.schema[column].is_list:
                    # An empty list has no value; without the filter it would count as a null.
                    values = _as_list(values, selection.schema[column])
                    values = values.filter(pl.col("value").list.len() > 0)
                    values = values.explode("value", empty_as_null=True, keep_nulls=True)
                keys = values.select(canonical_key(pl.col("value"), dtype).alias("value"))
                counts.append(keys.group_by("value").agg(pl.len().cast(pl.Int64).alias("count")))
            plans[name] = counts[0] if len(counts) == 1 else _summed(pl.concat(counts))
        return plans

    def merge(self, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Add the counts of several parts."""
        return _summed(pl.concat(frame.lazy() for frame in frames)).collect()

    def finalize(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        """Choose and order the categories of every vocabulary.

        Raises:
            DataError: more ids than `dtype` can hold, or a vocabulary given twice or with
                repeated values.
        """
        fitted: dict[str, Vocabulary] = {}
        storage: dict[str, str] = {}
        for name, columns in self._groups(selection).items():
            given = self._given(name, columns)
            if given is not None:
                fitted[name] = self._from_given(name, given, columns, selection)
            else:
                fitted[name] = Vocabulary.learn(
                    name,
                    statistics[name],
                    threshold=self._setting(self.freq_threshold, name, columns),
                    limit=self._setting(self.max_size, name, columns),
                )
            storage |= dict.fromkeys(columns, name)
            if fitted[name].cardinality - 1 > integer_range(self.dtype)[1]:
                raise DataError(
                    f"Categorify: {name!r} has {fitted[name].cardinality} ids, more than "
                    f"{self.dtype} can hold; choose a wider dtype or set max_size"
                )
        self._fitted, self._storage = fitted, storage

    def _given(self, name: str, columns: Sequence[str]) -> Any:
        found = [self.vocabs[key] for key in dict.fromkeys([name, *columns]) if key in self.vocabs]
        if len(found) > 1:
            raise DataError(f"Categorify: several vocabs are given for {name!r}; give one")
        return found[0] if found else None

    def _from_given(
        self, name: str, given: Any, columns: Sequence[str], selection: Selection
    ) -> Vocabulary:
        if isinstance(given, (str, Path)):
            if not Path(given).is_file():
                raise DataError(f"Categorify: vocabs[{name!r}]: no file {given}")
            series = pl.read_parquet(given).to_series(0)
        else:
            series = as_series(given)
        dtype = self._key_dtype(name, columns, selection)
        shared = shared_key_dtype(dtype, series.dtype)
        if shared is None:
            raise ColumnTypeError(
                f"Categorify: vocabs[{name!r}] holds {series.dtype}, the column {dtype}; convert one"
            )
        keys = (
            series.to_frame("value")
            .select(canonical_key(pl.col("value"), shared).alias("value"))
            .to_series()
        )
        keys = keys.drop_nulls()
        if keys.n_unique() != len(keys):
            twice = keys.filter(keys.is_duplicated())[0]
            raise DataError(f"Categorify: vocabs[{name!r}] holds {twice!r} more than once")
        return Vocabulary(name=name, values=keys)

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Replace every column by its ids."""
        dtype = parse_dtype(self.dtype, column="ids")
        for column in selection.schema:
            vocabulary = self.vocabularies[self._storage[column.name]]
            if column.is_list:
                frame = _as_list(frame, column, name=column.name)
            frame = vocabulary.encode(frame, column.name, is_list=column.is_list, dtype=dtype)
        return frame

    def output_dtypes(self, selection: Selection) -> dict[str, pl.DataType]:
        """Ids, known before the fit."""
        dtype = parse_dtype(self.dtype, column="ids")
        return {c.name: pl.List(dtype) if c.is_list else dtype for c in selection.schema}

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Tag the column categorical; after the fit also its domain and embedding sizes."""
        groups = self._groups(selection)
        name, columns = next((n, c) for n, c in groups.items() if column.name in c)
        properties: dict[str, Any] = {
            "num_buckets": None,
            "freq_threshold": self._setting(self.freq_threshold, name, columns),
            "max_size": self._setting(self.max_size, name, columns),
        }
        if column.is_list:
            properties["value_count"] = {"min": 0, "max": None}
        if self._fitted is not None:
            name = self._storage[column.name]
            size = self._fitted[name].cardinality
            properties["domain"] = {"min": 0, "max": size - 1, "name": name}
            properties["embedding_sizes"] = {
                "cardinality": size,
                "dimension": embedding_dimension(size),
            }
        return column.with_tags([Tags.CATEGORICAL]).with_properties(properties)

    def arguments(self, selection: Selection) -> dict[str, Any]:
        """Give the settings and which column uses which vocabulary."""
        return {
            "freq_threshold": self.freq_threshold,
            "dtype": self.dtype,
            "name_sep": self.name_sep,
            "max_size": self.max_size,
            "storage": {name: self._storage[name] for name in selection.names},
        }

    def artifacts(self) -> dict[str, pl.DataFrame]:
        """Give the tables of every vocabulary."""
        tables: dict[str, pl.DataFrame] = {}
        for vocabulary in self.vocabularies.values():
            tables |= vocabulary.artifacts()
        return tables

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], artifacts: Mapping[str, pl.DataFrame]) -> Self:
        """Rebuild the fitted operator."""
        settings = dict(arguments)
        storage = settings.pop("storage", None)
        if not isinstance(storage, dict) or not all(isinstance(v, str) for v in storage.values()):
            raise ArtifactCorruptError("Categorify: 'storage' must map columns to vocabularies")
        operator = super().restore(settings, artifacts)
        operator._storage = dict(storage)
        operator._fitted = {
            name: Vocabulary.restore(name, dict(artifacts))
            for name in dict.fromkeys(storage.values())
        }
        return operator


def _name_of(dtype: Any) -> str:
    """Give the name of a dtype given as text, NumPy dtype or Polars dtype."""
    if isinstance(dtype, str):
        return dtype
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    return str(name).lower()


def _as_list(frame: pl.LazyFrame, column: ColumnSchema, *, name: str = "value") -> pl.LazyFrame:
    """Give fixed-length lists as lists; lists stay as they are."""
    if column.is_ragged:
        return frame
    return frame.with_columns(pl.col(name).cast(pl.List(parse_dtype(column.dtype, column=name))))


def _summed(counts: pl.LazyFrame) -> pl.LazyFrame:
    return counts.group_by("value").agg(pl.col("count").sum())
