"""Rows a second and the time to the first batch, beside merlin and the bare decode."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.loader_figures.contest import MERLIN, Contest
from benchmarks.loader_figures.epochs import (
    Epoch,
    decode_polars,
    decode_pyarrow,
    merlin_epoch,
    our_epoch,
)
from benchmarks.measure.figure import compare
from benchmarks.measure.interleave import Samples
from emberline.dataloaders import Loader

__all__ = ["measure_speed"]


def measure_speed(
    contest: Contest,
    work: str,
    dataset: Path,
    *,
    batch_size: int,
    share_target: float | None = None,
    first_target_s: float | None = None,
) -> None:
    """Run epochs of ours, merlin's and the bare decode in turn, shuffled, on the same files.

    The first round is not counted: it compares the contents, row by row.

    Args:
        contest: the run.
        work: what the data are, for the names.
        dataset: its directory.
        batch_size: rows of a batch.
        share_target: of the speed of the bare decode.
        first_target_s: what the first batch may take.
    """

    def open_loader() -> Loader:
        return Loader(dataset, batch_size, shuffle=True)

    peer = contest.peer
    checked = our_epoch(open_loader, check=True)
    if peer is not None:
        theirs = merlin_epoch(peer, dataset, batch_size, check=True)
        if (checked.rows, checked.digest) != (theirs.rows, theirs.digest):
            raise AssertionError(f"{work}: ours and merlin's deliver other rows")
    ours: list[Epoch] = []
    merlins: list[Epoch] = []
    decoded: dict[Callable[[Path], float], list[float]] = {decode_polars: [], decode_pyarrow: []}
    for _ in range(contest.rounds):
        ours.append(our_epoch(open_loader))
        if peer is not None:
            merlins.append(merlin_epoch(peer, dataset, batch_size))
        for decode, seconds in decoded.items():
            seconds.append(decode(dataset))

    rows = checked.rows
    rate = Samples(tuple(e.rows / e.epoch_s / 1e6 for e in ours))
    limit = max(Samples(tuple(rows / s / 1e6 for s in found)).median for found in decoded.values())
    name = f"{work}, {rows:,} rows, batch {batch_size:,}, shuffled"
    merlin_rate = Samples(tuple(e.rows / e.epoch_s / 1e6 for e in merlins)) if merlins else None
    contest.add(
        compare(name, "Mrows/s", rate, peer=merlin_rate, peer_name=MERLIN, limit=limit,
                ratio_target=10, share_target=share_target)
    )  # fmt: skip
    merlin_first = Samples(tuple(e.first_s for e in merlins)) if merlins else None
    contest.add(
        compare(f"{name}: first batch", "s", Samples(tuple(e.first_s for e in ours)),
                peer=merlin_first, peer_name=MERLIN, most=first_target_s, smaller_is_better=True)
    )  # fmt: skip
    for who, found in (("ours", ours), ("merlin", merlins)):
        if found:
            busy = Samples(tuple(e.cpu_s / e.rows * 1e6 for e in found)).median
            print(f"    {who:<10} processor time a million rows {busy:8.2f} s")
    for decode, seconds in decoded.items():
        print(
            f"    {decode.__name__:<16} {rows / Samples(tuple(seconds)).median / 1e6:8.2f} Mrows/s"
        )
