"""A rating model: every feature embedded, concatenated, and an MLP to one logit."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from emberline.errors import DataError
from emberline.models.embedding.collection import EmbeddingCollection
from emberline.models.embedding.config import FeatureConfig

__all__ = ["RankingConfig", "ranking_model"]


@dataclass(frozen=True, kw_only=True)
class RankingConfig:
    """Shape of the dense part.

    Attributes:
        hidden: units of the Dense layers.
        dropout: share of the units dropped after each Dense layer while training, 0..1.
    """

    hidden: tuple[int, ...] = (128, 128, 128)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if any(units < 1 for units in self.hidden):
            raise DataError(f"hidden is {self.hidden}; every layer needs at least one unit")
        if not 0 <= self.dropout < 1:
            raise DataError(f"dropout is {self.dropout}, expected 0 <= dropout < 1")


def ranking_model(
    feature_configs: Sequence[FeatureConfig],
    *,
    ragged: Sequence[str] = (),
    config: RankingConfig | None = None,
) -> keras.Model:
    """Build an uncompiled binary classifier over `feature_configs`.

    Args:
        feature_configs: the features, in the order of the concatenation.
        ragged: names of features that come as `<name>__values` and `<name>__offsets`; the others
            come as `<name>` int64 [batch].
        config: the dense part.

    Returns:
        A model from a dict of inputs to probabilities, float32 [batch, 1].
    """
    config = config or RankingConfig()
    inputs = {}
    for feature in feature_configs:
        if feature.name in ragged:
            for part in (f"{feature.name}__values", f"{feature.name}__offsets"):
                inputs[part] = keras.Input((), dtype="int64", name=part)
        else:
            inputs[feature.name] = keras.Input((), dtype="int64", name=feature.name)
        if feature.weighted:
            name = f"{feature.name}__weights"
            inputs[name] = keras.Input((), dtype="float32", name=name)
    hidden = EmbeddingCollection(feature_configs, name="embeddings")(inputs)
    for index, units in enumerate(config.hidden):
        hidden = keras.layers.Dense(units, activation="relu", name=f"hidden_{index}")(hidden)
        if config.dropout:
            hidden = keras.layers.Dropout(config.dropout, name=f"dropout_{index}")(hidden)
    probability = keras.layers.Dense(1, activation="sigmoid", name="probability")(hidden)
    return keras.Model(inputs, probability, name="ranking")
