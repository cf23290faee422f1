"""The part of the MovieLens job that needs TensorFlow: training and batch scoring."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from emberline.artifacts import open_directory
from emberline.dataloaders import Loader
from emberline.errors import ArtifactError
from emberline.models import (
    Adagrad,
    FeatureConfig,
    RankingConfig,
    TableConfig,
    Uniform,
    load_model,
    ranking_model,
    save_model,
)
from emberline.models.checkpoint import FORMAT_VERSION
from emberline.workflows.progress import Reporter
from emberline.workflows.run import fingerprint

if TYPE_CHECKING:
    from emberline.workflows.recipes.criteo import CriteoRanking
    from emberline.workflows.recipes.movielens_ranking import MovieLensRanking

__all__ = ["new_model", "predict", "train_model"]

RAGGED = ("genres",)
FEATURES = ("userId", "movieId", "genres")


def train_model(
    *,
    config: "MovieLensRanking | CriteoRanking",
    build: Callable[[], keras.Model],
    dataset: Path,
    checkpoint: Path,
    path: Path,
    inputs: Mapping[str, Any],
    reporter: Reporter,
) -> dict[str, Any]:
    """Train from the last finished epoch on, and save the model at `path`.

    Args:
        config: the settings; here the seed, the epochs and the batch size.
        build: gives a new compiled model, its tables in a layer "embeddings".
        dataset: the encoded training rows.
        checkpoint: the model directory that is replaced after each epoch.
        path: the final model directory.
        inputs: what the training depends on; a checkpoint of other inputs is not continued.
        reporter: where progress goes.

    Returns:
        {"epochs": [...], "tables": {name: {"rows", "dim", "size_bytes"}}}
    """
    keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()
    model, history = _resume(checkpoint, inputs)
    if model is None:
        model = build()
    loader = Loader(dataset, config.batch_size, shuffle=True, seed=config.seed)
    for epoch in range(len(history), config.epochs):
        loader.set_epoch(epoch)
        with reporter.work(f"epoch {epoch + 1}/{config.epochs}", "batches") as update:
            callback = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs, update=update: update(batch + 1, len(loader))
            )
            fitted = model.fit(
                loader.as_tf_dataset(), epochs=1, shuffle=False, verbose=0, callbacks=[callback]
            )
        history.append({name: float(values[-1]) for name, values in fitted.history.items()})
        reporter.say(f"  epoch {epoch + 1}/{config.epochs}: loss {history[-1]['loss']:.4f}")
        reporter.say(f"  loader: {loader.stats()}")
        save_model(model, checkpoint, info={"inputs": fingerprint(inputs), "history": history})
    save_model(model, path)
    tables = model.get_layer("embeddings").tables
    return {
        "epochs": history,
        "tables": {
            name: {
                "rows": table.size,
                "dim": table.dim,
                "size_bytes": table.memory_usage().total,
            }
            for name, table in tables.items()
        },
    }


def predict(model: str | os.PathLike[str], dataset: Path) -> npt.NDArray[np.float32]:
    """Score every row of an encoded data set, in order; float32 [rows]."""
    loader = Loader(dataset, 8192)
    scores: npt.NDArray[np.float32] = load_model(model).predict(loader.as_tf_dataset(), verbose=0)
    return scores.reshape(-1)


def new_model(config: "MovieLensRanking", dims: Mapping[str, int]) -> keras.Model:
    """Give the compiled model of the MovieLens job; `dims` has the embedding dim of each feature."""
    features = [
        FeatureConfig(
            name=name,
            table=TableConfig(
                name=name,
                dim=dims[name],
                initializer=Uniform(low=-config.initial_range, high=config.initial_range),
                optimizer=Adagrad(learning_rate=config.table_learning_rate),
                seed=config.seed,
            ),
        )
        for name in FEATURES
    ]
    model = ranking_model(
        features,
        ragged=RAGGED,
        config=RankingConfig(hidden=config.hidden, dropout=config.dropout),
    )
    model.compile(keras.optimizers.Adam(config.learning_rate), "binary_crossentropy")
    return model


def _resume(
    checkpoint: Path, inputs: Mapping[str, Any]
) -> tuple[keras.Model | None, list[dict[str, float]]]:
    try:
        manifest = open_directory(checkpoint, kind="model", max_version=FORMAT_VERSION)
        if manifest.info.get("inputs") != fingerprint(inputs):
            return None, []
        return load_model(checkpoint), list(manifest.info["history"])
    except ArtifactError:
        return None, []
