"""A bar for a person at a terminal while a loader is iterated over; nothing anywhere else."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from emberline.dataloaders.stats import Meter

__all__ = ["progress_bar"]


@contextlib.contextmanager
def progress_bar(title: str, total: int, *, shown: bool) -> Iterator[Callable[[int, Meter], None]]:
    """Show a bar on stderr if it is a terminal, gone at the end.

    Args:
        title: what is iterated over, for example "epoch 3".
        total: batches of the epoch.
        shown: False is nothing, whatever stderr is.

    Yields:
        A function to be called with the batches done and the meter, after each batch.
    """
    if not (shown and sys.stderr.isatty()):
        yield lambda done, meter: None
        return
    # Imported here: most runs are not at a terminal.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("batches"),
        Elapsed(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, note="")

        def update(done: int, meter: Meter) -> None:
            stats = meter.read()
            note = f"{stats.rows_per_s / 1e6:.2f} M rows/s, waits {stats.wait_share:.0%}"
            bar.update(task, completed=done, note=note)

        yield update
