"""Functions that change the features of every batch."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from emberline.dataloaders.arrow import batch_table
from emberline.dataloaders.frame import to_batch
from emberline.dataloaders.read_ahead import Arrays
from emberline.errors import DataError

__all__ = ["Transforms"]

Step = Callable[[Arrays], Mapping[str, Any]]


class Transforms:
    """A chain of steps from features to features, in the order given.

    Each takes the arrays by name and gives arrays by name, for as many rows and in the same order;
    columns that it does not give are gone. A fitted workflow, or anything else with a method
    `transform`, gets the features as a Polars frame and gives a frame.

    Steps run in the threads that read ahead, for several batches at the same time and in no order
    of batches: one that counts, or draws random numbers, belongs into `map`.

    >>> double = Transforms([lambda x: {"double": x["id"] * 2}], others=["label"])
    >>> batch = double({"id": np.array([1, 2]), "label": np.array([0, 1])})
    >>> {name: array.tolist() for name, array in batch.items()}
    {'double': [2, 4], 'label': [0, 1]}

    Args:
        steps: functions, objects with `transform`, or None.
        others: arrays of a batch that are no features; they are passed on as they are.

    Raises:
        DataError: a step that is neither; when called, a step that fails, or that changes the
            number of rows. Names the step.
    """

    def __init__(self, steps: Iterable[Any] | None, *, others: Iterable[str] = ()) -> None:
        """Check that every step can be called."""
        self._others = tuple(others)
        self._steps: list[tuple[str, Step]] = []
        if callable(steps) or hasattr(steps, "transform"):
            raise DataError(f"transforms is {steps!r}; expected a list of steps: [{steps!r}]")
        for number, step in enumerate(steps or ()):
            kind = getattr(step, "__qualname__", type(step).__qualname__)
            name = f"transforms[{number}] ({kind})"
            if hasattr(step, "transform"):
                self._steps.append((name, partial(_by_frame, step)))
            elif callable(step):
                self._steps.append((name, step))
            else:
                raise DataError(
                    f"{name} is {step!r}; expected a function of the arrays by name, or an object "
                    "with a method transform, as a fitted workflow"
                )

    def __bool__(self) -> bool:
        return bool(self._steps)

    def __call__(self, arrays: Arrays) -> Arrays:
        """Run all steps on a batch's arrays."""
        features = dict(arrays)
        others = {name: features.pop(name) for name in self._others}
        for name, step in self._steps:
            rows = _lengths(features)
            try:
                given = step(features)
                if not isinstance(given, Mapping):
                    raise DataError(f"it gave a {type(given).__name__}; expected arrays by name")
                features = {column: _array(value) for column, value in given.items()}
            except Exception as error:  # the user's function may raise anything: say which step
                raise DataError(f"{name} failed: {error}") from error
            if features and _lengths(features) != rows:
                raise DataError(
                    f"{name} gave arrays of {sorted(_lengths(features))} rows for {sorted(rows)}; "
                    "a step keeps the rows, which belong to the target's"
                )
            for column in features:
                if column in others:
                    raise DataError(f"{name} gave {column!r}, which is a target's or the weights'")
        return {**features, **others}


def _array(value: Any) -> Any:
    """Leave the arrays of NumPy and CuPy as they are; tensors and lists become NumPy's."""
    return value if hasattr(value, "nbytes") else np.asarray(value)


def _by_frame(step: Any, features: Arrays) -> Arrays:
    import polars as pl  # here: most loaders need none of it

    return to_batch(step.transform(pl.DataFrame(batch_table(features))))


def _lengths(features: Mapping[str, Any]) -> set[int]:
    """Rows by each array: one number if all agree; a ragged column counts by its offsets."""
    lengths = set()
    for name, array in features.items():
        if name.endswith("__offsets"):
            lengths.add(len(array) - 1)
        elif f"{name.removesuffix('__values')}__offsets" not in features:
            lengths.add(len(array))
    return lengths
