"""The CPU hash table; use emberline.kernels.HashTable."""

from collections.abc import Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray

class OptimizerConfig:
    def __init__(
        self,
        kind: int,
        learning_rate: float,
        initial_state: float,
        epsilon: float,
        weight_decay: float,
        clip_norm: float,
        momentum: float,
        decay_1: float,
        rest_1: float,
        decay_2: float,
        rest_2: float,
        power: float,
        l1: float,
        l2: float,
        shrinkage: float,
        beta: float,
    ) -> None: ...

class Table:
    def __init__(
        self,
        name: str,
        dim: int,
        optimizer: OptimizerConfig,
        initializer: int,
        offset: float,
        scale: float,
        seed: int,
        max_rows: int,
        hash_bits: int,
        threads: int,
        grain: int,
        row_type: int,
    ) -> None: ...
    def size(self) -> int: ...
    def row_limit(self) -> int: ...
    def reserve(self, keys: int) -> None: ...
    def clear(self) -> None: ...
    def advance_version(self) -> int: ...
    def check(self) -> str: ...
    def set_policy(self, evict_when_full: bool, score: int, log_capacity: int) -> None: ...
    def restrict(self, num_reserved: int, trigger: int, score: int) -> int: ...
    def expire_before(self, step: int) -> int: ...
    def expire_older_than(self, steps: int) -> int: ...
    def decay_frequency(self, factor: float) -> None: ...
    def shrink(self) -> None: ...
    def set_admission(
        self, kind: int, threshold: int, width: int, depth: int, equal: bool, seed: int
    ) -> None: ...
    def policy_state(
        self,
    ) -> tuple[
        int,
        int,
        Annotated[NDArray[numpy.int64], {"shape": (None,)}],
        Annotated[NDArray[numpy.uint32], {"shape": (None,)}],
        Annotated[NDArray[numpy.uint8], {"shape": (None,)}],
    ]: ...
    def set_policy_state(
        self,
        newest_step: int,
        step: int,
        keys: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        counts: Annotated[
            NDArray[numpy.uint32],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        cells: Annotated[
            NDArray[numpy.uint8],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
    ) -> None: ...
    def version(self) -> int: ...
    def changed_since(
        self, since: int
    ) -> tuple[
        Annotated[NDArray[numpy.int64], {"shape": (None,)}],
        Annotated[NDArray[numpy.int64], {"shape": (None,)}],
    ]: ...
    def memory_usage(self, keys: int | None) -> tuple[int, int, int, int, int, int]: ...
    def stats(self) -> tuple[list[int], list[int]]: ...
    def find(
        self,
        keys: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        rows: Annotated[NDArray[numpy.int64], {"shape": (None,), "order": "C", "device": "cpu"}],
    ) -> None: ...
    def find_or_insert(
        self,
        keys: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        rows: Annotated[NDArray[numpy.int64], {"shape": (None,), "order": "C", "device": "cpu"}],
    ) -> None: ...
    def erase(
        self,
        keys: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
    ) -> int: ...
    def lookup(
        self,
        keys: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        initial: bool,
        out: Annotated[NDArray[numpy.float32], {"shape": (None, None), "device": "cpu"}],
    ) -> None: ...
    def gather(
        self,
        rows: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        missing: Annotated[
            NDArray[numpy.float32],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ]
        | None,
        out: Annotated[NDArray[numpy.float32], {"shape": (None, None), "device": "cpu"}],
    ) -> None: ...
    def gather_pooled(
        self,
        rows: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        offsets: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        combiner: int,
        max_length: int | None,
        weights: Annotated[
            NDArray[numpy.float32],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ]
        | None,
        missing: Annotated[
            NDArray[numpy.float32],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ]
        | None,
        out: Annotated[NDArray[numpy.float32], {"shape": (None, None), "device": "cpu"}],
    ) -> None: ...
    def apply_gradients(
        self,
        rows: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        gradients: Annotated[
            NDArray[numpy.float32], {"shape": (None, None), "device": "cpu", "writable": False}
        ],
        source: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ]
        | None,
        scale: Annotated[
            NDArray[numpy.float32],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ]
        | None,
        step: int,
        learning_rate: float,
    ) -> None: ...
    def upsert(
        self,
        keys: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        values: Annotated[
            NDArray[numpy.float32], {"shape": (None, None), "device": "cpu", "writable": False}
        ],
        states: Annotated[
            NDArray[numpy.float32], {"shape": (None, None), "device": "cpu", "writable": False}
        ]
        | None,
        frequency: Annotated[
            NDArray[numpy.uint32],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ]
        | None,
        last_step: Annotated[
            NDArray[numpy.uint32],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ]
        | None,
    ) -> None: ...
    def add(
        self,
        keys: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        values: Annotated[
            NDArray[numpy.float32], {"shape": (None, None), "device": "cpu", "writable": False}
        ],
        initial: bool,
    ) -> None: ...
    def export_keys(
        self,
        start: int,
        stop: int,
        keys: Annotated[NDArray[numpy.int64], {"shape": (None,), "order": "C", "device": "cpu"}],
    ) -> int: ...
    def export_rows(
        self,
        start: int,
        stop: int,
        since: int,
        keys: Annotated[NDArray[numpy.int64], {"shape": (None,), "order": "C", "device": "cpu"}],
        values: Annotated[NDArray[numpy.float32], {"shape": (None, None), "device": "cpu"}],
        states: Annotated[NDArray[numpy.float32], {"shape": (None, None), "device": "cpu"}],
        frequency: Annotated[
            NDArray[numpy.uint32], {"shape": (None,), "order": "C", "device": "cpu"}
        ],
        last_step: Annotated[
            NDArray[numpy.uint32], {"shape": (None,), "order": "C", "device": "cpu"}
        ],
    ) -> int: ...

class Admission:
    def __init__(
        self,
        kind: int,
        threshold: int,
        width: int,
        depth: int,
        equal: bool,
        seed: int,
        hash_bits: int,
    ) -> None: ...
    def decide(
        self,
        keys: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        occurrences: Annotated[
            NDArray[numpy.uint32],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        admitted: Annotated[
            NDArray[numpy.uint32], {"shape": (None,), "order": "C", "device": "cpu"}
        ],
    ) -> None: ...
    def commit(self) -> None: ...
    def forget(
        self,
        keys: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
    ) -> None: ...
    def decay(self, factor: float) -> None: ...
    def clear(self) -> None: ...
    def state(
        self,
    ) -> tuple[
        int,
        Annotated[NDArray[numpy.int64], {"shape": (None,)}],
        Annotated[NDArray[numpy.uint32], {"shape": (None,)}],
        Annotated[NDArray[numpy.uint8], {"shape": (None,)}],
    ]: ...
    def set_state(
        self,
        step: int,
        keys: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        counts: Annotated[
            NDArray[numpy.uint32],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        cells: Annotated[
            NDArray[numpy.uint8],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
    ) -> None: ...
    def candidates(self) -> int: ...
    def memory_bytes(self) -> int: ...
    def fixed_bytes(self) -> int: ...
    def scratch_bytes(self) -> int: ...
    def check(self) -> str: ...

class Group:
    def __init__(
        self,
        tables: list[Table],
        features: Sequence[tuple[str, int, int, int | None]],
        defaults: Sequence[
            Annotated[
                NDArray[numpy.float32],
                {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
            ]
            | None
        ],
    ) -> None: ...
    def forward(
        self,
        keys: Sequence[
            Annotated[
                NDArray[numpy.int64],
                {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
            ]
        ],
        offsets: Sequence[
            Annotated[
                NDArray[numpy.int64],
                {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
            ]
            | None
        ],
        weights: Sequence[
            Annotated[
                NDArray[numpy.float32],
                {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
            ]
            | None
        ],
        samples: int,
        insert: bool,
        rows: Annotated[NDArray[numpy.int64], {"shape": (None,), "order": "C", "device": "cpu"}],
        out: Annotated[NDArray[numpy.float32], {"shape": (None, None), "device": "cpu"}],
    ) -> None: ...
    def backward(
        self,
        rows: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
        offsets: Sequence[
            Annotated[
                NDArray[numpy.int64],
                {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
            ]
            | None
        ],
        weights: Sequence[
            Annotated[
                NDArray[numpy.float32],
                {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
            ]
            | None
        ],
        gradients: Annotated[
            NDArray[numpy.float32], {"shape": (None, None), "device": "cpu", "writable": False}
        ],
        step: int,
        learning_rates: Sequence[float],
    ) -> None: ...
