"""Contenders on one input, each in a process of its own, in turn."""

import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.etl_figures.answers import differences
from benchmarks.measure.child import Measured, run_child
from benchmarks.measure.figure import Figure, compare
from benchmarks.measure.interleave import Samples
from benchmarks.measure.peer import Peer
from benchmarks.measure.report import print_figure

__all__ = ["NVTABULAR", "Contest", "measure_growth", "measure_work"]

NVTABULAR = "NVTabular 23.8"
ENVIRONMENT = ".venv-nvtabular"


@dataclass(kw_only=True)
class Contest:
    """One run.

    Attributes:
        rounds: of everything but the peer, which is run once: it takes minutes, and is measured
            for its factor, not its decimals.
        figures: the rows so far.
    """

    rounds: int
    figures: list[Figure] = field(default_factory=list)

    @property
    def has_peer(self) -> bool:
        """Whether NVTabular's environment is built."""
        return Peer.python(ENVIRONMENT).exists()

    def add(self, figure: Figure) -> None:
        """Keep and print a row."""
        self.figures.append(figure)
        print_figure(figure)


def run(who: str, work: str, source: Path, target: Path, limit: str | None = None) -> Measured:
    """Let one contender work; its output is at `target`."""
    shutil.rmtree(target, ignore_errors=True)
    if who == "nvtabular":
        python, module = Peer.python(ENVIRONMENT), "benchmarks.peers.nvtabular_etl"
        return run_child(python, module, [work, source, target])
    arguments: list[str | Path] = [who, work, source, target, *([limit] if limit else [])]
    return run_child(Path(sys.executable), "benchmarks.etl_figures.work", arguments)


def measure_work(
    contest: Contest,
    work: str,
    source: Path,
    *,
    rows: int,
    ratio_target: float,
    memory_target: float,
    copy_target: float | None,
) -> None:
    """Measure a workflow beside NVTabular, Polars by hand and a copy of the file.

    Args:
        contest: the run.
        work: "movielens" or "criteo".
        source: the directory of the input.
        rows: of the input.
        ratio_target: how many times faster than NVTabular.
        memory_target: GB.
        copy_target: how many times the time of the copy it may take; None: any.
    """
    contenders = ["ours", "polars", "copy"]
    taken: dict[str, list[Measured]] = {who: [] for who in [*contenders, "nvtabular"]}
    with tempfile.TemporaryDirectory(dir=source.parent) as scratch:
        targets = {who: Path(scratch) / who for who in taken}
        for _ in range(contest.rounds):
            for who in contenders:
                taken[who].append(run(who, work, source, targets[who]))
        if contest.has_peer:
            taken["nvtabular"].append(run("nvtabular", work, source, targets["nvtabular"]))
        for other in ("polars", "nvtabular"):
            if taken[other] and (found := differences(targets["ours"], targets[other])):
                raise AssertionError(f"{work}: ours and {other} differ: {'; '.join(found)}")

    name = f"{work}, {rows:,} rows, fit + write"
    speed = {who: _samples([rows / m.seconds / 1e6 for m in found]) for who, found in taken.items()}
    memory = {who: _samples([m.peak_bytes / 1e9 for m in found]) for who, found in taken.items()}
    ours = speed["ours"]
    assert ours is not None, "ours was measured"
    contest.add(
        compare(name, "Mrows/s", ours, peer=speed["nvtabular"], peer_name=NVTABULAR,
                ratio_target=ratio_target)
    )  # fmt: skip
    # Rounds in pairs: what disturbs a machine for a minute disturbs both.
    for other, words, most in (
        ("polars", "time beside Polars by hand", 1.15),
        ("copy", "time beside a copy of the file by Polars", copy_target),
    ):
        times = _paired(taken["ours"], taken[other])
        contest.add(compare(f"{name}: {words}", "times", times, most=most))
    used = memory["ours"]
    assert used is not None, "ours was measured"
    contest.add(
        compare(f"{name}: peak memory", "GB", used, peer=memory["nvtabular"], peer_name=NVTABULAR,
                most=memory_target, smaller_is_better=True)
    )  # fmt: skip
    for who, done in taken.items():
        for stage in done[0].stages if done else ():
            took = statistics.median(m.stages[stage] for m in done)
            print(f"    {who:<10} {stage:<15} {took:8.2f} s")
        if done:
            busy = statistics.median(m.cpu_seconds for m in done)
            print(f"    {who:<10} processor time  {busy:8.2f} s")


def measure_growth(contest: Contest, sources: Sequence[tuple[int, Path]], *, limit: str) -> None:
    """Measure time a row and peak memory as rows grow and categories do not.

    Args:
        contest: the run.
        sources: (rows, directory), the smallest first.
        limit: `memory_limit` of fit and transform.
    """
    found = []
    for rows, source in sources:
        with tempfile.TemporaryDirectory(dir=source.parent) as scratch:
            target = Path(scratch) / "out"
            runs = [run("ours", "movielens", source, target, limit) for _ in range(contest.rounds)]
        found.append(
            (
                rows,
                Samples(tuple(m.seconds / rows * 1e6 for m in runs)),
                Samples(tuple(m.peak_bytes / 1e9 for m in runs)),
            )
        )
    # The second is the measure: the start of the engine is a visible part of the smallest.
    base_rows, base_time, base_memory = found[min(1, len(found) - 2)]
    for i, (rows, time, memory) in enumerate(found):
        name = f"movielens, {rows:,} rows, memory_limit={limit}"
        for what, unit, value, base in (
            ("time a million rows", "s", time, base_time),
            ("peak memory", "GB", memory, base_memory),
        ):
            asked = f"<= 1.25x that of {base_rows:,} rows", value.median <= 1.25 * base.median
            last = i == len(found) - 1
            contest.add(compare(f"{name}: {what}", unit, value, extra=asked if last else None))


def _samples(values: Sequence[float]) -> Samples | None:
    return Samples(tuple(values)) if values else None


def _paired(ours: Sequence[Measured], theirs: Sequence[Measured]) -> Samples:
    return Samples(tuple(a.seconds / b.seconds for a, b in zip(ours, theirs, strict=True)))
