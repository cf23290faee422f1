"""A picture of a workflow's graph, as SVG that follows a light or dark page."""

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emberline.errors import DataError

__all__ = ["Box", "Drawing"]

_WIDTH, _HEIGHT = 210, 46
_GAP_X, _GAP_Y = 26, 44
_MARGIN = 16
#: Characters of a line in a box, at 12 pixels.
_LINE = 32
#: Each sweep orders a layer by the neighbours of the one before; more of them changed nothing on
#: graphs of a few dozen boxes.
_SWEEPS = 8

_STYLE = """
.em-graph{font:12px system-ui,sans-serif;color:#1f2328}
.em-graph text{fill:#1f2328}
.em-graph .em-more{fill:#59636e;font-size:11px}
.em-graph rect{stroke-width:1.2;rx:6}
.em-graph .em-select rect{fill:#eaf6ec;stroke:#3a8a4d}
.em-graph .em-apply rect{fill:#f3f4f6;stroke:#818b98}
.em-graph .em-stat rect{fill:#e6f1fb;stroke:#2a6fb5}
.em-graph .em-join rect{fill:#fdf5e2;stroke:#a67c17}
.em-graph .em-unfitted rect{stroke-dasharray:5 3}
.em-graph .em-output rect{stroke-width:2.6}
.em-graph path{fill:none;stroke:#818b98;stroke-width:1.2}
.em-graph .em-head{fill:#818b98;stroke:none}
@media (prefers-color-scheme:dark){
.em-graph text{fill:#e6edf3}
.em-graph .em-more{fill:#9198a1}
.em-graph .em-select rect{fill:#12261a;stroke:#4fae66}
.em-graph .em-apply rect{fill:#21262d;stroke:#8b949e}
.em-graph .em-stat rect{fill:#10233a;stroke:#5aa2e8}
.em-graph .em-join rect{fill:#2b2412;stroke:#d3a93a}
.em-graph path{stroke:#8b949e}
.em-graph .em-head{fill:#8b949e}
}
"""
_ARROW = (
    '<defs><marker id="em-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
    'markerHeight="8" orient="auto"><path class="em-head" d="M0,0L8,4L0,8z"/></marker></defs>'
)


@dataclass(frozen=True, kw_only=True)
class Box:
    """One step.

    Attributes:
        title: the first line.
        detail: the second, smaller line.
        hint: shown while the pointer rests on it.
        style: CSS classes: em-select, em-apply, em-stat, em-join, em-unfitted, em-output.
        parents: the positions of earlier boxes.
    """

    title: str
    detail: str = ""
    hint: str = ""
    style: str = "em-apply"
    parents: tuple[int, ...] = ()


class Drawing:
    """Boxes in layers, from the data at the top to the output at the bottom.

    Shows itself in a notebook; `str(drawing)` is the SVG text, `save` writes a file.
    """

    def __init__(self, boxes: Sequence[Box], *, title: str) -> None:
        """Lay the boxes out.

        Args:
            boxes: parents come first.
            title: for readers who do not see the picture.
        """
        self.title = title
        self._places = _places(boxes)
        self._boxes = list(boxes)

    @property
    def svg(self) -> str:
        """The picture as SVG text."""
        width = max((x for x, _ in self._places), default=0) + _WIDTH + _MARGIN
        height = max((y for _, y in self._places), default=0) + _HEIGHT + _MARGIN
        size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="em-graph" role="img" {size}>',
            f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style>",
            _ARROW,
        ]
        for number, box in enumerate(self._boxes):
            parts += [self._edge(parent, number) for parent in box.parents]
        parts += [
            self._box(box, x, y) for box, (x, y) in zip(self._boxes, self._places, strict=True)
        ]
        return "\n".join([*parts, "</svg>\n"])

    def _edge(self, start: int, end: int) -> str:
        (x0, y0), (x1, y1) = self._places[start], self._places[end]
        x0, x1, y0 = x0 + _WIDTH // 2, x1 + _WIDTH // 2, y0 + _HEIGHT
        middle = (y0 + y1) // 2
        return (
            f'<path d="M{x0},{y0}C{x0},{middle} {x1},{middle} {x1},{y1 - 1}" '
            'marker-end="url(#em-arrow)"/>'
        )

    @staticmethod
    def _box(box: Box, x: int, y: int) -> str:
        middle = x + _WIDTH // 2
        first = y + (19 if box.detail else 28)
        lines = [
            f'<g class="{box.style}"><title>{html.escape(box.hint or box.title)}</title>',
            f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}"/>',
            f'<text x="{middle}" y="{first}" text-anchor="middle">{_line(box.title)}</text>',
        ]
        if box.detail:
            lines.append(
                f'<text class="em-more" x="{middle}" y="{y + 36}" text-anchor="middle">'
                f"{_line(box.detail)}</text>"
            )
        return "".join([*lines, "</g>"])

    @property
    def page(self) -> str:
        """The picture as an HTML page."""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="color-scheme" content="light dark">'
            f"<title>{html.escape(self.title)}</title>"
            "<style>body{margin:24px}svg{max-width:100%;height:auto}</style></head>\n"
            f"<body>\n{self.svg}</body></html>\n"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a `.svg` picture or an `.html` page.

        Raises:
            DataError: another suffix.
        """
        file = Path(path)
        if file.suffix not in (".svg", ".html"):
            raise DataError(f"a drawing is saved as .svg or .html, got {str(path)!r}")
        file.write_text(self.svg if file.suffix == ".svg" else self.page, encoding="utf-8")

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self.svg}</div>'

    def __str__(self) -> str:
        return self.svg


def _line(text: str) -> str:
    return html.escape(text if len(text) <= _LINE else f"{text[: _LINE - 1]}…")


def _places(boxes: Sequence[Box]) -> list[tuple[int, int]]:
    """Give each box's upper left corner: layers by longest path, ordered by barycentres."""
    level: list[int] = []
    for box in boxes:
        level.append(max((level[p] + 1 for p in box.parents), default=0))
    children: dict[int, list[int]] = {i: [] for i in range(len(boxes))}
    for number, box in enumerate(boxes):
        for parent in box.parents:
            children[parent].append(number)
    # Inputs stand right above what reads them, not all in the first row.
    for number in reversed(range(len(boxes))):
        if children[number]:
            level[number] = min(level[c] for c in children[number]) - 1
    rows = [
        [i for i, own in enumerate(level) if own == row]
        for row in range(max(level, default=-1) + 1)
    ]
    slot = {number: float(i) for row in rows for i, number in enumerate(row)}
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            wanted = {
                n: _mean(boxes[n].parents if down else children[n], slot, slot[n]) for n in row
            }
            row.sort(key=wanted.__getitem__)
            slot |= {number: float(i) for i, number in enumerate(row)}
    widest = max((len(row) for row in rows), default=0)
    return [
        (
            _MARGIN + int((slot[n] + (widest - len(rows[level[n]])) / 2) * (_WIDTH + _GAP_X)),
            _MARGIN + level[n] * (_HEIGHT + _GAP_Y),
        )
        for n in range(len(boxes))
    ]


def _mean(near: Sequence[int], slot: Mapping[int, float], own: float) -> float:
    return sum(slot[n] for n in near) / len(near) if near else own
