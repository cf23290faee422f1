"""What can go wrong with a hash table, each error under the builtin a caller would expect."""

from emberline.errors import EmberlineError

__all__ = [
    "ArrayShapeError",
    "ArrayTypeError",
    "ConfigError",
    "DeviceError",
    "KeyRangeError",
    "KeyTypeError",
    "RowIndexError",
    "TableCorruptError",
    "TableFullError",
    "VersionError",
]


class TableFullError(EmberlineError, MemoryError):
    """No room for new keys (`max_rows`, or memory); the table is as it was before the call."""


class TableCorruptError(EmberlineError, RuntimeError):
    """`HashTable.check` found a broken invariant: a fault of emberline or of the machine."""


class DeviceError(EmberlineError, RuntimeError):
    """A device that does not exist or that this build cannot use."""


class KeyTypeError(EmberlineError, TypeError):
    """Keys of a dtype that does not convert to int64 without loss."""


class KeyRangeError(KeyTypeError, ValueError):
    """Unsigned keys, some of them above the largest int64."""


class RowIndexError(EmberlineError, IndexError):
    """A row number that no live key has."""


class ArrayTypeError(EmberlineError, TypeError):
    """An array argument of the wrong dtype."""


class ArrayShapeError(EmberlineError, ValueError):
    """An array argument of the wrong shape, layout or segment bounds."""


class VersionError(EmberlineError, LookupError):
    """A version whose changes are not known: too old for the log, or not closed yet."""


class ConfigError(EmberlineError, ValueError):
    """A setting of a table, optimizer or initializer that cannot be used."""
