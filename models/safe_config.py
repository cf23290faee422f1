"""Keras model configs from a file, refused unless they can only build known layers.

Keras' own deserialisation imports the module and class that a config names, and some of its
layers run code or read files named in their arguments (Lambda, TFSMLayer, the vocabulary
layers). A model directory may come from anywhere, so its config is checked before Keras sees it:
every object must be a class of Keras' public layer, initializer, regularizer, constraint,
optimizer, schedule, loss, metric or dtype-policy modules and not one of those layers, or one of
ours, or one the caller supplies.
"""

from collections.abc import Mapping
from typing import Any

import keras

from emberline.errors import ArtifactCorruptError

__all__ = ["check_model_config"]

_MODULES = {
    "keras.layers": keras.layers,
    "keras.initializers": keras.initializers,
    "keras.regularizers": keras.regularizers,
    "keras.constraints": keras.constraints,
    "keras.optimizers": keras.optimizers,
    "keras.optimizers.schedules": keras.optimizers.schedules,
    "keras.losses": keras.losses,
    "keras.metrics": keras.metrics,
}
_MODELS = {
    ("keras.src.models.functional", "Functional"),
    ("keras", "Functional"),
    ("keras", "Sequential"),
    ("keras.models", "Sequential"),
}
_BASES = (
    keras.layers.Layer,
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    keras.optimizers.Optimizer,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.losses.Loss,
    keras.metrics.Metric,
)
_REFUSED = {
    "Lambda": "runs code from the file",
    "TFSMLayer": "loads a SavedModel named in the file",
    "TorchModuleWrapper": "unpickles a module from the file",
    "JaxLayer": "runs code from the file",
    "FlaxLayer": "runs code from the file",
    "StringLookup": "may read a file named in its arguments",
    "IntegerLookup": "may read a file named in its arguments",
    "TextVectorization": "may read a file named in its arguments",
}
_OURS = {"emberline>EmbeddingCollection"}
# Written by Keras inside configs, without a module; they carry data only.
_DATA = {"__keras_tensor__", "__tensor__", "__numpy__", "__typespec__", "__tuple__"}


def check_model_config(config: Any, custom_objects: Mapping[str, Any] | None = None) -> None:
    """Refuse a serialized Keras model that names anything but known, harmless objects.

    Args:
        config: what `keras.saving.serialize_keras_object` made, parsed from JSON.
        custom_objects: registered name or class name -> object, given by the caller.

    Raises:
        ArtifactCorruptError: naming the object and, where it is known, the reason.
    """
    allowed = set(custom_objects or ())
    pending = [config]
    while pending:
        item = pending.pop()
        if isinstance(item, Mapping):
            if "class_name" in item:
                _check_object(item, allowed)
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def _check_object(item: Mapping[str, Any], allowed: set[str]) -> None:
    module, name = item.get("module"), item["class_name"]
    registered = item.get("registered_name")
    if module is None and name in _DATA:
        return
    if registered in _OURS or registered in allowed or name in allowed:
        return
    if name in _REFUSED:
        raise ArtifactCorruptError(
            f"the saved model holds a {name} layer, which {_REFUSED[name]}; not loaded"
        )
    if (module, name) in _MODELS or (module, name) == ("keras", "DTypePolicy"):
        return
    found = getattr(_MODULES.get(str(module)), str(name), None)
    if not (isinstance(found, type) and issubclass(found, _BASES)):
        raise ArtifactCorruptError(
            f"the saved model names {module}.{name}, which is not a Keras layer or one of "
            "emberline's; pass it in custom_objects if you trust it"
        )
