"""DLRM: categorical embeddings and a dense vector that interact pair by pair."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from emberline.errors import DataError
from emberline.models.embedding.collection import EmbeddingCollection
from emberline.models.embedding.config import FeatureConfig

__all__ = ["DLRMConfig", "dlrm_model"]


@dataclass(frozen=True, kw_only=True)
class DLRMConfig:
    """Shape of the dense parts.

    Attributes:
        bottom: units of the Dense layers over the numbers, before the one of the embeddings' dim.
        top: units of the Dense layers over the interactions, before the one logit.
    """

    bottom: tuple[int, ...] = (128, 64)
    top: tuple[int, ...] = (128, 64)

    def __post_init__(self) -> None:
        if any(units < 1 for units in (*self.bottom, *self.top)):
            raise DataError(f"{self}: every layer needs at least one unit")


def dlrm_model(
    feature_configs: Sequence[FeatureConfig],
    dense: Sequence[str],
    *,
    config: DLRMConfig | None = None,
) -> keras.Model:
    """Build an uncompiled binary classifier.

    Args:
        feature_configs: scalar features whose tables have one dim; inputs int64 [batch].
        dense: numbers; inputs float32 [batch].
        config: the dense parts.

    Returns:
        A model from a dict of inputs to probabilities, float32 [batch, 1].

    Raises:
        DataError: tables of several dims, no features, no numbers.

    Source: Naumov et al. 2019 (Deep Learning Recommendation Model), with the whole matrix of dot
    products instead of its lower half, so that nothing but Keras' own layers is in a saved model.
    """
    config = config or DLRMConfig()
    dims = {feature.table.dim for feature in feature_configs}
    if len(dims) != 1 or not dense:
        raise DataError(
            f"a DLRM needs numbers and embeddings of one dim; got {len(dense)} numbers and the dims "
            f"{sorted(dims)}"
        )
    dim = dims.pop()
    inputs = {f.name: keras.Input((), dtype="int64", name=f.name) for f in feature_configs}
    numbers = {name: keras.Input((), dtype="float32", name=name) for name in dense}
    columns = [keras.layers.Reshape((1,), name=f"column_{n}")(x) for n, x in numbers.items()]
    bottom = keras.layers.Concatenate(name="numbers")(columns) if len(columns) > 1 else columns[0]
    for index, units in enumerate((*config.bottom, dim)):
        bottom = keras.layers.Dense(units, activation="relu", name=f"bottom_{index}")(bottom)
    embedded = EmbeddingCollection(feature_configs, name="embeddings")(inputs)
    vectors = keras.layers.Concatenate(name="vectors")([embedded, bottom])
    vectors = keras.layers.Reshape((len(feature_configs) + 1, dim), name="rows")(vectors)
    products = keras.layers.Dot(axes=2, name="interactions")([vectors, vectors])
    hidden = keras.layers.Concatenate(name="both")([keras.layers.Flatten()(products), bottom])
    for index, units in enumerate(config.top):
        hidden = keras.layers.Dense(units, activation="relu", name=f"top_{index}")(hidden)
    probability = keras.layers.Dense(1, activation="sigmoid", name="probability")(hidden)
    return keras.Model({**inputs, **numbers}, probability, name="dlrm")
