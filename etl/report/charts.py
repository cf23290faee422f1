"""The report's pictures: inline SVG, coloured by the page's style sheet."""

import html
from collections.abc import Sequence

__all__ = ["bars", "curve", "histogram", "meter", "spark"]

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 560, 170, 54, 24, 10
_NARROW = 1.0  # between bars
_CHARACTER = 7.5  # the width of a tick's character, with some space between labels


def _svg(kind: str, width: int, height: int, title: str, parts: Sequence[str]) -> str:
    # The title is what a screen reader says instead of the picture.
    return (
        f'<svg class="{kind}" role="img" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}"><title>{html.escape(title)}</title>{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "tick") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{html.escape(text)}</text>"
    )


def _rect(kind: str, x: float, y: float, width: float, height: float, hint: str = "") -> str:
    inside = f"<title>{html.escape(hint)}</title>" if hint else ""
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" '
        f'height="{max(height, 0):.1f}">{inside}</rect>'
    )


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"


def _apart(labels: Sequence[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """Keep the first and the last label and, of those between, the ones that touch no other."""

    def extent(label: tuple[float, str, str]) -> tuple[float, float]:
        x, text, anchor = label
        width = _CHARACTER * len(text)
        begin = x - {"start": 0, "middle": width / 2, "end": width}[anchor]
        return begin, begin + width

    kept = list(labels[:1])
    for label in labels[1:-1]:
        begin, end = extent(label)
        if begin > extent(kept[-1])[1] and end < extent(labels[-1])[0]:
            kept.append(label)
    return kept + list(labels[1:][-1:])


def spark(shares: Sequence[float], title: str) -> str:
    """Draw a small histogram without axes."""
    width, height = 220, 32
    highest = max(shares, default=0) or 1
    step = width / max(len(shares), 1)
    return _svg(
        "spark",
        width,
        height,
        title,
        [
            _rect(
                "train",
                i * step,
                height - max(height * s / highest, 1 if s else 0),
                max(step - (_NARROW if step > 3 else 0), 0.6),
                height,
            )
            for i, s in enumerate(shares)
        ],
    )


def meter(share: float, title: str, kind: str) -> str:
    """Draw a share as a bar in a frame."""
    width, height = 96, 10
    filled = max(share * width, 1.5 if share else 0)
    return _svg(
        "meter",
        width,
        height,
        title,
        [_rect("frame", 0, 0, width, height), _rect(kind, 0, 0, min(filled, width), height)],
    )


def histogram(
    train: Sequence[float],
    valid: Sequence[float] | None,
    hints: Sequence[str],
    ticks: Sequence[tuple[float, str]],
    highest: tuple[float, str],
    title: str,
) -> str:
    """Draw training as bars, validation as a line of steps.

    Args:
        train: share of each bin.
        valid: likewise, or None.
        hints: shown while the pointer rests on a bin.
        ticks: (place in bins, text) along the bottom.
        highest: the top of the scale and its text.
        title: what the picture says, in words.
    """
    inner, tall = _WIDTH - _LEFT - 8, _HEIGHT - _BOTTOM - _TOP
    step, floor = inner / len(train), _TOP + tall

    def height(share: float) -> float:
        return tall * share / highest[0] if highest[0] else 0.0

    parts = [
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y}" y2="{y}"/>'
        for y in (_TOP, _TOP + tall / 2)
    ]
    for i, (share, hint) in enumerate(zip(train, hints, strict=True)):
        tall_bar = max(height(share), 1 if share else 0)
        gap = _NARROW if step > 4 else 0.2
        parts.append(_rect("train", _LEFT + i * step, floor - tall_bar, step - gap, tall_bar, hint))
    if valid is not None:
        path = f"M{_LEFT},{floor}"
        for i, share in enumerate(valid):
            path += f"V{floor - height(share):.1f}H{_LEFT + (i + 1) * step:.1f}"
        parts.append(f'<path class="valid-line" d="{path}V{floor}"/>')
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{floor}" y2="{floor}"/>')
    parts.append(_text(_LEFT - 5, _TOP + 4, highest[1], "end"))
    labels = []
    for where, text in ticks:
        anchor = "start" if where == 0 else "end" if where == len(train) else "middle"
        labels.append((_LEFT + where * step, text, anchor))
    parts += [_text(x, _HEIGHT - 8, text, anchor) for x, text, anchor in _apart(labels)]
    return _svg("histogram", _WIDTH, _HEIGHT, title, parts)


def bars(
    rows: Sequence[tuple[str, float, str, float | None, str]],
    title: str,
) -> str:
    """Draw a horizontal bar for each value.

    Args:
        rows: (value, share in training, its text, share in validation, hint).
        title: what the picture says, in words.
    """
    label, inner, each = 190, 290, 20
    highest = max((max(train, valid or 0) for _, train, _, valid, _ in rows), default=0) or 1
    parts = []
    for i, (value, train, text, valid, hint) in enumerate(rows):
        y = i * each + 4
        parts.append(_text(label - 8, y + 11, _cut(value, 21), "end", "name"))
        width = inner * train / highest
        parts.append(_rect("train", label, y, max(width, 1), each - 6, hint))
        if valid is not None:
            x = label + inner * valid / highest
            parts.append(
                f'<line class="valid-line" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 2}" '
                f'y2="{y + each - 4}"/>'
            )
        end = label + max(width, inner * (valid or 0) / highest)
        parts.append(_text(end + 6, y + 11, text))
    return _svg("bars", _WIDTH, len(rows) * each + 6, title, parts)


def curve(
    points: Sequence[tuple[float, float]], ticks: Sequence[tuple[float, str]], title: str
) -> str:
    """Draw a curve in the unit square, y from 0 to 100 %.

    Args:
        points: (x, y), both 0..1, x ascending.
        ticks: (x, text) along the bottom.
        title: what the picture says, in words.
    """
    inner, tall = _WIDTH - _LEFT - 8, _HEIGHT - _BOTTOM - _TOP
    floor = _TOP + tall
    parts = [
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y}" y2="{y}"/>'
        + _text(_LEFT - 5, y + 4, text, "end")
        for y, text in ((_TOP, "100 %"), (_TOP + tall / 2, "50 %"))
    ]
    path = " ".join(f"{_LEFT + x * inner:.1f},{floor - y * tall:.1f}" for x, y in points)
    if points:
        first, last = (_LEFT + points[i][0] * inner for i in (0, -1))
        parts.append(
            f'<polygon class="area" points="{first:.1f},{floor} {path} {last:.1f},{floor}"/>'
        )
    parts.append(f'<polyline class="train-line" points="{path}"/>')
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{floor}" y2="{floor}"/>')
    for x, text in ticks:
        anchor = "start" if x == 0 else "end" if x == 1 else "middle"
        parts.append(_text(_LEFT + x * inner, _HEIGHT - 8, text, anchor))
    return _svg("curve", _WIDTH, _HEIGHT, title, parts)
