"""Which columns are features, which targets, and which one weighs the rows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from emberline.dataloaders.column import ColumnFormat
from emberline.errors import DataError
from emberline.etl.schema import Schema, Tags

__all__ = ["Roles"]


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The columns of a batch by what they are for; iterating gives all of them in batch order.

    Attributes:
        features: names of the columns of `x`.
        targets: names of the columns of `y`.
        weights: name of the column of row weights, if any.
    """

    features: tuple[str, ...]
    targets: tuple[str, ...]
    weights: str | None

    @classmethod
    def choose(
        cls,
        known: Sequence[str],
        *,
        columns: Iterable[str] | None,
        targets: str | Iterable[str] | None,
        weights: str | None,
        schema: Schema | None = None,
    ) -> Self:
        """Choose from the columns that there are; that they exist is for the source to check.

        Args:
            known: names of all columns.
            columns: the features; None is all columns without another role.
            targets: None is the schema's columns tagged "target"; an empty list is none.
            weights: None is none.
            schema: of the dataset, if it has one.

        Raises:
            DataError: a column twice, weights without a target, or nothing to load.
        """
        if targets is None:
            chosen = tuple(schema.select_by_tag(Tags.TARGET).names) if schema is not None else ()
        else:
            chosen = _unique(targets, "targets")
        if weights is not None and not chosen:
            raise DataError(
                f"weights={weights!r} without a target; weights are for the loss of targets="
            )
        if weights in chosen:
            raise DataError(f"column {weights!r} is given as target and as weights; choose one")
        features = _unique(known if columns is None else columns, "columns")
        roles = cls(
            features=tuple(name for name in features if name not in chosen and name != weights),
            targets=chosen,
            weights=weights,
        )
        if not any(True for _ in roles):
            raise DataError("no columns to load; columns= is empty and there is no target")
        return roles

    def __iter__(self) -> Iterator[str]:
        yield from self.features
        yield from self.targets
        if self.weights is not None:
            yield self.weights

    def check(self, formats: Iterable[ColumnFormat]) -> None:
        """Check that the columns go into one batch together.

        Raises:
            DataError: two columns would have an array of one name, or weights are no numbers.
        """
        owner: dict[str, str] = {}
        for form in formats:
            if form.name == self.weights and (
                form.layout != "scalar" or form.dtype.kind not in "iuf"
            ):
                raise DataError(f"weights {form.name!r} are {form}; expected one number a row")
            for buffer in form.buffer_names():
                if buffer in owner:
                    raise DataError(
                        f"columns {owner[buffer]!r} and {form.name!r} would both be {buffer!r} in "
                        "a batch; rename one in the workflow"
                    )
                owner[buffer] = form.name


def _unique(names: str | Iterable[str], what: str) -> tuple[str, ...]:
    listed = (names,) if isinstance(names, str) else tuple(names)
    for name in listed:
        if listed.count(name) > 1:
            raise DataError(f"{what} names {name!r} twice")
    return listed
