"""A table's optimizer from a Keras optimizer or from a name."""

from typing import Any

import keras
import numpy as np

from emberline.errors import DataError, nearest
from emberline.kernels import Optimizer
from emberline.kernels.optimizers import OPTIMIZERS

__all__ = ["table_optimizer"]

# Settings of Keras' base optimizer: the value that means "not in use", and what to do instead.
_UNSUPPORTED = {
    "clipnorm": (
        None,
        "it clips by a whole variable's norm; use clip_norm of emberline's optimizer, by row",
    ),
    "clipvalue": (None, "use clip_norm of emberline's optimizer, which clips by row"),
    "global_clipnorm": (None, "use clip_norm of emberline's optimizer, which clips by row"),
    "use_ema": (False, "a table keeps no second copy of its weights"),
    "loss_scale_factor": (None, "a table's gradients must not be scaled"),
    "gradient_accumulation_steps": (None, "a table is updated in every step"),
}
_WITHOUT_EFFECT = {"name", "ema_momentum", "ema_overwrite_frequency"}  # without use_ema


def table_optimizer(given: Optimizer | keras.optimizers.Optimizer | str) -> Optimizer:
    """Translate what a user of Keras has at hand into an optimizer that lives in a table.

    Args:
        given: an `emberline.kernels` optimizer, given back as it is; a name of one, in any case
            ("adam", "RowwiseAdagrad"), for its defaults, which are Keras'; or a Keras optimizer.
            The last is read once: its later changes, as by ReduceLROnPlateau, do not reach the table.

    Raises:
        DataError: an unknown name, a Keras optimizer that tables do not have, or a setting of
            it that they cannot honour, naming it.

    >>> table_optimizer(keras.optimizers.Adam(learning_rate=0.01, amsgrad=True))
    Adam(learning_rate=0.01, amsgrad=True)
    >>> table_optimizer("rmsprop")
    RMSprop(learning_rate=0.001)
    """
    if isinstance(given, Optimizer):
        return given
    if isinstance(given, str):
        lower = {name.lower(): cls for name, cls in OPTIMIZERS.items()}
        if given.lower() not in lower:
            raise DataError(f"unknown optimizer {given!r}{nearest(given.lower(), lower)}")
        return lower[given.lower()]()
    if not isinstance(given, keras.optimizers.Optimizer):
        raise DataError(
            f"optimizer is {given!r}; expected an emberline optimizer such as Adagrad(), "
            "a Keras optimizer or a name"
        )
    return _from_keras(given)


def _from_keras(given: keras.optimizers.Optimizer) -> Optimizer:
    name = type(given).__name__
    # The class itself: a subclass may do anything.
    if getattr(keras.optimizers, name, None) is not type(given) or name not in OPTIMIZERS:
        known = [known for known in OPTIMIZERS if hasattr(keras.optimizers, known)]
        raise DataError(
            f"a table cannot train as {type(given).__module__}.{name} does; use one of Keras' "
            f"{', '.join(known)}, or an optimizer of emberline's"
        )
    settings: dict[str, Any] = {}
    for setting, value in given.get_config().items():
        if setting in _UNSUPPORTED:
            unused, reason = _UNSUPPORTED[setting]
            if value != unused:
                raise DataError(f"{name}({setting}={value!r}) does not work for a table: {reason}")
        elif setting not in _WITHOUT_EFFECT:
            settings[setting] = value
    rate = settings["learning_rate"]
    if not isinstance(rate, int | float):
        raise DataError(
            f"{name}: learning_rate is a schedule or a function; a table's optimizer takes a number. Give one, or "
            "pass each step's rate to HashTable.apply_gradients(learning_rate=...)"
        )
    # Keras keeps the rate in float32; the shortest number that rounds to it is what was given.
    settings["learning_rate"] = float(str(np.float32(rate)))
    unknown = settings.keys() - OPTIMIZERS[name]().to_dict().keys()
    if unknown:
        raise DataError(f"{name}: a table does not know the setting {min(unknown)!r}")
    return OPTIMIZERS[name](**settings)
