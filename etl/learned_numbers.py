"""Operators that learn a few numbers of every column."""

from collections.abc import Mapping
from typing import Any, Self

from emberline.errors import ArtifactCorruptError
from emberline.etl.errors import NotFittedError
from emberline.etl.selection import Selection
from emberline.etl.stat_operator import StatOperator

__all__ = ["LearnedNumbers", "Numbers"]

Numbers = Mapping[str, float | None]


class LearnedNumbers(StatOperator):
    """A `StatOperator` whose fitted state is numbers by column, saved among the arguments.

    `finalize` sets `learned`: column -> name -> number, None where there was nothing to learn from.
    """

    #: The names of the numbers of a column.
    numbers: tuple[str, ...] = ()

    learned: Mapping[str, Numbers] | None = None

    @property
    def fitted(self) -> bool:
        """Whether the numbers are there."""
        return self.learned is not None

    def learned_of(self, column: str) -> Numbers:
        """Give the numbers of a column.

        Raises:
            NotFittedError: before the fit.
        """
        if self.learned is None or column not in self.learned:
            raise NotFittedError(
                f"{type(self).__name__} has not been fitted on column {column!r}; call "
                "Workflow.fit first"
            )
        return self.learned[column]

    def number(self, name: str) -> dict[str, float | None]:
        """Give one number of every column.

        Raises:
            NotFittedError: before the fit.
        """
        if self.learned is None:
            raise NotFittedError(
                f"{type(self).__name__} has not been fitted; call Workflow.fit first"
            )
        return {column: numbers[name] for column, numbers in self.learned.items()}

    def arguments(self, selection: Selection) -> dict[str, Any]:
        """Give the arguments and the numbers of the columns that are left."""
        learned = {name: dict(self.learned_of(name)) for name in selection.names}
        return super().arguments(selection) | {"learned": learned}

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], artifacts: Mapping[str, Any]) -> Self:
        """Rebuild the fitted operator."""
        settings = dict(arguments)
        learned = settings.pop("learned", None)
        if not isinstance(learned, dict):
            raise ArtifactCorruptError(f"{cls.__name__}: 'learned' must map columns to numbers")
        for column, numbers in learned.items():
            if not isinstance(numbers, dict) or set(numbers) != set(cls.numbers):
                raise ArtifactCorruptError(
                    f"{cls.__name__}: the numbers of column {column!r} must be "
                    f"{', '.join(cls.numbers)}, got {numbers!r}"
                )
            for number in numbers.values():
                if isinstance(number, bool) or not isinstance(number, (int, float, type(None))):
                    raise ArtifactCorruptError(
                        f"{cls.__name__}: column {column!r} has {number!r} for a number"
                    )
        operator = super().restore(settings, artifacts)
        operator.learned = learned
        return operator
