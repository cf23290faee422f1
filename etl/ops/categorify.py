"""Categorify: values to contiguous ids."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import polars as pl

from emberline.errors import ArtifactCorruptError, DataError, nearest
from emberline.etl.dtypes import integer_range, parse_dtype
from emberline.etl.embedding_sizes import embedding_dimension
from emberline.etl.encoding import EncodeType, Encoding, encodings_of
from emberline.etl.errors import ColumnNotFoundError, NotFittedError, UnsupportedError
from emberline.etl.execution import in_threads
from emberline.etl.given_categories import given_by_name, given_keys
from emberline.etl.key_counts import as_list, count_keys, merge_counts
from emberline.etl.native_keys import count
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.stat_operator import WEIGHT, StatOperator
from emberline.etl.tags import Tags
from emberline.etl.vocabulary import OOV, Vocabulary, key_columns
from emberline.etl.vocabulary_files import (
    restore_vocabulary,
    vocabulary_tables,
    write_category_files,
)
from emberline.etl.vocabulary_settings import Setting, check_room, check_setting, setting_for

__all__ = ["Categorify"]


@register_operator
class Categorify(StatOperator):
    """Encode values as contiguous ids, the most frequent first.

    Ids: 0 padding (never produced), 1 null, 2 out of vocabulary or infrequent (with B buckets: 2
    to B + 1, by a stable hash), then the categories by descending count, ties by ascending value.
    NaN is null, -0.0 is 0.0. The leaves of list columns are encoded; a null inside a list becomes
    1, a null list an empty list. `Workflow.fit(new, update=True)` appends new categories, and those
    that reach the threshold later, behind the old ones.

    A nested list of columns, `[["a", "b"]] >> Categorify()`, shares one vocabulary called `a_b`;
    scalars and lists may share. With `encode_type="combo"` it makes one new column `a_b` instead,
    with an id for each combination; one with some nulls is a category, one of nulls is null.

    >>> import polars as pl
    >>> from emberline.etl import Workflow, ops
    >>> frame = pl.DataFrame({"a": ["x", "y", "x", None], "b": [1, 1, 1, 2]})
    >>> both = [["a", "b"], "a"] >> ops.Categorify(encode_type="combo")
    >>> Workflow(both).fit_transform(frame).to_dict(as_series=False)
    {'a': [3, 4, 3, 1], 'a_b': [3, 5, 3, 4]}

    Semantics of NVTabular 23.08; `docs/nvtabular.md` lists what differs and why.
    """

    elementwise = True

    def __init__(
        self,
        freq_threshold: Setting = 0,
        out_path: str | os.PathLike[str] | None = None,
        cat_cache: Any = "host",
        dtype: Any = None,
        on_host: bool = True,
        encode_type: EncodeType = "joint",
        name_sep: str = "_",
        search_sorted: bool = False,
        num_buckets: Setting | None = None,
        vocabs: Any = None,
        max_size: Setting = 0,
        single_table: bool = False,
        cardinality_memory_limit: int | str | None = None,
        tree_width: Any = None,
        split_out: Any = 1,
        split_every: Any = 8,
        *,
        grow: bool = False,
        start_index: None = None,
        na_sentinel: None = None,
    ) -> None:
        """Remember the settings.

        Args:
            freq_threshold: categories seen fewer times are out of vocabulary; a number, or one for
                each column (or joint name).
            out_path: also write `categories/unique.<name>.parquet` and `meta.<name>.parquet` there
                at the fit, as NVTabular does. By default nothing is written.
            cat_cache: without effect; the plan decides what stays in memory.
            dtype: integer dtype of the ids, int64 by default.
            on_host: without effect, like `cat_cache`.
            encode_type: "joint" or "combo": what a nested list of columns means.
            name_sep: joins the names of a group.
            search_sorted: without effect: ids are looked up by hash.
            num_buckets: buckets for values out of vocabulary, at least 1; a number, or one for each
                column (or joint name).
            vocabs: column (or joint name) -> categories in the order of their ids: a sequence, a
                Series, a frame, or the path of a parquet file; or a frame with a column for each.
                Nulls are dropped.
            max_size: at most this many ids, the first 2 + B included; 0 is no limit.
            single_table: ids of different vocabularies do not meet, so that one embedding table
                serves all: padding, null and unknown are shared, the categories of one column
                follow those of the last.
            cardinality_memory_limit: without effect; counts are merged part by part.
            tree_width: without effect, like the next two: how NVTabular merges counts.
            split_out: without effect.
            split_every: without effect.
            grow: values that `vocabs` lacks are appended at the fit, as if `vocabs` were the
                categories of an earlier fit; `freq_threshold` and `max_size` hold for them. False
                leaves them out of vocabulary.
            start_index: removed from NVTabular in 23.06; refused.
            na_sentinel: removed from NVTabular in 23.06; refused.

        Raises:
            DataError: arguments out of range, or that exclude each other.
        """
        if start_index is not None or na_sentinel is not None:
            raise DataError(
                "start_index and na_sentinel are gone since NVTabular 23.06: ids 0 and 1 are "
                "padding and null, out of vocabulary begins at 2; leave them out"
            )
        if encode_type not in ("joint", "combo"):
            raise DataError(f"encode_type must be 'joint' or 'combo', got {encode_type!r}")
        self.freq_threshold = freq_threshold
        self.out_path = out_path
        self.cat_cache = cat_cache
        self.dtype = "int64" if dtype is None else _name_of(dtype)
        self.on_host = on_host
        self.encode_type = encode_type
        self.name_sep = name_sep
        self.search_sorted = search_sorted
        self.num_buckets = num_buckets
        self.vocabs = given_by_name(vocabs, name_sep)
        self.max_size = max_size
        self.single_table = bool(single_table)
        self.cardinality_memory_limit = cardinality_memory_limit
        self.tree_width = tree_width
        self.split_out = split_out
        self.split_every = split_every
        self.grow = bool(grow)
        self.start_index = start_index
        self.na_sentinel = na_sentinel
        if not parse_dtype(self.dtype, column="ids").is_integer():
            raise DataError(f"dtype of ids must be an integer dtype, got {dtype!r}")
        check_setting("freq_threshold", freq_threshold, least=0)
        check_setting("max_size", max_size, least=OOV + 1)
        if num_buckets is not None:
            check_setting("num_buckets", num_buckets, least=1, zero=False)
        if freq_threshold and max_size:
            raise DataError("freq_threshold and max_size cannot be used together; choose one")
        if isinstance(max_size, int) and isinstance(num_buckets, int):
            check_room(max_size, num_buckets, "every column")
        self._fitted: dict[str, Vocabulary] | None = None
        self._encodings: tuple[Encoding, ...] = ()

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

    def encodings(self, selection: Selection) -> list[Encoding]:
        """Give the vocabularies with their columns; after the fit, those whose columns remain."""
        if self._fitted is None:
            return encodings_of(selection, self.encode_type, self.name_sep)
        left: list[Encoding] = []
        for encoding in self._encodings:
            columns = tuple(name for name in encoding.columns if name in selection.schema)
            if columns == encoding.columns or (columns and not encoding.combo):
                left.append(replace(encoding, columns=columns))
        return left

    def _outputs(self, selection: Selection) -> dict[str, Encoding]:
        """Give output column -> its encoding: columns in the order selected, then combinations."""
        encodings = self.encodings(selection)
        owner = {column: e for e in encodings if not e.combo for column in e.columns}
        out = {name: owner[name] for name in selection.names if name in owner}
        return out | {e.name: e for e in encodings if e.combo}

    def check(self, selection: Selection) -> None:
        """Refuse dtypes that are no keys, and settings for columns that are not here."""
        if self.fitted:
            # Columns may have been removed since; settings for them then stay as they were.
            known = [column for encoding in self._encodings for column in encoding.columns]
            for name in selection.names:
                if name not in known:
                    raise ColumnNotFoundError(
                        f"Categorify was not fitted with column {name!r}{nearest(name, known)}; "
                        "fit the workflow again"
                    )
            return
        encodings = self.encodings(selection)
        names = {*selection.names, *(encoding.name for encoding in encodings)}
        for argument in ("freq_threshold", "max_size", "num_buckets", "vocabs"):
            value = getattr(self, argument)
            for name in value if isinstance(value, Mapping) else ():
                if name not in names:
                    raise DataError(
                        f"Categorify: {argument} names {name!r}, which is not encoded"
                        f"{nearest(name, names)}"
                    )
        for encoding in encodings:
            encoding.key_dtypes(selection)
            limit = setting_for(self.max_size, encoding)
            check_room(limit, self._buckets(encoding), repr(encoding.name))

    def _buckets(self, encoding: Encoding) -> int:
        return setting_for(self.num_buckets or 0, encoding) or 1

    def column_mapping(self, selection: Selection) -> dict[str, tuple[str, ...]]:
        """Give the columns, then the combinations with the columns that each needs."""
        outputs = self._outputs(selection).items()
        return {name: e.columns if e.combo else (name,) for name, e in outputs}

    def partial(self, frame: pl.LazyFrame, selection: Selection) -> dict[str, pl.LazyFrame]:
        """Give the keys of every vocabulary, `value0`, ..., or their counts, with `count`."""
        return self._counts(frame, selection, pl.len())

    def weighted_partial(
        self, frame: pl.LazyFrame, selection: Selection
    ) -> dict[str, pl.LazyFrame]:
        """Count the keys by the weights of the rows."""
        return self._counts(frame, selection, pl.col(WEIGHT).sum())

    def _counts(
        self, frame: pl.LazyFrame, selection: Selection, number: pl.Expr
    ) -> dict[str, pl.LazyFrame]:
        return {
            encoding.name: count_keys(frame, encoding, selection, number)
            for encoding in self.encodings(selection)
            if self.grow or self._given(encoding) is None
        }

    def condense(self, name: str, frame: pl.DataFrame) -> pl.DataFrame:
        """Count the keys: `value0`, ... and `count` (int64)."""
        return frame if "count" in frame.columns else count(frame)

    def keys(self, name: str, selection: Selection) -> Sequence[str]:
        """Give the columns of the keys that are counted."""
        found = next(e for e in self.encodings(selection) if e.name == name)
        return key_columns(len(found.labels))

    def merge(self, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Add the counts of several parts."""
        if len(frames) == 1:  # each key is there once already
            return frames[0]
        return merge_counts(frames)

    def finalize(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        """Choose and order the categories of every vocabulary.

        Raises:
            DataError: more ids than `dtype` can hold, or a vocabulary given twice or with
                repeated values.
        """
        self._learn(statistics, selection, {})

    def update(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        """Append categories that are new, or that have reached the threshold; ids stay.

        Raises:
            DataError: more ids than `dtype` can hold.
            UnsupportedError: with `single_table`, where the ids of other columns would move.
        """
        if self.single_table:
            raise UnsupportedError(
                "Categorify(single_table=True) cannot be updated: the ids of later columns would "
                "move. Fit it on all data, or encode without single_table"
            )
        self._learn(statistics, selection, self.vocabularies)

    def _learn(
        self,
        statistics: Mapping[str, pl.DataFrame],
        selection: Selection,
        before: Mapping[str, Vocabulary],
    ) -> None:
        encodings = self.encodings(selection)
        learned = in_threads(
            lambda encoding: self._vocabulary(
                encoding, statistics.get(encoding.name), selection, before.get(encoding.name)
            ),
            encodings,
        )
        fitted = {vocabulary.name: vocabulary for vocabulary in learned}
        if self.single_table:
            fitted = _in_a_row(fitted)
        for name, vocabulary in fitted.items():
            if vocabulary.end - 1 > integer_range(self.dtype)[1]:
                raise DataError(
                    f"Categorify: {name!r} has {vocabulary.end} ids, more than "
                    f"{self.dtype} can hold; choose a wider dtype or set max_size"
                )
        self._fitted, self._encodings = fitted, tuple(encodings)
        if self.out_path is not None:
            write_category_files(self.out_path, fitted.values())

    def _vocabulary(
        self,
        encoding: Encoding,
        counted: pl.DataFrame | None,
        selection: Selection,
        old: Vocabulary | None,
    ) -> Vocabulary:
        name, given = encoding.name, self._given(encoding)
        known = None if old is None else old.keys
        if given is not None and old is None:
            known = given_keys(given, encoding, selection)
        count = old.given if old is not None else 0 if known is None else known.height
        if given is not None and not self.grow:
            assert known is not None, "given categories are known"
            return old or Vocabulary(
                name=name,
                labels=encoding.labels,
                keys=known,
                first=OOV + self._buckets(encoding),
                buckets=self._buckets(encoding),
                given=count,
            )
        assert counted is not None, "its keys were counted"
        return Vocabulary.learn(
            name,
            encoding.labels,
            counted,
            threshold=setting_for(self.freq_threshold, encoding),
            limit=setting_for(self.max_size, encoding),
            buckets=self._buckets(encoding),
            known=known,
            given=count,
        )

    def _given(self, encoding: Encoding) -> Any:
        names = [encoding.name, *(() if encoding.combo else encoding.columns)]
        found = [self.vocabs[key] for key in dict.fromkeys(names) if key in self.vocabs]
        if len(found) > 1:
            raise DataError(f"Categorify: several vocabs are given for {encoding.name!r}; give one")
        return found[0] if found else None

    def _keep(self, statistics: Mapping[str, pl.DataFrame]) -> None:
        """Keep nothing: the vocabularies hold the counts already."""

    def statistics(self) -> Mapping[str, pl.DataFrame]:
        """Give the counts of every vocabulary that is learned.

        Raises:
            NotFittedError: before the fit.
            DataError: loaded from a workflow that did not keep the counts of what was cut.
        """
        out: dict[str, pl.DataFrame] = {}
        for name, vocabulary in self.vocabularies.items():
            if vocabulary.counts is None:  # given, and not to grow
                continue
            counted = vocabulary.counted()
            if counted is None:
                raise DataError(
                    f"Categorify: the counts of what was cut from {name!r} were not saved with the "
                    "workflow, so it cannot be updated; fit it on all data, without update"
                )
            out[name] = counted
        return out

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Replace every column by its ids, and add the combinations."""
        dtype = parse_dtype(self.dtype, column="ids")
        outputs = self._outputs(selection)
        # Combinations first: they need their columns as they came.
        for name, encoding in sorted(outputs.items(), key=lambda item: not item[1].combo):
            vocabulary = self.vocabularies[encoding.name]
            if encoding.combo:
                frame = vocabulary.encode(frame, encoding.columns, name, dtype=dtype)
            elif selection.schema[name].is_list:
                frame = as_list(frame, selection.schema[name])
                frame = vocabulary.encode_lists(frame, name, dtype=dtype)
            else:
                frame = vocabulary.encode(frame, [name], name, dtype=dtype)
        return frame

    def output_dtypes(self, selection: Selection) -> dict[str, pl.DataType]:
        """Ids, known before the fit."""
        dtype = parse_dtype(self.dtype, column="ids")
        return {
            name: pl.List(dtype) if not e.combo and selection.schema[name].is_list else dtype
            for name, e in self._outputs(selection).items()
        }

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Tag the column categorical; after the fit also its domain and embedding sizes."""
        encoding = self._outputs(selection)[column.name]
        properties: dict[str, Any] = {
            "num_buckets": setting_for(self.num_buckets or 0, encoding) or None,
            "freq_threshold": setting_for(self.freq_threshold, encoding),
            "max_size": setting_for(self.max_size, encoding),
        }
        if column.is_list:
            properties["value_count"] = {"min": 0, "max": None}
        if self._fitted is not None:
            name, size = encoding.name, self._fitted[encoding.name].end
            if self.single_table:
                name = self.name_sep.join(self._fitted)
                size = max(vocabulary.end for vocabulary in self._fitted.values())
            properties["domain"] = {"min": 0, "max": size - 1, "name": name}
            properties["embedding_sizes"] = {
                "cardinality": size,
                "dimension": embedding_dimension(size),
            }
        return column.with_tags([Tags.CATEGORICAL]).with_properties(properties)

    def arguments(self, selection: Selection) -> dict[str, Any]:
        """Give the settings and which column uses which vocabulary."""
        names = ("freq_threshold", "dtype", "encode_type", "name_sep", "num_buckets", "max_size")
        encodings = self.encodings(selection)
        given = {name: v.given for name, v in self.vocabularies.items() if v.given}
        return {name: getattr(self, name) for name in (*names, "single_table", "grow")} | {
            "storage": {column: e.name for e in encodings if not e.combo for column in e.columns},
            "combos": {e.name: list(e.columns) for e in encodings if e.combo},
            "given": given,
        }

    def artifacts(self) -> dict[str, pl.DataFrame]:
        """Give the tables of every vocabulary."""
        tables: dict[str, pl.DataFrame] = {}
        for vocabulary in self.vocabularies.values():
            tables |= vocabulary_tables(vocabulary)
        return tables

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], artifacts: Mapping[str, pl.DataFrame]) -> Self:
        """Rebuild the fitted operator."""
        settings = dict(arguments)
        storage, combos = settings.pop("storage", None), settings.pop("combos", {})
        given = settings.pop("given", {})
        if not isinstance(storage, dict) or not all(isinstance(v, str) for v in storage.values()):
            raise ArtifactCorruptError("Categorify: 'storage' must map columns to vocabularies")
        if not isinstance(combos, dict) or not isinstance(given, dict):
            raise ArtifactCorruptError("Categorify: 'combos' and 'given' must be objects")
        grow = settings.pop("grow", False)
        operator = super().restore(settings, artifacts)
        encodings = [
            Encoding(name=name, columns=tuple(c for c in storage if storage[c] == name))
            for name in dict.fromkeys(storage.values())
        ]
        encodings += [
            Encoding(name=n, columns=tuple(map(str, c)), combo=True) for n, c in combos.items()
        ]
        operator._encodings = tuple(encodings)
        operator._fitted = {
            e.name: restore_vocabulary(e.name, e.labels, artifacts, given=int(given.get(e.name, 0)))
            for e in encodings
        }
        # So that a new fit begins with what was given, as it did before the save.
        operator.grow = bool(grow)
        operator.vocabs = {
            name: v.keys.head(v.given)
            for name, v in operator._fitted.items()
            if v.given or v.counts is None
        }
        return operator


def _in_a_row(fitted: Mapping[str, Vocabulary]) -> dict[str, Vocabulary]:
    """Number the categories of all vocabularies without overlap, behind the widest buckets."""
    first = max((OOV + vocabulary.buckets for vocabulary in fitted.values()), default=0)
    out: dict[str, Vocabulary] = {}
    for name, vocabulary in fitted.items():
        out[name] = replace(vocabulary, first=first)
        first = out[name].end
    return out


def _name_of(dtype: Any) -> str:
    """Give the name of a dtype given as text, NumPy dtype or Polars dtype."""
    if isinstance(dtype, str):
        return dtype
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    return str(name).lower()
