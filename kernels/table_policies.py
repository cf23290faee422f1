"""Which keys come into a table and which leave it, and how others learn of it."""

import math
from dataclasses import fields
from typing import Literal

import numpy as np

from emberline.errors import nearest
from emberline.kernels import _cpu
from emberline.kernels.admission import CountAdmission
from emberline.kernels.arrays import integer_vector, key_vector
from emberline.kernels.errors import ConfigError
from emberline.kernels.gpu.host_table import HostTable
from emberline.kernels.policy_state import PolicyState
from emberline.kernels.table_changes import TableChanges
from emberline.kernels.table_settings import (
    EVICTION_POLICIES,
    MAX_ROWS,
    TableSettings,
    require_integer,
)
from emberline.kernels.table_stats import TableStats

__all__ = ["TablePolicies"]


class TablePolicies:
    """The part of `HashTable` that admits and removes keys by rule and reports it; see there.

    The eviction order of a policy: lowest score first, the frequency or the last step that
    `apply_gradients` wrote; of equal scores the larger key first. So what stays does not depend
    on row numbers, on threads or on a save and load in between. A row that no gradient has
    reached has frequency and last step 0.
    """

    _table: _cpu.Table | HostTable
    _settings: TableSettings

    def restrict(
        self,
        num_reserved: int,
        trigger: int | None = None,
        policy: Literal["frequency", "recency"] = "frequency",
    ) -> int:
        """Keep the `num_reserved` best keys, exactly; a key that left starts anew when seen again.

        Weights, states and metadata go together. The rows of the others stay where they are, and
        slabs left without a row are given back to the system, or to CuPy's pool (`shrink` gives
        back more).

        Args:
            num_reserved: keys to keep.
            trigger: nothing happens unless `size` is above it; None is `num_reserved`.
            policy: "frequency" keeps the keys with most occurrences, "recency" those updated
                last; of equal ones the smaller keys.

        Returns:
            How many keys were removed.

        Raises:
            ConfigError: a negative or fractional number, or an unknown policy.
            MemoryError: no memory for the list of free rows, 4 bytes each; nothing changed.

        >>> from emberline.kernels import HashTable
        >>> table = HashTable(2)
        >>> _ = table.find_or_insert([30, 10, 20])
        >>> table.restrict(2)
        1
        >>> table.keys()
        array([10, 20])
        """
        name = self._settings.name
        require_integer(name, "num_reserved", num_reserved, 0, MAX_ROWS)
        trigger = num_reserved if trigger is None else trigger
        require_integer(name, "trigger", trigger, 0, MAX_ROWS)
        if policy not in EVICTION_POLICIES:
            raise ConfigError(
                f"table {name!r}: unknown policy {policy!r}{nearest(str(policy), EVICTION_POLICIES)}"
            )
        return self._table.restrict(int(num_reserved), int(trigger), EVICTION_POLICIES[policy])

    def expire(self, *, before_step: int | None = None, older_than: int | None = None) -> int:
        """Remove the keys that were not updated for long; exactly one of the two is given.

        Only updates refresh a key, look-ups do not. Time is the `step` of the updates, so a replay
        of old data expires the same keys.

        Args:
            before_step: remove the keys whose last step is below it.
            older_than: remove the keys whose last step is more than so many steps before the
                newest that any key of this table ever had (since it was made or cleared).

        Returns:
            How many keys were removed.

        Raises:
            ConfigError: neither or both are given, or not a step.
            MemoryError: no memory for the list of free rows, 4 bytes each; nothing changed.
        """
        name = self._settings.name
        if before_step is not None and older_than is None:
            require_integer(name, "before_step", before_step, 0, 2**32 - 1)
            return self._table.expire_before(int(before_step))
        if older_than is not None and before_step is None:
            require_integer(name, "older_than", older_than, 0, 2**32 - 1)
            return self._table.expire_older_than(int(older_than))
        given = "none was" if before_step is None else "both were"
        raise ConfigError(
            f"table {name!r}: expire takes either before_step or older_than; {given} given"
        )

    def decay_frequency(self, factor: float) -> None:
        """Multiply all frequencies by `factor` and round down, so that old fame fades.

        The counts of keys not admitted yet decay with them; a candidate at 0 is forgotten.
        `changed_since` does not report it: weights stay as they are.

        Args:
            factor: 0 to 1.

        Raises:
            ConfigError: not a number from 0 to 1.
        """
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            raise ConfigError(
                f"table {self._settings.name!r}: factor is {factor!r}; expected a number"
            )
        if not (math.isfinite(factor) and 0 <= factor <= 1):
            raise ConfigError(f"table {self._settings.name!r}: factor is {factor}; expected 0 to 1")
        self._table.decay_frequency(float(factor))

    def shrink(self) -> None:
        """Give back all memory that the present keys do not need; contents stay the same.

        Rows move here, and only here: the highest ones into the free rows below them. So row
        numbers from before the call are no longer valid, `row_limit` becomes `size`, and memory
        reserved for growth is gone.

        Raises:
            TableFullError: no memory for the new, smaller index; nothing changed.
        """
        self._table.shrink()

    @property
    def version(self) -> int:
        """The open version, which belongs to what is written now; 1 in a new table."""
        return self._table.version()

    def changed_since(self, version: int) -> TableChanges:
        """Name the keys that were written or removed after a version was closed.

        `export(since=version)` gives the rows of `updated`, in the same order.

        Args:
            version: what `advance_version` returned; 0 is everything.

        Returns:
            `(updated, evicted)`, disjoint.

        Raises:
            VersionError: so many keys were removed since then (more than `eviction_log`) that not
                all are known, or the version is not closed yet.

        >>> from emberline.kernels import HashTable
        >>> table = HashTable(2)
        >>> _ = table.find_or_insert([1, 2])
        >>> base = table.advance_version()
        >>> table.erase([1])
        1
        >>> _ = table.find_or_insert([3])
        >>> table.changed_since(base)
        TableChanges(updated=array([3]), evicted=array([1]))
        """
        require_integer(self._settings.name, "version", version, 0, 2**32 - 1)
        updated, evicted = self._table.changed_since(int(version))
        # C++'s long long is another dtype object than NumPy's int64, if of the same layout.
        return TableChanges(updated.view(np.int64), evicted.view(np.int64))

    def stats(self) -> TableStats:
        """Count what the table holds and has removed; reads the whole index."""
        counts, probes = self._table.stats()
        names = [f.name for f in fields(TableStats) if f.name != "probe_lengths"]
        return TableStats(**dict(zip(names, counts, strict=True)), probe_lengths=tuple(probes))

    def export_policy_state(self) -> PolicyState:
        """Copy out what expiry and admission know beside the rows, for a checkpoint."""
        newest_step, step, keys, counts, cells = self._table.policy_state()
        return PolicyState(
            newest_step=newest_step,
            admission_step=step,
            candidate_keys=keys.view(np.int64),
            candidate_counts=counts,
            sketch_cells=cells,
        )

    def import_policy_state(self, state: PolicyState) -> None:
        """Take over what `export_policy_state` gave, in place of what is known here.

        Candidates that are in the table are left out. The newest step stays where it is larger.

        Raises:
            ConfigError: a state of other rules, or one that they cannot have produced.
            TableFullError: no memory for the candidates; nothing changed.
        """
        name = self._settings.name
        require_integer(name, "newest_step", state.newest_step, 0, 2**32 - 1)
        require_integer(name, "admission_step", state.admission_step, 0, 2**64 - 1)
        rule = self._settings.admission
        keys = key_vector(state.candidate_keys, name="candidate_keys")
        counts = integer_vector(
            state.candidate_counts, "candidate_counts", dtype=np.uint32, length=keys.shape[0]
        )
        cells = np.ascontiguousarray(state.sketch_cells, np.uint8).reshape(-1)
        cells_expected = 0 if rule is None else rule.kernel_width * rule.kernel_depth
        if cells.shape[0] != cells_expected or (keys.size and not isinstance(rule, CountAdmission)):
            raise ConfigError(
                f"table {name!r}: the policy state has {keys.size} candidates and {cells.size} "
                f"cells of a sketch, which does not fit admission {rule}"
            )
        limit = 1 if rule is None else rule.threshold
        wrong = np.flatnonzero((counts < 1) | (counts >= limit))
        if wrong.size or (cells >= limit).any() or np.unique(keys).size != keys.size:
            raise ConfigError(
                f"table {name!r}: the policy state has a candidate twice or a count that is not "
                f"from 1 to {limit - 1}, below the threshold of {rule}"
            )
        self._table.set_policy_state(
            int(state.newest_step), int(state.admission_step), keys, counts, cells
        )
