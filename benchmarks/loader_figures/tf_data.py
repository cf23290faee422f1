"""tf.data over the same parquet, as its users write it: a generator a file, interleaved.

tensorflow-io reads parquet itself, but there is no release of it for this TensorFlow.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import tensorflow as tf

from benchmarks.loader_figures.contest import Contest
from benchmarks.loader_figures.epochs import our_epoch
from benchmarks.loader_figures.rows import batch_digest
from benchmarks.measure.figure import compare
from benchmarks.measure.interleave import Samples
from emberline.dataloaders import Loader

__all__ = ["measure_tf_data"]

_BUFFER_ROWS = 65_536


def row_groups(file: bytes) -> Iterator[dict[str, Any]]:
    """Give the row groups of a file as arrays."""
    with pq.ParquetFile(file.decode()) as parquet:
        for group in range(parquet.num_row_groups):
            table = parquet.read_row_group(group)
            yield {name: table[name].to_numpy() for name in table.column_names}


def open_tf_data(dataset: Path, batch_size: int, *, shuffle_rows: int) -> Any:
    """Give batches of the files; `shuffle_rows` is the buffer that rows are drawn from, 0: none."""
    files = sorted(map(str, dataset.glob("*.parquet")))
    schema = pq.read_schema(files[0])
    signature = {
        field.name: tf.TensorSpec([None], tf.as_dtype(field.type.to_pandas_dtype()))
        for field in schema
    }

    def read(file: Any) -> Any:
        return tf.data.Dataset.from_generator(row_groups, args=(file,), output_signature=signature)

    data = tf.data.Dataset.from_tensor_slices(files)
    data = data.interleave(read, num_parallel_calls=tf.data.AUTOTUNE)
    if shuffle_rows:
        data = data.unbatch().shuffle(shuffle_rows).batch(batch_size)
    else:
        data = data.rebatch(batch_size)
    return data.prefetch(tf.data.AUTOTUNE)


def epoch_seconds(dataset: Path, batch_size: int, *, shuffle_rows: int) -> tuple[float, int]:
    """Run an epoch; seconds, and the digest of its rows."""
    began = time.perf_counter()
    seconds, digest = 0.0, 0
    for batch in open_tf_data(dataset, batch_size, shuffle_rows=shuffle_rows):
        seconds += time.perf_counter() - began
        digest += batch_digest({name: tensor.numpy() for name, tensor in batch.items()})[1]
        began = time.perf_counter()
    return seconds, digest % 2**64


def measure_tf_data(contest: Contest, dataset: Path, *, batch_size: int) -> None:
    """Run ours and tf.data in turn, with its rows shuffled and without."""
    open_loader = partial(Loader, dataset, batch_size, shuffle=True)
    checked = our_epoch(open_loader, check=True)
    ours: list[float] = []
    theirs: dict[int, list[float]] = {_BUFFER_ROWS: [], 0: []}
    for _ in range(1 if contest.quick else 2):
        ours.append(our_epoch(open_loader).epoch_s)
        for shuffle_rows, found in theirs.items():
            seconds, digest = epoch_seconds(dataset, batch_size, shuffle_rows=shuffle_rows)
            if digest != checked.digest:
                raise AssertionError("ours and tf.data deliver other rows")
            found.append(seconds)
    for words, shuffle_rows in (("rows shuffled", _BUFFER_ROWS), ("in the order of the files", 0)):
        speed, other = (
            Samples(tuple(checked.rows / s / 1e6 for s in seconds))
            for seconds in (ours, theirs[shuffle_rows])
        )
        name = f"criteo, {checked.rows:,} rows, batch {batch_size:,}; tf.data: {words}"
        contest.add(compare(name, "Mrows/s", speed, peer=other, peer_name="tf.data"))
