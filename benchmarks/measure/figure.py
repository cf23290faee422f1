"""One measured figure: ours beside the peer, the machine's limit and the target."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure.interleave import Samples

__all__ = ["Figure", "compare", "write_json"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A row of the report.

    Attributes:
        name: what was measured, with every parameter that matters.
        unit: of `ours`, `peer` and `limit`.
        ours: the median.
        peer: the peer's median in the same run, None without a peer.
        peer_name: what the peer is.
        ratio: how many times better ours is than the peer.
        limit: what the machine allows, measured in the same run.
        limit_share: ours as a share of the limit.
        target: what must be reached, in words; None where nothing is asked.
        met: whether it was.
        spread: (largest - smallest) / median of our rounds.
    """

    name: str
    unit: str
    ours: float
    peer: float | None = None
    peer_name: str | None = None
    ratio: float | None = None
    limit: float | None = None
    limit_share: float | None = None
    target: str | None = None
    met: bool | None = None
    spread: float = 0.0


def compare(
    name: str,
    unit: str,
    ours: Samples,
    *,
    peer: Samples | None = None,
    peer_name: str | None = None,
    limit: float | None = None,
    ratio_target: float | None = None,
    share_target: float | None = None,
    most: float | None = None,
    extra: tuple[str, bool] | None = None,
    smaller_is_better: bool = False,
) -> Figure:
    """Put a figure together and judge it.

    A target whose peer was not measured leaves `met` at None: not measured is not reached.

    Args:
        name: the figure's name.
        unit: of all values.
        ours: our samples.
        peer: the peer's.
        peer_name: what the peer is.
        limit: the machine's limit.
        ratio_target: how many times better than the peer it must be.
        share_target: which share of the limit it must reach.
        most: the largest value allowed.
        extra: one more condition, in words, and whether it holds.
        smaller_is_better: for times and bytes; the ratio is then peer / ours.
    """
    value = ours.median
    ratio = share = None
    if peer is not None:
        ratio = peer.median / value if smaller_is_better else value / peer.median
    if limit is not None:
        share = limit / value if smaller_is_better else value / limit
    words: list[str] = []
    verdicts: list[bool | None] = []
    if ratio_target is not None:
        words.append(f">= {ratio_target:g}x {peer_name or 'the peer'}")
        verdicts.append(None if ratio is None else ratio >= ratio_target)
    if share_target is not None:
        words.append(f">= {share_target:.0%} of the limit")
        verdicts.append(None if share is None else share >= share_target)
    if most is not None:
        words.append(f"<= {most:g} {unit}")
        verdicts.append(value <= most)
    if extra is not None:
        words.append(extra[0])
        verdicts.append(extra[1])
    met = False if False in verdicts else None if None in verdicts or not verdicts else True
    return Figure(
        name=name,
        unit=unit,
        ours=value,
        peer=None if peer is None else peer.median,
        peer_name=None if peer is None else peer_name,
        ratio=ratio,
        limit=limit,
        limit_share=share,
        target=", ".join(words) or None,
        met=met,
        spread=ours.spread if len(ours.values) > 1 else 0.0,
    )


def write_json(figures: Iterable[Figure], path: Path) -> None:
    """Write the rows as a JSON list, in the order of measuring."""
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
