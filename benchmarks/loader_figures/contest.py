"""What every figure of the loader benchmark uses: the peer, the rounds, the results."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.measure.figure import Figure
from benchmarks.measure.peer import Peer
from benchmarks.measure.report import print_figure

__all__ = ["MERLIN", "Contest", "open_contest"]

MERLIN = "merlin-dataloader 23.8"
ENVIRONMENT = ".venv-nvtabular"


@dataclass(kw_only=True)
class Contest:
    """One run.

    Attributes:
        quick: small sizes, few rounds.
        peer: merlin's process, None where its environment is not built.
        figures: the rows so far.
    """

    quick: bool
    peer: Peer | None
    figures: list[Figure] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """Counted rounds of everything; contenders take turns."""
        return 2 if self.quick else 5

    def add(self, figure: Figure) -> None:
        """Keep and print a row."""
        self.figures.append(figure)
        print_figure(figure)


@contextlib.contextmanager
def open_contest(*, quick: bool) -> Iterator[Contest]:
    """Start the peer if it can be, and end it."""
    peer = None
    if Peer.python(ENVIRONMENT).exists():
        peer = Peer(ENVIRONMENT, "benchmarks.peers.merlin_loader", {"TF_CPP_MIN_LOG_LEVEL": "3"})
    try:
        yield Contest(quick=quick, peer=peer)
    finally:
        if peer is not None:
            peer.close()
