"""Errors of the data sets: each also the builtin that a caller would expect."""

from emberline.errors import EmberlineError

__all__ = ["CriteoMissingError", "DownloadError", "MovieLensMissingError"]


class CriteoMissingError(EmberlineError, FileNotFoundError):
    """No Criteo files at this path; the message lists what was looked for."""


class DownloadError(EmberlineError, OSError):
    """A download that failed; the message says why and how to get the file by hand."""


class MovieLensMissingError(EmberlineError, FileNotFoundError):
    """No MovieLens files at this path; the message lists what was looked for."""
