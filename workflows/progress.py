"""Progress of long work: bars on a terminal, plain lines elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from emberline.workflows.run import Run, StageResult

__all__ = ["Reporter", "Update", "reported_stage"]

# update(done, total): in rows, bytes or batches; total is None when it is not known.
Update = Callable[[int, int | None], None]


class Reporter:
    """Says what is going on, on standard error, so that standard output stays clean.

    Args:
        console: where to; default standard error.
        interval_s: least time between two plain progress lines.
    """

    def __init__(self, console: Console | None = None, *, interval_s: float = 10.0) -> None:
        self.console = Console(stderr=True, highlight=False) if console is None else console
        self.interval_s = interval_s

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def work(self, title: str, unit: str) -> Iterator[Update]:
        """Show one piece of work from begin to end; yields the function to report progress with."""
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(unit),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            with Progress(*columns, console=self.console, transient=True) as bar:
                task = bar.add_task(title, total=None)
                yield lambda done, total: bar.update(task, completed=done, total=total)
            return
        last = time.monotonic()

        def update(done: int, total: int | None) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= self.interval_s:
                last = now
                self.say(
                    f"  {title}: {done:,} of {total:,} {unit}"
                    if total
                    else f"  {title}: {done:,} {unit}"
                )

        yield update


def reported_stage(
    run: Run,
    reporter: Reporter,
    name: str,
    inputs: Mapping[str, Any],
    work: Callable[[Path], Mapping[str, Any]],
) -> StageResult:
    """Run or reuse a stage (see `Run.stage`) and say so."""
    if run.finished(name, inputs) is None:
        reporter.say(f"{name} ...")
    result = run.stage(name, inputs, work)
    reporter.say(f"{name}: {'reused' if result.reused else f'{result.seconds:.1f} s'}")
    return result
