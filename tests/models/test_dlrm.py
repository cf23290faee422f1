"""DLRM: its arithmetic against NumPy, and that it is saved and loaded."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from emberline.errors import DataError
from emberline.models import (
    DLRMConfig,
    FeatureConfig,
    TableConfig,
    Uniform,
    dlrm_model,
    load_model,
    save_model,
)


def features(*dims: int) -> list[FeatureConfig]:
    return [
        FeatureConfig(
            name=f"c{i}",
            table=TableConfig(name=f"c{i}", dim=dim, initializer=Uniform(low=-1, high=1), seed=i),
        )
        for i, dim in enumerate(dims)
    ]


def relu(x: npt.NDArray[np.float32], layer: Any) -> npt.NDArray[np.float32]:
    kernel, bias = layer.get_weights()
    out: npt.NDArray[np.float32] = np.maximum(x @ kernel + bias, 0)
    return out


def test_arithmetic_and_saving(tmp_path: Path) -> None:
    model = dlrm_model(features(4, 4), ["x", "y"], config=DLRMConfig(bottom=(5,), top=(6,)))
    model.compile("adam", "binary_crossentropy")
    rng = np.random.default_rng(0)
    batch = {
        "c0": np.array([7, 8, 7]),
        "c1": np.array([1, 1, 2]),
        "x": rng.normal(size=3).astype(np.float32),
        "y": rng.normal(size=3).astype(np.float32),
    }
    model.train_on_batch(batch, np.array([0, 1, 1]))
    tables = model.get_layer("embeddings").tables
    rows = [tables[f"c{i}"].lookup(batch[f"c{i}"]) for i in range(2)]
    dense = np.stack([batch["x"], batch["y"]], axis=1)
    bottom = relu(relu(dense, model.get_layer("bottom_0")), model.get_layer("bottom_1"))
    vectors = np.stack([*rows, bottom], axis=1)
    products = np.einsum("bid,bjd->bij", vectors, vectors).reshape(3, 9)
    hidden = relu(np.concatenate([products, bottom], axis=1), model.get_layer("top_0"))
    kernel, bias = model.get_layer("probability").get_weights()
    wanted = 1 / (1 + np.exp(-(hidden @ kernel + bias)))
    found = model.predict_on_batch(batch)
    # float32 sums in another order.
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    save_model(model, tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict_on_batch(batch), found)


def test_what_does_not_fit_together() -> None:
    with pytest.raises(
        DataError, match=r"embeddings of one dim; got 1 numbers and the dims \[4, 8\]"
    ):
        dlrm_model(features(4, 8), ["x"])
    with pytest.raises(DataError, match="got 0 numbers"):
        dlrm_model(features(4), [])
    with pytest.raises(DataError, match="every layer needs at least one unit"):
        DLRMConfig(top=(0,))
