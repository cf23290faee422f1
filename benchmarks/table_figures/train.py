"""One training step's table work: 26 features, forward and backward."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure.figure import compare
from benchmarks.measure.interleave import interleave
from benchmarks.measure.keys import keys_of, zipf_ranks
from benchmarks.table_figures.bench import TFRA, Bench, make_table
from emberline import kernels
from emberline.kernels import Constant, TableFeature, TableGroup

__all__ = ["measure_train"]

FEATURES, DIM, BATCH, RATE = 26, 16, 8192, 1e-3
# The cardinalities of a Criteo-shaped job, 10 to a million.
CARDINALITIES = [round(10 * 1e5 ** (i / 25)) for i in range(FEATURES)]


def training_batch(seed: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Give keys int64 [features, batch] and gradients float32 [batch, features * dim].

    The peer makes the same.
    """
    rng = np.random.default_rng(seed)
    keys = np.stack([keys_of(zipf_ranks(rng, BATCH, c)) for c in CARDINALITIES])
    return keys, rng.standard_normal((BATCH, FEATURES * DIM), np.float32)


def measure_train(bench: Bench) -> None:
    """find_or_insert, pooled forward pass into one output, gradients summed and applied.

    All features go through one TableGroup. Checked: after the first step, both forward passes of
    the same keys agree. (Later ones need not: TFRA's Adam corrects the bias of a late key by the
    step of the whole job.)
    """
    name = "Adam" if hasattr(kernels, "Adam") else "Adagrad"
    optimizer = getattr(kernels, name)(learning_rate=RATE)
    steps = 5 if bench.quick else 10
    seeds = list(range(1, 1 + steps))
    inputs = {seed: training_batch(seed) for seed in [0, *seeds]}
    outputs: dict[int, NDArray[np.float32]] = {}

    def runner(threads: int) -> Callable[[list[int]], float]:
        tables = [
            make_table(
                DIM, threads=threads, optimizer=optimizer, initializer=Constant(value=0.5),
                name=f"table_{i}",
            )
            for i in range(FEATURES)
        ]  # fmt: skip
        features = [TableFeature(name=table.name, table=table.name) for table in tables]
        group = TableGroup(tables, features)
        out = outputs[threads] = np.empty((BATCH, FEATURES * DIM), np.float32)

        def run(which: list[int]) -> float:
            began = time.perf_counter()
            for step, seed in enumerate(which):
                keys, gradients = inputs[seed]
                _, rows = group.forward(list(keys), insert=True, out=out)
                group.backward(rows, gradients, step=step)
            return time.perf_counter() - began

        return run

    ours = {threads: runner(threads) for threads in bench.threads}
    settings = {"cardinalities": CARDINALITIES, "dim": DIM}
    peer = bench.peer
    if peer is not None:
        peer.call("train_setup", rate=RATE, optimizer=name, **settings)
    for run in ours.values():
        run([0, 0])
    if peer is not None:
        sample = peer.call("train", batch=BATCH, seeds=[0, 0], **settings)["sample"]
        for out in outputs.values():
            # Two implementations of float32 arithmetic, one small step from 0.5.
            np.testing.assert_allclose(out[:4], np.asarray(sample), rtol=0, atol=2e-5)

    def time_of(run: Callable[[list[int]], float]) -> float:
        return run(seeds) / steps * 1e3

    contenders: dict[str, Callable[[], float]] = {
        f"ours {threads}": partial(time_of, run) for threads, run in ours.items()
    }
    if peer is not None:

        def theirs(seeds: list[int]) -> float:
            return float(peer.call("train", batch=BATCH, seeds=seeds, **settings)["seconds"])

        contenders["peer"] = partial(time_of, theirs)
    samples = interleave(contenders, rounds=bench.rounds)
    for threads in bench.threads:
        bench.add(
            compare(
                f"table work of a training step, {name}, {FEATURES} features x dim {DIM}, "
                f"batch {BATCH:,}, {threads} threads",
                "ms",
                samples[f"ours {threads}"],
                peer=samples.get("peer"),
                peer_name=TFRA,
                ratio_target=5 if threads == bench.threads[-1] else None,
                smaller_is_better=True,
            )
        )
