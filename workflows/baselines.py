"""Three baselines that a rating model must beat, and the two figures it is judged by."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

__all__ = ["base_rate", "item_mean", "linear", "quality"]

Floats = npt.NDArray[np.float64]


def quality(
    labels: npt.NDArray[np.generic], probabilities: npt.NDArray[np.generic]
) -> dict[str, float]:
    """Return {"auc", "logloss"}; AUC is nan when only one class is there.

    Args:
        labels: 0/1 [n].
        probabilities: of label 1 [n]; clipped to [1e-7, 1 - 1e-7] for the logarithm.
    """
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    both = 0 < np.count_nonzero(labels) < labels.size
    return {
        "auc": float(roc_auc_score(labels, probabilities)) if both else float("nan"),
        "logloss": float(log_loss(labels, clipped, labels=[0, 1])),
    }


def base_rate(train: pl.DataFrame, valid: pl.DataFrame, *, label: str = "label") -> Floats:
    """Predict the training set's share of positives for every row."""
    return np.full(valid.height, float(_labels(train, label).mean()))


def item_mean(
    train: pl.DataFrame,
    valid: pl.DataFrame,
    *,
    item: str = "movieId",
    label: str = "label",
    strength: float = 10.0,
) -> Floats:
    """Predict the item's share of positives, shrunk towards the base rate.

    Args:
        train: rows with `item` and `label`.
        valid: rows with `item`.
        item: the item id's column.
        label: the 0/1 column.
        strength: how many rows of evidence the base rate counts for.
    """
    prior = float(_labels(train, label).mean())
    means = train.group_by(item).agg(
        ((pl.col(label).cast(pl.Float64).sum() + strength * prior) / (pl.len() + strength)).alias(
            "p"
        )
    )
    joined = valid.select(item).join(means, on=item, how="left", maintain_order="left")
    return joined["p"].fill_null(prior).to_numpy()


def linear(
    train: pl.DataFrame,
    valid: pl.DataFrame,
    *,
    one_hot: Sequence[str] = ("userId", "movieId"),
    multi_hot: Sequence[str] = ("genres",),
    numbers: Sequence[str] = (),
    sizes: Mapping[str, int],
    label: str = "label",
    inverse_penalty: float = 1.0,
) -> Floats:
    """Predict by a logistic regression with an L2 penalty on one-hot ids, lists and numbers.

    Args:
        train: encoded rows with the label.
        valid: encoded rows.
        one_hot: id columns.
        multi_hot: columns of id lists.
        numbers: columns of normalized numbers.
        sizes: cardinality of each column.
        label: the 0/1 column.
        inverse_penalty: scikit-learn's C.
    """
    model = LogisticRegression(C=inverse_penalty, max_iter=2000, tol=1e-4)
    model.fit(_design(train, one_hot, multi_hot, numbers, sizes), _labels(train, label))
    probabilities: Floats = model.predict_proba(_design(valid, one_hot, multi_hot, numbers, sizes))[
        :, 1
    ]
    return probabilities


def _labels(frame: pl.DataFrame, label: str) -> npt.NDArray[np.int8]:
    return frame[label].cast(pl.Int8).to_numpy()


def _design(
    frame: pl.DataFrame,
    one_hot: Sequence[str],
    multi_hot: Sequence[str],
    numbers: Sequence[str],
    sizes: Mapping[str, int],
) -> sparse.csr_matrix:
    blocks = []
    for name in one_hot:
        columns = frame[name].to_numpy()
        rows = np.arange(frame.height + 1)
        shape = (frame.height, sizes[name])
        blocks.append(sparse.csr_matrix((np.ones(frame.height, np.float32), columns, rows), shape))
    for name in multi_hot:
        lists = frame[name]
        lengths = lists.list.len().fill_null(0).to_numpy()
        rows = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        columns = lists.filter(lists.list.len() > 0).explode().to_numpy()
        shape = (frame.height, sizes[name])
        blocks.append(sparse.csr_matrix((np.ones(columns.size, np.float32), columns, rows), shape))
    if numbers:
        blocks.append(sparse.csr_matrix(frame.select(numbers).to_numpy().astype(np.float32)))
    return sparse.hstack(blocks, format="csr")
