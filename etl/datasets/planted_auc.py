"""The area under the ROC curve that a planted model reaches: the best any model can reach."""

import numpy as np
import numpy.typing as npt

from emberline.errors import DataError

__all__ = ["expected_auc", "planted_auc"]


def planted_auc(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """AUC of scores against drawn labels: how often a positive outranks a negative.

    Args:
        logits: float [n]; any increasing function of the probability gives the same answer.
        labels: bool or 0/1 [n].

    Returns:
        The area in [0, 1]; tied scores count half.

    Raises:
        DataError: lengths differ, a NaN, a label other than 0 and 1, or only one class.

    >>> planted_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    truth = np.asarray(labels, dtype=np.float64)
    if not np.isin(truth, (0.0, 1.0)).all():
        raise DataError("labels must be 0 or 1; compare the rating first, for example rating >= 4")
    return _auc(np.asarray(logits, dtype=np.float64), truth)


def expected_auc(logits: npt.ArrayLike) -> float:
    """AUC expected over labels drawn with probability sigmoid(logit), without drawing any.

    Raises:
        DataError: a NaN, or no logits.
    """
    scores = np.asarray(logits, dtype=np.float64)
    return _auc(scores, 1.0 / (1.0 + np.exp(-np.clip(scores, -500.0, 500.0))))


def _auc(scores: npt.NDArray[np.float64], positive: npt.NDArray[np.float64]) -> float:
    """AUC where row i is positive with weight positive[i] and negative with the rest."""
    if scores.ndim != 1 or scores.shape != positive.shape:
        raise DataError(
            f"logits have shape {scores.shape}, labels {positive.shape}; both must be [n]"
        )
    if np.isnan(scores).any():
        raise DataError(f"logits[{int(np.argmax(np.isnan(scores)))}] is NaN")
    order = np.argsort(scores)
    scores, positive = scores[order], positive[order]
    if len(scores) == 0:
        raise DataError("no rows: the AUC needs at least one positive and one negative label")
    # Rows of equal score form one group; within it every pair counts half.
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    positives = np.add.reduceat(positive, starts)
    negatives = np.add.reduceat(1.0 - positive, starts)
    below = np.cumsum(negatives) - negatives
    pairs = positives.sum() * negatives.sum()
    if pairs == 0:
        raise DataError("only one class: the AUC needs positive and negative labels")
    return float((positives * (below + 0.5 * negatives)).sum() / pairs)
