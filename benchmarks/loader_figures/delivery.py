"""What handing a batch over costs: Keras' `fit` of an empty model, our own loop, a 10 ms step."""

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.loader_figures.contest import Contest
from benchmarks.measure.figure import compare
from benchmarks.measure.interleave import Samples, interleave
from emberline.dataloaders import Loader
from emberline.dataloaders.tensors import to_tensors

__all__ = ["measure_delivery", "measure_wait"]

_EVERYTHING = 16 * 2**30  # a budget that no data set here fills


class Empty(keras.Model):
    """A model whose training step does nothing."""

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        return {"loss": tf.constant(0.0)}


def _nothing(x: dict[str, tf.Tensor], y: tf.Tensor) -> tf.Tensor:
    return tf.constant(0.0)


empty_step = tf.function(_nothing, reduce_retracing=True)
"""A step of our own that takes all inputs and does nothing."""


class WhenAllAreReady(keras.callbacks.Callback):
    """Starts the clock after the first batch, when all others are made."""

    def __init__(self, loader: Loader) -> None:
        super().__init__()
        self.loader = loader
        self.began = 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 0:
            wait_until_ready(self.loader)
            self.began = time.perf_counter()


def wait_until_ready(loader: Loader) -> None:
    """Let the readers make every batch of the epoch that has not been taken yet."""
    while loader.stats().batches + loader.stats().batches_ready < len(loader):
        time.sleep(0.005)


def measure_delivery(contest: Contest, dataset: Path, *, batch_size: int) -> None:
    """Measure the time a batch costs when all are made already: the hand-over alone."""

    def open_loader() -> Loader:
        return Loader(dataset, batch_size, shuffle=True, prefetch_bytes=_EVERYTHING)

    model = Empty()
    model.compile()

    def fit() -> float:
        loader = open_loader()
        clock = WhenAllAreReady(loader)
        model.fit(loader.as_keras(), shuffle=False, verbose=0, callbacks=[clock])
        return (time.perf_counter() - clock.began) / (len(loader) - 1) * 1e3

    thread_ms: dict[str, list[float]] = {"tensors": [], "step": []}

    def own(what: str) -> float:
        loader = open_loader()
        batches = iter(loader)
        x, y = next(batches)
        wait_until_ready(loader)
        busy, began = time.thread_time(), time.perf_counter()
        for x, y in batches:
            tensors = to_tensors((x, y))
            if what == "step":
                empty_step(*tensors)
        took = time.perf_counter() - began
        thread_ms[what].append((time.thread_time() - busy) / (len(loader) - 1) * 1e3)
        return took / (len(loader) - 1) * 1e3

    # Before any `fit`: after one, every array that is dropped is unmapped by a call of its own
    # (seen with strace), 2 ms a batch on the thread that drops it.
    found = interleave(
        {"tensors": lambda: own("tensors"), "step": lambda: own("step")}, rounds=contest.rounds
    )
    found |= interleave({"fit": fit}, rounds=contest.rounds)
    name = f"delivery of a batch of {batch_size:,} x 40"
    contest.add(compare(f"{name}: own loop, as tensors", "ms", found["tensors"], most=1.0))
    contest.add(
        compare(f"{name}: own loop, and the call of an empty tf.function", "ms", found["step"])
    )
    contest.add(compare(f"{name}: Keras fit, empty model", "ms", found["fit"]))
    for what, found_ms in thread_ms.items():
        busy = Samples(tuple(found_ms[1:])).median
        print(f"    own loop, {what:<8} {busy:8.2f} ms of its thread's processor time")


def measure_wait(contest: Contest, dataset: Path, *, batch_size: int, step_ms: float) -> None:
    """Measure which share of the time a training step of fixed length waits for its batch.

    The step keeps one core busy, without Python's lock, for the given time on a quiet machine.
    The wait for the first batch is stated apart: an epoch has it once.
    """
    work = np.random.default_rng(0).random(200_000)
    began = time.perf_counter()
    for _ in range(20):
        np.sort(work)
    sorts = max(1, round(step_ms / 1e3 / ((time.perf_counter() - began) / 20)))

    def epoch() -> tuple[float, float, float]:
        loader = Loader(dataset, batch_size, shuffle=True)
        batches = iter(loader)
        next(batches)
        first_s = loader.stats().waited_s
        began = time.perf_counter()
        for _ in batches:
            for _ in range(sorts):
                np.sort(work)
        stepped_s = time.perf_counter() - began
        waited_s = loader.stats().waited_s - first_s
        return waited_s / stepped_s * 100, first_s, stepped_s / (len(loader) - 1) * 1e3

    epochs = [epoch() for _ in range(contest.rounds + 1)][1:]
    name = f"a busy step of {step_ms:g} ms, batch {batch_size:,} x 40"
    shares = Samples(tuple(share for share, _, _ in epochs))
    contest.add(compare(f"{name}: waits for data", "%", shares, most=1.0))
    first = Samples(tuple(first_s for _, first_s, _ in epochs)).median
    took = Samples(tuple(step for _, _, step in epochs)).median
    print(f"    first batch of an epoch {first:.3f} s; a step took {took:.1f} ms")
