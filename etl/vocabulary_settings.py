"""The numbers that Categorify takes for every vocabulary at once or for each by name."""

from collections.abc import Mapping
from typing import TypeAlias

from emberline.errors import DataError
from emberline.etl.encoding import Encoding
from emberline.etl.vocabulary import OOV

__all__ = ["Setting", "check_room", "check_setting", "setting_for"]

#: One number for every vocabulary, or one for each column or joint name.
Setting: TypeAlias = int | Mapping[str, int]


def check_setting(name: str, value: Setting, *, least: int, zero: bool = True) -> None:
    """Check that every number is an integer of at least `least`, or 0 where that is allowed.

    Raises:
        DataError: it is not.
    """
    for item in value.values() if isinstance(value, Mapping) else [value]:
        wrong = isinstance(item, bool) or not isinstance(item, int)
        if wrong or (item < least and not (zero and item == 0)):
            raise DataError(
                f"{name} must be {'0 or ' if zero else ''}an integer of at least {least}, "
                f"got {item!r}"
                + (": ids 0, 1 and 2 are always there" if name == "max_size" else "")
                + ("; leave it out for one bucket" if name == "num_buckets" else "")
            )


def check_room(max_size: int, buckets: int, where: str) -> None:
    """Check that `max_size` ids, if limited, hold padding, null and the buckets.

    Raises:
        DataError: they do not; `where` says of what.
    """
    if max_size and max_size < OOV + buckets:
        raise DataError(
            f"Categorify: max_size of {where} is {max_size}, but padding, null and {buckets} "
            f"buckets take {OOV + buckets} ids; raise it or lower num_buckets"
        )


def setting_for(value: Setting, encoding: Encoding) -> int:
    """Give the number of a vocabulary: under its own name, or else under a column's, or 0.

    Raises:
        DataError: its columns have different numbers.
    """
    if not isinstance(value, Mapping):
        return value
    columns = () if encoding.combo or encoding.name in value else encoding.columns
    given = {value[key] for key in (encoding.name, *columns) if key in value}
    if len(given) > 1:
        raise DataError(
            f"Categorify: the columns of {encoding.name!r} have different settings "
            f"{sorted(given)}; give one for {encoding.name!r}"
        )
    return next(iter(given), 0)
