"""The baselines, on numbers worked out by hand."""

import math

import numpy as np
import polars as pl
import pytest

from emberline.workflows.baselines import base_rate, item_mean, linear, quality

TRAIN = pl.DataFrame(
    {
        "userId": [3, 3, 4, 4],
        "movieId": [3, 4, 3, 4],
        "genres": [[3], [4, 3], [3], []],
        "label": [True, False, True, True],
    }
)


def test_quality_by_hand() -> None:
    figures = quality(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]))
    assert figures["auc"] == 0.75  # 3 of 4 pairs in order
    expected = -(math.log(0.9) + math.log(0.2) + math.log(0.7) + math.log(0.9)) / 4
    assert figures["logloss"] == pytest.approx(expected, rel=1e-12)


def test_quality_with_one_class_and_certain_predictions() -> None:
    figures = quality(np.array([1, 1]), np.array([1.0, 0.0]))
    assert math.isnan(figures["auc"])
    assert figures["logloss"] == pytest.approx(-math.log(1e-7) / 2, rel=1e-6)


def test_base_rate_and_item_mean_by_hand() -> None:
    valid = pl.DataFrame({"movieId": [4, 3, 99]})
    assert base_rate(TRAIN, valid).tolist() == [0.75] * 3
    # movie 4: one of two; movie 3: two of two; both with ten rows of evidence at 0.75.
    expected = [(1 + 7.5) / 12, (2 + 7.5) / 12, 0.75]
    np.testing.assert_allclose(item_mean(TRAIN, valid), expected, rtol=1e-12)


def test_linear_learns_an_additive_truth() -> None:
    rng = np.random.default_rng(0)
    users, movies = rng.integers(3, 23, 4000), rng.integers(3, 23, 4000)
    logits = (users - 13) / 5 + (movies % 2) * 2 - 1
    frame = pl.DataFrame(
        {
            "userId": users,
            "movieId": movies,
            "genres": [[int(m) % 2 + 3] for m in movies],
            "label": rng.random(4000) < 1 / (1 + np.exp(-logits)),
        }
    )
    sizes = {"userId": 23, "movieId": 23, "genres": 5}
    predicted = linear(frame[:3000], frame[3000:], sizes=sizes)
    best = quality(frame["label"][3000:].cast(pl.Int8).to_numpy(), logits[3000:])["auc"]
    got = quality(frame["label"][3000:].cast(pl.Int8).to_numpy(), predicted)["auc"]
    assert best - 0.02 < got <= best + 0.02
