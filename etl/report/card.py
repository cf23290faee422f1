"""One column's part of the page."""

import html
import math
from collections.abc import Sequence

import polars as pl

from emberline.etl.report.charts import bars, curve, histogram
from emberline.etl.report.encoding_profile import EncodingProfile
from emberline.etl.report.numbers import number, percent, place, shown
from emberline.etl.report.profile import ColumnProfile, PartProfile

__all__ = ["column_card", "drift_class", "encoding_card", "shares"]

_SHOWN = 10


def shares(part: PartProfile) -> list[float]:
    """Give the histogram's counts as shares of the leaves."""
    leaves = max(part.sketch.leaves, 1)
    return [count / leaves for count in part.histogram.tolist()]


def drift_class(column: ColumnProfile) -> str:
    """Give the style of a column's verdict."""
    return "" if column.drift is None else column.drift.verdict.split()[0]


def column_card(column: ColumnProfile, anchor: str) -> str:
    """Give the section of a column: its facts, pictures, and the same in numbers."""
    name = html.escape(column.name)
    parts = [
        f'<section class="card" id="{anchor}" aria-labelledby="{anchor}-name">',
        f'<h3 id="{anchor}-name">{name} <span class="type">{html.escape(column.dtype)}</span></h3>',
        _facts(column),
    ]
    if column.train.sketch.kind == "other":
        parts.append('<p class="soft">Values of this type are not looked into.</p>')
    if column.bins is not None and column.train.histogram.sum():
        parts += ["<h4>Distribution</h4>", _histogram(column)]
    if column.train.sketch.listed:
        parts += ["<h4>List lengths</h4>", _lengths(column)]
    if _worth_naming(column):
        parts += ["<h4>Most frequent values</h4>", _top(column), _numbers(column)]
    parts.append("</section>")
    return "\n".join(part for part in parts if part)


def _worth_naming(column: ColumnProfile) -> bool:
    # Where no value comes back the first ones are no better than any.
    return len(column.top) > 0 and bool(column.train.top[0] > 1 or len(column.top) == 1)


def _fact(term: str, text: str) -> str:
    return f"<div><dt>{html.escape(term)}</dt><dd>{html.escape(text)}</dd></div>"


def _facts(column: ColumnProfile) -> str:
    sketch = column.train.sketch
    out = [_fact("missing", percent(sketch.missing / sketch.rows))]
    if column.valid is not None and column.valid.sketch.rows:
        other = column.valid.sketch
        out.append(_fact("in validation", percent(other.missing / other.rows)))
    if sketch.kind != "other":
        about = "" if sketch.values.exact else "≈ "
        out.append(_fact("distinct", f"{about}{number(sketch.values.distinct)}"))
    if sketch.listed:
        out.append(_fact("mean length", number(round(sketch.mean_length, 2))))
        if sketch.missing_leaves:
            out.append(_fact("missing inside lists", number(sketch.missing_leaves)))
    if sketch.kind in ("number", "time"):
        out.append(_fact("from", place(sketch.low, sketch.dtype)))
        out.append(_fact("to", place(sketch.high, sketch.dtype)))
    if sketch.kind == "number":
        out += [_fact("mean", number(sketch.mean)), _fact("std", number(sketch.std))]
    if column.valid is not None and column.valid.unseen is not None and sketch.kind == "value":
        share = column.valid.unseen / max(column.valid.sketch.leaves, 1)
        out.append(_fact("new in validation", percent(share)))
    facts = "".join(out)
    if column.drift is not None:
        drift = column.drift
        facts += (
            f'<div><dt>drift</dt><dd class="{drift_class(column)}">{drift.verdict}: PSI '
            f"{drift.psi:.3f} (by chance {drift.by_chance:.3f}), Jensen-Shannon "
            f"{drift.jensen_shannon:.3f}</dd></div>"
        )
    return f'<dl class="facts">{facts}</dl>'


def _histogram(column: ColumnProfile) -> str:
    assert column.bins is not None, "checked by the caller"
    bins, sketch = column.bins, column.train.sketch
    train, valid = shares(column.train), None
    if column.valid is not None and column.valid.sketch.leaves:
        valid = shares(column.valid)
    counts = column.train.histogram.tolist()
    hints = []
    for i, count in enumerate(counts):
        if bins.scale == "each":
            where = place(bins.edges[i] + 0.5, sketch.dtype)
        else:
            low = sketch.low if i == 0 else bins.edges[i]
            high = sketch.high if i == bins.count - 1 else bins.edges[i + 1]
            where = f"{place(low, sketch.dtype)} to {place(high, sketch.dtype)}"
        hints.append(f"{where}: {number(count)} ({percent(train[i])})")
    ticks: list[tuple[float, str]] = []
    if bins.scale == "each":
        step = math.ceil(bins.count / 12)
        for i in range(0, bins.count, step):
            ticks.append((i + 0.5, place(bins.edges[i] + 0.5, sketch.dtype)))
    else:
        parts = 2 if sketch.kind == "time" else 4  # times are long
        for i in dict.fromkeys(round(bins.count * k / parts) for k in range(parts + 1)):
            ticks.append((i, place(_nice(bins.edges[i], sketch.whole), sketch.dtype)))
    highest = max([*train, *(valid or [])])
    scale = ", logarithmic bins" if bins.scale == "log" else ""
    title = f"Histogram of {column.name}{scale}; the highest bin has {percent(highest)}"
    return histogram(train, valid, hints, ticks, (highest, percent(highest)), title)


