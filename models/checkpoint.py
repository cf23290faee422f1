"""A whole model as a directory: config, dense part, tables, and a manifest written last.

    model.json              config of the Keras model, steps of the tables, states of random generators
    dense.weights.h5        dense variables and the Keras optimizer's, as Keras saves them
    tables/<layer>/<table>/rows_000000.npz ...
    tables/<layer>/<table>/policy.npz
    _manifest.json           sizes and checksums

A directory without its manifest is an interrupted save and is ignored. Loading executes nothing
that the files contain (see `safe_config`).
"""

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from emberline.artifacts import open_directory, write_directory
from emberline.errors import ArtifactCorruptError, DataError
from emberline.models.embedding.collection import embedding_collections
from emberline.models.embedding.table_files import read_table, saving_tables_apart, write_table
from emberline.models.safe_config import check_model_config

__all__ = ["FORMAT_VERSION", "load_model", "save_model"]

FORMAT_VERSION = 2  # 2 added policy.npz, which a program that knows 1 would leave out

_CONFIG = "model.json"
_DENSE = "dense.weights.h5"


def save_model(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    info: Mapping[str, Any] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
) -> None:
    """Save dense part, optimizer and tables so that they appear together, or not at all.

    Args:
        model: a built functional or Sequential model.
        path: the directory; a model saved there before is replaced in one step.
        info: JSON-able notes for the manifest.
        custom_objects: class name -> class, for layers that are neither Keras' nor ours; the
            loader must be given them too.

    Raises:
        DataError: the model cannot be described by a config that `load_model` would accept.
        OSError: the disk is full or not writable; what was at `path` is untouched.
    """
    config = keras.saving.serialize_keras_object(model)
    try:
        check_model_config(config, custom_objects)
    except ArtifactCorruptError as error:
        raise DataError(f"model {model.name!r} cannot be saved: {error}") from error
    steps = {}
    with write_directory(path, kind="model", version=FORMAT_VERSION, info=info) as staging:
        for layer in embedding_collections(model):
            steps[layer.name] = layer.steps
            for name, table in layer.tables.items():
                write_table(table, staging.path / "tables" / layer.name / name)
        with saving_tables_apart():
            model.save_weights(staging.path / _DENSE)
        seeds = [[int(n) for n in np.asarray(state)] for state in _seed_states(model)]
        saved = {"keras": config, "steps": steps, "seeds": seeds}
        (staging.path / _CONFIG).write_text(json.dumps(saved))


def load_model(
    path: str | os.PathLike[str], *, custom_objects: Mapping[str, Any] | None = None
) -> keras.Model:
    """Load what `save_model` saved: it scores, and goes on training, exactly as before.

    Args:
        path: the model directory.
        custom_objects: class name -> class, for layers that are neither Keras' nor ours.

    Raises:
        ArtifactMissingError: no complete model there.
        ArtifactCorruptError: a damaged or tampered file.
        ArtifactVersionError: written by a newer format version.
    """
    directory = Path(path)
    open_directory(directory, kind="model", max_version=FORMAT_VERSION)
    try:
        saved = json.loads((directory / _CONFIG).read_text())
        config, steps = saved["keras"], {str(k): int(v) for k, v in saved["steps"].items()}
        seeds = [[int(n) for n in state] for state in saved["seeds"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactCorruptError(f"{directory / _CONFIG} is not a model: {error}") from error
    check_model_config(config, custom_objects)
    model = keras.saving.deserialize_keras_object(
        config, custom_objects=dict(custom_objects or {}), safe_mode=True
    )
    if getattr(model, "optimizer", None) is not None:  # a model that was never compiled has none
        model.optimizer.build(model.trainable_variables)
    with saving_tables_apart(), warnings.catch_warnings():
        # Keras 3.15 warns of every depth of a functional model that holds input layers only.
        warnings.filterwarnings("ignore", "Skipping nested container at '_operations_by_depth")
        model.load_weights(directory / _DENSE)
    for state, numbers in zip(_seed_states(model), seeds, strict=True):
        state.assign(np.array(numbers, np.uint32))
    for layer in embedding_collections(model):
        if layer.name not in steps:
            raise ArtifactCorruptError(f"{directory / _CONFIG}: no steps of layer {layer.name!r}")
        layer.steps = steps[layer.name]
        for name, table in layer.tables.items():
            read_table(table, directory / "tables" / layer.name / name)
    return model


def _seed_states(model: keras.Model) -> list[keras.Variable]:
    """Return where the layers' random generators (Dropout's) stand; Keras saves them nowhere."""
    return [v for v in model.non_trainable_variables if v.path.endswith("seed_generator_state")]
