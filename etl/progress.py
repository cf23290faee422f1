"""What a person at a terminal sees while a pass runs; nothing anywhere else."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["progress"]


@contextlib.contextmanager
def progress(
    what: str, *, total: int | None = None, file: Path | None = None
) -> Iterator[Callable[[], None]]:
    """Show a bar on stderr if it is a terminal, gone at the end.

    Args:
        what: the work, for example "fitting".
        total: the number of steps, or None if it is one step of unknown length.
        file: shown with its size, as it grows.

    Yields:
        A function to be called after each step.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    # Imported here: most runs are not at a terminal.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed
    from rich.text import Text

    class Written(ProgressColumn):
        """The megabytes in the file so far."""

        def render(self, task: Task) -> Text:
            if file is None or not file.exists():
                return Text("")
            return Text(f"{file.stat().st_size / 1e6:,.0f} MB")

    columns = (TextColumn("{task.description}"), BarColumn(), Written(), Elapsed())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
