"""Draws docs/loader-order.svg from the plan itself: python docs/loader_order.py."""

from pathlib import Path

import numpy as np

from emberline.dataloaders.plan import Plan
from emberline.dataloaders.share import Share

FILES = ((8, 8, 8), (8, 8, 8))
PLAN = Plan(
    row_group_rows=tuple(rows for file in FILES for rows in file),
    batch_size=10,
    shuffle=True,
    seed=2,
    window_row_groups=2,
)
COLOURS = ("#0a5aa8", "#58a6ff", "#1a7f37", "#7ddf8f", "#b35900", "#ffb454")
LEFT, CELL, GAP, HEIGHT = 30, 14, 16, 22

HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 480" width="860" height="480" \
role="img" aria-labelledby="title desc">
  <title id="title">The order of the loader's rows, and the stages that make batches</title>
  <desc id="desc">Row groups are permuted, every two of them form a window, rows are permuted \
inside a window, and batches are cut across windows and dealt to ranks in runs of neighbours. \
Threads decode row groups and gather columns into batches, which wait for the consumer.</desc>
  <style>
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .small { font-size: 11.5px; fill: #57606a; }
    .box { fill: #f6f8fa; stroke: #57606a; }
    .frame { fill: none; stroke: #57606a; }
    .arrow { fill: none; stroke: #1f2328; stroke-width: 1.5; marker-end: url(#tip); }
    #tip path { fill: #1f2328; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .small { fill: #9da7b3; }
      .box { fill: #161b22; stroke: #8b949e; }
      .frame { stroke: #8b949e; }
      .arrow { stroke: #e6edf3; }
      #tip path { fill: #e6edf3; }
    }
  </style>
  <defs>
    <marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" \
orient="auto">
      <path d="M0 0 L10 5 L0 10 z"/>
    </marker>
  </defs>
"""


def cells(runs: list[list[int]], top: int, labels: list[str]) -> list[str]:
    """Draw runs of rows, each in a frame with a label below; a row has its row group's colour."""
    lines = []
    left = LEFT
    for run, label in zip(runs, labels, strict=True):
        for number, row in enumerate(run):
            colour = COLOURS[row // 8]
            lines.append(
                f'  <rect x="{left + number * CELL}" y="{top}" width="{CELL - 1}" '
                f'height="{HEIGHT}" fill="{colour}"/>'
            )
        width = len(run) * CELL + 3
        lines.append(
            f'  <rect class="frame" x="{left - 2}" y="{top - 2}" width="{width}" '
            f'height="{HEIGHT + 4}"/>'
        )
        lines.append(f'  <text class="small" x="{left}" y="{top + HEIGHT + 17}">{label}</text>')
        left += width + GAP - 3
    return lines


def picture() -> str:
    """Give the SVG."""
    epoch = PLAN.epoch(0)
    file_rows = np.split(np.arange(48), np.cumsum([sum(file) for file in FILES])[:-1])
    windows, orders = [], []
    for window in range(epoch.num_windows):
        rows = np.concatenate([np.arange(g * 8, g * 8 + 8) for g in epoch.window_groups(window)])
        order = epoch.window_order(window)
        assert order is not None, "the plan shuffles"
        windows.append(rows.tolist())
        orders.append(rows[order].tolist())
    stream = [row for rows in orders for row in rows]
    size = PLAN.batch_size
    batches = [stream[i * size : (i + 1) * size] for i in range(PLAN.num_batches)]
    owners = {
        batch: rank
        for rank in range(2)
        for run in Share(rank=rank, world=2, remainder="uneven").numbers(
            ((0, PLAN.num_batches),), 0
        )
        for batch in run
    }
    steps = (
        ("1  the files, each of three row groups", [list(map(int, rows)) for rows in file_rows],
         ["part_0.parquet", "part_1.parquet"]),
        ("2  row groups permuted by (seed, epoch); every window_row_groups=2 of them are a window",
         windows, [f"window {i}" for i in range(len(windows))]),
        ("3  rows permuted inside each window, by (seed, epoch, window)",
         orders, [f"window {i}" for i in range(len(orders))]),
        ("4  cut every batch_size=10 rows, across windows; ranks take runs of neighbours",
         batches, [f"batch {i}, rank {owners[i]} of 2" for i in range(len(batches))]),
    )  # fmt: skip
    lines = []
    for number, (title, runs, labels) in enumerate(steps):
        top = 20 + number * 88
        lines.append(f'  <text x="{LEFT - 2}" y="{top}">{title}</text>')
        lines += cells(runs, top + 12, labels)
    lines.append(f'  <text x="{LEFT - 2}" y="378">how they are made, ahead of the consumer</text>')
    stages = (
        ("decode", "a row group: a thread"),
        ("window", "decoded columns"),
        ("gather", "a column: a thread"),
        ("ready", "within prefetch_bytes"),
        ("your loop", "takes them in order"),
    )
    for number, (name, words) in enumerate(stages):
        left = LEFT - 2 + number * 162
        lines.append(f'  <rect class="box" x="{left}" y="390" width="142" height="52" rx="4"/>')
        lines.append(f'  <text x="{left + 10}" y="412">{name}</text>')
        lines.append(f'  <text class="small" x="{left + 10}" y="430">{words}</text>')
        if number:
            lines.append(f'  <path class="arrow" d="M{left - 20} 416 H{left - 2}"/>')
    lines.append(
        f'  <text class="small" x="{LEFT - 2}" y="466">Batches are placed by their number, so '
        "no order of events among the threads shows in what the loop sees.</text>"
    )
    return HEAD + "\n".join(lines) + "\n</svg>\n"


if __name__ == "__main__":
    Path(__file__).with_name("loader-order.svg").write_text(picture(), encoding="utf-8")
