"""The report as one HTML file that needs nothing else: no script, no font, no network."""

import html
from pathlib import Path

from emberline.etl.report.card import column_card, drift_class, encoding_card, shares
from emberline.etl.report.charts import meter, spark
from emberline.etl.report.findings import findings
from emberline.etl.report.numbers import number, percent
from emberline.etl.report.profile import ColumnProfile, DataProfile

__all__ = ["render"]

_STYLE = Path(__file__).with_name("style.css")
_EXPLAINED = """
<h2>How to read this</h2>
<p class="soft">Bars are shares of training's values, the line those of validation. The first and the
last bin of a distribution also hold what lies beyond them. PSI is the population stability index over
tenths of training (numbers) or its 50 most frequent values and the rest, missing values being one bin
more: below 0.1 it is usually called stable, from 0.25 on far apart; what two samples of these sizes show
by chance is taken off first. The Jensen-Shannon divergence over the same bins goes from 0, the same, to
1 bit, nothing in common. Numbers of distinct values with ≈ are estimates, about 2 % off at most; all other
numbers are counted.</p>
"""


def render(data: DataProfile, *, title: str = "Data report") -> str:
    """Give the page's text; the same profile gives the same bytes.

    Args:
        data: from `profile`.
        title: the heading.
    """
    anchors = {c.name: f"column-{i}" for i, c in enumerate(data.columns)}
    shown = html.escape(title)
    found = findings(data)
    body = [
        f"<header><h1>{shown}</h1>{_totals(data)}{_key(data)}</header>",
        "<main>",
        "<h2>Worth a look</h2>",
        _list(found, anchors),
        "<h2>All columns</h2>",
        _overview(data, anchors),
        "<h2>Column by column</h2>",
        '<div class="cards">',
        *(column_card(column, anchors[column.name]) for column in data.columns),
        "</div>",
    ]
    if data.encodings:
        body += ["<h2>Vocabularies</h2>", '<div class="cards">']
        body += [encoding_card(e, f"vocabulary-{i}") for i, e in enumerate(data.encodings)]
        body.append("</div>")
    body += [_EXPLAINED.strip(), "</main>"]
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{shown}</title>\n<style>\n{_STYLE.read_text('utf-8')}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _totals(data: DataProfile) -> str:
    boxes = [("rows to train", data.train_rows)]
    if data.valid_rows is not None:
        boxes.append(("rows to validate", data.valid_rows))
    boxes.append(("columns", len(data.columns)))
    if data.encodings:
        boxes.append(("vocabularies", len(data.encodings)))
    inside = "".join(f"<div><b>{number(n)}</b>{name}</div>" for name, n in boxes)
    return f'<div class="numbers">{inside}</div>'


def _key(data: DataProfile) -> str:
    swatch = '<svg width="16" height="10" aria-hidden="true">{}</svg>'
    train = swatch.format('<rect class="train" width="16" height="10"/>')
    line = swatch.format('<path class="valid-line" d="M0,5H16"/>')
    second = f"<span>{line}validation</span>" if data.valid_rows is not None else ""
    return f'<div class="key"><span>{train}training</span>{second}</div>'


def _list(found: list[tuple[str, str]], anchors: dict[str, str]) -> str:
    if not found:
        return '<p class="soft">Nothing stands out.</p>'
    items = []
    for name in dict.fromkeys(name for name, _ in found):
        shown = f"<b>{html.escape(name)}</b>"
        if name in anchors:
            shown = f'<a href="#{anchors[name]}">{shown}</a>'
        text = "; ".join(text for of, text in found if of == name)
        items.append(f"<li>{shown}: {html.escape(text)}</li>")
    return f'<ul class="findings">{"".join(items)}</ul>'


def _overview(data: DataProfile, anchors: dict[str, str]) -> str:
    heads = ["column", "type", "distribution", "missing", "distinct"]
    heads += ["drift"] if data.valid_rows is not None else []
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    rows = "".join(
        _row(c, anchors[c.name], with_drift=data.valid_rows is not None) for c in data.columns
    )
    return (
        f'<div class="scroll"><table class="overview"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(column: ColumnProfile, anchor: str, *, with_drift: bool) -> str:
    sketch = column.train.sketch
    missing = sketch.missing / sketch.rows
    distinct = "-"
    if sketch.kind != "other":
        distinct = ("" if sketch.values.exact else "≈ ") + number(sketch.values.distinct)
    small = shares(column.train)
    if not small:
        small = (column.train.top / max(sketch.leaves, 1)).tolist()
    picture = spark(small, f"Distribution of {column.name}") if any(small) else ""
    cells = [
        f'<td class="type">{html.escape(column.dtype)}</td>',
        f"<td>{picture}</td>",
        f"<td>{meter(missing, f'{percent(missing)} missing', 'missing')} {percent(missing)}</td>",
        f'<td class="right">{distinct}</td>',
    ]
    if with_drift and column.drift is None:
        cells.append("<td>-</td>")
    elif with_drift and column.drift is not None:
        psi = column.drift.psi
        # The frame ends at 0.5: twice the value that counts as far apart.
        cells.append(
            f"<td>{meter(min(psi / 0.5, 1.0), f'PSI {psi:.3f}', 'drift')} "
            f'<span class="{drift_class(column)}">{column.drift.verdict}</span></td>'
        )
    name = html.escape(column.name)
    return (
        f'<tr><th scope="row" class="name"><a href="#{anchor}">{name}</a></th>{"".join(cells)}</tr>'
    )
