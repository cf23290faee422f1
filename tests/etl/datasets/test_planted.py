"""`planted_auc`, `expected_auc`, `planted_model`, and the numbers under the generators."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from emberline.errors import (
    ArtifactCorruptError,
    ArtifactMissingError,
    ArtifactVersionError,
    DataError,
)
from emberline.etl.datasets import (
    SyntheticMovieLens,
    expected_auc,
    planted_auc,
    planted_model,
)
from emberline.etl.datasets.activity import apportion
from emberline.etl.datasets.random_streams import (
    hashed,
    hashed_normals,
    hashed_uniforms,
    normals,
    stream_key,
    uniforms,
)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60))
def test_auc_equals_sklearns(rows: list[tuple[int, bool]]) -> None:
    scores, labels = [s for s, _ in rows], [y for _, y in rows]
    if len(set(labels)) == 1:
        with pytest.raises(DataError, match="only one class"):
            planted_auc(scores, labels)
    else:
        assert planted_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))


def test_expected_auc_is_the_mean_over_drawn_labels() -> None:
    logits = np.linspace(-3, 3, 2_000)
    draw = np.random.default_rng(0).random((200, 2_000))
    labels = draw < 1 / (1 + np.exp(-logits))
    mean = np.mean([planted_auc(logits, row) for row in labels])
    # 200 draws with a standard deviation of about 0.009 each: 4 standard errors.
    assert expected_auc(logits) == pytest.approx(mean, abs=0.0026)
    assert expected_auc([0.0, 0.0, 0.0]) == 0.5


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([1.0, 2.0], [1, 2], "labels must be 0 or 1"),
        ([1.0, 2.0], [1], r"logits have shape \(2,\), labels \(1,\)"),
        ([1.0, float("nan")], [0, 1], r"logits\[1\] is NaN"),
        ([], [], "no rows"),
    ],
)
def test_bad_auc_input(logits: list[float], labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        planted_auc(logits, labels)


def write_noted(folder: Path, text: str) -> Path:
    (folder / "planted.json").write_text(text)
    return folder


def test_planted_model_errors(tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactMissingError, match=r"no planted\.json in .*; only a directory that"
    ):
        planted_model(tmp_path)
    good = {"generator": "SyntheticMovieLens", "version": 1, "arguments": {"rows": 100}}
    assert planted_model(write_noted(tmp_path, json.dumps(good))) == SyntheticMovieLens(rows=100)
    bad = [
        ("{", "does not describe a generator"),
        ("[]", "does not describe a generator"),
        (json.dumps(good | {"generator": "SyntheticMovie"}), "did you mean 'SyntheticMovieLens'"),
        (json.dumps(good | {"arguments": {"row": 1}}), "unexpected keyword argument 'row'"),
        (json.dumps(good | {"arguments": {"rows": 0}}), "rows=0; expected 1 or more"),
    ]
    for text, message in bad:
        with pytest.raises(ArtifactCorruptError, match=message):
            planted_model(write_noted(tmp_path, text))
    with pytest.raises(ArtifactVersionError, match="version 2 of SyntheticMovieLens"):
        planted_model(write_noted(tmp_path, json.dumps(good | {"version": 2})))


def test_splitmix_golden() -> None:
    """The reference generator with seed 0: its first outputs, from Vigna's splitmix64.c."""
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert hashed(0, np.array([1, 2, 3])).tolist() == expected


def test_streams_have_their_moments_and_are_unrelated() -> None:
    ids = np.arange(200_000)
    z, u = hashed_normals(5, ids), hashed_uniforms(6, ids)
    # 4 standard errors of 200,000 draws.
    assert z.mean() == pytest.approx(0, abs=0.009)
    assert z.std() == pytest.approx(1, abs=0.007)
    assert u.mean() == pytest.approx(0.5, abs=0.0026)
    assert 0 <= u.min() < u.max() < 1
    assert abs(np.corrcoef(z, u)[0, 1]) < 0.009
    a, b = uniforms(1, 2, 3, 200_000, 2)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.009
    assert normals(1, 2, 3, 200_000).std() == pytest.approx(1, abs=0.007)
    assert not np.array_equal(uniforms(1, 2, 4, 10, 1)[0], a[:10])
    assert not np.array_equal(uniforms(1, 3, 3, 10, 1)[0], a[:10])
    assert len({stream_key(0), stream_key(1), stream_key(0, 1), stream_key(0, 1, 0)}) == 4


@given(st.data())
def test_apportion_is_exact_and_within_bounds(data: st.DataObject) -> None:
    weights = np.array(data.draw(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30)))
    low = data.draw(st.integers(0, 5))
    high = data.draw(st.integers(low, 50))
    total = data.draw(st.integers(low * len(weights), high * len(weights)))
    parts = apportion(total, weights, minimum=low, maximum=high)
    assert parts.sum() == total
    assert parts.min() >= low
    assert parts.max() <= high


def test_apportion_refuses_the_impossible() -> None:
    with pytest.raises(ValueError, match="cannot split 7 into 2 parts of 1 to 3"):
        apportion(7, np.ones(2), minimum=1, maximum=3)
