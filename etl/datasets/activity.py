"""How many ratings each user gives, and when."""

import numpy as np
import numpy.typing as npt

__all__ = ["apportion", "session_times"]

_FIRST_TIME_S = 822_873_600  # 1996-01-29
_LAST_TIME_S = 1_577_836_799  # 2019-12-31
_RETURN_SHARE = 0.01  # of the gaps between two ratings of a user: days, not seconds
_SECONDS_APART = 15.0
_RETURN_S = 10 * 86_400.0


def apportion(
    total: int, weights: npt.NDArray[np.float64], *, minimum: int, maximum: int
) -> npt.NDArray[np.int64]:
    """Split `total` into integer parts near the weights' shares, each within the bounds.

    Args:
        total: minimum * n <= total <= maximum * n.
        weights: float64 [n], positive.
        minimum: of each part.
        maximum: of each part.

    Returns:
        int64 [n]; the sum is exactly `total`.

    >>> apportion(10, np.array([1.0, 1.0, 8.0]), minimum=1, maximum=6)
    array([2, 2, 6])
    """
    n = len(weights)
    if not minimum * n <= total <= maximum * n:
        raise ValueError(f"cannot split {total} into {n} parts of {minimum} to {maximum}")
    parts = np.full(n, minimum, dtype=np.int64)
    while (left := total - int(parts.sum())) > 0:
        room = maximum - parts
        shares = np.where(room > 0, weights, 0.0)
        more = np.minimum((left * (shares / shares.sum())).astype(np.int64), room)
        if not more.any():
            # Less than one each: one to each of the heaviest that still have room. A stable sort,
            # so that equal weights are served in the same order on every machine.
            heaviest = np.argsort(-shares, kind="stable")[: min(left, int((room > 0).sum()))]
            more[heaviest] = 1
        parts += more
    return parts


def session_times(
    user: npt.NDArray[np.int64],
    gap: npt.NDArray[np.float64],
    long_gap: npt.NDArray[np.float64],
    begin: npt.NDArray[np.float64],
) -> npt.NDArray[np.int64]:
    """Sessions of ratings seconds apart, a user's sessions days apart.

    Args:
        user: int64 [n], 0 .. users - 1, ascending, every user present.
        gap: float64 [n], uniform in [0, 1): how long a gap is.
        long_gap: float64 [n], uniform: whether it lies between two sessions.
        begin: float64 [users], uniform: where in the period a user starts.

    Returns:
        int64 [n], seconds since 1970, ascending within a user, within 1996 .. 2019.
    """
    counts = np.bincount(user)
    starts = np.cumsum(counts) - counts
    mean = np.where(long_gap < _RETURN_SHARE, _RETURN_S, _SECONDS_APART)
    seconds = 1 + (-np.log1p(-gap) * mean).astype(np.int64)
    total = np.cumsum(seconds)
    since = total - np.repeat(total[starts], counts)
    span = np.maximum.reduceat(since, starts)
    period = _LAST_TIME_S - _FIRST_TIME_S
    # A user busy enough to outlast the period is sped up; everyone ends before its end.
    pace = np.repeat(np.minimum(1.0, period / np.maximum(span, 1)), counts)
    since = (since * pace).astype(np.int64)
    start = _FIRST_TIME_S + (begin * (period - np.minimum(span, period))).astype(np.int64)
    times: npt.NDArray[np.int64] = since + np.repeat(start, counts)
    return times
