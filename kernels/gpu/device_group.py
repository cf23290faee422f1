"""Many features on many device tables in one call; the counterpart of cpu/group.cpp."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emberline.kernels.errors import ArrayShapeError, DeviceError
from emberline.kernels.gpu.device_insertion import Insertion
from emberline.kernels.gpu.device_reading import ANY_LENGTH, first_bad_offset
from emberline.kernels.gpu.device_table import DeviceTable
from emberline.kernels.gpu.host_table import HostTable
from emberline.kernels.gpu.launcher import DeviceArray
from emberline.kernels.gpu.update import prepare_update

__all__ = ["DeviceGroup"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Offsets = Sequence[Integers | None]
Weights = Sequence[Floats | None]

_SUM = 0  # Combiner in segments.cuh


@dataclass(frozen=True, kw_only=True)
class _Member:
    """A table and the features that read it.

    Attributes:
        table: on the device.
        features: their numbers.
        columns: where each one's vectors begin in the table's own matrix.
        outer: the columns of that matrix in the group's.
        width: of the table's matrix.
        default: what a key without a row gives, float32 [dim]; None: zeros.
    """

    table: DeviceTable
    features: tuple[int, ...]
    columns: tuple[int, ...]
    outer: Integers
    width: int
    default: DeviceArray | None


class DeviceGroup:
    """What `TableGroup` calls when its tables are on a device; see `_cpu.Group` for the methods.

    Tables are worked on one after the other. Each has a matrix of its own for its features'
    vectors and gradients, so that tables need not share a stream. A call makes sure of all tables,
    and has all memory it needs, before it changes one.

    Args:
        tables: on one device.
        features: (name, number of its table, combiner, most keys of a sample or None).
        defaults: for each table what a key without a row gives, float32 [dim], or None.

    Raises:
        DeviceError: tables on different devices.
    """

    def __init__(
        self,
        tables: Sequence[HostTable],
        features: Sequence[tuple[str, int, int, int | None]],
        defaults: Weights,
    ) -> None:
        devices = [table.on_device.storage.launcher.device for table in tables]
        for table, device in zip(tables, devices, strict=True):
            if device != devices[0]:
                first, other = (t.on_device.storage.settings.name for t in (tables[0], table))
                raise DeviceError(
                    f"tables of a group must be on one device: {first!r} is on GPU {devices[0]}, "
                    f"{other!r} on GPU {device}"
                )
        self._names = [name for name, _, _, _ in features]
        self._combiners = [combiner for _, _, combiner, _ in features]
        self._limits = [limit for _, _, _, limit in features]
        # In one order for all groups: two that share tables must not wait for each other.
        self._locks = [table.lock for table in sorted(tables, key=id)]
        dims = [tables[number].on_device.storage.dim for _, number, _, _ in features]
        starts = np.cumsum([0, *dims])
        self._members = []
        for number, table in enumerate(tables):
            mine = [f for f, (_, of, _, _) in enumerate(features) if of == number]
            outer = [np.arange(starts[f], starts[f + 1]) for f in mine]
            dim, vector = table.on_device.storage.dim, defaults[number]
            upload = table.on_device.storage.launcher.upload
            self._members.append(
                _Member(
                    table=table.on_device,
                    features=tuple(mine),
                    columns=tuple(dim * at for at in range(len(mine))),
                    outer=np.concatenate([*outer, np.empty(0, np.int64)]).astype(np.int64),
                    width=dim * len(mine),
                    default=None if vector is None else upload(vector),
                )
            )

    def forward(
        self,
        keys: Sequence[Integers],
        offsets: Offsets,
        weights: Weights,
        samples: int,
        insert: bool,
        rows: Integers,
        out: Floats,
    ) -> None:
        """Look all features up and write their vectors and, table after table, their rows."""
        self._check_offsets(offsets, samples, [each.shape[0] for each in keys])
        cuts = [_cut(part, limit) for part, limit in zip(offsets, self._limits, strict=True)]
        kept = [each if cut is None else each[cut] for each, cut in zip(keys, cuts, strict=True)]
        with ExitStack() as held:
            for lock in self._locks:
                held.enter_context(lock)
            prepared = [
                self._prepare(member, kept, offsets, weights, samples, insert)
                for member in self._members
            ]
            begin = 0
            for member, (insertion, vectors, parts, factors) in zip(
                self._members, prepared, strict=True
            ):
                launcher = member.table.storage.launcher
                own = [cuts[f] for f in member.features]
                lengths = [keys[f].shape[0] for f in member.features]
                count = sum(lengths)
                found = member.table.insert(insertion)
                all_rows = rows[begin : begin + count]
                begin += count
                if insertion.count == count:
                    all_rows[:] = launcher.download(found)
                else:
                    present = [
                        np.ones(length, bool) if cut is None else cut
                        for cut, length in zip(own, lengths, strict=True)
                    ]
                    all_rows[:] = -1
                    all_rows[np.concatenate(present)] = launcher.download(found)
                    found = launcher.upload(all_rows)
                self._gather(member, found, lengths, parts, factors, samples, vectors)
                out[:, member.outer] = launcher.download(vectors).reshape(samples, member.width)

    def backward(
        self,
        rows: Integers,
        offsets: Offsets,
        weights: Weights,
        gradients: Floats,
        step: int,
        learning_rates: Sequence[float],
    ) -> None:
        """Sum the gradients of equal rows over all features of a table, and update each once."""
        samples = gradients.shape[0]
        counts = [samples if part is None else int(part[-1]) for part in offsets]
        self._check_offsets(offsets, samples, counts)
        with ExitStack() as held:
            for lock in self._locks:
                held.enter_context(lock)
            prepared = []
            begin = 0
            for member, rate in zip(self._members, learning_rates, strict=True):
                table, launcher = member.table, member.table.storage.launcher
                count = sum(counts[f] for f in member.features)
                own = launcher.upload(np.ascontiguousarray(rows[begin : begin + count]))
                begin += count
                if table.check_rows(own, count) == 0:
                    continue
                matrix = launcher.upload(np.ascontiguousarray(gradients[:, member.outer]))
                source, scale = self._spread(member, offsets, weights, samples, counts)
                storage = table.storage
                update = prepare_update(launcher, storage.counters(), own, count, storage.row_limit)
                prepared.append((member, update, matrix, source, scale, rate))
            for member, update, matrix, source, scale, rate in prepared:
                floats = samples * member.width
                member.table.update(update, matrix, floats, 1, source, scale, step, rate)

    def _prepare(
        self,
        member: _Member,
        keys: Sequence[Integers],
        offsets: Offsets,
        weights: Weights,
        samples: int,
        insert: bool,
    ) -> tuple[Insertion, DeviceArray, list[DeviceArray | None], list[DeviceArray | None]]:
        """Find or make sure of a table's keys, allocate its vectors, upload offsets and weights."""
        table, launcher = member.table, member.table.storage.launcher
        own = [keys[f] for f in member.features]
        joined = np.concatenate([*own, np.empty(0, np.int64)]) if len(own) != 1 else own[0]
        count = joined.shape[0]
        parts = [
            None if part is None else launcher.upload(part)
            for part in (offsets[f] for f in member.features)
        ]
        factors = [
            None if given is None else launcher.upload(given)
            for given in (weights[f] for f in member.features)
        ]
        vectors = launcher.empty(samples * member.width, np.float32)
        batch = launcher.upload(joined)
        if insert:
            return table.prepare_insert(batch, count), vectors, parts, factors
        found = table.find(batch, count)
        return Insertion(keys=batch, count=count, rows=found), vectors, parts, factors

    def _gather(
        self,
        member: _Member,
        rows: DeviceArray,
        lengths: Sequence[int],
        parts: Sequence[DeviceArray | None],
        factors: Sequence[DeviceArray | None],
        samples: int,
        vectors: DeviceArray,
    ) -> None:
        begin = 0
        for feature, column, length, part, given in zip(
            member.features, member.columns, lengths, parts, factors, strict=True
        ):
            mine, to = rows[begin : begin + length], vectors[column:]
            begin += length
            if part is None:
                member.table.write_gathered(mine, length, member.default, to, member.width)
            else:
                combiner = self._combiners[feature]
                limit = self._limits[feature]
                member.table.write_pooled(
                    mine, part, samples, combiner, limit, given, member.default, to, member.width
                )

    def _spread(
        self,
        member: _Member,
        offsets: Offsets,
        weights: Weights,
        samples: int,
        counts: Sequence[int],
    ) -> tuple[DeviceArray, DeviceArray | None]:
        """Give each key's gradient: its place in the table's matrix, in floats, and a factor."""
        launcher = member.table.storage.launcher
        total = sum(counts[f] for f in member.features)
        scaled = any(
            weights[f] is not None or (offsets[f] is not None and self._combiners[f] != _SUM)
            for f in member.features
        )
        source = launcher.empty(total, np.int64)
        scale = launcher.empty(total, np.float32) if scaled else None
        begin = 0
        for feature, column in zip(member.features, member.columns, strict=True):
            part, given, limit = offsets[feature], weights[feature], self._limits[feature]
            launcher.launch(
                "emberline_spread",
                samples,
                None if part is None else launcher.upload(part),
                samples,
                self._combiners[feature],
                ANY_LENGTH if limit is None else limit,
                None if given is None else launcher.upload(given),
                member.width,
                column,
                source[begin:],
                None if scale is None else scale[begin:],
            )
            begin += counts[feature]
        return source, scale

    def _check_offsets(self, offsets: Offsets, samples: int, counts: Sequence[int]) -> None:
        for name, part, count in zip(self._names, offsets, counts, strict=True):
            if part is None:
                continue
            message = first_bad_offset(part, samples, count)
            if message is not None:
                raise ArrayShapeError(f"feature {name!r}: {message}")


def _cut(offsets: Integers | None, limit: int | None) -> NDArray[np.bool_] | None:
    """Mark the keys that `limit` leaves of each sample; None: all."""
    if offsets is None or limit is None:
        return None
    lengths = np.diff(offsets)
    if (lengths <= limit).all():
        return None
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) < limit
