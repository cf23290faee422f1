"""TensorFlow Recommenders Addons 0.8.1 as a peer of the table: obeys commands on stdin.

Runs in .venv-tfra (requirements/tfra.txt), where emberline is not. Every command that measures
returns seconds of the TFRA calls alone; keys and vectors are tensors before the clock starts.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure.keys import BLOCK, Kind, block, indices, keys_of, zipf_ranks

# TFRA prints while it is imported, TensorFlow on some errors: the pipe is for answers alone.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

tf = import_module("tensorflow")
tf.config.threading.set_intra_op_parallelism_threads(int(os.environ.get("PEER_THREADS", "2")))
tf.config.threading.set_inter_op_parallelism_threads(int(os.environ.get("PEER_THREADS", "2")))
de = import_module("tensorflow_recommenders_addons").dynamic_embedding

SAMPLE = 64


class Tables:
    """The peer's state: tables by name, and the work of a training step."""

    def __init__(self) -> None:
        self.tables: dict[str, Any] = {}
        self.calls: dict[str, Callable[..., Any]] = {}
        self.blocks: dict[int, Any] = {}
        self.step: Callable[[Any, Any], Any] | None = None
        self.layers: list[Any] = []

    def ready(self) -> dict[str, Any]:
        return {"tensorflow": tf.__version__}

    def create(self, table: str, dim: int) -> None:
        variable = de.get_variable(table, dim=dim, initializer=0.0, devices=["/CPU:0"])
        self.tables[table] = variable
        keys = tf.TensorSpec([None], tf.int64)
        values = tf.TensorSpec([None, dim], tf.float32)

        # A traced function may not return the Operation that these methods give.
        def upsert(keys: Any, values: Any) -> None:
            variable.upsert(keys, values)

        self.calls[f"upsert {table}"] = tf.function(upsert, input_signature=[keys, values])
        self.calls[f"lookup {table}"] = tf.function(variable.lookup, input_signature=[keys])
        if dim not in self.blocks:
            self.blocks[dim] = tf.constant(block(dim))
        # Traced now, so that no measurement pays for it.
        self.calls[f"upsert {table}"](tf.zeros([0], tf.int64), tf.zeros([0, dim]))
        self.calls[f"lookup {table}"](tf.zeros([0], tf.int64))

    def size(self, table: str) -> int:
        return int(self.tables[table].size())

    def insert(self, table: str, start: int, count: int) -> float:
        """Upsert keys start .. start + count in batches of BLOCK, or one smaller batch."""
        values = self.blocks[self.tables[table].dim]
        upsert = self.calls[f"upsert {table}"]
        batches = [
            tf.constant(keys_of(np.arange(at, min(at + BLOCK, start + count))))
            for at in range(start, start + count, BLOCK)
        ]
        vectors = [values if len(batch) == BLOCK else values[: len(batch)] for batch in batches]
        began = time.perf_counter()
        for batch, rows in zip(batches, vectors, strict=True):
            upsert(batch, rows)
        return time.perf_counter() - began

    def update(self, table: str, batches: int, cardinality: int, seed: int) -> float:
        """Upsert random present keys, with the vectors they have already."""
        found = [indices("uniform", BLOCK, cardinality, seed + i) for i in range(batches)]
        host = block(self.tables[table].dim)
        keys = [tf.constant(keys_of(index)) for index in found]
        values = [tf.constant(host[index % BLOCK]) for index in found]
        upsert = self.calls[f"upsert {table}"]
        began = time.perf_counter()
        for batch, rows in zip(keys, values, strict=True):
            upsert(batch, rows)
        return time.perf_counter() - began

    def lookup(
        self, table: str, kind: Kind, count: int, batch: int, cardinality: int, seed: int
    ) -> dict[str, Any]:
        index = indices(kind, count, cardinality, seed)
        keys = [tf.constant(keys_of(index[at : at + batch])) for at in range(0, count, batch)]
        lookup = self.calls[f"lookup {table}"]
        began = time.perf_counter()
        for part in keys:
            found = lookup(part)
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "sample": found[:SAMPLE].numpy().tolist()}

    def export(self, table: str) -> dict[str, Any]:
        began = time.perf_counter()
        keys, values = self.tables[table].export()
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "count": len(keys), "bytes": values.numpy().nbytes}

    def resident(self) -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    def train_setup(self, cardinalities: list[int], dim: int, rate: float, optimizer: str) -> None:
        """Build one table per feature under a legacy optimizer, the fastest of TFRA's ways."""
        keras = import_module("tf_keras")
        self.layers = [
            de.keras.layers.Embedding(
                dim,
                name=f"feature_{i}",
                initializer=tf.keras.initializers.Constant(0.5),
                devices=["/CPU:0"],
                init_capacity=cardinality,
            )
            for i, cardinality in enumerate(cardinalities)
        ]
        legacy = getattr(keras.optimizers.legacy, optimizer)(rate)
        wrapped = de.DynamicEmbeddingOptimizer(legacy)

        def step(keys: Any, gradient: Any) -> Any:
            with tf.GradientTape() as tape:
                parts = [layer(keys[i]) for i, layer in enumerate(self.layers)]
                out = tf.concat(parts, axis=1)
                loss = tf.reduce_sum(out * gradient)
            variables = [v for layer in self.layers for v in layer.trainable_variables]
            wrapped.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            return out

        self.step = tf.function(step, reduce_retracing=True)

    def train(
        self, cardinalities: list[int], dim: int, batch: int, seeds: list[int]
    ) -> dict[str, Any]:
        """Run a step for each seed. Returns seconds, and what the last forward pass gave."""
        if self.step is None:
            raise RuntimeError("train_setup comes first")
        inputs = [training_batch(cardinalities, dim, batch, seed) for seed in seeds]
        tensors = [(tf.constant(keys), tf.constant(gradient)) for keys, gradient in inputs]
        began = time.perf_counter()
        for keys, gradient in tensors:
            out = self.step(keys, gradient)
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "sample": out[:4].numpy().tolist()}

    def restrict_setup(self, table: str, count: int, dim: int) -> None:
        """Make a table under the frequency policy, with Adam's two slots, all trained once."""
        keras = import_module("tf_keras")
        layer = de.keras.layers.Embedding(
            dim,
            name=table,
            initializer=tf.keras.initializers.Constant(0.5),
            devices=["/CPU:0"],
            init_capacity=count,
            restrict_policy=de.FrequencyRestrictPolicy,
        )
        wrapped = de.DynamicEmbeddingOptimizer(keras.optimizers.legacy.Adam(1e-3))

        def step(keys: Any) -> None:
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(keys))
            variables = layer.trainable_variables
            wrapped.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

        traced = tf.function(step, reduce_retracing=True)

        def train(start: int, stop: int) -> None:
            for at in range(start, stop, BLOCK):
                traced(tf.constant(keys_of(np.arange(at, min(at + BLOCK, stop)))))

        train(0, count)
        self.tables[table] = layer.params
        self.calls[f"train {table}"] = train

    def restrict(self, table: str, num_reserved: int, count: int) -> dict[str, Any]:
        """Restrict, then train what is missing again: ready for the next round."""
        variable = self.tables[table]
        before = self.resident()
        began = time.perf_counter()
        variable.restrict(num_reserved, trigger=num_reserved)
        seconds = time.perf_counter() - began
        answer = {
            "seconds": seconds,
            "size": int(variable.size()),
            "freed": before - self.resident(),
        }
        self.calls[f"train {table}"](0, count)
        return answer


def training_batch(cardinalities: list[int], dim: int, batch: int, seed: int) -> tuple[Any, Any]:
    """Give keys int64 [features, batch], Zipf 1.05, and gradients float32 [batch, features * dim].

    The tables benchmark makes the same.
    """
    rng = np.random.default_rng(seed)
    keys = np.stack([keys_of(zipf_ranks(rng, batch, c)) for c in cardinalities])
    gradient = rng.standard_normal((batch, len(cardinalities) * dim), np.float32)
    return keys, gradient


def main() -> None:
    tables = Tables()
    for line in sys.stdin:
        arguments = json.loads(line)
        command = arguments.pop("command")
        # An error ends the process; the other side shows what was written to stderr.
        answer = {"result": getattr(tables, command)(**arguments)}
        ANSWERS.write(json.dumps(answer) + "\n")
        ANSWERS.flush()


if __name__ == "__main__":
    main()
