"""The operator classes that a saved workflow may name.

Loading looks names up here and nowhere else: a file can choose among registered classes, never
import a module.
"""

import importlib
from typing import TypeVar

from emberline.errors import ArtifactVersionError, DataError, nearest
from emberline.etl.operator import Operator

__all__ = ["is_registered", "operator_class", "register_operator"]

_CLASSES: dict[str, type[Operator]] = {}
_AnyOperator = TypeVar("_AnyOperator", bound=type[Operator])


def register_operator(cls: _AnyOperator) -> _AnyOperator:
    """Let workflows that use this operator class be saved and loaded (a class decorator).

    Raises:
        DataError: another class of this name is registered.
    """
    known = _CLASSES.setdefault(cls.__name__, cls)
    if known is not cls and (known.__module__, known.__qualname__) != (
        cls.__module__,
        cls.__qualname__,
    ):
        raise DataError(
            f"an operator class {cls.__name__!r} is registered already "
            f"({known.__module__}.{known.__qualname__}); rename yours"
        )
    _CLASSES[cls.__name__] = cls
    return cls


def is_registered(cls: type[Operator]) -> bool:
    """Say whether workflows with this operator class can be saved."""
    return _CLASSES.get(cls.__name__) is cls


def operator_class(name: str) -> type[Operator]:
    """Give the registered class of this name.

    Raises:
        ArtifactVersionError: there is none.
    """
    importlib.import_module("emberline.etl.ops")  # ours are registered when they are defined
    if name not in _CLASSES:
        raise ArtifactVersionError(
            f"the workflow uses the operator {name!r}, which is not registered here"
            f"{nearest(name, _CLASSES)}. Upgrade emberline, or register your own class with "
            "emberline.etl.register_operator before loading"
        )
    return _CLASSES[name]