def _nice(edge: float, whole: bool) -> float:
    return math.ceil(edge) if whole and math.isfinite(edge) else edge


def _lengths(column: ColumnProfile) -> str:
    counts = column.train.sketch.lengths
    last = int(counts.nonzero()[0].max(initial=0))
    other = None if column.valid is None else column.valid.sketch.lengths
    if other is not None:
        last = max(last, int(other.nonzero()[0].max(initial=0)))
    width = math.ceil((last + 1) / 32)
    starts = list(range(0, last + 1, width))
    total = max(int(counts.sum()), 1)
    train = [int(counts[i : i + width].sum()) / total for i in starts]
    valid = None
    if other is not None and other.sum():
        valid = [int(other[i : i + width].sum()) / int(other.sum()) for i in starts]
    names = [str(i) if width == 1 else f"{i}-{i + width - 1}" for i in starts]
    hints = [f"length {n}: {percent(s)}" for n, s in zip(names, train, strict=True)]
    step = math.ceil(len(starts) / 10)
    ticks = [(i + 0.5, names[i]) for i in range(0, len(starts), step)]
    highest = max([*train, *(valid or [])])
    title = f"List lengths of {column.name}, up to {last}"
    return histogram(train, valid, hints, ticks, (highest, percent(highest)), title)


def _rows(column: ColumnProfile) -> Sequence[tuple[str, int, float, float | None]]:
    leaves = max(column.train.sketch.leaves, 1)
    values = column.top.to_list()[:_SHOWN]
    if column.top.dtype == pl.Binary:
        values = [value.hex() for value in values]
    out = []
    for i, value in enumerate(values):
        valid = None
        if column.valid is not None and column.valid.sketch.leaves:
            valid = int(column.valid.top[i]) / column.valid.sketch.leaves
        count = int(column.train.top[i])
        out.append((shown(value), count, count / leaves, valid))
    return out


def _top(column: ColumnProfile) -> str:
    rows = _rows(column)
    drawn = [
        (value, share, percent(share), valid, f"{value}: {number(count)}")
        for value, count, share, valid in rows
    ]
    named = sum(share for _, _, share, _ in rows)
    title = f"The {len(rows)} most frequent values of {column.name}: {percent(named)} of all"
    return bars(drawn, title)


def _numbers(column: ColumnProfile) -> str:
    """Give the bars as a table, for those who read and those who copy."""
    valid = column.valid is not None
    head = '<th scope="col">value</th><th scope="col" class="right">rows</th>'
    head += '<th scope="col" class="right">share</th>'
    head += '<th scope="col" class="right">validation</th>' if valid else ""
    body = ""
    for value, count, share, other in _rows(column):
        cells = f'<td class="right">{number(count)}</td><td class="right">{percent(share)}</td>'
        if valid:
            cells += f'<td class="right">{"-" if other is None else percent(other)}</td>'
        body += f'<tr><td class="name">{html.escape(value)}</td>{cells}</tr>'
    return (
        "<details><summary>In numbers</summary><div class='scroll'><table>"
        f"<tr>{head}</tr>{body}</table></div></details>"
    )


def encoding_card(encoding: EncodingProfile, anchor: str) -> str:
    """Give the section of a vocabulary."""
    facts = [
        _fact("categories", number(encoding.size)),
        _fact("out of vocabulary in training", percent(encoding.train.unknown_share)),
    ]
    if encoding.valid is not None:
        facts.append(_fact("in validation", percent(encoding.valid.unknown_share)))
    if encoding.unused is not None and encoding.size:
        facts.append(_fact("not in validation", percent(encoding.unused / encoding.size)))
    name = html.escape(encoding.name)
    parts = [
        f'<section class="card" id="{anchor}" aria-labelledby="{anchor}-name">',
        f'<h3 id="{anchor}-name">{name} <span class="type">vocabulary</span></h3>',
        f'<dl class="facts">{"".join(facts)}</dl>',
    ]
    if encoding.coverage:
        parts += ["<h4>Share of training's ids that the most frequent categories have</h4>"]
        parts.append(_coverage(encoding))
    return "\n".join([*parts, "</section>"])


def _coverage(encoding: EncodingProfile) -> str:
    longest = math.log(encoding.size) or 1.0
    points = [(math.log(n) / longest, share) for n, share in encoding.coverage]
    if len(points) == 1:
        points.append((1.0, points[0][1]))
    powers = range(math.floor(math.log10(encoding.size)) + 1)
    ticks = [(math.log(10**k) / longest, number(10**k)) for k in powers]
    ticks = [(x, text) for x, text in ticks if x < 0.93]
    ticks.append((1.0, number(encoding.size)))
    half = next((n for n, share in encoding.coverage if share >= 0.5), None)
    title = f"Coverage of {encoding.name}: {number(encoding.size)} categories have "
    title += percent(encoding.coverage[-1][1])
    if half is not None:
        title += f", the most frequent {number(half)} have half of the ids"
    return curve(points, ticks if encoding.size > 1 else [(0.0, "1")], title)
