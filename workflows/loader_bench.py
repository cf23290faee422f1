"""How fast a loader reads some files: `emberline data bench`."""

import time
from dataclasses import asdict
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from emberline.dataloaders import Loader

__all__ = ["bench_epochs", "print_epochs"]


def bench_epochs(
    data: str,
    batch_size: int,
    *,
    shuffle: bool = False,
    threads: int | Literal["auto"] = "auto",
    epochs: int = 1,
) -> list[dict[str, Any]]:
    """Take every batch of some epochs and do nothing with it.

    Args:
        data: what `Loader` takes.
        batch_size: rows of a batch.
        shuffle: permute the rows.
        threads: that read ahead.
        epochs: how many.

    Returns:
        For each epoch the fields of `LoaderStats`, "rows_per_s", "bytes_per_s", "wait_share",
        and "first_batch_s": from the start of the iteration (in the first epoch: from the
        opening of the files) to its first batch.
    """
    began = time.perf_counter()
    loader = Loader(data, batch_size, shuffle=shuffle, threads=threads, progress=True)
    figures: list[dict[str, Any]] = []
    for _ in range(epochs):
        first_s = None
        for _ in loader:
            if first_s is None:
                first_s = time.perf_counter() - began
        stats = loader.stats()
        figures.append(
            {
                "first_batch_s": first_s,
                **asdict(stats),
                "rows_per_s": stats.rows_per_s,
                "bytes_per_s": stats.bytes_per_s,
                "wait_share": stats.wait_share,
            }
        )
        began = time.perf_counter()
    return figures


def print_epochs(figures: list[dict[str, Any]], console: Console) -> None:
    """Print one column for each epoch."""
    table = Table("", *(f"epoch {number}" for number in range(len(figures))))
    for title, text in (
        ("rows", lambda f: f"{f['rows']:,}"),
        ("batches", lambda f: f"{f['batches']:,}"),
        ("seconds", lambda f: f"{f['elapsed_s']:.3f}"),
        ("first batch after, s", lambda f: f"{f['first_batch_s']:.3f}"),
        ("million rows/s", lambda f: f"{f['rows_per_s'] / 1e6:.3f}"),
        ("MB/s", lambda f: f"{f['bytes_per_s'] / 1e6:,.0f}"),
        ("consumer waited, s", lambda f: f"{f['waited_s']:.3f}"),
        ("readers waited, s", lambda f: f"{f['readers_waited_s']:.3f}"),
        ("threads", lambda f: f"{f['threads']}"),
    ):
        table.add_row(title, *map(text, figures))
    console.print(table)
