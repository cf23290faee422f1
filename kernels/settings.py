"""Optimizers and initializers as dictionaries, and the checks that their settings share."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from emberline.errors import nearest
from emberline.kernels.errors import ConfigError

__all__ = ["from_dict", "require_number", "to_dict"]

T = TypeVar("T")


def require_number(
    owner: object, name: str, value: object, *, minimum: float | None = None, above: bool = False
) -> None:
    """Check that a setting is a finite number within float32's range.

    Args:
        owner: the object that is set, named in the message.
        name: the setting.
        value: what was given.
        minimum: the least value, if there is one.
        above: `minimum` itself is not allowed either.

    Raises:
        ConfigError: it is not.
    """
    where = f"{type(owner).__name__}({name}={value!r})"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where}: expected a number, got {type(value).__name__}")
    if not math.isfinite(value) or abs(value) > 3.4e38:
        raise ConfigError(f"{where}: expected a finite float32 number")
    if minimum is not None and (value < minimum or (above and value == minimum)):
        raise ConfigError(f"{where}: must be {'above' if above else 'at least'} {minimum:g}")


def to_dict(settings: object) -> dict[str, Any]:
    """Give `{"name": class name, setting: value, ...}`, which JSON can hold."""
    assert dataclasses.is_dataclass(settings)
    assert not isinstance(settings, type)
    return {"name": type(settings).__name__, **dataclasses.asdict(settings)}


def from_dict(what: str, classes: Mapping[str, type[T]], config: Mapping[str, Any]) -> T:
    """Make the object that `to_dict` described; settings left out take their defaults.

    Args:
        what: "optimizer" or "initializer", for the messages.
        classes: name -> class.
        config: has `name`, and settings of that class only.

    Raises:
        ConfigError: no or an unknown `name`, an unknown setting or a bad value.
    """
    if not isinstance(config, Mapping) or "name" not in config:
        raise ConfigError(f"{what}: expected a dictionary with a 'name', got {config!r}")
    name = config["name"]
    if name not in classes:
        raise ConfigError(f"unknown {what} {name!r}{nearest(str(name), classes)}")
    chosen = classes[name]
    assert dataclasses.is_dataclass(chosen)
    known = [f.name for f in dataclasses.fields(chosen)]
    for key in config:
        if key != "name" and key not in known:
            raise ConfigError(f"{what} {name} has no setting {key!r}{nearest(str(key), known)}")
    return chosen(**{key: value for key, value in config.items() if key != "name"})
