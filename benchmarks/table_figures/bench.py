"""What every figure of the table benchmark uses: sizes, threads, peer, limits, results."""

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure.figure import Figure
from benchmarks.measure.keys import BLOCK, block, keys_of
from benchmarks.measure.limits import Limits
from benchmarks.measure.peer import Peer
from benchmarks.measure.report import print_figure
from emberline.kernels import HashTable

__all__ = ["TFRA", "Bench", "insert_batches", "make_table", "seconds_of", "start_peer"]

TFRA = "TFRA 0.8.1"


@dataclass(kw_only=True)
class Bench:
    """One run.

    Attributes:
        quick: small sizes, few rounds.
        threads: what our table is measured with; the last is the one that targets speak of.
        peer: TFRA's process, None where its environment is not built.
        limits: the machine's probes.
        figures: the rows so far.
    """

    quick: bool
    threads: tuple[int, ...]
    peer: Peer | None
    limits: Limits
    figures: list[Figure] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """Counted rounds of an interleaved measurement."""
        return 3 if self.quick else 5

    def renew_peer(self) -> None:
        """Start the peer again, without tables: it does not give memory back otherwise.

        A quick run's tables are small, and a start takes seconds: there, nothing happens.
        """
        if self.peer is not None and not self.quick:
            self.peer.close()
            self.peer = start_peer(self.threads[-1])

    def add(self, figure: Figure) -> None:
        """Keep and print a row."""
        self.figures.append(figure)
        print_figure(figure)


def start_peer(threads: int) -> Peer:
    """Start TFRA in its environment, with at least two threads.

    Raises:
        PeerError: the environment is not built, or TFRA does not start.
    """
    variables = {
        "TF_USE_LEGACY_KERAS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PEER_THREADS": str(max(2, threads)),
    }
    peer = Peer(".venv-tfra", "benchmarks.peers.tfra_table", variables)
    peer.call("ready")
    return peer


def make_table(dim: int, *, threads: int, **settings: Any) -> HashTable:
    """Make a table; `threads` is passed on where this version of the table has it."""
    if "threads" in inspect.signature(HashTable.__init__).parameters:
        settings["threads"] = threads
    return HashTable(dim, **settings)


def seconds_of(work: Callable[[], Any]) -> float:
    """Time one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def insert_batches(
    dim: int, start: int, stop: int
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Give batches of BLOCK keys and their vectors, made before any clock starts.

    `start` is a multiple of BLOCK: key number i has row i % BLOCK of the vectors.
    """
    if start % BLOCK:
        raise ValueError(f"start is {start}, not a multiple of {BLOCK}")
    vectors = block(dim)
    ends = range(start, stop, BLOCK)
    keys = [keys_of(np.arange(at, min(at + BLOCK, stop))) for at in ends]
    return [(batch, vectors[: len(batch)]) for batch in keys]
