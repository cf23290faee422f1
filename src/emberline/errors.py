"""The roots of our exceptions (standard library only).

Every error a user can cause derives from `EmberlineError` and from the builtin that a caller
would expect; its message says what was given, what was expected and how to fix it.
"""

import difflib
from collections.abc import Iterable

__all__ = [
    "ArtifactCorruptError",
    "ArtifactError",
    "ArtifactMissingError",
    "ArtifactVersionError",
    "DataError",
    "EmberlineError",
    "nearest",
]


class EmberlineError(Exception):
    """Base of every error that emberline raises on purpose."""


class DataError(EmberlineError, ValueError):
    """Input data that cannot be used: the message names the column, file or index."""


class ArtifactError(EmberlineError, ValueError):
    """A saved directory (data set, workflow, model) that cannot be used."""


class ArtifactMissingError(ArtifactError, FileNotFoundError):
    """No complete saved directory at this path: absent, or its save was interrupted."""

    def __str__(self) -> str:
        """Give the message alone: OSError would format it as an errno."""
        return str(self.args[0])


class ArtifactCorruptError(ArtifactError):
    """A saved file whose size or checksum differs from the manifest's."""


class ArtifactVersionError(ArtifactError):
    """A saved directory of another kind, or written by a newer format version."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Phrase a hint for a mistyped name.

    Args:
        name: what was given.
        known: the names that exist.

    Returns:
        `"; did you mean 'x'?"`, or the known names where none is close.

    >>> nearest("movieID", ["userId", "movieId"])
    "; did you mean 'movieId'?"
    >>> nearest("zzz", ["a", "b"])
    '; known: a, b'
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1)
    if not close:
        lowered = {n.lower(): n for n in names}
        close = [lowered[name.lower()]] if name.lower() in lowered else []
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""
