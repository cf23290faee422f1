"""A Keras model that notes what it is trained on."""

from typing import Any

import keras

__all__ = ["Recorder"]


class Recorder(keras.Model):
    """Predicts from one number and notes the ids it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.seen: list[list[int]] = []

    def call(self, x: Any) -> Any:
        return self.dense(keras.ops.cast(x["id"], "float32")[:, None] / 100)

    def train_step(self, data: Any) -> Any:
        self.seen.append(data[0]["id"].numpy().tolist())
        return super().train_step(data)
