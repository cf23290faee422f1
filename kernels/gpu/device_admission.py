"""Admission for a table whose rows are on a device, decided on the host by the CPU's rules."""

import numpy as np
from numpy.typing import NDArray

from emberline.kernels import _cpu
from emberline.kernels.errors import TableFullError
from emberline.kernels.gpu.launcher import DeviceArray
from emberline.kernels.gpu.storage import DeviceStorage
from emberline.kernels.table_settings import TableSettings

__all__ = ["make_admission", "refuse"]


def make_admission(settings: TableSettings, hash_bits: int) -> _cpu.Admission | None:
    """Make the rule's state, in the host's memory.

    There, because only the distinct absent keys of a batch are asked about, few once a table is
    warm, and their decision and the counts of candidates must be the CPU table's bit for bit: its
    own code takes them. The price is one copy of those keys to the host and of the answer back.

    Raises:
        TableFullError: no memory for a sketch.
    """
    rule = settings.admission
    if rule is None:
        return None
    width, depth = rule.kernel_width, rule.kernel_depth
    try:
        return _cpu.Admission(
            rule.kernel_code,
            rule.threshold,
            width,
            depth,
            rule.kernel_equal,
            rule.kernel_seed,
            hash_bits,
        )
    except MemoryError as reason:
        raise TableFullError(
            f"table {settings.name!r} is out of memory: the system refused {width * depth} bytes "
            "for a sketch"
        ) from reason


def refuse(
    storage: DeviceStorage,
    admission: _cpu.Admission,
    keys: NDArray[np.int64],
    chosen: DeviceArray,
    flags: DeviceArray,
    rank: DeviceArray,
    count: int,
) -> int:
    """Ask about a batch's absent keys and take the refused ones out; nothing is counted yet.

    Args:
        storage: the table's.
        admission: its rule.
        keys: int64, the distinct absent keys in the order of first occurrence.
        chosen: of the batch's positions, from `distinct`; refused ones become 2^32 - 1.
        flags: the same; those of refused keys become 0.
        rank: the flags' exclusive sums from before.
        count: positions.

    Returns:
        The positions refused.

    Raises:
        TableFullError: no memory for the candidates; nothing changed.
        MemoryError: no scratch memory on the device.
    """
    launcher = storage.launcher
    counts = launcher.zeros(keys.shape[0], np.uint32)
    launcher.launch("emberline_occurrences", count, chosen, rank, count, counts)
    occurrences = launcher.download(counts)
    admitted = np.empty(keys.shape[0], np.uint32)
    try:
        admission.decide(keys, occurrences, admitted)
    except MemoryError as reason:
        raise TableFullError(
            f"table {storage.settings.name!r} is out of memory: the system refused room for the "
            f"candidates of a batch of {count} keys; decay the frequencies or use a SketchAdmission"
        ) from reason
    refused = int(occurrences[admitted == 0].sum(dtype=np.int64))
    if refused:
        answer = launcher.upload(admitted)
        launcher.launch("emberline_refuse", count, rank, answer, count, chosen, flags)
    return refused
