"""Many features on many tables, looked up and updated in one call."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emberline.errors import nearest
from emberline.kernels import _cpu
from emberline.kernels.arrays import (
    float_matrix,
    float_vector,
    integer_vector,
    key_vector,
    output_matrix,
)
from emberline.kernels.errors import ArrayShapeError, ConfigError, DeviceError
from emberline.kernels.gpu.device_group import DeviceGroup
from emberline.kernels.gpu.host_table import HostTable
from emberline.kernels.table import HashTable
from emberline.kernels.table_feature import COMBINERS, TableFeature
from emberline.kernels.table_settings import require_integer

__all__ = ["TableGroup"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Offsets = Sequence[ArrayLike | None]
Weights = Sequence[Floats | None]


class TableGroup:
    """The tables of a model, with the features that read them.

    `forward` gives the vectors of all features side by side, `backward` updates all tables; both
    give the bits that the tables' own methods give, one feature after the other. A feature has
    one key for each sample, or as many as its offsets say. Features of one table are one batch
    to it: their keys are deduplicated, and their gradients summed, together.

    A call is one step: it holds all tables, and either works on all or raises before it changed
    one. Tables of the CPU are worked on side by side; no result depends on the number of threads.

    Args:
        tables: all on the CPU, or all on one GPU; each with a name of its own.
        features: at least one; their order is that of the columns.
        defaults: table name -> float32 [dim], what a key without a row gives: one that admission
            refuses, or that is absent where `forward` does not insert. It is a constant: no
            gradient reaches it. Zeros for a table that is not named. Copied.

    Raises:
        ConfigError: no feature, two tables or features of one name, an unknown table.
        DeviceError: tables on different devices.
        ArrayShapeError: a default vector that does not have its table's dim.

    >>> from emberline.kernels import Constant, HashTable, TableFeature, TableGroup
    >>> item = HashTable(2, initializer=Constant(value=1.0), name="item")
    >>> user = HashTable(1, initializer=Constant(value=5.0), name="user")
    >>> features = [TableFeature(name="seen", table="item"), TableFeature(name="user", table="user")]
    >>> group = TableGroup([item, user], features)
    >>> vectors, rows = group.forward([[7, 8, 7], [1, 2]], [[0, 2, 3], None], insert=True)
    >>> vectors
    array([[2., 2., 5.],
           [1., 1., 5.]], dtype=float32)

    Weights of single keys, and a cut after the first two keys of a sample:

    >>> feature = TableFeature(name="seen", table="item", combiner="mean", max_length=2)
    >>> group = TableGroup([item], [feature], defaults={"item": np.array([9, 9], np.float32)})
    >>> weights = np.array([3, 1, 1], np.float32)
    >>> group.forward([[7, 30, 40]], [[0, 3]], weights=[weights], insert=False)
    (array([[3., 3.]], dtype=float32), array([ 0, -1, -1]))
    """

    def __init__(
        self,
        tables: Sequence[HashTable],
        features: Sequence[TableFeature],
        *,
        defaults: Mapping[str, Floats] | None = None,
    ) -> None:
        self._tables = tuple(tables)
        self._features = tuple(features)
        numbers = {table.name: number for number, table in enumerate(self._tables)}
        if len(numbers) < len(self._tables):
            raise ConfigError(f"tables of a group need different names, got {list(numbers)}")
        if not self._features:
            raise ConfigError("a TableGroup needs at least one feature")
        columns, width = {}, 0
        for feature in self._features:
            if feature.name in columns:
                raise ConfigError(f"feature {feature.name!r} is given twice")
            if feature.table not in numbers:
                raise ConfigError(
                    f"feature {feature.name!r}: the group has no table {feature.table!r}"
                    f"{nearest(feature.table, numbers)}"
                )
            dim = self._tables[numbers[feature.table]].dim
            columns[feature.name] = slice(width, width + dim)
            width += dim
        self._columns, self._width = columns, width
        vectors: list[Floats | None] = [None] * len(self._tables)
        for name, vector in (defaults or {}).items():
            if name not in numbers:
                raise ConfigError(
                    f"defaults: the group has no table {name!r}{nearest(name, numbers)}"
                )
            dim = self._tables[numbers[name]].dim
            vectors[numbers[name]] = float_vector(vector, f"defaults[{name!r}]", length=dim)
        limits = [None if f.max_length is None else int(f.max_length) for f in self._features]
        self._group = self._make_group(
            [
                (f.name, numbers[f.table], COMBINERS[f.combiner], limit)
                for f, limit in zip(self._features, limits, strict=True)
            ],
            vectors,
        )

    def _make_group(
        self, features: list[tuple[str, int, int, int | None]], defaults: list[Floats | None]
    ) -> _cpu.Group | DeviceGroup:
        native = [table.native for table in self._tables]
        on_host = [each for each in native if isinstance(each, _cpu.Table)]
        if len(on_host) == len(native):
            return _cpu.Group(on_host, features, defaults)
        for table in self._tables:
            if table.device != self._tables[0].device:
                raise DeviceError(
                    f"tables of a group must be on one device: {self._tables[0].name!r} is on "
                    f"{self._tables[0].device!r}, {table.name!r} on {table.device!r}"
                )
        on_device = [each for each in native if isinstance(each, HostTable)]
        return DeviceGroup(on_device, features, defaults)

    @property
    def tables(self) -> tuple[HashTable, ...]:
        """The tables."""
        return self._tables

    @property
    def features(self) -> tuple[TableFeature, ...]:
        """The features, in the order of the columns."""
        return self._features

    @property
    def columns(self) -> dict[str, slice]:
        """Feature name -> its columns in the output."""
        return dict(self._columns)

    @property
    def width(self) -> int:
        """Columns of the output: the sum of the features' dims."""
        return self._width

    def __repr__(self) -> str:
        """Name the tables and count the features."""
        names = ", ".join(repr(table.name) for table in self._tables)
        return f"TableGroup([{names}], features={len(self._features)}, width={self._width})"

    def forward(
        self,
        keys: Sequence[ArrayLike],
        offsets: Offsets | None = None,
        *,
        weights: Weights | None = None,
        insert: bool,
        out: Floats | None = None,
    ) -> tuple[Floats, Integers]:
        """Look up the keys of all features.

        Args:
            keys: for each feature int64 [n_f].
            offsets: for each feature int64 [batch + 1] from 0 to n_f, never falling, or None where
                it has one key for each sample; None for all features alike.
            weights: for each feature float32 [n_f], a factor for each key as in
                `HashTable.gather_pooled`, or None for all ones; None for all features alike. With
                weights a single key is pooled too: "mean" gives its vector whatever the weight,
                but zeros for 0.
            insert: absent keys get rows; otherwise they give the table's default vector.
            out: where to write, float32 [batch, width]; its rows may lie apart.

        Returns:
            The vectors float32 [batch, width], `out` where given, and the rows int64 [sum of n_f]
            that `backward` takes, table after table; -1 for a key without a row, and for those
            that `max_length` ignores.

        Raises:
            ArrayShapeError: features of different batch size, weights of another length than
                keys, or offsets that are no partition; naming the feature.
            TableFullError: beyond `max_rows` or out of memory, before any table changed.
        """
        self._require_length("keys", keys)
        vectors = [
            key_vector(each, name=f"keys of feature {feature.name!r}")
            for feature, each in zip(self._features, keys, strict=True)
        ]
        parts = self._offsets(offsets)
        sizes = [
            vector.shape[0] if part is None else part.shape[0] - 1
            for vector, part in zip(vectors, parts, strict=True)
        ]
        for feature, size in zip(self._features, sizes, strict=True):
            if size != sizes[0]:
                raise ArrayShapeError(
                    f"feature {feature.name!r} has {size} samples, {self._features[0].name!r} has "
                    f"{sizes[0]}; all features of a batch need the same"
                )
        out = output_matrix(out, rows=sizes[0], columns=self._width)
        lengths = [vector.shape[0] for vector in vectors]
        rows = np.empty(sum(lengths), np.int64)
        factors = self._weights(weights, lengths, parts)
        self._group.forward(vectors, parts, factors, sizes[0], insert, rows, out)
        return out, rows

    def backward(
        self,
        rows: ArrayLike,
        gradients: Floats,
        offsets: Offsets | None = None,
        *,
        weights: Weights | None = None,
        step: int = 0,
        learning_rates: Mapping[str, float] | None = None,
    ) -> None:
        """Update all tables: gradients of equal rows are summed, then applied once.

        A sample's gradient goes to each of its keys, times the key's weight and divided as its
        combiner divided. The sum is in the order of features, then of positions; see
        `HashTable.apply_gradients`. Weights and default vectors get no gradient.

        Args:
            rows: as `forward` returned them; -1 is ignored.
            gradients: float32 [batch, width]; its rows may lie apart.
            offsets: as `forward` got them.
            weights: as `forward` got them.
            step: 0 to 2^32 - 1.
            learning_rates: table name -> rate, in place of its optimizer's.

        Raises:
            RowIndexError: a row that no live key has, before any table changed.
            ArrayShapeError: rows, offsets or weights that do not fit the batch.
            ConfigError: a learning rate for an unknown table, or a bad one.
        """
        gradients = float_matrix(gradients, "gradients", rows=None, columns=self._width)
        batch = gradients.shape[0]
        parts = self._offsets(offsets)
        lengths = []
        for feature, part in zip(self._features, parts, strict=True):
            if part is not None and part.shape[0] != batch + 1:
                raise ArrayShapeError(
                    f"offsets of feature {feature.name!r} has length {part.shape[0]}; expected "
                    f"{batch + 1}, as gradients has {batch} rows"
                )
            lengths.append(batch if part is None else int(part[-1]))
        rows = integer_vector(rows, "rows", dtype=np.int64, length=sum(lengths))
        require_integer(self._tables[0].name, "step", step, 0, 2**32 - 1)
        factors = self._weights(weights, lengths, parts)
        rates = self._rates(learning_rates or {})
        self._group.backward(rows, parts, factors, gradients, int(step), rates)

    def _rates(self, given: Mapping[str, float]) -> list[float]:
        names = [table.name for table in self._tables]
        for name, rate in given.items():
            if name not in names:
                raise ConfigError(
                    f"learning_rates: the group has no table {name!r}{nearest(name, names)}"
                )
            if not (math.isfinite(rate) and rate >= 0):
                raise ConfigError(
                    f"learning_rates[{name!r}] is {rate}; expected a finite number, at least 0"
                )
        return [
            float(given.get(table.name, table.optimizer.learning_rate)) for table in self._tables
        ]

    def _offsets(self, offsets: Offsets | None) -> list[Integers | None]:
        if offsets is None:
            return [None] * len(self._features)
        self._require_length("offsets", offsets)
        parts: list[Integers | None] = []
        for feature, part in zip(self._features, offsets, strict=True):
            if part is not None:
                name = f"offsets of feature {feature.name!r}"
                part = integer_vector(part, name, dtype=np.int64)
                if part.shape[0] == 0:
                    raise ArrayShapeError(f"{name} is empty; expected [batch + 1], from 0")
            parts.append(part)
        return parts

    def _weights(
        self, weights: Weights | None, lengths: Sequence[int], parts: list[Integers | None]
    ) -> list[Floats | None]:
        """Check the weights; a feature that has some gets offsets too, in `parts`."""
        if weights is None:
            return [None] * len(self._features)
        self._require_length("weights", weights)
        factors: list[Floats | None] = []
        for number, (feature, given) in enumerate(zip(self._features, weights, strict=True)):
            if given is not None:
                name = f"weights of feature {feature.name!r}"
                given = float_vector(given, name, length=lengths[number])
                if parts[number] is None:
                    parts[number] = np.arange(lengths[number] + 1)
            factors.append(given)
        return factors

    def _require_length(self, what: str, arrays: Sequence[object | None]) -> None:
        if len(arrays) != len(self._features):
            raise ArrayShapeError(
                f"{what} has {len(arrays)} entries; expected one for each of the "
                f"{len(self._features)} features"
            )
