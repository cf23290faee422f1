"""Figures for a terminal: a name and a row of numbers each, and the targets at the end."""

from collections.abc import Iterable

from benchmarks.measure.figure import Figure

__all__ = ["print_figure", "print_header", "print_targets"]


def print_header() -> None:
    """Print the columns' names."""
    print(row("ours", "", "spread", "peer", "ratio", "limit", "share"))


def print_figure(figure: Figure) -> None:
    """Print a figure as two lines: no terminal is as wide as name and numbers together."""
    share = "" if figure.limit_share is None else f"{figure.limit_share:.0%}"
    numbers = row(
        number(figure.ours),
        figure.unit,
        f"{figure.spread:.0%}" if figure.spread else "",
        number(figure.peer),
        "" if figure.ratio is None else f"{figure.ratio:.1f}x",
        number(figure.limit),
        share,
    )
    print(f"{figure.name}\n{numbers}  {figure.peer_name or ''}".rstrip(), flush=True)


def print_targets(figures: Iterable[Figure]) -> None:
    """Print which targets were reached, with what was measured."""
    for figure in figures:
        if figure.target is None:
            continue
        verdict = {True: "reached", False: "NOT reached", None: "not measured"}[figure.met]
        measured = [f"{number(figure.ours)} {figure.unit}"]
        if figure.ratio is not None:
            measured.append(f"{figure.ratio:.1f}x")
        if figure.limit_share is not None:
            measured.append(f"{figure.limit_share:.0%} of the limit")
        print(f"{verdict:<12}  {figure.name}\n{'':14}{', '.join(measured)}; asked: {figure.target}")


def number(value: float | None) -> str:
    """Give four digits, or nothing."""
    return "" if value is None else f"{value:.4g}"


def row(ours: str, unit: str, spread: str, peer: str, ratio: str, limit: str, share: str) -> str:
    """Put cells under each other."""
    return f"    {ours:>9} {unit:<9} {spread:>6}  {peer:>9} {ratio:>7}  {limit:>9} {share:>6}"
